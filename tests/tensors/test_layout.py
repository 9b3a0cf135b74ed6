"""A layout says where each tensor lies, and its hash says whether two models fit together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.tensors.layout import Layout, TensorSpec, Vector, content_hash
from support.properties import properties
from support.vectors import PERCEPTRON, any_layout, normal, same_bits


def test_the_tensors_fill_the_vector_in_order() -> None:
    assert PERCEPTRON.parameters == 12 * 9 + 12 + 12 + 4 * 12 + 4
    assert PERCEPTRON.slices[0] == slice(0, 108)
    assert PERCEPTRON.slices[-1] == slice(180, 184)
    assert PERCEPTRON.classes == 4


def test_a_single_number_is_a_tensor() -> None:
    layout = Layout((TensorSpec("scale", (), "bias"), TensorSpec("weight", (2,), "weight")))
    scale, weight = layout.views(np.array([1, 2, 3], np.float32))
    assert (float(scale), weight.tolist()) == (1.0, [2.0, 3.0])
    assert layout.classes is None


def test_what_is_written_into_a_view_is_in_the_vector() -> None:
    vector = normal(PERCEPTRON, 1)
    PERCEPTRON.views(vector)[3][2, 5] = 7.0
    assert vector[132 + 2 * 12 + 5] == 7.0


@properties
@given(any_layout(), st.data())
def test_views_put_together_again_are_the_vector(layout: Layout, data: st.DataObject) -> None:
    vector = normal(layout, data.draw(st.integers(0, 100)))
    views = layout.views(vector)
    assert [view.shape for view in views] == [spec.shape for spec in layout.tensors]
    assert same_bits(np.concatenate([view.reshape(-1) for view in views]), vector)


@properties
@given(any_layout(), st.integers(0, 100))
def test_variances_are_the_population_variances_of_the_tensors(layout: Layout, seed: int) -> None:
    vector = normal(layout, seed)
    expected = [float(np.var(view.astype(np.float64))) for view in layout.views(vector)]
    assert layout.variances(vector) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(183, np.float32),
        np.zeros(184, np.float64),
        np.zeros((184, 1), np.float32),
        np.zeros(368, np.float32)[::2],
    ],
)
def test_a_vector_that_does_not_fit_is_refused(vector: Vector) -> None:
    with pytest.raises(ValueError, match="vector"):
        PERCEPTRON.views(vector)
    with pytest.raises(ValueError, match="vector"):
        PERCEPTRON.variances(vector)


# --- what is no layout ---------------------------------------------------------------------------

WEIGHT = TensorSpec("weight", (3, 2), "weight")


@pytest.mark.parametrize(
    ("tensors", "output"),
    [
        ((), ()),
        ((WEIGHT, WEIGHT), ()),
        ((WEIGHT,), ("other",)),
        ((WEIGHT, TensorSpec("bias", (4,), "bias")), ("weight", "bias")),
        ((WEIGHT, TensorSpec("bias", (), "bias")), ("bias",)),
        ((WEIGHT, TensorSpec("bias", (), "bias")), ("weight", "bias")),
    ],
    ids=["empty", "twice", "no such output", "other rows", "no rows", "one without rows"],
)
def test_tensors_that_make_no_sense_together_are_refused(
    tensors: tuple[TensorSpec, ...], output: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="tensor"):
        Layout(tensors, output)


def test_a_tensor_without_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        TensorSpec("weight", (3, 0), "weight")


# --- the hash ------------------------------------------------------------------------------------


def test_the_hash_is_the_same_on_every_machine() -> None:
    """It travels: whoever changes how it is made splits every swarm."""
    assert (
        PERCEPTRON.hash.hex() == "7dda0dfde0c1505f265c984f8fdb359006c9b7e5b86c48c0417cca3723f98c4f"
    )


def test_the_hash_covers_names_shapes_kinds_order_and_output() -> None:
    a, b = TensorSpec("a", (2, 3), "weight"), TensorSpec("b", (2,), "bias")
    others = [
        Layout((a, b)),
        Layout((b, a)),
        Layout((a, b), ("a",)),
        Layout((a, b), ("a", "b")),
        Layout((a,)),
        Layout((TensorSpec("c", (2, 3), "weight"), b)),
        Layout((TensorSpec("a", (3, 2), "weight"), b)),
        Layout((TensorSpec("a", (6,), "weight"), b)),
        Layout((TensorSpec("a", (2, 3), "buffer"), b)),
    ]
    assert len({layout.hash for layout in others}) == len(others)


def test_equal_layouts_have_equal_hashes() -> None:
    again = Layout(tuple(PERCEPTRON.tensors), PERCEPTRON.output)
    assert again == PERCEPTRON
    assert again.hash == PERCEPTRON.hash


# --- the name of a model -------------------------------------------------------------------------


def test_a_models_name_is_the_hash_of_its_little_endian_bytes() -> None:
    vector = np.array([0.0, 1.0, -2.5], np.float32)
    assert content_hash(vector) == content_hash(vector.astype(">f4"))
    assert (
        content_hash(vector).hex()
        == "0c683b6cf5536be6b2314e52d18d9eb6d62f3ac43a4200c2289824ad593dee0b"
    )


def test_one_bit_makes_another_name() -> None:
    vector = normal(PERCEPTRON, 1)
    other = vector.copy()
    other.view(np.uint32)[17] ^= 1
    assert content_hash(other) != content_hash(vector)
    assert content_hash(np.array([0.0], np.float32)) != content_hash(np.array([-0.0], np.float32))


def test_a_read_only_vector_has_a_name() -> None:
    vector = normal(PERCEPTRON, 1)
    name = content_hash(vector)
    vector.setflags(write=False)
    assert content_hash(vector) == name
