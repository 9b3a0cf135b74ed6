"""IDX files: read as they are meant, and every fault named with its file."""

import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gossipd.learning import idx_format
from gossipd.learning.errors import DataError
from gossipd.learning.idx import DEVIATION, MEAN, IdxImages
from gossipd.learning.idx_format import read_idx
from gossipd.learning.partition import Shard


def encoded(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_set(folder: Path, part: str, count: int, suffix: str = "", label: int = 0) -> None:
    """`count` images of 2 x 3 pixels: image i has all pixels i, and label i + `label` mod 10."""
    images = np.repeat(np.arange(count, dtype=np.uint8), 6).reshape(count, 2, 3)
    labels = ((np.arange(count) + label) % 10).astype(np.uint8)
    for name, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
        content = encoded(array)
        path = folder / f"{part}-{name}{suffix}"
        path.write_bytes(gzip.compress(content) if suffix == ".gz" else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_with_both_parts_trains_on_one_and_tests_on_the_other(
    tmp_path: Path, suffix: str
) -> None:
    write_set(tmp_path, "train", 20, suffix)
    write_set(tmp_path, "t10k", 5, suffix, label=3)
    task = IdxImages(tmp_path)
    x, y = task.train_data(Shard())
    assert tuple(x.shape) == (20, 6)
    assert x[10].tolist() == pytest.approx([(10 / 255 - MEAN) / DEVIATION] * 6, abs=1e-5)
    assert y.tolist() == [i % 10 for i in range(20)]
    assert task.test_data()[1].tolist() == [3, 4, 5, 6, 7]
    assert task.model()(x).shape == (20, 10)


def test_where_only_the_test_part_is_there_it_is_cut_in_two(tmp_path: Path) -> None:
    write_set(tmp_path, "t10k", 10)
    task = IdxImages(tmp_path)
    assert task.train_data(Shard())[1].tolist() == list(range(8))
    assert task.test_data()[1].tolist() == [8, 9]


def test_a_node_reads_its_shard(tmp_path: Path) -> None:
    write_set(tmp_path, "t10k", 100)
    labels = [
        set(IdxImages(tmp_path).train_data(Shard("classes", node, 5))[1].tolist())
        for node in range(5)
    ]
    assert all(len(held) == 2 for held in labels)
    assert set.union(*labels) == set(range(10))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder") as caught:
        IdxImages(tmp_path / "nowhere")
    assert caught.value.path == tmp_path / "nowhere"
    assert caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no t10k-images file") as caught:
        IdxImages(tmp_path).train_data(Shard())
    assert "t10k-images-idx3-ubyte" in caught.value.hint


def corrupt(what: str) -> bytes:
    good = encoded(np.zeros((4, 2, 3), dtype=np.uint8))
    return {
        "ends after 0 bytes": b"",
        "ends after 7 bytes": good[:7],
        "starts with 00000801": encoded(np.zeros(40, dtype=np.uint8)),
        "starts with 00000d03": good[:2] + b"\x0d" + good[3:],
        "ends after 23 of 24": good[:-1],
        "goes on after its 24": good + b"\0",
        "over 1073741824 bytes": good[:4] + struct.pack(">3I", 2**31, 2**31, 2**31),
    }[what]


@pytest.mark.parametrize(
    "fault",
    [
        "ends after 0 bytes",
        "ends after 7 bytes",
        "starts with 00000801",
        "starts with 00000d03",
        "ends after 23 of 24",
        "goes on after its 24",
        "over 1073741824 bytes",
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_broken_file_is_refused_with_its_fault(tmp_path: Path, fault: str, suffix: str) -> None:
    path = tmp_path / f"t10k-images-idx3-ubyte{suffix}"
    content = corrupt(fault)
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(DataError, match=fault) as caught:
        read_idx(path, dimensions=3)
    assert caught.value.path == path


def test_a_compressed_file_cut_off_or_not_compressed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    whole = gzip.compress(encoded(np.zeros((4, 2, 3), dtype=np.uint8)))
    for content in (whole[:-9], b"not gzip at all", whole[:14] + b"\xff" * 20):
        path.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_idx(path, dimensions=3)


def test_a_file_is_not_read_further_than_it_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx_format, "MOST_BYTES", 100)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(encoded(np.zeros(101, dtype=np.uint8))))
    with pytest.raises(DataError, match="over 100 bytes"):
        read_idx(path, dimensions=1)


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "t10k", 10)
    labels = tmp_path / "t10k-labels-idx1-ubyte"

    labels.write_bytes(encoded(np.arange(9, dtype=np.uint8)))
    with pytest.raises(DataError, match="9 labels for 10 images"):
        IdxImages(tmp_path).test_data()

    labels.write_bytes(encoded(np.arange(1, 11, dtype=np.uint8)))
    with pytest.raises(DataError, match="label 10 is out of range"):
        IdxImages(tmp_path).test_data()

    write_set(tmp_path, "t10k", 0)
    with pytest.raises(DataError, match="holds no example"):
        IdxImages(tmp_path).test_data()

    write_set(tmp_path, "t10k", 10)
    images = encoded(np.zeros((5, 4, 4), dtype=np.uint8))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(encoded(np.zeros(5, dtype=np.uint8)))
    task = IdxImages(tmp_path)
    task.model()
    with pytest.raises(DataError, match="images of 16 pixels, others have 6"):
        task.train_data(Shard())
