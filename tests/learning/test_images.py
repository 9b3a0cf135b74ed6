"""A folder of images: understood, learnt, and complained of with the file's name."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="the extra `images` is not installed")

from PIL import Image

from gossipd.learning.answers import Answers
from gossipd.learning.errors import DataError
from gossipd.learning.images import ImagesTask, describe_images, fit_images
from gossipd.learning.learner import TorchLearner
from gossipd.learning.partition import Shard


def drawn(folder: Path, classes: str = "lr", count: int = 24, *, colour: bool = False) -> Path:
    """Bright halves: left or right, with noise; of sizes that differ a little."""
    rng = np.random.default_rng(len(classes) + count)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 80, (18 + number % 3, 20))
            half = slice(0, 10) if name == "l" else slice(10, 20)
            pixels[:, half] += 120
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.convert("RGB" if colour else "L").save(folder / name / f"{number}.png")
    return folder


def test_a_folder_of_classes_is_described_and_learnt(tmp_path: Path) -> None:
    about, findings = describe_images(drawn(tmp_path / "halves"), "halves")
    assert (about.classes, about.height, about.width, about.colours) == (("l", "r"), 16, 16, 1)
    assert [(f.column, f.detail) for f in findings] == [("l", "24 images"), ("r", "24 images")]
    node = TorchLearner(ImagesTask(about, tmp_path / "halves"), Shard(), lr=0.1)
    result = node.train(node.genesis(), None, 60, 0).vector
    assert node.held_out(result).accuracy == 1.0

    others = drawn(tmp_path / "others", count=3)
    answers = Answers(ImagesTask(about, None))
    given = answers.task.read(others, targets=True)
    assert answers.measured(result, given, others)["accuracy"] == 1.0
    given = answers.task.read(others / "r" / "0.png", targets=False)
    assert answers.of(result, given.inputs, others)["prediction"] == ["r"]


def test_images_may_come_later(tmp_path: Path) -> None:
    about, _ = describe_images(drawn(tmp_path / "all"), "all")
    (tmp_path / "mine" / "l").mkdir(parents=True)
    assert [f.detail for f in fit_images(about, tmp_path / "mine")] == ["0 images", "0 images"]
    node = TorchLearner(ImagesTask(about, tmp_path / "mine"), Shard(), lr=0.1)
    assert node.examples == 0
    drawn(tmp_path / "more", "l", 3).joinpath("l").rename(tmp_path / "mine" / "r")
    assert [node.refresh(), node.refresh()] == [False, True]
    assert node.class_counts == (0, 2)  # and one held out


def test_a_node_with_one_class_fits(tmp_path: Path) -> None:
    about, _ = describe_images(drawn(tmp_path / "all", colour=True), "all")
    assert about.colours == 3
    one = drawn(tmp_path / "one", classes="r", count=4)
    assert [f.detail for f in fit_images(about, one)] == ["0 images", "4 images"]
    node = TorchLearner(ImagesTask(about, one), Shard(), lr=0.1)
    assert node.class_counts == (0, 2)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    about, _ = describe_images(drawn(tmp_path / "all"), "all")
    broken = tmp_path / "all" / "l" / "3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(DataError, match=r"l/3\.png: is no image that can be read"):
        fit_images(about, tmp_path / "all")
    broken.write_bytes(b"text")
    with pytest.raises(DataError, match=r"l/3\.png"):
        fit_images(about, tmp_path / "all")
    with pytest.raises(DataError, match="no such file"):
        ImagesTask(about, None).read(tmp_path / "none.png", targets=False)


def test_a_folder_that_is_no_set_of_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 sub-folders"):
        describe_images(tmp_path, "empty")
    about, _ = describe_images(drawn(tmp_path / "all"), "all")
    strange = drawn(tmp_path / "strange", classes="x", count=1)
    with pytest.raises(DataError, match="is no class of this task") as caught:
        fit_images(about, strange)
    assert "l, r" in caught.value.hint
