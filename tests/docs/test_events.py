"""gossipd/control/kinds.py, and so docs/events.md, lists what the code reports: read off the code.

An event is reported by `Report(kind, fields)` in the core, by functions that hand it on (FORWARDS)
and by `EventLog.append(kind, **fields)`. Its kind is a literal and the names of its fields can be
read off, or it is not understood here and fails.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from gossipd.control.kinds import KINDS
from support.tree import ROOT

FORWARDS = {"Report", "report", "_report", "_say", "append"}
SILENT = ("simulation",)
"""Rooms whose events are not a daemon's."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Emission(NamedTuple):
    kinds: tuple[str, ...]
    fields: frozenset[str]
    place: str


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "gossipd").rglob("*.py")):
        name = path.relative_to(ROOT / "gossipd")
        if name.parts[0] not in SILENT:
            yield str(name), ast.parse(path.read_text(encoding="utf-8"))


TREES = dict(sources())
DICTS = ("Fields", "Document", "dict[str, Any]")
MAKERS: dict[str, dict[str, Function]] = defaultdict(dict)
"""Functions that make fields for a report, by name and file."""
for _file, _tree in TREES.items():
    for _node in ast.walk(_tree):
        if isinstance(_node, Function) and ast.unparse(_node.returns or _node) in DICTS:
            MAKERS[_node.name][_file] = _node


def literals(node: ast.expr) -> tuple[str, ...]:
    """The texts that an expression can be; none: not known here."""
    if isinstance(node, ast.IfExp):
        return (*literals(node.body), *literals(node.orelse))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    return ()


def names(node: ast.expr | None, within: ast.AST, file: str) -> set[str]:
    """The keys of the dict that an expression is, as far as the function around it tells."""
    if isinstance(node, ast.Dict):
        found: set[str] = set()
        for key, value in zip(node.keys, node.values, strict=True):
            found |= names(value, within, file) if key is None else set(literals(key))
        return found
    if isinstance(node, ast.DictComp) and isinstance(node.generators[0].iter, ast.Tuple):
        return {text for item in node.generators[0].iter.elts for text in literals(item)}
    if isinstance(node, ast.Call) and (makers := MAKERS.get(called(node))):
        # Of another file: there is one of that name.
        where = file if file in makers else next(iter(makers))
        assert where == file or len(makers) == 1, f"which {called(node)}?"
        function = makers[where]
        returned = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)]
        return set().union(*(names(value, function, where) for value in returned))
    if isinstance(node, ast.Name):
        bound = [
            n.value
            for n in ast.walk(within)
            if (isinstance(n, ast.AnnAssign | ast.AugAssign) and is_name(n.target, node.id))
            or (isinstance(n, ast.Assign) and is_name(n.targets[0], node.id))
        ]
        if bound:
            return set().union(*(names(value, within, file) for value in bound))
    raise AssertionError(f"its fields cannot be read off: {ast.unparse(node) if node else node}")


def is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def is_report(call: ast.Call) -> bool:
    if called(call) == "append":  # of an EventLog: a list's takes no names
        return bool(call.keywords)
    return called(call) in FORWARDS


def calls() -> Iterator[tuple[str, Function, ast.Call]]:
    """(file, function around it, call) of every report."""
    for name, tree in TREES.items():
        for function in ast.walk(tree):
            if not isinstance(function, Function):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and is_report(node):
                    yield name, function, node


def emissions() -> Iterator[Emission]:
    for file, function, call in calls():
        place = f"{file}:{call.lineno}"
        kinds = next((found for a in call.args if (found := literals(a))), ())
        if not kinds:
            # It hands on what it was called with: the calls of it are looked at.
            handed_on = function.name in FORWARDS or ast.unparse(call.args[0]) == "o.kind"
            assert handed_on, f"{place} reports a kind that cannot be read off"
            continue
        fields = {word.arg for word in call.keywords if word.arg is not None}
        if not call.keywords:
            fields = names(call.args[-1], function, file)
        yield Emission(kinds, frozenset(fields), place)


FOUND = list(emissions())


@pytest.mark.parametrize("emission", FOUND, ids=lambda e: f"{e.kinds[0]}-{e.place}")
def test_what_is_reported_is_in_the_table_with_all_its_fields(emission: Emission) -> None:
    for kind in emission.kinds:
        assert kind in KINDS
        assert emission.fields <= set(KINDS[kind].fields)


def test_what_is_in_the_table_is_reported_with_all_its_fields() -> None:
    reported: dict[str, set[str]] = defaultdict(set)
    for emission in FOUND:
        for kind in emission.kinds:
            reported[kind] |= emission.fields
    assert reported == {name: set(kind.fields) for name, kind in KINDS.items()}
