"""The built-in task for images in IDX files: MNIST, Fashion-MNIST and what else has their form.

The folder holds train-images, train-labels, t10k-images and t10k-labels under their usual names,
with or without .gz. Where only the t10k files are there, their first 80 % train and the rest tests.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gossipd.learning.errors import DataError
from gossipd.learning.idx_format import read_idx
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples, Task, as_examples, multilayer_perceptron

CLASSES = 10
HIDDEN = 200
"""McMahan et al. (arXiv 1602.05629) use two such layers; one is ours."""
BRIGHTEST = 255.0
MEAN, DEVIATION = 0.25, 0.35
"""What pixels, scaled to 0..1, are standardised by: one and the same for all nodes, whatever their
own images are. Ours, near Fashion-MNIST's .29 and .35 and MNIST's .13 and .31; ten nodes with
Fashion-MNIST, all in each round, lr .1: .82 after twenty rounds, .79 without."""
TRAIN_SHARE = 0.8
"""Of the t10k files when they are all there is."""

_Images = NDArray[np.uint8]


class IdxImages(Task):
    """An MLP pixels - 200 - 10, pixels roughly standardised. DataError of a folder that is not
    right."""

    name = "idx"
    classes = CLASSES
    portable_genesis = True

    def __init__(self, folder: Path, seed: int = 0) -> None:
        if not folder.is_dir():
            raise DataError(folder, "no such folder", "set task.data to the folder of IDX files")
        self.seed = seed
        self._folder = folder
        self._pixels: int | None = None

    def model(self) -> nn.Module:
        if self._pixels is None:
            self._pixels = self._read("t10k")[0].shape[1]
        return multilayer_perceptron(self._pixels, HIDDEN, CLASSES)

    def files(self) -> Sequence[Path]:
        found = (self._find(p, c) for p in ("train", "t10k") for c in ("images", "labels"))
        return (self._folder, *(path for path in found if path is not None))

    def train_data(self, shard: Shard) -> Examples:
        if self._find("train", "images") is not None:
            images, labels = self._read("train")
        else:
            images, labels = self._read("t10k")
            cut = int(TRAIN_SHARE * len(labels))
            images, labels = images[:cut], labels[:cut]
        mine = shard.pick(len(labels), labels.astype(np.int64))
        return _scaled(images[mine], labels[mine])

    def test_data(self) -> Examples:
        images, labels = self._read("t10k")
        start = 0 if self._find("train", "images") else int(TRAIN_SHARE * len(labels))
        return _scaled(images[start:], labels[start:])

    def _read(self, part: str) -> tuple[_Images, NDArray[np.uint8]]:
        """Images [N, pixels] and labels [N] of one part, checked against each other."""
        images = read_idx(self._must_find(part, "images"), dimensions=3)
        path = self._must_find(part, "labels")
        labels = read_idx(path, dimensions=1)
        if len(images) != len(labels):
            raise DataError(
                path, f"{len(labels)} labels for {len(images)} images", "use files of one set"
            )
        if images.size == 0:
            raise DataError(path, "holds no example", "use a set with examples")
        if labels.max() >= CLASSES:
            raise DataError(
                path, f"label {labels.max()} is out of range", f"labels must be below {CLASSES}"
            )
        pixels = images.shape[1] * images.shape[2]
        if self._pixels not in (None, pixels):
            raise DataError(
                path, f"images of {pixels} pixels, others have {self._pixels}", "use one set"
            )
        return images.reshape(len(images), pixels), labels

    def _must_find(self, part: str, content: str) -> Path:
        path = self._find(part, content)
        if path is None:
            raise DataError(
                self._folder,
                f"holds no {part}-{content} file",
                f"expected {_names(part, content)[0]}, with or without .gz",
            )
        return path

    def _find(self, part: str, content: str) -> Path | None:
        candidates = (self._folder / name for name in _names(part, content))
        return next((path for path in candidates if path.is_file()), None)


def _names(part: str, content: str) -> list[str]:
    stem, dimensions = f"{part}-{content}", 3 if content == "images" else 1
    plain = [f"{stem}-idx{dimensions}-ubyte", f"{stem}.idx{dimensions}-ubyte"]
    return [name + suffix for name in plain for suffix in ("", ".gz")]


def _scaled(images: _Images, labels: NDArray[np.uint8]) -> Examples:
    pixels = images.astype(np.float32) / np.float32(BRIGHTEST)
    return as_examples((pixels - np.float32(MEAN)) / np.float32(DEVIATION), labels)
