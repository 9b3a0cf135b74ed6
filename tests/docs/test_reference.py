"""The reference says what the code says."""

import importlib.util
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


def test_every_key_has_a_text() -> None:
    rows = [line for line in load().reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 30
    assert not [row for row in rows if row.endswith("|  |")]
