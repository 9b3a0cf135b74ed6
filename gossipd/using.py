"""What is done with a learnt model beside the daemon: predict, measure, export.

All of it happens in the process of whoever asks, so that a large file keeps no training waiting and
a broken one ends no daemon. A running daemon hands out the model; the state directory of one that
is down is read under its lock.
"""

import contextlib
import csv
import json
import pprint
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import Any

from gossipd.config import Config, load, paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd.learning import description as descriptions
from gossipd.learning.answers import Answers
from gossipd.learning.build import task_from_config
from gossipd.learning.errors import LearningError
from gossipd.runtime.ports import Vector
from gossipd.storage.atomic import deliver
from gossipd.storage.files import read_export
from gossipd.storage.lock import Lock
from gossipd.storage.store import DiskStore
from gossipd.tensors.layout import Layout, content_hash

Document = dict[str, Any]
Columns = Mapping[str, Sequence[str]]

SERVING = "serving"
LOADED_ALONE = ("digits", "idx", "described")
"""Tasks whose model the loader builds by itself."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answers for N examples: columns of N cells, those that came with the file first."""

    model: str
    """Content hash, hex."""
    rows: int
    columns: Columns

    def csv(self) -> str:
        """As a table with a header."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(zip(*self.columns.values(), strict=True))
        return text.getvalue()

    def records(self) -> list[dict[str, str]]:
        """A dictionary for each example."""
        names = list(self.columns)
        return [
            dict(zip(names, cells, strict=True))
            for cells in zip(*self.columns.values(), strict=True)
        ]


def predict(home: Path, file: Path, model: str = SERVING) -> Prediction:
    """What the model says of the examples in a file. OperatorError."""
    with _said():
        answers = _answers(home)
        given = answers.task.read(file, targets=False)
        vector = _model(home, model, answers.layout)
        found = answers.of(vector, given.inputs, file)
    columns: dict[str, Sequence[str]] = dict(given.shown)
    for name, cells in found.items():
        # A table may have a column of that name already: it stays what it was.
        free = name if name not in columns else f"{name} (gossipd)"
        columns[free] = cells
    return Prediction(content_hash(vector).hex(), len(given.inputs), columns)


def evaluate(home: Path, file: Path, model: str = SERVING) -> Document:
    """How well the model does on the examples in a file, which say what is right: {hash, loss,
    accuracy or rmse and r2, examples, on}. OperatorError."""
    with _said():
        answers = _answers(home)
        given = answers.task.read(file, targets=True)
        vector = _model(home, model, answers.layout)
        measured = answers.measured(vector, given, file)
    return {"hash": content_hash(vector).hex(), **measured, "on": str(file)}


def export(home: Path, model: str, path: Path) -> Document:
    """Write a model of a state directory whose daemon is down, as safetensors: {hash, path,
    size}. OperatorError."""
    config = load(home)
    with _said():
        layout = _answers(home).layout
    with _at_rest(home, config) as store:
        vector = _stored(home, store, model)
        size = store.export(path, vector, layout)
    return {"hash": content_hash(vector).hex(), "path": str(path), "size": size}


def write_loader(home: Path, path: Path, *, overwrite: bool) -> None:
    """Write the Python file that loads an export of this swarm's models with torch alone."""
    config = load(home)
    if config.task.name not in LOADED_ALONE:
        raise OperatorError(
            "own-model",
            f"the model is the one that {config.task.code} builds",
            "module.load_state_dict(load_weights(FILE)) sets it: see docs/own-data.md",
            ExitCode.USAGE,
        )
    text = (files("gossipd.learning") / "templates" / "load_model.py").read_text("utf-8")
    described = "{}"
    if config.task.name == "described":
        with _said():
            raw = descriptions.dump(descriptions.read(paths_of(home).task))
        described = pprint.pformat(json.loads(raw), width=100, sort_dicts=False)
    write_new(
        path, text.replace("TASK: Any = {}", f"TASK: Any = {described}", 1), overwrite=overwrite
    )


def write_new(path: Path, text: str, *, overwrite: bool) -> None:
    """Write somebody's file, whole or not at all. OperatorError when one is there."""
    try:
        deliver(path, [text.encode()], overwrite=overwrite)
    except FileExistsError:
        raise OperatorError(
            "file-exists", f"{path} is there already", "choose another name, or --force"
        ) from None
    except OSError as error:
        raise OperatorError(
            "not-written", f"{path} cannot be written: {error.strerror}", "choose another place"
        ) from None


def _answers(home: Path) -> Answers:
    return Answers(task_from_config(load(home).task, home))


def _model(home: Path, model: str, layout: Layout) -> Vector:
    """From the daemon, or else from its state directory."""
    try:
        with tempfile.TemporaryDirectory(prefix="gossipd-") as folder:
            path = Path(folder) / "model.safetensors"
            Client(paths_of(home).socket).export(model, path)
            return read_export(path, layout)
    except OperatorError as error:
        if error.exit_code != ExitCode.NOT_RUNNING:
            raise
    with _at_rest(home, load(home)) as store:
        vector = _stored(home, store, model)
    if vector.size != layout.parameters:
        raise OperatorError(
            "wrong-model",
            f"the models in {home} are of another task than its settings name",
            "see [task] in config.toml, and task.json",
        )
    return vector


@contextlib.contextmanager
def _at_rest(home: Path, config: Config) -> Iterator[DiskStore]:
    paths = paths_of(home)
    if not paths.database.exists():
        raise _nothing(home)
    with (
        Lock(paths.lock),
        contextlib.closing(
            DiskStore(paths, quota_bytes=config.storage.quota_mb * 1_000_000)
        ) as store,
    ):
        yield store


def _stored(home: Path, store: DiskStore, model: str) -> Vector:
    pointers = store.pointers()
    if pointers is None:
        raise _nothing(home)
    if model == SERVING:
        found = [store.used() or pointers.serving]
    elif model in ("base", "head"):
        found = [getattr(pointers, model)]
    else:
        found = [row.model for row in store.models() if row.model.hex().startswith(model)]
    if len(found) != 1:
        raise OperatorError(
            "unknown-model" if not found else "ambiguous-model",
            f"{len(found) or 'no'} models here begin with {model}",
            "`gossipd models ls --all` lists them",
        )
    vector = store.load_vector(found[0])
    if vector is None:
        raise OperatorError(
            "model-gone",
            f"the file of model {found[0].hex()[:16]} is damaged or gone",
            "start the daemon: it gets the newest from others; `gossipd models use --follow` "
            "ends a choice",
        )
    return vector


def _nothing(home: Path) -> OperatorError:
    return OperatorError(
        "nothing-learnt", f"no model is in {home} yet", "`gossipd start` learns one"
    )


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """What is wrong with somebody's data, as the one error of all commands."""
    try:
        yield
    except LearningError as error:
        raise OperatorError("bad-data", str(error), error.hint) from None
