"""One self-contained HTML page about a run: no network, no script, pictures inside."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

Result = Mapping[str, Any]

MEGA = 1e6
SHOWN_FAULTS = 20
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.sub, .left { color: #666; } .about { white-space: pre-line; max-width: 48rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .35rem .6rem; text-align: left;
       border-bottom: 1px solid #e3e3e3; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.holds { color: #00704a; font-weight: 600; } .fails { color: #b3341c; font-weight: 600; }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: 12.5px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
"""


def page(result: Result, pictures: Mapping[str, Path]) -> str:
    """The page as text."""
    held = sum(check["holds"] for check in result["checks"])
    verdict = "every check holds" if held == len(result["checks"]) else "a check does not hold"
    parts = [
        f"<h1>{_text(result['title'])}</h1>",
        f'<p class="sub">{_text(result["scenario"])} &middot; {_text(result["backend"])} &middot; '
        f"{result['nodes']} nodes &middot; seed {result['seed']} &middot; {verdict} "
        f"({held} of {len(result['checks'])})</p>",
        f'<p class="about">{_text(result["about"])}</p>',
        _checks(result),
        *(_picture(name, pictures) for name in ("accuracy", "topology", "rounds", "bytes")),
        _facts(result),
        _course(result),
        _faults(result),
        f"<h2>The scenario</h2><pre>{_text(result['file'])}</pre>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_text(result['scenario'])}: {verdict}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{chr(10).join(part for part in parts if part)}\n</body></html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _checks(result: Result) -> str:
    rows = [_check(check) for check in result["checks"]]
    rows += [
        f'<tr class="left"><td>left out</td><td>{_text(c["name"])}</td><td></td>'
        f"<td>{_text(c['bound'])}</td><td>{_text(c['evidence'])}</td></tr>"
        for c in result["left_out"]
    ]
    head = "<tr><th></th><th>check</th><th>value</th><th>bound</th><th>evidence</th></tr>"
    return f"<h2>Checks</h2><table>{head}{''.join(rows)}</table>"


def _check(check: Mapping[str, Any]) -> str:
    word, kind = ("holds", "holds") if check["holds"] else ("does not hold", "fails")
    value = "never" if check["value"] is None else f"{check['value']:.4g}"
    return (
        f'<tr><td class="{kind}">{word}</td><td>{_text(check["name"])}</td>'
        f'<td class="number">{value}</td><td>{_text(check["bound"])}</td>'
        f"<td>{_text(check['evidence'])}</td></tr>"
    )


def _picture(name: str, pictures: Mapping[str, Path]) -> str:
    if name not in pictures:
        return ""
    data = base64.b64encode(pictures[name].read_bytes()).decode()
    return f'<img alt="{name}" src="data:image/png;base64,{data}">'


def _facts(result: Result) -> str:
    series = result["series"].values()
    sent = [_last(row["bytes_out"]) / MEGA for row in series]
    memory = [value for row in series for value in row["memory"] if value is not None]
    facts = {
        "started in": f"{result['start_seconds']:.1f} s",
        "ran for": f"{result['seconds']:.1f} s",
        "took": f"{result['wall_seconds']:.1f} s in all",
        "sent by a node": f"median {median(sent):.2f} MB, most {max(sent):.2f} MB" if sent else "",
        "largest daemon": f"{max(memory) / MEGA:.0f} MB of its own" if memory else "",
        "parameters": ", ".join(f"{k} = {v}" for k, v in result["parameters"].items()),
        "log hash": result["log_hash"] or "",
        "events": ", ".join(f"{count} {kind}" for kind, count in result["events"].items()),
    }
    rows = [f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts.items() if v]
    return f"<h2>Numbers</h2><dl>{''.join(rows)}</dl>"


def _last(values: list[float | None]) -> float:
    return next((value for value in reversed(values) if value is not None), 0.0)


def _course(result: Result) -> str:
    rows = [
        f'<tr><td class="number">{step["at"]:.1f} s</td><td>{_text(step["what"])}</td></tr>'
        for step in result["steps"]
    ]
    return f"<h2>What was done</h2><table>{''.join(rows)}</table>" if rows else ""


def _faults(result: Result) -> str:
    if not result["faults"]:
        return ""
    shown = [
        f"<h3>{_text(f['node'])}, {f['at']:.1f} s: {_text(f['what'])}</h3>"
        f"<pre>{_text(f['evidence'])}</pre>"
        for f in result["faults"][:SHOWN_FAULTS]
    ]
    return f"<h2>Faults ({len(result['faults'])})</h2>{''.join(shown)}"
