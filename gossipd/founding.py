"""From somebody's data to a state directory that can start: what `gossipd init` does.

    plan = plan_for(data, wishes)      # reads and understands the data; nothing is written
    plan.settings, plan.description    # what config.toml and task.json are to say
    plan.findings                      # what to show: column, type, missing, detail

Whoever founds a swarm describes its task; whoever joins one has the description, and learns here
whether its own data fit. Loads numpy, and torch only for images and for code of one's own.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from gossipd.config import Config
from gossipd.errors import ExitCode, OperatorError
from gossipd.learning import description as descriptions
from gossipd.learning.description import HIDDEN, Description, Images, Table
from gossipd.learning.errors import LearningError
from gossipd.paths import Paths, paths_of
from gossipd.storage.atomic import create

Document = dict[str, Any]
Kind = Literal["auto", "classification", "regression"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator asked for; the rest is found out from the data."""

    target: str = ""
    """The column to be learnt, of a table."""
    kind: Kind = "auto"
    ignore: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    title: str = ""
    """What to call the task; the data's name by default."""
    task_file: Path | None = None
    """The description of a task that others have founded."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new state directory will hold, beside an identity."""

    settings: Document
    description: Description | None = None
    findings: Sequence[Document] = ()
    """[{column, type, missing, detail}]: how the data were understood."""
    founds: bool = True
    """False: a swarm that others have founded is to be entered."""

    def write(self, paths: Paths) -> None:
        """Put the task description into the state directory. OSError."""
        if self.description is not None:
            create(paths.task, descriptions.dump(self.description))


def plan_for(data: Path | None, wishes: Wishes) -> Plan:
    """What to write for this data. OperatorError "bad-data" says what is wrong with them."""
    try:
        if wishes.task_file is not None:
            return _joining(data, wishes, descriptions.read(wishes.task_file))
        if data is None:
            raise OperatorError("no-data", "no data are given", "--data FILE", ExitCode.USAGE)
        return _of_folder(data, wishes) if data.is_dir() else _of_table(data, wishes)
    except LearningError as error:
        raise OperatorError("bad-data", str(error), error.hint) from None


def plan_for_code(code: str, data: Path | None) -> Plan:
    """The same for FILE.py:CLASS, which is examined first. Runs that file."""
    check_code(code)
    file, _, name = code.rpartition(":")
    where = f"{Path(file).expanduser().absolute()}:{name}"
    return Plan({"task.name": "code", "task.code": where, "task.data": str(data or "")})


def check_code(code: str) -> Document:
    """Examine FILE.py:CLASS, as `gossipd.learning.own_code.examine` has it. OperatorError
    "bad-task". Runs that file."""
    from gossipd.learning.own_code import examine

    learning = Config().learning
    try:
        return dict(examine(code, lr=learning.lr, batch_size=learning.batch_size))
    except LearningError as error:
        raise OperatorError("bad-task", str(error), error.hint) from None


def template() -> str:
    """The text of a task of one's own to begin with."""
    return (files("gossipd.learning") / "templates" / "my_task.py").read_text("utf-8")


def about(description: Description) -> Document:
    """{title, digest, model}: what a task description comes to, at a glance."""
    if isinstance(description, Table):
        model = " - ".join(map(str, description.sizes)) + " perceptron"
    else:
        size = f"{description.width} x {description.height} x {description.colours}"
        model = f"{size} convolutional, {len(description.classes)} classes"
    return {"title": description.title, "digest": descriptions.digest(description), "model": model}


def description_of(home: Path) -> tuple[str, Document]:
    """The task description of a state directory as it stands there, and as a document with its
    digest. OperatorError "no-description" when it has none."""
    path = paths_of(home).task
    if not path.exists():
        raise OperatorError(
            "no-description",
            f"there is no {path}",
            "only a swarm founded with a table or images has a task description",
        )
    try:
        described = descriptions.read(path)
    except LearningError as error:
        raise OperatorError("bad-data", str(error), error.hint) from None
    raw = descriptions.dump(described).decode()
    return raw, about(described) | {"description": json.loads(raw)}


def _of_table(data: Path, wishes: Wishes) -> Plan:
    from gossipd.learning.describe import Wish, describe
    from gossipd.learning.sheet import word
    from gossipd.learning.table_files import read_table

    sheet = read_table(data)
    if not wishes.target:
        raise OperatorError(
            "no-target",
            f"which column of {data.name} is to be learnt?",
            f"--target COLUMN; its columns: {', '.join(list(sheet.columns)[:30])}",
            ExitCode.USAGE,
        )
    wish = Wish(
        wishes.target,
        wishes.title or data.name.partition(".")[0] or "table",
        kind=wishes.kind,
        ignore=frozenset(wishes.ignore),
        categories=frozenset(wishes.categories),
        classes=tuple(word(name) or name for name in wishes.classes),
        hidden=wishes.hidden or HIDDEN,
    )
    described, findings = describe(sheet, wish)
    return Plan(_described(data), described, [found._asdict() for found in findings])


def _of_folder(folder: Path, wishes: Wishes) -> Plan:
    if any("-idx" in path.name or ".idx" in path.name for path in folder.iterdir()):
        return Plan({"task.name": "idx", "task.data": str(folder)}, findings=_counted(folder))
    from gossipd.learning.images import describe_images

    described, findings = describe_images(folder, wishes.title or folder.name)
    return Plan(_described(folder), described, [found._asdict() for found in findings])


def _counted(folder: Path) -> list[Document]:
    """The examples of each class in a folder of IDX files, which are read whole."""
    from gossipd.learning.describe import Finding
    from gossipd.learning.idx import IdxImages
    from gossipd.learning.partition import Shard

    _, labels = IdxImages(folder).train_data(Shard())
    counts = sorted(Counter(labels.tolist()).items())
    return [Finding(str(n), "class", 0, f"{count} images")._asdict() for n, count in counts]


def _joining(data: Path | None, wishes: Wishes, described: Description) -> Plan:
    """With a description nothing is left to be wished, and the data have to fit it."""
    for name in ("target", "ignore", "categories", "classes", "hidden", "title"):
        if getattr(wishes, name):
            raise OperatorError(
                "already-described",
                f"--{name} has no use here: the task description says it",
                f"leave --{name} out; or found a swarm of your own, without --task-file",
                ExitCode.USAGE,
            )
    findings: list[Document] = []
    if data is not None and isinstance(described, Images):
        findings = _fitting_images(described, data)
    elif data is not None and isinstance(described, Table):
        findings = _fitting_table(described, data)
    return Plan(_described(data), described, findings, founds=False)


def _fitting_table(described: Table, data: Path) -> list[Document]:
    from gossipd.learning.describe import fit
    from gossipd.learning.table_files import read_table

    return [found._asdict() for found in fit(described, read_table(data))]


def _fitting_images(described: Images, folder: Path) -> list[Document]:
    from gossipd.learning.images import fit_images

    return [found._asdict() for found in fit_images(described, folder)]


def _described(data: Path | None) -> Document:
    return {"task.name": "described", "task.data": "" if data is None else str(data)}
