"""`gossipd scenario`: what each of its commands does, with plain data in and out."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gossipd.errors import ExitCode, OperatorError
from gossipd_scenarios import library
from gossipd_scenarios.backend import Backend, Setting
from gossipd_scenarios.beside import beside
from gossipd_scenarios.checks.judge import judge, needs_calm
from gossipd_scenarios.document import Changes
from gossipd_scenarios.engine import Engine
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.history import History
from gossipd_scenarios.live import Blank, Screen, screen_for
from gossipd_scenarios.plan import Plan, plan
from gossipd_scenarios.report import compare as comparison
from gossipd_scenarios.report import figures, page, record
from gossipd_scenarios.schema import Join, Leave, Operation
from gossipd_scenarios.telling import Telling

Document = dict[str, Any]

PEACEFUL = (Join, Leave)
"""What the run without any fault keeps of a timeline."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `run` takes, as a dictionary."""

    name: str
    """Of the library, or a path."""
    backend: str = "real"
    nodes: int | None = None
    seed: int | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    """`--set`."""
    data: Path | None = None
    """A folder of IDX images to learn instead of the digits."""
    output: Path | None = None
    keep: bool = False
    """Leave the daemons' homes and logs in place."""
    netns: bool = False
    """Real daemons in network namespaces of their own."""
    quiet: bool = False
    told: Path | None = None
    """A folder in which the run is told while it goes on (telling.py)."""


def ls() -> Document:
    """{scenarios: [{name, title, nodes, seconds, parameters}]} of the library."""
    rows = []
    for name in library.names():
        document = library.find(name)
        rows.append(
            {
                "name": name,
                "title": document.scenario.title,
                "nodes": document.scenario.nodes,
                "seconds": document.scenario.seconds,
                "parameters": dict(document.parameters),
            }
        )
    return {"scenarios": rows}


def show(name: str) -> Document:
    """{name, title, about, text} of one scenario."""
    document = library.find(name)
    scenario = document.scenario
    return {
        "name": document.name,
        "title": scenario.title,
        "about": scenario.about.strip(),
        "text": document.text,
    }


def run(options: Document) -> Document:
    """Run a scenario; `options` as the fields of `Options`.

    {scenario, backend, nodes, seed, seconds, log_hash, checks: [{name, holds, value, bound,
    evidence}], left_out, holds, report, homes}. `report` is the folder with result.json,
    events.jsonl and, where matplotlib is installed, the pictures and report.html. Whatever happens,
    no process is left, and without `keep` no file of the daemons.
    """
    chosen = Options(**options)
    began = time.monotonic()
    changes = Changes(chosen.nodes, chosen.seed, chosen.values)
    planned = plan(library.find(chosen.name, changes), _settings(chosen.data))
    if chosen.backend == "real" and planned.scenario.training == "stub":
        raise ScenarioError('training = "stub" is for the simulator', "add --backend sim")
    if chosen.backend == "sim" and chosen.netns:
        raise ScenarioError("--netns is for real daemons", "add --backend real", "usage")
    if chosen.backend == "sim" and chosen.told is not None:
        raise ScenarioError("--watch is for real daemons", "add --backend real", "usage")
    folder = _folder(chosen, planned)
    calm = None
    screen = screen_for(chosen.quiet)
    telling = None if chosen.told is None else Telling(screen, chosen.told, planned)
    with telling or screen as screen:
        if not needs_calm(planned.scenario):
            history, homes = _once(planned, chosen, screen)
        elif chosen.backend == "sim":
            with beside(partial(_undisturbed, planned, chosen, Blank())) as undisturbed:
                history, homes = _once(planned, chosen, screen)
                calm = undisturbed()
        else:
            # Real daemons beside others would have half of the machine.
            calm = _undisturbed(planned, chosen, screen)
            history, homes = _once(planned, chosen, screen)
    verdicts = judge(planned.scenario, history, calm)
    if telling is not None:
        telling.judged(verdicts)
    took = time.monotonic() - began
    result = record.result_of(planned, history, verdicts, calm=calm, wall_seconds=took)
    folder.mkdir(parents=True, exist_ok=True)
    record.write(folder, result, history)
    _draw(folder, result)
    return _answer(result, folder, homes if chosen.keep else None)


def _settings(data: Path | None) -> dict[str, Setting]:
    if data is None:
        return {}
    return {"task.name": "idx", "task.data": str(data.absolute())}


def _folder(options: Options, planned: Plan) -> Path:
    """Where the report goes. Looked at now, and not when all is done."""
    seed = planned.scenario.seed
    name = f"scenario-{planned.document.name}-{options.backend}-{seed}"
    folder = (options.output or Path(name)).absolute()
    if folder.exists() and not (folder / record.RESULT).exists() and any(folder.iterdir()):
        raise OperatorError(
            "not-empty",
            f"{folder} holds something else",
            "choose another folder with --output",
            ExitCode.USAGE,
        )
    above = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise OperatorError(
            "not-writable",
            f"cannot write into {above}",
            "choose another folder with --output",
            ExitCode.USAGE,
        )
    return folder


def _undisturbed(planned: Plan, options: Options, screen: Screen) -> History:
    """The same without any fault."""
    peaceful = [step for step in planned.scenario.timeline if isinstance(step, PEACEFUL)]
    return _once(planned, options, screen, peaceful)[0]


def _once(
    planned: Plan,
    options: Options,
    screen: Screen,
    timeline: Sequence[Operation] | None = None,
) -> tuple[History, str | None]:
    """One run: its history, and where the daemons' homes are. `timeline`: the undisturbed one's."""
    scenario = planned.scenario
    phase = options.name if timeline is None else "undisturbed"
    backend, homes = _backend(options, planned)
    length = scenario.seconds + scenario.settle
    screen.phase(f"{phase} ({options.backend})", length, homes or "")
    engine = Engine(planned, backend, screen, timeline=timeline)
    return backend.drive(engine.run()), homes


def _backend(options: Options, planned: Plan) -> tuple[Backend, str | None]:
    """A world to run in, and where the daemons' homes are in it."""
    seed = planned.scenario.seed
    # The worlds are imported where they are needed: each brings much that the other has no use for.
    if options.backend == "sim":
        from gossipd_scenarios.sim.backend import SimBackend

        return SimBackend(seed, training=planned.scenario.training), None
    from gossipd_scenarios.real.backend import RealBackend

    real = RealBackend(None, seed, keep=options.keep, netns=options.netns)
    return real, str(real.directory)


def _draw(folder: Path, result: Document) -> Path | None:
    """The pictures and the page; None, and nothing drawn, without matplotlib."""
    pictures = figures.draw(result, folder)
    if not pictures:
        return None
    path = folder / record.PAGE
    path.write_text(page.page(result, pictures), encoding="utf-8")
    return path


def _answer(result: Document, folder: Path, homes: str | None) -> Document:
    kept = ("scenario", "backend", "nodes", "seed", "seconds", "log_hash", "checks", "left_out")
    return {
        **{key: result[key] for key in kept},
        "holds": all(check["holds"] for check in result["checks"]),
        "report": str(folder),
        "homes": homes,
    }


def report(folder: Path) -> Document:
    """Draw the pictures and the page of a run again: {report: path of the page}."""
    path = _draw(folder, record.read(folder))
    if path is None:
        raise OperatorError("no-matplotlib", "pictures need matplotlib", "pip install gossipd[lab]")
    return {"report": str(path)}


def compare(first: Path, second: Path) -> Document:
    """{first, second: what they are, rows: [{what, first, second, difference}]}."""
    results = [record.read(first), record.read(second)]
    words = [f"{r['scenario']} {r['backend']} {r['nodes']} seed {r['seed']}" for r in results]
    return {"first": words[0], "second": words[1], "rows": comparison.compare(*results)}
