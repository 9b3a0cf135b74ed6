"""What remains of a run: numbers, pictures, a page; and two runs side by side."""

import json
import re
from pathlib import Path

import pytest

from gossipd.errors import OperatorError
from gossipd_scenarios import run as scenarios
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.report import compare, figures, page, record

FILE = """
title = "Two <islands> & a flood"
about = "For the report."
nodes = 6
seconds = 14.0
training = "stub"
settings = { rounds = { round_seconds = 1.0 } }

[parameters]
share = 30

[topology]
kind = "ring"
islands = [1, 1]

[[timeline]]
at = 4.0
do = "kill"
mark = "flood"
who = { percent = "$share" }

[[timeline]]
at = 6.0
do = "partition"
maker = "islands"

[[timeline]]
at = 10.0
do = "start"
who = { count = 1 }

[[checks]]
check = "undisturbed"
at_least = 0.5

[[checks]]
check = "bytes"
at_most = 0.000001

[[checks]]
check = "memory"
at_most = 60
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, scenarios.Document]:
    folder = tmp_path_factory.mktemp("ran")
    file = folder / "flood.toml"
    file.write_text(FILE)
    options = {"name": str(file), "backend": "sim", "output": folder / "out", "quiet": True}
    return folder / "out", scenarios.run(options)


def test_the_answer_has_what_scripts_rely_on(ran: tuple[Path, scenarios.Document]) -> None:
    folder, answer = ran
    assert {k: answer[k] for k in ("scenario", "backend", "nodes", "seed", "report")} == {
        "scenario": "flood",
        "backend": "sim",
        "nodes": 6,
        "seed": 1,
        "report": str(folder),
    }
    assert len(answer["log_hash"]) == 64
    names = {check["name"]: check["holds"] for check in answer["checks"]}
    assert names["undisturbed median"] is True
    assert names["bytes worst"] is False
    assert all(
        set(check) == {"name", "holds", "value", "bound", "evidence"} for check in answer["checks"]
    )
    assert [check["name"] for check in answer["left_out"]] == ["memory"]
    assert answer["holds"] is False


def test_the_page_needs_nothing_else(ran: tuple[Path, scenarios.Document]) -> None:
    text = (ran[0] / record.PAGE).read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', text)
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in text
    assert "Two &lt;islands&gt; &amp; a flood" in text
    assert "does not hold" in text
    assert "nodes share a process" in text, "why a check was left out"
    for picture in ("accuracy", "topology", "rounds", "bytes"):
        assert (ran[0] / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_the_numbers_lie_beside_it(ran: tuple[Path, scenarios.Document]) -> None:
    result = record.read(ran[0])
    assert len(result["links"]) == 6
    assert result["parameters"] == {"share": 30}
    assert result["undisturbed"]["times"][-1] == pytest.approx(14.0)
    ended = [name for name, lives in result["lives"].items() if lives[0][1] is not None]
    assert len(ended) == 2
    gone = next(name for name in ended if len(result["lives"][name]) == 1)
    row = result["series"][gone]
    assert row["accuracy"][0] is not None
    assert row["accuracy"][-1] is None
    assert [(phase["begin"], phase["end"]) for phase in result["phases"]] == [(6.0, 14.0)]
    events = [json.loads(line) for line in (ran[0] / record.EVENTS).read_text().splitlines()]
    assert sum(event["kind"] == "started" for event in events) == 7
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)


def test_a_report_is_drawn_again(ran: tuple[Path, scenarios.Document]) -> None:
    path = ran[0] / record.PAGE
    before = path.read_text()
    path.unlink()
    assert scenarios.report(ran[0]) == {"report": str(path)}
    assert path.read_text() == before


def test_without_matplotlib_there_is_no_picture_but_numbers(
    ran: tuple[Path, scenarios.Document], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    assert figures.draw(record.read(ran[0]), tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OperatorError, match="pictures need matplotlib"):
        scenarios.report(ran[0])


def test_many_nodes_are_drawn_by_island(
    ran: tuple[Path, scenarios.Document], tmp_path: Path
) -> None:
    result = record.read(ran[0])
    row = result["series"]["n1"]
    names = [f"m{number}" for number in range(30)]
    many = result | {
        "names": names,
        "islands": [names[:20], names[20:]],
        "links": None,
        "series": dict.fromkeys(names, row),
        "lives": {name: [[0.0, None]] for name in names},
    }
    assert set(figures.draw(many, tmp_path)) == {"accuracy", "topology", "rounds", "bytes"}
    assert "m29" not in page.page(many, {})


def test_faults_are_on_the_page(ran: tuple[Path, scenarios.Document]) -> None:
    fault = {"at": 1.0, "node": "n1", "what": "exception", "evidence": "ValueError: <no>"}
    text = page.page(record.read(ran[0]) | {"faults": [fault]}, {})
    assert "Faults (1)" in text
    assert "ValueError: &lt;no&gt;" in text


def test_two_runs_are_compared(ran: tuple[Path, scenarios.Document]) -> None:
    first = record.read(ran[0])
    second = json.loads(json.dumps(first))
    for row in second["series"].values():
        row["accuracy"] = [None if value is None else value / 2 for value in row["accuracy"]]
    rows = {row["what"]: row for row in compare.compare(first, second)}
    assert rows["median accuracy"]["second"] == pytest.approx(rows["median accuracy"]["first"] / 2)
    assert rows["check: undisturbed median"]["difference"] == 0.0
    same = scenarios.compare(ran[0], ran[0])
    assert {row["difference"] for row in same["rows"]} <= {0.0, None}


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"result\.json"):
        scenarios.report(tmp_path)
    (tmp_path / record.RESULT).write_text('{"version": 0}')
    with pytest.raises(ScenarioError, match="of version 0"):
        scenarios.report(tmp_path)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(OperatorError) as caught:
        scenarios.run({"name": "first-light", "backend": "sim", "output": tmp_path})
    assert caught.value.code == "not-empty"
