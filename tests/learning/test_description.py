"""The task description: what all nodes agree on, read from anybody's bytes."""

import json
from typing import Any

import msgspec
import pytest

from gossipd.learning.description import (
    MOST_BYTES,
    Amount,
    Category,
    Classes,
    Images,
    Number,
    Table,
    digest,
    dump,
    load,
)
from gossipd.learning.errors import DataError

TABLE = Table(
    title="wines",
    columns=(
        Number("alcohol", filling=13.0, mean=13.1, deviation=0.8, gaps=True),
        Category("region", ("alba", "asti")),
    ),
    target=Classes("cultivar", ("0", "1", "2")),
)
AMOUNT = Table("d", (Number("age", 50, 48, 13),), Amount("progress", 150, 77), hidden=())
IMAGES = Images("birds", ("finch", "owl"), 32, 24, 3, 0.5, 0.25)


@pytest.mark.parametrize("description", [TABLE, AMOUNT, IMAGES])
def test_what_is_written_is_read(description: Any) -> None:
    read = load(dump(description), "task.json")
    assert read == description
    assert digest(read) == digest(description)


def test_the_model_fits_the_columns() -> None:
    assert TABLE.sizes == (2 + 3, 32, 3)
    assert AMOUNT.sizes == (1, 1)


def test_the_digest_is_of_what_is_said_not_of_how_it_is_laid_out() -> None:
    compact = json.dumps(json.loads(dump(TABLE)), separators=(",", ":")).encode()
    assert digest(load(compact, "-")) == digest(TABLE)
    other = msgspec.structs.replace(TABLE, hidden=(33,))
    assert len({digest(d) for d in (TABLE, other, AMOUNT, IMAGES)}) == 4
    # For ever: it is part of what makes a swarm.
    assert digest(TABLE).startswith("f2eed91d664dfbd9")


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(dump(TABLE)), **fields}).encode()


NUMBER = {"type": "number", "name": "a", "filling": 0, "mean": 0, "deviation": 1}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no task description"),
        (b"\xff", "no task description"),
        (b"[" * 100_000, "no task description"),
        (b" " * (MOST_BYTES + 1), "more than"),
        (changed(version=2), "version"),
        (changed(surprise=1), "surprise"),
        (changed(title="a\nb"), "plain text"),
        (changed(columns=[]), "columns"),
        (changed(columns=[NUMBER, NUMBER]), "twice"),
        (changed(columns=[{**NUMBER, "name": "cultivar"}]), "twice"),
        (changed(columns=[{**NUMBER, "deviation": 0}]), "deviation"),
        (changed(columns=[{**NUMBER, "mean": 1e999}]), "no task description"),
        (changed(hidden=[4096] * 8), "parameters"),
        (changed(hidden=[0]), "hidden"),
        (changed(target={"type": "classes", "name": "c", "values": ["a"]}), "values"),
        (changed(target={"type": "classes", "name": "c", "values": ["a", "a"]}), "twice"),
    ],
)
def test_what_is_not_sound_is_refused_with_its_place_and_its_reason(raw: bytes, why: str) -> None:
    with pytest.raises(DataError, match=r"task\.json") as caught:
        load(raw, "task.json")
    assert why in caught.value.reason
