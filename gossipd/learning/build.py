"""From what the operator configured to a learner."""

from pathlib import Path
from typing import TYPE_CHECKING

from gossipd.learning import description
from gossipd.learning.description import Table
from gossipd.learning.digits import Digits
from gossipd.learning.errors import TaskError
from gossipd.learning.idx import IdxImages
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard
from gossipd.learning.table import TableTask
from gossipd.learning.task import Task

if TYPE_CHECKING:
    from gossipd.settings import LearningConfig, TaskConfig


def learner_from_config(
    task: "TaskConfig",
    learning: "LearningConfig",
    *,
    seed: int | None = None,
    given: Task | None = None,
    home: Path | None = None,
) -> TorchLearner:
    """The configured task on this node's shard. LearningError when it cannot be had.

    `seed` shuffles this node's mini-batches: the daemon gives a number made of its identity, since
    two devices with the same data must not do the same work. Without it the task's seed and the
    shard's number make one, which is what a reproducible experiment wants. `given` takes the place
    of the configured task where many nodes of one process share a copy of its data. Call it, as all
    of the learner, in the compute worker. `home`: the state directory, where a task description is.
    """
    try:
        shard = Shard(
            scheme=task.partition,
            node=task.node,
            nodes=task.nodes,
            alpha=task.alpha,
            classes_per_node=task.classes_per_node,
            seed=task.seed,
            parts=task.parts,
            labels=tuple(task.labels),
        )
    except ValueError as error:
        raise TaskError(str(error), "see the section [task] of the configuration") from error
    chosen = given or task_from_config(task, home)
    return TorchLearner(
        chosen,
        shard,
        lr=learning.lr,
        momentum=learning.momentum,
        weight_decay=learning.weight_decay or chosen.weight_decay,
        batch_size=learning.batch_size,
        threads=learning.threads,
        seed=task.seed * task.nodes + task.node if seed is None else seed,
    )


def task_from_config(task: "TaskConfig", home: Path | None = None) -> Task:
    """The configured task. `home`: the state directory, where a task description is."""
    data = Path(task.data).expanduser() if task.data else None
    if task.name == "digits":
        return Digits(task.seed)
    if task.name == "idx":
        if data is None:
            raise TaskError("the task idx has no data", "set task.data to the folder of IDX files")
        return IdxImages(data, task.seed)
    if task.name == "described":
        return _described(data, home)
    if task.name == "code":
        from gossipd.learning.own_code import load_task

        return load_task(task.code)
    raise TaskError(
        f"there is no task {task.name!r}", "task.name is digits, idx, described or code"
    )


def _described(data: Path | None, home: Path | None) -> Task:
    if home is None:
        raise TaskError("a described task needs a state directory", "make one with gossipd init")
    described = description.read(home / description.FILE)
    if isinstance(described, Table):
        return TableTask(described, data)
    from gossipd.learning.images import ImagesTask

    return ImagesTask(described, data)
