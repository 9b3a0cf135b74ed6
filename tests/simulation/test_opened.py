"""What has been checked once is not checked again, and nothing else passes for checked."""

import pytest

from gossipd.runtime.opened import Opened
from gossipd.wire.envelope import open_claim, open_record
from gossipd.wire.errors import WireError
from support.wire_examples import ENVELOPES, SWARM


class Counted:
    """Opens claims, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, sealed: bytes, swarm: bytes) -> object:
        self.times += 1
        return open_claim(sealed, swarm)


def test_a_document_is_checked_once() -> None:
    opened, count = Opened(), Counted()
    first = opened.get(ENVELOPES["claim"], SWARM, count)
    assert opened.get(bytes(bytearray(ENVELOPES["claim"])), SWARM, count) is first
    assert count.times == 1


def test_many_are_looked_up_at_once_and_each_is_checked_once() -> None:
    opened, count = Opened(), Counted()
    first = opened.get(ENVELOPES["claim"], SWARM, count)
    assert opened.get_all([ENVELOPES["claim"]] * 3, SWARM, count) == [first] * 3
    assert count.times == 1
    with pytest.raises(WireError, match="malformed"):
        opened.get_all([ENVELOPES["claim"], ENVELOPES["record"]], SWARM, count)


def test_what_was_checked_for_one_swarm_or_as_one_kind_says_nothing_of_another() -> None:
    opened, sealed = Opened(), ENVELOPES["claim"]
    opened.get(sealed, SWARM, open_claim)
    with pytest.raises(WireError, match="bad-signature"):
        opened.get(sealed, bytes(32), open_claim)
    with pytest.raises(WireError, match="malformed"):
        opened.get(sealed, SWARM, open_record)
    with pytest.raises(WireError):
        opened.get(sealed[:-1] + bytes([sealed[-1] ^ 1]), SWARM, open_claim)


def test_what_is_wrong_is_checked_every_time() -> None:
    opened, count = Opened(), Counted()
    for _ in range(2):
        with pytest.raises(WireError):
            opened.get(ENVELOPES["record"], SWARM, count)
    assert count.times == 2


def test_the_least_recently_used_go_when_there_is_no_room() -> None:
    count = Counted()
    opened = Opened(room=2, longest=1)
    keys = {name: name.encode() for name in "abc"}

    def open_it(sealed: bytes, swarm: bytes) -> object:
        count.times += 1
        return object()

    for name in "abac":
        opened.get(keys[name], SWARM, open_it)
    assert count.times == 3
    opened.get(keys["a"], SWARM, open_it)
    assert count.times == 3
    opened.get(keys["b"], SWARM, open_it)
    assert count.times == 4


def test_what_is_too_long_is_not_kept() -> None:
    opened, count = Opened(longest=10), Counted()
    for _ in range(2):
        opened.get(ENVELOPES["claim"], SWARM, count)
    assert count.times == 2
