"""What is left out of a message comes back bit by bit, or not at all."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from gossipd.wire import limits
from gossipd.wire.envelope import join, open_manifest, seal, split
from gossipd.wire.errors import WireError
from gossipd.wire.framing import decode_request, encode_message, pack
from gossipd.wire.lineages import Known, abridge, changed, difference, restore
from gossipd.wire.messages import AbridgedManifest, Manifest, Offer
from support.properties import properties
from support.wire_examples import DOCUMENTS, SIGNER, SWARM

authors = st.binary(min_size=8, max_size=8)
lineages = st.dictionaries(authors, st.integers(1, limits.COUNTER), max_size=40)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """Two lineages that have much, little or nothing in common."""
    common = draw(lineages)
    return {**common, **draw(lineages)}, {**common, **draw(lineages)}


def sealed(lineage: dict[bytes, int], **fields: Any) -> bytes:
    manifest = DOCUMENTS["manifest"]
    assert isinstance(manifest, Manifest)
    return seal(replace(manifest, lineage=lineage, **fields), SWARM, SIGNER)


def abridged(new: dict[bytes, int], old: dict[bytes, int]) -> bytes | AbridgedManifest:
    return abridge(sealed(new), Known(new), Known(old), difference(old, new))


def many(count: int, steps: int = 1) -> dict[bytes, int]:
    return {number.to_bytes(8, "big"): steps for number in range(count)}


@properties
@given(pairs())
def test_a_difference_makes_the_other_lineage(pair: tuple[dict[bytes, int], ...]) -> None:
    old, new = pair
    changes = difference(old, new)
    assert changed(old, changes) == new
    assert all(old.get(author, 0) != steps for author, steps in changes.items())


@properties
@given(pairs(), st.text(max_size=20))
def test_what_was_signed_comes_back_bit_by_bit(
    pair: tuple[dict[bytes, int], ...], tag: str
) -> None:
    """Through a message, whatever the manifest says beside its lineage."""
    old, new = pair
    whole = sealed(new, tags=(tag,))
    short = abridge(whole, Known(new), Known(old), difference(old, new))
    assert isinstance(short, AbridgedManifest)
    message = decode_request(encode_message(Offer(manifests=(short,))))
    assert isinstance(message, Offer)
    (read,) = message.manifests
    assert isinstance(read, AbridgedManifest)
    assert read == short
    assert read.against == Known(dict(reversed(old.items()))).name
    assert restore(read, old) == whole
    assert open_manifest(restore(read, old), SWARM).manifest.lineage == new


@properties
@given(pairs(), lineages)
def test_of_another_lineage_nothing_is_made_that_verifies(
    pair: tuple[dict[bytes, int], ...], other: dict[bytes, int]
) -> None:
    old, new = pair
    short = abridged(new, old)
    assert isinstance(short, AbridgedManifest)
    assume(changed(other, short.changes) != new)
    with pytest.raises(WireError, match="bad-signature"):
        open_manifest(restore(short, other), SWARM)


@properties
@given(lineages, lineages)
def test_only_equal_lineages_have_one_name(one: dict[bytes, int], other: dict[bytes, int]) -> None:
    assert (Known(one).name == Known(other).name) == (one == other)


def test_a_lineage_that_another_program_wrote_in_its_own_way_travels_whole() -> None:
    old, new = many(3), many(4)
    whole = sealed(new)
    payload, public_key, signature = split(whole)
    backwards = pack(dict.fromkeys(new, 1)).replace(pack(new)[1:], _entries(reversed(new)))
    odd = join(payload.replace(pack(new), backwards), public_key, signature)
    assert odd != whole
    assert abridge(odd, Known(new), Known(old), difference(old, new)) == odd


def _entries(authors: Any) -> bytes:
    return b"".join(pack({author: 1})[1:] for author in authors)


def test_what_would_name_too_many_authors_is_refused() -> None:
    old = many(limits.AUTHORS)
    more = {b"\xff" * 8: 1}
    assert len(changed(old, {**more, next(iter(old)): 0})) == limits.AUTHORS
    with pytest.raises(WireError, match="malformed"):
        changed(old, more)


def test_what_would_be_a_longer_envelope_than_may_be_sent_is_refused() -> None:
    short = abridged(many(4), many(3))
    assert isinstance(short, AbridgedManifest)
    long = replace(short, head=bytes(limits.ENVELOPE_BYTES - 100))
    with pytest.raises(WireError, match="too-large"):
        restore(long, many(3))
