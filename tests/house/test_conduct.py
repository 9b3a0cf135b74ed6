"""House rules that no linter holds: size of files, what is never called, what is caught where."""

import ast
from pathlib import Path

import pytest

from support.tree import PACKAGES, ROOT, product_files

LONGEST = 500  # lines; most files are under 300

# A room's outer door is where one bad peer, file or task must not end the daemon: there, and only
# there, any exception is caught, counted and logged. Each file is here for a reason.
OUTER_DOORS = {
    "gossipd/control/api.py": "a fault in one request is answered with an error, not with silence",
    "gossipd/learning/own_code.py": "a fault in somebody's own task is told with its line",
    "gossipd/network/bridge.py": "what fails on the network thread is handed to whoever waits",
    "gossipd/network/libp2p_transport.py": "a fault in a handler of the transport",
    "gossipd/network/life.py": "the network thread's end, whatever the cause",
    "gossipd/network/memory.py": "a fault in a handler, as over libp2p",
    "gossipd/network/streams.py": "a fault in answering a peer resets its stream",
    "gossipd/network/swarm.py": "a stranger's bytes go through six parsers of libp2p",
    "gossipd/runtime/engine.py": "a fault in one task becomes that task's failure in the core",
}

# Code from outside is never run, and nothing from outside is unpickled.
FORBIDDEN_CALLS = {"eval", "exec", "compile", "torch.load", "numpy.load", "np.load"}
FORBIDDEN_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def dotted(node: ast.expr) -> str:
    """`a.b.c` as text; other expressions as an empty string."""
    match node:
        case ast.Name(id=word):
            return word
        case ast.Attribute(value=value, attr=word):
            return f"{dotted(value)}.{word}"
    return ""


def test_a_file_can_be_read_in_one_sitting() -> None:
    lengths = {name(file): len(file.read_text("utf-8").splitlines()) for file in product_files()}
    assert {file: length for file, length in lengths.items() if length > LONGEST} == {}


def test_a_file_says_what_it_is_for() -> None:
    assert [name(file) for file in product_files() if not ast.get_docstring(tree_of(file))] == []


def test_every_room_is_a_package() -> None:
    """Without `__init__.py` it would work here and be missing from the wheel."""
    rooms = {file.parent for file in product_files()}
    assert [name(room) for room in rooms if not (room / "__init__.py").exists()] == []


def test_nothing_is_evaluated_or_unpickled() -> None:
    found = []
    for file in product_files():
        for node in ast.walk(tree_of(file)):
            used: list[str] = []
            match node:
                case ast.Import(names=names):
                    used = [n.name for n in names if n.name.split(".")[0] in FORBIDDEN_MODULES]
                case ast.ImportFrom(module=str(module)):
                    used = [module] if module.split(".")[0] in FORBIDDEN_MODULES else []
                case ast.Call(func=function) if dotted(function) in FORBIDDEN_CALLS:
                    used = [f"{dotted(function)}()"]
            found += [f"{name(file)}: {thing}" for thing in used]
    assert found == []


def test_any_exception_is_swallowed_only_at_the_outer_doors() -> None:
    found = {
        name(file)
        for file in product_files()
        for node in ast.walk(tree_of(file))
        if swallows_all(node)
    }
    assert found - OUTER_DOORS.keys() == set()
    assert OUTER_DOORS.keys() - found == set(), "these no longer do: take them off the list"


def swallows_all(node: ast.AST) -> bool:
    """`except Exception:` without a `raise` at its end, or `suppress(Exception)`."""
    match node:
        case ast.ExceptHandler(body=[*_, ast.Raise(exc=None)]):
            return False  # clean up and pass it on
        case ast.ExceptHandler(type=None):
            return True
        case ast.ExceptHandler(type=ast.Tuple(elts=kinds)):
            pass
        case ast.ExceptHandler(type=ast.expr() as kind):
            kinds = [kind]
        case ast.Call(func=function, args=kinds) if dotted(function).endswith("suppress"):
            pass
        case _:
            return False
    return any(dotted(kind) in ("Exception", "BaseException") for kind in kinds)


@pytest.mark.parametrize("room", ["averaging", "protocol", "tensors", "wire"])
def test_chance_comes_into_the_core_from_outside(room: str) -> None:
    """`Random` is the type of the generator that the core is handed; it makes none of its own."""
    found = []
    for file in (PACKAGES[0] / room).rglob("*.py"):
        for node in ast.walk(tree_of(file)):
            match node:
                case ast.Import(names=names):
                    found += [f"import {n.name}" for n in names if n.name == "random"]
                case ast.ImportFrom(module="random", names=names):
                    found += [f"random.{n.name}" for n in names if n.name != "Random"]
                case ast.Call(func=function):
                    maker = dotted(function)
                    if maker == "Random" or maker.startswith(("np.random.", "numpy.random.")):
                        found.append(f"{maker}() in {file.name}")
    assert found == []
