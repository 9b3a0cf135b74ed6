"""What text looks like on a terminal and elsewhere."""

import contextlib
import io

import pytest

from gossipd_cli import render
from gossipd_cli.output import style, table


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_columns_are_aligned() -> None:
    rows = [("a", "1"), ("bcd", "1,234")]
    assert table(("NAME", ">STEPS"), rows) == "NAME  STEPS\na         1\nbcd   1,234"


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert style("x", "1") == "x"
    with contextlib.redirect_stdout(Terminal()):
        assert style("x", "1") == "\x1b[1mx\x1b[0m"
        monkeypatch.setenv("NO_COLOR", "1")
        assert style("x", "1") == "x"


def test_what_a_stranger_sent_cannot_move_the_cursor_or_begin_a_line() -> None:
    text = render.fields({"last_error": "\x1b[2Jgone\nerror: forged\u2028\x9b1m"})
    assert text == "last error  \\x1b[2Jgone\\nerror: forged\\u2028\\x9b1m"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (7325, "2 h 2 min"), (200_000, "2 d 7 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_999, "1 MB"),
        (1e13, "10 TB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert render.size(count) == text
