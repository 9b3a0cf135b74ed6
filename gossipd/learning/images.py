"""The built-in task for images: a folder with a sub-folder for each class, a small network.

    birds/finch/*.jpg
    birds/owl/*.png

All images are brought to one size and to grey or colour, as the task description says. Pictures are
read by Pillow, which the extra `images` installs.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gossipd.learning.describe import Finding
from gossipd.learning.description import Images, checked, digest
from gossipd.learning.errors import DataError
from gossipd.learning.given import Given, likelihoods
from gossipd.learning.partition import Shard
from gossipd.learning.task import Examples, Task

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
CHANNELS = (16, 32)
"""Of the two convolutions. Ours, a guess: an update of some 90 kB for ten classes."""
POOLED = 4
"""Sides of what the convolutions hand to the last layer."""
SIDES = (16, 64)
"""Least and greatest side that is chosen from the images. Ours: what two convolutions see."""
LOOKED_AT = 500
"""Images, evenly spread, from which size, colour and brightness are taken. Ours: a guess."""
MOST_NUMBERS = 500_000_000
"""Pixels of all images together, as float32 2 GB. Ours: what a laptop's training takes."""
BRIGHTEST = 255.0

Pixels = NDArray[np.float32]


class ImagesTask(Task):
    """`folder`: this node's own images; None on a node that only carries what others learn."""

    portable_genesis = True

    def __init__(self, description: Images, folder: Path | None) -> None:
        self.description = description
        self.name = description.title
        self.classes = len(description.classes)
        self._folder = folder

    @property
    def identity(self) -> str:
        return f"images/{digest(self.description)}"

    def model(self) -> nn.Module:
        """Two convolutions of stride 2, averaged to 4 x 4, and a linear layer."""
        first, second = CHANNELS
        return nn.Sequential(
            nn.Conv2d(self.description.colours, first, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(POOLED),
            nn.Flatten(),
            nn.Linear(second * POOLED * POOLED, len(self.description.classes)),
        )

    def files(self) -> Sequence[Path]:
        if self._folder is None:
            return ()
        return (self._folder, *(self._folder / name for name in self.description.classes))

    def train_data(self, shard: Shard) -> Examples:
        if self._folder is None:
            return self.test_data()
        found = _labelled(self._folder, self.description.classes)
        labels = np.array([label for _, label in found], dtype=np.int64)
        mine = shard.pick(len(found), labels)
        inputs = _inputs(self.description, [found[place][0] for place in mine])
        return torch.from_numpy(inputs), torch.from_numpy(labels[mine])

    def test_data(self) -> Examples:
        """None: all of a device's images are its own. `eval FOLDER` measures on others."""
        about = self.description
        shape = (0, about.colours, about.height, about.width)
        return torch.empty(shape), torch.empty(0, dtype=torch.int64)

    def read(self, path: Path, *, targets: bool) -> Given:
        """One image, or a folder of them; with targets a folder with a sub-folder per class."""
        if targets:
            found = _labelled(path, self.description.classes)
            if not found:
                names = ", ".join(self.description.classes[:20])
                raise DataError(path, "has no image in any sub-folder", f"its sub-folders: {names}")
            paths = [image for image, _ in found]
            right = torch.tensor([label for _, label in found], dtype=torch.int64)
        else:
            paths, right = (_images_in(path) if path.is_dir() else [path]), None
            if not paths:
                raise DataError(path, "holds no image", f"known are: {', '.join(sorted(ENDINGS))}")
        inputs = torch.from_numpy(_inputs(self.description, paths))
        shown = {"file": [str(image) for image in paths]}
        return Given(inputs, range(len(paths)) if targets else (), right, shown)

    def answers(self, output: Tensor) -> Mapping[str, Sequence[str]]:
        return likelihoods(output, self.description.classes)


def describe_images(folder: Path, title: str) -> tuple[Images, list[Finding]]:
    """The task of telling these classes apart, and how many images of each there are. DataError."""
    classes = tuple(sorted(path.name for path in _folders_in(folder) if _images_in(path)))
    if len(classes) < 2:
        raise DataError(
            folder,
            f"holds no IDX files, and has images in {len(classes)} sub-folders",
            "give IDX files, or a sub-folder for each class, two at least, with its images in it",
        )
    found = _labelled(folder, classes)
    some = [path for path, _ in found[:: max(1, len(found) // LOOKED_AT)]]
    looks = [_looked_at(path) for path in some]
    height, width = (
        _side(float(np.median([look[axis] for look in looks]))) for axis in ("height", "width")
    )
    colours = 3 if any(look["coloured"] for look in looks) else 1
    raw = Images(title, classes, height, width, colours, mean=0.0, deviation=1.0)
    pixels = _inputs(raw, some)
    spread = float(pixels.std())
    if spread == 0.0:
        raise DataError(folder, "all its images are of one even colour", "give others")
    try:
        described = checked(
            Images(title, classes, height, width, colours, round(float(pixels.mean()), 4), spread)
        )
    except ValueError as error:
        raise DataError(folder, str(error), "rename the sub-folder") from None
    return described, _counted(described, found)


def fit_images(description: Images, folder: Path) -> list[Finding]:
    """How images of somebody who joins fit the task that others have described. DataError when they
    do not."""
    found = _labelled(folder, description.classes)
    _inputs(description, [path for path, _ in found])
    return _counted(description, found)


def _counted(description: Images, found: Sequence[tuple[Path, int]]) -> list[Finding]:
    counts = Counter(label for _, label in found)
    return [
        Finding(name, "class", 0, f"{counts[label]} images")
        for label, name in enumerate(description.classes)
    ]


def _labelled(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Every image under a class's folder with the class's number."""
    found = []
    for path in _folders_in(folder):
        images = _images_in(path)
        if images and path.name not in classes:
            raise DataError(
                path,
                "is no class of this task",
                f"move it away; the classes are: {', '.join(classes[:20])}",
            )
        found += [(image, classes.index(path.name)) for image in images]
    return found


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(
            folder, f"cannot be read: {error.strerror}", "give a folder of images"
        ) from error


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)


def _side(pixels: float) -> int:
    """A multiple of 8 near it."""
    least, greatest = SIDES
    return min(max(8 * round(pixels / 8), least), greatest)


def _looked_at(path: Path) -> dict[str, Any]:
    with _opened(path) as picture:
        coloured = picture.mode not in ("1", "L", "LA", "I", "I;16", "F")
        return {"height": picture.height, "width": picture.width, "coloured": coloured}


def _inputs(description: Images, paths: Sequence[Path]) -> Pixels:
    """float32 [N, colours, height, width], roughly standardised."""
    about = description
    shape = (len(paths), about.colours, about.height, about.width)
    if np.prod(shape, dtype=np.float64) > MOST_NUMBERS:
        raise DataError(paths[0].parent.parent, f"holds {len(paths)} images", "give a part of them")
    pixels = np.empty(shape, dtype=np.float32)
    for place, path in enumerate(paths):
        with _opened(path) as picture:
            try:
                drawn = picture.convert("RGB" if about.colours == 3 else "L")
                small = np.asarray(drawn.resize((about.width, about.height)), dtype=np.float32)
            except (OSError, ValueError, SyntaxError) as error:
                raise _broken(path, error) from error
        pixels[place] = small.reshape(about.height, about.width, about.colours).transpose(2, 0, 1)
    pixels /= np.float32(BRIGHTEST)
    return (pixels - np.float32(about.mean)) / np.float32(about.deviation)


def _opened(path: Path) -> Any:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise DataError(
            path, "images need Pillow, which is not installed", "pip install 'gossipd[images]'"
        ) from None
    try:
        return Image.open(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(path, "no such file", "check the path of the image")
    return DataError(path, f"is no image that can be read: {error}", "replace it or move it away")
