"""Which peer next: by rank, by chance, in turn."""

from collections import Counter
from random import Random

from gossipd.protocol.policy import policy_of
from gossipd.wire.clicks import item_of_peer
from support.solo import Solo

PEERS = [f"peer{number}" for number in range(10)]


def test_who_has_helped_is_asked_most_and_nobody_never() -> None:
    node = Solo(click_seconds=1.0).start().node.clicks
    for number in range(3):
        for query in ("label/0", "label/1"):
            node.ranking.add(f"other{number}", query, item_of_peer("peer7"), 0.0)
    policy = policy_of("rank", node, Random(1))
    asked = Counter(policy.choose(PEERS, 1)[0] for _ in range(1000))
    assert asked.most_common(1)[0][0] == "peer7"
    assert min(asked[peer] for peer in PEERS) > 10


def test_nobody_is_chosen_twice() -> None:
    node = Solo(click_seconds=1.0).start().node.clicks
    for name in ("rank", "uniform", "round-robin"):
        chosen = policy_of(name, node, Random(1)).choose(PEERS, 20)
        assert sorted(chosen) == PEERS


def test_in_turn_everybody_is_asked_as_often() -> None:
    policy = policy_of("round-robin", Solo().node.clicks, Random(1))
    asked = Counter(peer for _ in range(15) for peer in policy.choose(PEERS, 2))
    assert set(asked.values()) == {3}
