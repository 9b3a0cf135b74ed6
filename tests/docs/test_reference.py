"""The reference says what the code says."""

import importlib
import json
import re
from types import ModuleType
from typing import Any

import pytest

from gossipd.control.api import Api
from support.tree import ROOT


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("reference")


def test_every_page_made_from_code_is_up_to_date(reference: ModuleType) -> None:
    stale = [page.name for page, make in reference.PAGES.items() if page.read_text() != make()]
    assert not stale, "run: python tools/reference.py"


def test_the_documented_metrics_are_those_of_the_registry(reference: ModuleType) -> None:
    from gossipd.control.metrics import Metrics
    from support.operator import FakeOperator

    operator = FakeOperator()
    operator.warnings = [{"code": "alone", "severity": "warning", "text": "", "fix": ""}]
    told = Metrics(operator).render().decode()
    made = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE gossipd_")}
    made -= {name for name in made if name.endswith("_created")}
    page = (reference.DOCS / "metrics.md").read_text()
    documented = set(re.findall(r"^\| `(gossipd_\w+)`", page, re.MULTILINE))
    assert made == documented


def test_every_key_has_a_text(reference: ModuleType) -> None:
    rows = [line for line in reference.reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert not [row for row in rows if row.endswith("|  |")]


def test_every_route_of_the_api_is_described() -> None:
    described = json.loads((ROOT / "docs" / "api.json").read_text())["paths"]
    nobody: Any = None
    routes = {(method.lower(), path) for method, path, _ in Api(nobody, nobody, nobody).table()}
    assert {(method, path) for path, methods in described.items() for method in methods} == routes
    for path, methods in described.items():
        for method, operation in methods.items():
            assert len(operation["summary"]) > len("A word."), f"{method} {path}"
            inside = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert inside == set(re.findall(r"{(\w+)}", path))


def test_a_route_that_nothing_describes_is_not_written(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(self: Api, request: Any) -> Any: ...

    table = Api.table
    monkeypatch.setattr(Api, "silent", silent, raising=False)
    monkeypatch.setattr(Api, "table", lambda self: [*table(self), ("GET", "/v1/new", self.silent)])
    with pytest.raises(LookupError, match="silent"):
        reference.reference_api.document()


def test_what_a_request_takes_is_described() -> None:
    paths = json.loads((ROOT / "docs" / "api.json").read_text())
    schemas = paths["components"]["schemas"]
    for path, methods in paths["paths"].items():
        for method, operation in methods.items():
            assert ("requestBody" in operation) <= (method != "get"), path
    asked = paths["paths"]["/v1/peers"]["post"]["requestBody"]["content"]["application/json"]
    assert asked["schema"] == {"$ref": "#/components/schemas/AddPeer"}
    assert schemas["AddPeer"]["required"] == ["address"]
    query = {p["name"]: p["schema"] for p in paths["paths"]["/events"]["get"]["parameters"]}
    assert set(query) == {"since", "run", "limit", "newest", "wait"}
    assert query["wait"]["maximum"] == 60.0


def test_every_command_is_on_the_page(reference: ModuleType) -> None:
    from typer.main import get_command

    from gossipd_cli.app import app

    page = (reference.DOCS / "cli.md").read_text()
    root: Any = get_command(app)
    for name, command in root.commands.items():
        for inner in getattr(command, "commands", {}):
            assert f"\n### gossipd {name} {inner}\n" in page
        assert f"\n## gossipd {name}\n" in page
