"""The reference says what the code says."""

import importlib.util
import re
from types import ModuleType

from support.tree import ROOT


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_reference_is_up_to_date() -> None:
    module = load()
    assert module.TARGET.read_text() == module.reference(), "run: python tools/reference.py"


def test_every_page_made_from_code_is_up_to_date() -> None:
    for page, make in load().PAGES.items():
        assert page.read_text() == make(), "run: python tools/reference.py"


def test_the_documented_metrics_are_those_of_the_registry() -> None:
    from gossipd.control.metrics import Metrics
    from support.operator import FakeOperator

    operator = FakeOperator()
    operator.warnings = [{"code": "alone", "severity": "warning", "text": "", "fix": ""}]
    told = Metrics(operator).render().decode()
    made = {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE gossipd_")}
    made -= {name for name in made if name.endswith("_created")}
    page = (load().DOCS / "metrics.md").read_text()
    documented = set(re.findall(r"^\| `(gossipd_\w+)`", page, re.MULTILINE))
    assert made == documented


def test_every_key_has_a_text() -> None:
    rows = [line for line in load().reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert not [row for row in rows if row.endswith("|  |")]
