"""What people do with models, through a running daemon: search, use, roll back, pin."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gossipd import using
from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.errors import OperatorError
from gossipd.operator.choices import PINS
from gossipd.storage.store import DiskStore
from gossipd.wire.envelope import open_manifest, open_record
from gossipd.wire.messages import Have, Hello, Offer
from gossipd_scenarios.fleet import Fleet, Member
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
SETTINGS: dict[str, Any] = {
    "mode": "gossip",
    "task.title": "Seal spotter",
    "task.tags": ["ice"],
    "task.licence": "CC-BY-4.0",
}


async def asked(daemon: Member, method: str, *arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await asyncio.to_thread(
        getattr(Client(daemon.home / "api.sock"), method), *arguments
    )
    return answer


async def refusal(daemon: Member, method: str, *arguments: Any) -> str:
    with pytest.raises(OperatorError) as refused:
        await asked(daemon, method, *arguments)
    return refused.value.code


async def trained(daemon: Member, cycles: int) -> dict[str, Any]:
    before = (await daemon.status())["training"]["cycles"]
    status: dict[str, Any] = await daemon.until(
        lambda s: bool(s["training"]["cycles"] >= before + cycles), SECONDS, "training"
    )
    return status


async def test_without_a_peer_models_are_found_by_what_is_said_of_them(daemon: Member) -> None:
    status = await trained(daemon, 3)
    assert status["network"]["known"] == 0
    found = (await asked(daemon, "search_models", "SEAL spotter", 50))["items"]
    assert len(found) >= 3
    assert {(one["title"], one["licence"], one["here"], one["matches"]) for one in found} == {
        ("Seal spotter", "CC-BY-4.0", True, True)
    }
    assert {tuple(one["tags"]) for one in found} == {("digits", "ice")}
    assert found == sorted(found, key=lambda one: -one["created"]), "of equals the newest first"
    assert (await asked(daemon, "search_models", "walrus"))["items"] == []
    assert await refusal(daemon, "search_models", " ") == "no-query"

    one = await asked(daemon, "show_model", found[0]["model"][:12])
    assert (one["title"], one["here"], one["pinned"]) == ("Seal spotter", True, False)
    assert one["author"] == status["peer_id"]
    assert one["lineage"]
    assert await refusal(daemon, "show_model", "0" * 16) == "unknown-model"


@pytest.mark.parametrize("mode", ["gossip", "rounds"])
async def test_a_chosen_model_answers_through_training_kills_and_stops_until_follow(
    fleet: Fleet, mode: str, tmp_path: Path
) -> None:
    daemon = await fleet.start(f"chooser-{mode}", {**SETTINGS, "mode": mode})
    await trained(daemon, 3)
    model = (await asked(daemon, "search_models", "seal"))["items"][-1]["model"]

    async def exported() -> str:
        return str((await daemon.export("serving", tmp_path / "m.safetensors"))["hash"])

    assert await exported() != model
    chosen = await asked(daemon, "use_model", model)
    assert (chosen["hash"], chosen["query"]) == (model, "seal"), "a click for what was searched"
    status = await trained(daemon, 3)
    assert status["models"]["serving"]["hash"] != model, "learning goes on, and its average"
    await daemon.kill()
    await fleet.restart(daemon)
    assert (await daemon.status())["using"] == {"hash": model, "chosen": True}
    assert await exported() == (await daemon.evaluate())["hash"] == model
    (top, *_) = (await asked(daemon, "rank", "models", "seal"))["items"]
    assert (top["model"], top["voters"]) == (model, 1), "the click is still there"
    assert (await daemon.status())["clicks"]["pending"] == 0, "and stays here"

    await daemon.stop()
    stopped = await asyncio.to_thread(
        using.export, daemon.home, "serving", tmp_path / "n.safetensors"
    )
    assert stopped["hash"] == model
    await fleet.restart(daemon)
    followed = await asked(daemon, "use_model", None)
    assert (followed["chosen"], followed["hash"] == model) == (False, False)
    assert await exported() != model
    await daemon.stop()


@pytest.mark.parametrize("mode", ["gossip", "rounds"])
async def test_rolling_back_goes_from_serving_model_to_the_one_before(
    fleet: Fleet, mode: str
) -> None:
    daemon = await fleet.start(f"regretful-{mode}", {**SETTINGS, "mode": mode})
    await trained(daemon, 4)
    rows = await daemon.models()
    past = [row["hash"] for row in rows if row["role"] in ("serving", "other")]
    first = await asked(daemon, "roll_back")
    second = await asked(daemon, "roll_back")
    status = await daemon.status()
    assert status["using"] == {"hash": second["hash"], "chosen": True}
    assert second["before"] == first["hash"]
    assert len({first["before"], first["hash"], second["hash"]}) == 3
    assert second["hash"] in past
    assert status["models"]["serving"]["hash"] != second["hash"], "nothing of learning goes back"
    events = [e for e in (await daemon.events())["events"] if e["kind"] == "model-chosen"]
    assert [e["hash"] for e in events] == [first["hash"], second["hash"]]

    head = (await asked(daemon, "use_model", "head"))["hash"]
    back = await asked(daemon, "roll_back")
    assert (back["before"], back["chosen"]) == (head, False), "that choice ends"
    await daemon.stop()


async def test_where_there_is_nothing_before_rolling_back_says_so(fleet: Fleet) -> None:
    daemon = await fleet.start("newborn", {**SETTINGS, "task.data": "", "gossip.exchange": False})
    await daemon.pause()

    async def to_the_first() -> None:
        while True:
            await asked(daemon, "roll_back")

    async with asyncio.timeout(SECONDS):
        with pytest.raises(OperatorError) as refused:
            await to_the_first()
    assert refused.value.code == "no-earlier-model"
    assert (await daemon.status())["using"]["hash"], "what answered answers still"
    await daemon.stop()


async def test_a_pinned_model_outlives_quota_and_restart(
    fleet: Fleet, daemon: Member, tmp_path: Path
) -> None:
    await trained(daemon, 3)
    oldest, other = [
        one["model"] for one in (await asked(daemon, "search_models", "ice", 50))["items"]
    ][-2:]
    pinned = await asked(daemon, "pin_model", oldest[:16])
    assert (pinned["hash"], pinned["query"]) == (oldest, "ice")
    await trained(daemon, 3)
    await daemon.stop()
    store = DiskStore(paths_of(daemon.home), quota_bytes=1)
    store.collect()
    for number in range(1, PINS):
        store.pin(number.to_bytes(32, "big"))
    store.close()
    await fleet.restart(daemon)
    rows = {row["hash"]: row["pinned"] for row in await daemon.models()}
    assert rows[oldest] is True
    assert other not in rows
    assert (await daemon.export(oldest, tmp_path / "m.safetensors"))["hash"] == oldest

    assert await refusal(daemon, "pin_model", "head") == "too-many-pins"
    assert (await asked(daemon, "pin_model", oldest))["query"] is None, "one vote is enough"
    assert (await asked(daemon, "unpin_model", oldest))["pinned"] is False
    assert (await asked(daemon, "show_model", oldest))["pinned"] is False
    assert await refusal(daemon, "unpin_model", oldest) == "unknown-model"


async def test_anothers_model_can_be_used_once_it_is_here(daemon: Member, tmp_path: Path) -> None:
    swarm = bytes.fromhex((await daemon.status())["swarm"])
    async with Outsider("walrus", swarm) as peer:
        await peer.meet(daemon.peer_id, daemon.addresses)
        told = peer.update(peer.body(0.02), title="Only told of")
        peer.blobs.clear()
        await peer.offer(daemon.peer_id, told)
        got = peer.update(peer.body(0.01), title="Walrus", steps=20, lineage={peer.me: 20})
        await peer.offer(daemon.peer_id, got, steps=20)

        async def here(query: str) -> bool:
            (one,) = (await asked(daemon, "search_models", query))["items"]
            return bool(one["here"])

        await daemon.until(lambda s: bool(s["updates"]["fetched"]), SECONDS, "its body")
        assert await here("walrus")
        model = got.manifest.model.hex()
        assert (await asked(daemon, "use_model", model[:16]))["hash"] == model
        assert (await daemon.export("serving", tmp_path / "m.safetensors"))["hash"] == model
        shown = await asked(daemon, "show_model", model)
        assert (shown["title"], shown["used"], shown["author"]) == ("Walrus", True, got.author)

        assert not await here("told")
        assert await refusal(daemon, "use_model", told.manifest.model.hex()) == "model-not-here"
        again = peer.update(peer.body(0.01), title="Mine now", steps=30, lineage={peer.me: 30})
        await peer.offer(daemon.peer_id, again, steps=30)
        found = (await asked(daemon, "search_models", "mine now"))["items"]
        assert "Mine now" not in {one["title"] for one in found}, "nobody describes it anew"


async def test_label_counts_are_in_nothing_that_is_signed_when_they_are_off(fleet: Fleet) -> None:
    daemon = await fleet.start("discreet", {**SETTINGS, "task.show_labels": False})
    status = await trained(daemon, 2)
    assert status["training"]["class_counts"], "people here see their own"
    swarm = bytes.fromhex(status["swarm"])
    async with Outsider("curious", swarm) as peer:
        hello = await peer.meet(daemon.peer_id, daemon.addresses)
        assert isinstance(hello, Hello)
        record = open_record(hello.record, swarm).record
        assert (record.examples > 0, record.class_counts) == (True, None)
        offer = await peer.ask(daemon.peer_id, Have(lineage={}, model=bytes(32)))
        assert isinstance(offer, Offer)
        (sealed,) = offer.manifests
        assert isinstance(sealed, bytes)
        manifest = open_manifest(sealed, swarm).manifest
        assert (manifest.title, manifest.class_counts) == ("Seal spotter", None)
    assert (await asked(daemon, "rank", "peers"))["query"] == "any"
    await daemon.stop()
