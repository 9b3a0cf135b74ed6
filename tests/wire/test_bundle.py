"""The file in which people carry updates: found again whatever happens to it on the way."""

import random

import pytest

from gossipd.wire import bundle, limits
from gossipd.wire.bundle import Damage, Frame
from gossipd.wire.errors import WireError
from gossipd.wire.framing import pack
from support.bundles import Part, flipped, joined, parts, reader

SWARM = bytes(range(32))
PARTS: list[Part] = [
    ("record", b"who" * 40),
    ("claim", b"how far" * 9),
    ("manifest", b"what" * 100),
    ("body", bytes(32) + b"numbers" * 1000),
    ("end", b""),
]


def whole() -> bytes:
    return b"".join(bundle.header(SWARM, "somebody", 1.6e9)) + joined(PARTS)


def scanned(content: bytes) -> tuple[list[str], list[str]]:
    """(kinds that are found, damage)."""
    found = list(bundle.scan(reader(content), len(content)))
    kinds: list[str] = [f.kind for f in found if isinstance(f, Frame)]
    return kinds, [f.reason for f in found if isinstance(f, Damage)]


def test_what_was_put_in_is_found_again() -> None:
    (kind, head), *rest = parts(whole())
    assert (kind, rest) == ("header", PARTS)
    header = bundle.read_header(head)
    assert (header.swarm, header.author, header.version) == (SWARM, "somebody", 1)


def test_a_damaged_part_costs_that_part_alone() -> None:
    content = whole()
    record = bundle.HEAD_BYTES + len(parts(content)[0][1])
    for byte in range(bundle.HEAD_BYTES):
        kinds, damage = scanned(flipped(content, record + byte))
        assert kinds == ["header", "claim", "manifest", "body", "end"]
        assert damage == ["damaged"]


def test_a_file_that_ends_too_early_is_read_up_to_there() -> None:
    content = whole()
    for length in range(len(content)):
        kinds, damage = scanned(content[:length])
        assert kinds == ["header", *(kind for kind, _ in PARTS)][: len(kinds)]
        assert set(damage) == {"truncated"}
    assert scanned(content) == (["header", *(kind for kind, _ in PARTS)], [])


@pytest.mark.parametrize("length", [10 * 2**30, 2**63, limits.BODY_BYTES + 33])
def test_a_part_that_says_it_is_huge_is_not_believed(length: int) -> None:
    honest = bundle.frame("claim", b"x")
    head = bundle.MARK + b"\x05" + length.to_bytes(8, "big")
    asked: list[int] = []

    def read(offset: int, wanted: int) -> bytes:
        asked.append(wanted)
        return content[offset : offset + wanted]

    content = head + bundle.checksum(head) + b"".join((*honest, *bundle.frame("end")))
    found = list(bundle.scan(read, len(content)))
    assert [f.reason for f in found if isinstance(f, Damage)] == ["too-large"]
    assert [f.kind for f in found if isinstance(f, Frame)] == ["claim", "end"]
    assert max(asked) <= bundle.SEARCHED_BYTES


def test_what_a_later_version_adds_is_passed_over() -> None:
    head = bundle.MARK + b"\x63" + (3).to_bytes(8, "big")
    new = head + bundle.checksum(head) + b"new"
    kinds, damage = scanned(new + b"".join(bundle.frame("end")))
    assert (kinds, damage) == (["unknown", "end"], [])


def test_a_mark_across_two_pieces_of_the_search_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "SEARCHED_BYTES", 16)
    for noise in range(1, 40):
        content = bytes(noise) + b"".join(bundle.frame("end"))
        assert scanned(content) == (["end"], ["damaged"])


def test_noise_holds_nothing_and_takes_no_time() -> None:
    noise = random.Random(1).randbytes(100_000) + bundle.MARK * 1000
    kinds, damage = scanned(noise)
    assert kinds == []
    assert set(damage) == {"damaged", "truncated"}


def test_a_header_of_a_later_format_says_so() -> None:
    ours = bundle.read_header(parts(whole())[0][1])
    later = pack({"format": ours.format, "version": 2, "swarm": SWARM, "author": "x",
                         "created": 1.0})  # fmt: skip
    with pytest.raises(WireError, match="version 2"):
        bundle.read_header(later)
    with pytest.raises(WireError, match="malformed"):
        bundle.read_header(b"\x80")
