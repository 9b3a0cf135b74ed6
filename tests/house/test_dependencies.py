"""Every dependency is pinned for the tests, and has its reason written down."""

import re
import tomllib

from support.tree import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = {
    re.split(r"[=<>~!\\[ ]", requirement)[0]: requirement
    for requirement in (
        *PROJECT["dependencies"],
        *(r for extra in PROJECT["optional-dependencies"].values() for r in extra),
    )
}
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_dependency_is_pinned() -> None:
    assert {canonical(name) for name in DIRECT} <= {canonical(name) for name in PINS}


def test_no_pin_names_a_machine_s_own_build() -> None:
    assert [pin for pin in PINS.values() if not re.fullmatch(r"[0-9.]+(post[0-9]+)?", pin)] == []


def test_what_the_project_pins_is_what_the_tests_run_with() -> None:
    exact = {name: r.partition("==")[2] for name, r in DIRECT.items() if "==" in r}
    assert exact == {name: PINS[name] for name in exact}
    assert exact.keys() == {"libp2p", "torch"}


def test_every_dependency_has_its_reason() -> None:
    reasons = re.findall(
        r"^\| ([^|]+) \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE
    )
    explained = {word for row in reasons for word in re.findall(r"[\w-]+", row)}
    assert DIRECT.keys() - explained == set()
