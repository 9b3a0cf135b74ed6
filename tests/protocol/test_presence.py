"""Who has heard from a node need not be told that it is there."""

from gossipd.protocol.presence import ENOUGH, Presence


def test_who_takes_part_tells_nobody() -> None:
    presence = Presence(50)
    presence.took_part(100)
    assert presence.to_tell(125) == (0, ())


def test_who_has_not_taken_part_for_half_a_window_tells_enough_once() -> None:
    presence = Presence(50)
    presence.took_part(100)
    assert presence.to_tell(126)[0] == ENOUGH
    assert presence.to_tell(151) == (0, ())
    assert presence.to_tell(152)[0] == ENOUGH


def test_who_has_heard_lately_is_not_told() -> None:
    presence = Presence(50)
    presence.heard_by("ann", 10)
    presence.heard_by("bob", 1)
    presence.heard_by("cem", 20)
    presence.lost("cem")
    count, aware = presence.to_tell(26)
    assert (count, set(aware)) == (ENOUGH - 2, {"ann", "bob"})
    count, aware = presence.to_tell(52)
    assert (count, set(aware)) == (ENOUGH, set())


def test_who_was_heard_by_many_tells_nobody() -> None:
    presence = Presence(50)
    for number in range(2 * ENOUGH):
        presence.heard_by(f"peer {number}", 20)
    assert presence.to_tell(26)[0] == 0
    assert presence.to_tell(1000)[0] == ENOUGH, "back after a long time"
