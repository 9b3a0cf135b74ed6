"""Writes the pages of docs/ that are made from code: `python tools/reference.py`.

    api.json            gossipd/control/api.py, operator.py
    cli.md              cli/gossipd_cli
    configuration.md    gossipd/settings.py
    events.md           gossipd/control/kinds.py
    metrics.md          gossipd/control/metrics.py
    warnings.md         gossipd/operator/health.py

The text of a key is the docstring under it, so reference and code cannot drift apart; a test
compares each file with what this makes.
"""

import ast
import sys
from pathlib import Path

import reference_api
import reference_cli

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TARGET = DOCS / "configuration.md"

HEAD = """# Configuration

<!-- Written by tools/reference.py from gossipd/settings.py. -->

Everything has a default: `gossipd start` needs no configuration. What differs stands in
`config.toml` in the state directory (`$GOSSIPD_HOME`), in an environment variable
`GOSSIPD_<SECTION>_<KEY>`, or on the command line as `--set SECTION.KEY=VALUE`; the later one wins.
A mistake is answered with its place, the value, the reason and the fix, and exit code 5.

`gossipd config get|set|validate|paths` shows and changes them. On SIGHUP, or
`gossipd config reload`, a running daemon reads them again: what is marked below as taken over
holds at once, the rest from its next start on.
"""


def reference() -> str:
    """The whole page."""
    tree = ast.parse((ROOT / "gossipd" / "settings.py").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    parts = [HEAD]
    for field in classes["Config"].body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        kind = ast.unparse(field.annotation)
        if kind in classes:
            parts.append(_section(field.target.id, classes[kind]))
        else:
            parts.append(_table(_rows(classes["Config"], only=field.target.id)))
    return "\n".join(parts)


def _section(name: str, node: ast.ClassDef) -> str:
    return f"## [{name}]\n\n{_joined(ast.get_docstring(node))}\n\n{_table(_rows(node))}"


def _rows(node: ast.ClassDef, only: str | None = None) -> list[tuple[str, str, str]]:
    """(key, default, text) of every field."""
    rows = []
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if only is not None and field.target.id != only:
            continue
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = _joined(str(after.value.value))
        text += _reloaded(node, field.target.id)
        default = ast.unparse(field.value) if field.value is not None else ""
        choices = ast.unparse(field.annotation)
        if choices.startswith("Literal["):
            text = f"One of {choices[8:-1]}. {text}"
        rows.append((field.target.id, default, text))
    return rows


def _reloaded(section: ast.ClassDef, field: str) -> str:
    from gossipd.settings import RELOADED

    key = f"{section.name.removesuffix('Config').lower()}.{field}"
    return " Taken over by a running daemon." if key in RELOADED else ""


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = ["| key | default | what it is |", "|---|---|---|"]
    lines += [f"| `{key}` | `{default}` | {text} |" for key, default, text in rows]
    return "\n".join(lines) + "\n"


def _joined(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split())


METRICS_HEAD = """# Metrics

<!-- Written by tools/reference.py from gossipd/control/metrics.py. -->

`GET /metrics` on the control socket, `gossipd metrics show`, and `gossipd metrics write FILE` for a
collector that reads files. Each is the same number that `gossipd status` shows; one that does not
exist yet is left out. Beside them stand the process's own, as the reference library names them
(`process_cpu_seconds_total`, `process_resident_memory_bytes`, ...). Names and labels are part of
the API.

| name | type | labels | what it is |
|---|---|---|---|
"""

WARNINGS_HEAD = """# Warnings

<!-- Written by tools/reference.py from gossipd/operator/health.py. -->

What `gossipd health`, `gossipd status` and `GET /health` show, with a text and a fix for the case
at hand. Codes are part of the API. A warning shows once what it is about has lasted for its delay.
`gossipd health` ends with exit code 4 while there is one that is not `info`.

| code | severity | delay | what it is about |
|---|---|---|---|
"""


def metrics() -> str:
    """docs/metrics.md."""
    from gossipd.control.metrics import METRICS

    rows = []
    for name, kind in METRICS.items():
        ending = "_total" if kind.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in kind.labels)
        rows.append(f"| `gossipd_{name}{ending}` | {kind.type} | {labels} | {kind.text} |\n")
    return METRICS_HEAD + "".join(rows)


def warnings() -> str:
    """docs/warnings.md."""
    from gossipd.operator.health import WARNINGS

    return WARNINGS_HEAD + "".join(
        f"| `{code}` | {kind.severity} | {kind.delay:g} s | {kind.meaning} |\n"
        for code, kind in WARNINGS.items()
    )


EVENTS_HEAD = """# Events

<!-- Written by tools/reference.py from gossipd/control/kinds.py. -->

What `gossipd events` shows and `GET /events` answers. Each event has `seq` (1, 2, 3, ... since this
start), `time` (Unix seconds), `kind`, and the fields below. A daemon remembers some thousand; who
reads more slowly is told how many it missed. Those marked *quiet* are ordinary work, which the log
shows at level debug only. Kinds and fields are part of the API.

| kind | what has happened | fields |
|---|---|---|
"""


def events() -> str:
    """docs/events.md."""
    from gossipd.control.kinds import KINDS

    rows = []
    for name, kind in KINDS.items():
        quiet = " *quiet*" if kind.quiet else ""
        fields = "<br>".join(f"`{field}`: {text}" for field, text in kind.fields.items())
        rows.append(f"| `{name}` | {kind.text}{quiet} | {fields} |\n")
    return EVENTS_HEAD + "".join(rows)


PAGES = {
    DOCS / "api.json": reference_api.page,
    DOCS / "cli.md": reference_cli.page,
    TARGET: reference,
    DOCS / "events.md": events,
    DOCS / "metrics.md": metrics,
    DOCS / "warnings.md": warnings,
}
"""Every page and what makes it."""


if __name__ == "__main__":
    for page, make in PAGES.items():
        page.write_text(make(), encoding="utf-8")
        sys.stdout.write(f"{page}\n")
