"""A user's own task: the class that they named, from a file of this machine; and its examination.

    my_task.py:MyTask

Only what the operator of this device wrote into its own settings is ever run: what other peers have
is the same file, handed on by people.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from gossipd.learning.errors import LearningError, TaskError
from gossipd.learning.lazily import whole
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.task import Task
from gossipd.tensors.layout import content_hash

EXAMINED_STEPS = 5
"""Mini-batches that an examination trains."""

T = TypeVar("T")


def load_task(where: str) -> Task:
    """The task `FILE.py:CLASS`, made without arguments. TaskError tells what is wrong."""
    file, colon, name = where.rpartition(":")
    path = Path(file).expanduser()
    if not colon or not name.isidentifier() or path.suffix != ".py":
        raise TaskError(f"{where!r} names no task", "write FILE.py:CLASS, as in my_task.py:MyTask")
    if not path.is_file():
        raise TaskError(f"{path}: no such file", "check the path, or: gossipd init --template")
    module = _run(path, "it cannot be loaded", lambda: _imported(path))
    kind = getattr(module, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        classes = [n for n, v in vars(module).items() if _is_task(v)]
        raise TaskError(
            f"{path} has no task called {name}",
            f"it has: {', '.join(classes)}" if classes else "derive a class from Task in it",
        )
    task: Task = _run(path, f"{name}() fails", kind)
    if not isinstance(getattr(task, "name", None), str) or not 0 < len(task.name) <= 100:
        raise TaskError(f"{path}: {name} has no name", 'give it one: name = "flowers"')
    return task


def examine(where: str, *, lr: float, batch_size: int) -> Mapping[str, Any]:
    """Whether a task can be learnt: made twice, its data read, a few steps trained, judged.

    {task, classes, examples, held_out, test, parameters, layout, genesis, loss_before, loss_after,
    guess}. LearningError says what is wrong, in words and with the line.
    """
    path = Path(where.rpartition(":")[0])
    first, second = (
        _run(
            path,
            "its model or its data fail",
            lambda: TorchLearner(load_task(where), Shard(), lr=lr, batch_size=batch_size),
        )
        for _ in range(2)
    )
    task = load_task(where)
    if first.layout.hash != second.layout.hash:
        raise TaskError(
            "the model's layout differs from one time to the next",
            "model() must build the same tensors, in the same order, wherever it runs",
        )
    genesis = first.genesis()
    if content_hash(genesis) != content_hash(second.genesis()):
        raise TaskError(
            "the initial model differs from one time to the next",
            "model() must draw from torch's generator only: it is seeded with the task's seed",
        )
    if not first.examples:
        raise TaskError("train_data() gives no example", "check what it reads")

    def trained() -> Mapping[str, Any]:
        before = first.held_out(genesis)
        step = first.train(genesis, None, EXAMINED_STEPS, 0)
        after = first.held_out(step.vector)
        if not bool(abs(step.loss) < float("inf")):
            raise TaskError(
                f"the loss is {step.loss} after {EXAMINED_STEPS} steps",
                "scale the inputs to about -1 .. 1, or lower learning.lr",
            )
        return {
            "task": task.name,
            "classes": task.classes,
            "examples": first.examples,
            "held_out": before.examples,
            "test": first.test(genesis).examples,
            "parameters": first.layout.parameters,
            "layout": first.layout.hash.hex(),
            "genesis": content_hash(genesis).hex(),
            "loss_before": before.loss,
            "loss_after": after.loss,
            "guess": first.guess,
            "metrics": dict(after.metrics),
        }

    found: Mapping[str, Any] = _run(path, "a training step fails", trained)
    return found


def _imported(path: Path) -> ModuleType:
    # Under a name of its own, so that it hides no module of that name; beside its file, so that it
    # can import its neighbours.
    spec = importlib.util.spec_from_file_location(f"gossipd_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path} is no Python file", "its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    sys.modules[spec.name] = module
    whole()  # of torch it may use anything
    spec.loader.exec_module(module)
    return module


def _run(path: Path, what: str, call: Callable[[], T]) -> T:
    """Somebody's code: whatever it raises is told with the line of theirs where it came from."""
    try:
        return call()
    except LearningError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame.lineno for frame in frames if Path(frame.filename).name == path.name]
        line = getattr(error, "lineno", None) or (theirs[-1] if theirs else None)
        at = f"{path}" if line is None else f"{path}, line {line}"
        raise TaskError(
            f"{at}: {what}: {type(error).__name__}: {error}", "correct it, then check it again"
        ) from error


def _is_task(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Task) and value is not Task
