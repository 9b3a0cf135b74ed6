"""How values are said: with units, and strangers' texts without what is no character."""

import pytest

from gossipd_dashboard import words


@pytest.mark.parametrize(
    ("hostile", "said"),
    [
        ("a\x1b[2Jb", "a[2Jb"),
        ("abc\u202egnp.exe", "abcgnp.exe"),
        ("two\r\nlines\t here", "two lines here"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("<b>kept as it is: it is shown as text</b>",) * 2,
    ],
)
def test_texts_lose_what_is_no_character(hostile: str, said: str) -> None:
    assert words.clean(hostile) == said


def test_texts_end_somewhere() -> None:
    assert len(words.clean("x" * 10_000)) == words.LONGEST
    assert words.clean("x" * 10_000).endswith("…")


def test_values_have_their_units() -> None:
    assert words.size(0) == "0 B"
    assert words.size(999_600) == "1 MB"
    assert words.size(12_345) == "12.3 kB"
    assert words.duration(0.0123) == "12 ms"
    assert words.duration(59.9) == "59 s"
    assert words.duration(3725) == "1 h 2 min"
    assert words.percent(0.9375) == "93.8 %"
    assert words.count(1, "peer") == "1 peer"
    assert words.count(2, "peer") == "2 peers"


def test_what_is_not_known_is_said_so() -> None:
    assert words.size(None) == words.duration(None) == words.percent(None) == words.UNKNOWN
    assert words.peer(None) == words.short("") == words.UNKNOWN


def test_an_event_is_told_with_short_hashes_and_peers() -> None:
    event = {
        "seq": 1,
        "time": 1.0,
        "kind": "aggregated",
        "base": "ab" * 32,
        "peer": "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
        "bytes": 1234,
        "sample": ["a", "b"],
        "reason": None,
    }
    told = words.details(event)
    assert told == "base abababababab · peer …vnc6iDEp · bytes 1.23 kB · sample 2"
    assert words.kind(event) == "Averaged a round"
    assert words.kind({"kind": "woke-up"}) == "Woke up"
