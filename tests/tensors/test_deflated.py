"""The entropy stage gives back what went in, unpacks no more than it may, reads nothing else."""

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipd.tensors.codecs import CodecError, body_sizes, decode, encode
from gossipd.tensors.layout import Layout
from support.properties import properties
from support.vectors import any_layout, finite, flat, normal, same_bits

STAGED = pytest.mark.parametrize("name", ["q8", "q4", "q2"])
MILLION = flat(1_000_000)


def deflated(raw: bytes, level: int = 9) -> bytes:
    stage = zlib.compressobj(level, wbits=-15)
    return stage.compress(raw) + stage.flush()


def refused(name: str, body: bytes, layout: Layout) -> str:
    with pytest.raises(CodecError) as error:
        decode(name, body, layout)
    return error.value.reason


@STAGED
@properties
@given(st.data())
def test_it_changes_nothing_but_the_length(name: str, data: st.DataObject) -> None:
    layout = data.draw(any_layout())
    delta, seed = data.draw(finite(layout.parameters)), data.draw(st.integers(0, 9))
    plain = decode(name, encode(name, delta, layout, seed), layout)
    staged = encode(f"{name}+deflate", delta, layout, seed)
    assert same_bits(decode(f"{name}+deflate", staged, layout), plain)


@pytest.mark.parametrize(("name", "share"), [("q8", 0.95), ("q4", 0.8), ("q2", 0.55)])
def test_what_was_quantised_gets_shorter(name: str, share: float) -> None:
    delta = normal(MILLION, 1)
    plain, staged = (encode(which, delta, MILLION) for which in (name, f"{name}+deflate"))
    assert len(staged) <= share * len(plain)


@pytest.mark.parametrize("size", [1, 5, 1000, 70_000, 1_000_000])
def test_what_does_not_get_shorter_stays_within_its_bound(size: int) -> None:
    """Evenly spread numbers leave nothing to the entropy stage."""
    delta = np.random.default_rng(1).uniform(-1, 1, size).astype(np.float32)
    body = encode("q8+deflate", delta, flat(size))
    assert len(body) <= body_sizes("q8+deflate", flat(size)).most
    assert (
        body_sizes("q8+deflate", flat(size)).most <= body_sizes("q8", flat(size)).most * 1.001 + 13
    )


def test_nothing_at_all_stays_above_its_bound() -> None:
    zeros = np.zeros(MILLION.parameters, np.float32)
    shortest = deflated(encode("q8", zeros, MILLION))
    assert body_sizes("q8+deflate", MILLION).least <= len(shortest)
    assert same_bits(decode("q8+deflate", shortest, MILLION), zeros)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_deflate_encoder_will_do(level: int) -> None:
    delta = normal(flat(1000), 1)
    plain = encode("q4", delta, flat(1000))
    body = deflated(plain, level)
    assert same_bits(decode("q4+deflate", body, flat(1000)), decode("q4", plain, flat(1000)))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = deflated(bytes(100_000_000))
    layout = flat(120_000)
    assert body_sizes("q8+deflate", layout).least <= len(bomb) < 120_000
    tracemalloc.start()
    try:
        assert refused("q8+deflate", bomb, layout) == "malformed"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_body_that_unpacks_to_another_length_is_refused(wrong: int) -> None:
    layout = flat(1000)
    body = deflated(bytes(body_sizes("q8", layout).most + wrong), level=0)
    assert refused("q8+deflate", body, layout) == ("wrong-size" if wrong < 0 else "malformed")


def test_a_body_that_was_cut_or_goes_on_is_refused() -> None:
    layout = flat(1000)
    body = encode("q8+deflate", normal(layout, 1), layout)
    assert refused("q8+deflate", body[:-1], layout) == "malformed"
    assert refused("q8+deflate", body + b"\0", layout) == "malformed"


def test_what_is_not_deflate_is_refused() -> None:
    assert refused("q8+deflate", b"\xff" * 500, flat(1000)) == "malformed"


def test_the_inner_body_is_checked_as_ever() -> None:
    hostile = np.float32(np.nan).tobytes() + bytes(1000)
    assert refused("q8+deflate", deflated(hostile, 0), flat(1000)) == "not-finite"
