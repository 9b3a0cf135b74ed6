"""Clicks from a peer that lies about them, through the port of a running daemon."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import UNSET

from gossipd.control.client import Client
from gossipd.wire import limits
from gossipd.wire.clicks import Click, ClickSheet, item_of_model, item_of_peer
from gossipd.wire.envelope import open_sheet, seal
from gossipd.wire.framing import encode_message, pack
from gossipd.wire.messages import ClickPull, ClickSheets, Hello, Introduction, View
from gossipd_scenarios.fleet import Fleet, Member
from support.hostile import Outsider
from support.keys import key_from

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
SETTINGS = {"mode": "gossip", "gossip.anti_entropy_seconds": 0.2}


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


class Speaker:
    """An outsider that the daemon may ask for clicks, and does."""

    def __init__(self, outsider: Outsider, daemon: Member) -> None:
        self.outsider = outsider
        self.daemon = daemon

    async def __aenter__(self) -> "Speaker":
        await self.outsider.__aenter__()
        self.item = item_of_peer(self.daemon.peer_id)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.outsider.__aexit__()

    async def meets(self, clicks: Any = True) -> None:
        answer = await self.outsider.meet(
            self.daemon.peer_id, self.daemon.addresses, intro=Introduction(clicks=clicks)
        )
        assert isinstance(answer, Hello), answer
        await self.outsider.ask(self.daemon.peer_id, ClickPull())

    async def counted(self, reason: str, times: int = 1) -> dict[str, Any]:
        def enough(status: dict[str, Any]) -> bool:
            return bool(status["refused"].get(reason, 0) >= times)

        status: dict[str, Any] = await self.daemon.until(enough, SECONDS, f"{reason} counted")
        return status

    async def holds(self, rows: int) -> dict[str, Any]:
        def enough(status: dict[str, Any]) -> bool:
            return bool(status["clicks"]["rows"] == rows)

        status: dict[str, Any] = await self.daemon.until(enough, SECONDS, f"{rows} rows")
        return status


async def speaker(daemon: Member, name: str) -> Speaker:
    return Speaker(Outsider(name, bytes.fromhex((await daemon.status())["swarm"])), daemon)


async def test_honest_clicks_are_taken_and_passed_on(daemon: Member, name: str) -> None:
    async with await speaker(daemon, name) as peer:
        sheets = tuple(peer.outsider.sheet(seq, peer.item) for seq in (1, 2, 3))
        peer.outsider.shows(*sheets)
        await peer.meets()
        await peer.holds(3)
        answer = await peer.outsider.ask(daemon.peer_id, ClickPull())
        assert isinstance(answer, ClickSheets)
        assert answer.sheets == sheets


async def test_who_does_not_say_that_it_may_be_asked_is_not(daemon: Member, name: str) -> None:
    async with await speaker(daemon, name) as peer:
        pulls = peer.outsider.shows(peer.outsider.sheet(1, peer.item))
        await peer.meets(UNSET)
        before = (await daemon.status())["training"]["cycles"]
        await daemon.until(lambda s: s["training"]["cycles"] > before + 2, SECONDS, "some cycles")
        assert not pulls


def forged(peer: Outsider, item: bytes) -> bytes:
    return peer.sheet(1, item)[:-1] + b"\x00"


def oversized(peer: Outsider, item: bytes) -> bytes:
    many = [[b"q".decode(), item]] * (limits.CLICKS_PER_SHEET + 1)
    payload = pack({"incarnation": 1, "seq": 1, "clicks": many})
    signed = b"gossipd/1/clicks\x00" + peer.swarm + payload
    public_key, sign = peer.signer
    return pack([1, "clicks", payload, public_key, sign(signed)])


def of_another_swarm(peer: Outsider, item: bytes) -> bytes:
    made = ClickSheet(incarnation=1, seq=1, clicks=(Click("q", item),))
    return seal(made, bytes(32), peer.signer)


def of_a_stranger(peer: Outsider, item: bytes) -> bytes:
    return peer.sheet(1, item, signer=key_from("nobody knows this one")[2])


def of_an_unknown_model(peer: Outsider, item: bytes) -> bytes:
    return peer.sheet(1, item_of_model(b"of this there is no manifest"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (forged, "bad-signature"),
        (of_another_swarm, "bad-signature"),
        (oversized, "malformed"),
        (of_a_stranger, "click-stranger"),
        (of_an_unknown_model, "click-unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_what_must_not_count_is_refused_and_counted(
    daemon: Member, name: str, make: Callable[[Outsider, bytes], bytes], reason: str
) -> None:
    async with await speaker(daemon, name) as peer:
        peer.outsider.shows(make(peer.outsider, peer.item))
        await peer.meets()
        status = await peer.counted(reason)
        assert status["clicks"]["counted"] == 0


async def test_a_replayed_and_a_skipped_sheet_are_refused(daemon: Member, name: str) -> None:
    async with (
        await speaker(daemon, name) as peer,
        await speaker(daemon, f"{name} too") as carrier,
    ):
        first, second, fourth = (peer.outsider.sheet(seq, peer.item) for seq in (1, 2, 4))
        peer.outsider.shows(first)
        await peer.meets()
        await peer.holds(1)
        peer.outsider.show_clicks = lambda pull: encode_message(ClickSheets(upto=pull.since))
        carrier.outsider.shows(first, fourth)
        await carrier.meets()
        await carrier.counted("click-replayed")
        await carrier.counted("click-gap")
        carrier.outsider.shows(second)
        await carrier.holds(2)


async def test_two_sheets_of_one_number_void_all_that_their_author_says(
    daemon: Member, name: str
) -> None:
    async with await speaker(daemon, name) as peer:
        peer.outsider.shows(peer.outsider.sheet(1, peer.item))
        await peer.meets()
        await peer.holds(1)
        peer.outsider.shows(peer.outsider.sheet(1, item_of_peer(peer.outsider.id)))
        await peer.counted("click-fork")
        await peer.holds(0)
        peer.outsider.shows(peer.outsider.sheet(2, peer.item))
        await peer.counted("click-fork", 2)
        await peer.holds(0)


@pytest.mark.parametrize(
    "answer",
    [
        lambda pull: encode_message(View()),
        lambda pull: encode_message(ClickSheets(upto=pull.since + 1, more=True)),
        lambda pull: encode_message(ClickSheets(upto=pull.since, more=True)),
        lambda pull: b"\xc1" * 64,
    ],
    ids=["something else", "for ever", "going nowhere", "garbage"],
)
async def test_who_answers_with_garbage_or_for_ever_is_dropped(
    daemon: Member, name: str, answer: Callable[[ClickPull], bytes]
) -> None:
    async with await speaker(daemon, name) as peer:
        peer.outsider.show_clicks = answer
        await peer.meets()
        async with asyncio.timeout(SECONDS):
            await peer.outsider.parted.wait()
        status = await daemon.until(
            lambda s: s["network"]["connected"] == 0, SECONDS, "it to be gone here too"
        )
        assert status["clicks"]["rows"] == 0


async def test_a_lost_disk_is_a_new_incarnation_that_counts_from_one(
    daemon: Member, name: str
) -> None:
    """The first life's sheets are void as soon as the second one's are heard of."""
    async with await speaker(daemon, name) as peer:
        peer.outsider.shows(*(peer.outsider.sheet(seq, peer.item) for seq in (1, 2)))
        await peer.meets()
        await peer.holds(2)
        peer.outsider.incarnation += 1
        reborn = peer.outsider.sheet(1, peer.item)
        assert open_sheet(reborn, peer.outsider.swarm).sheet.seq == 1
        peer.outsider.shows(reborn)
        await peer.holds(1)


async def test_clicks_survive_a_kill(fleet: Fleet, daemon: Member, name: str) -> None:
    async with await speaker(daemon, name) as peer:
        peer.outsider.shows(*(peer.outsider.sheet(seq, peer.item) for seq in (1, 2, 3)))
        await peer.meets()
        await peer.holds(3)
    await daemon.kill()
    await fleet.restart(daemon)
    clicks = (await daemon.status())["clicks"]
    assert (clicks["rows"], clicks["counted"]) == (3, 3)


async def test_what_people_choose_changes_their_ranking_and_is_shown_to_nobody(
    daemon: Member, name: str
) -> None:
    async with await speaker(daemon, name) as peer:
        await peer.meets()
        body = peer.outsider.body()
        update = peer.outsider.update(body, tags=("seals",))
        await peer.outsider.offer(daemon.peer_id, update)
        model = update.manifest.model.hex()
        client = Client(daemon.home / "api.sock")
        before = await asyncio.to_thread(client.rank, "models", "seals on ice")
        assert before["items"] == []
        await asyncio.to_thread(client.choose, model[:16], "seals on ice")
        (first,) = (await asyncio.to_thread(client.rank, "models", "ice on seals"))["items"]
        assert (first["model"], first["voters"]) == (model, 1)
        answer = await peer.outsider.ask(daemon.peer_id, ClickPull())
        assert isinstance(answer, ClickSheets)
        assert answer.sheets == ()
        assert (await daemon.status())["clicks"]["pending"] == 0
