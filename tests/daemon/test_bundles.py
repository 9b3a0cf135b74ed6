"""Bundles through the control API of running daemons that no network connects."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from gossipd.config import paths_of
from gossipd.control.client import Client
from gossipd.errors import ExitCode, OperatorError
from gossipd.wire import bundle
from gossipd.wire.identifiers import digest
from gossipd_scenarios.fleet import Fleet, Member
from support.bundles import changed, flipped, joined, parts
from support.hostile import Outsider

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 30.0
APART: dict[str, Any] = {"network.announce": ("none",)}
"""They are told no address, so knowing of each other does not connect them."""


async def hermit(fleet: Fleet, name: str, node: int, **settings: Any) -> Member:
    shard: dict[str, Any] = {"task.partition": "classes", "task.nodes": 5, "task.node": node}
    daemon = await fleet.start(name, {**shard, **APART, **settings})
    await daemon.until(lambda s: s["training"]["cycles"] >= 2, SECONDS, "two cycles")
    return daemon


async def ask(daemon: Member, what: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    client = Client(paths_of(daemon.home).socket)
    answer: dict[str, Any] = await asyncio.to_thread(getattr(client, what), *args, **kwargs)
    return answer


async def taught(daemon: Member, *others: Member) -> None:
    """Wait until one of its models contains work of all these."""
    wanted = {(await other.status())["author"] for other in others}
    async with asyncio.timeout(SECONDS):
        while not any(wanted <= model["lineage"].keys() for model in await daemon.models()):
            await daemon.events((await daemon.events())["next"], wait=1.0)


@pytest.mark.parametrize("mode", ["rounds", "gossip"])
async def test_daemons_that_never_met_learn_from_each_other(
    fleet: Fleet, tmp_path: Path, mode: str
) -> None:
    north = await hermit(fleet, f"north-{mode}", 0, mode=mode)
    south = await hermit(fleet, f"south-{mode}", 1, mode=mode)
    stick = tmp_path / "stick.bundle"
    for here, there in ((north, south), (south, north)):
        written = await ask(here, "export_bundle", stick, force=True)
        assert written["bytes"] == stick.stat().st_size
        assert written["updates"] >= 2
        answer = await ask(there, "import_bundle", stick)
        assert (answer["refused"], answer["author"]) == ({}, here.peer_id)
        await taught(there, here, there)
    for daemon in (north, south):
        status = await daemon.status()
        assert status["network"]["connected"] == 0
        assert status["errors"] == status["refused"] == {}
        await daemon.stop()


async def test_exactly_the_bad_parts_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    daemon = await hermit(fleet, "honest", 0)
    other = await hermit(fleet, "careful", 1)
    stick = tmp_path / "stick.bundle"
    await ask(daemon, "export_bundle", stick)
    honest = stick.read_bytes()

    async def refused(content: bytes) -> dict[str, int]:
        stick.write_bytes(content)
        answer: dict[str, int] = (await ask(other, "import_bundle", stick))["refused"]
        return answer

    assert await refused(changed(honest, "body", 1)) == {"bad-chunk": 1}
    assert await refused(honest[:-30]) == {"no-body": 1, "truncated": 1}
    assert await refused(flipped(honest, 3)) == {"damaged": 1}
    huge = bundle.MARK + b"\x05" + (10 * 2**30).to_bytes(8, "big")
    assert await refused(huge + bundle.checksum(huge) + honest) == {"too-large": 1}
    assert await refused(honest) == {}
    await taught(other, daemon)

    # What a stranger has signed is no more believed than what a peer shows.
    async with Outsider("liar", bytes.fromhex((await other.status())["swarm"])) as liar:
        body = b"\x00\x7e" * liar.layout.parameters  # not a number, in float16
        update = liar.update(body, role="base")
        forged = [
            ("record", liar.record()),
            ("claim", liar.claim(10)),
            ("manifest", update.envelope),
            ("body", update.id + body),
            ("manifest", liar.update(liar.body(), role="base", task=digest(b"x")).envelope),
            ("manifest", liar.update(liar.body(), role="base", lineage={liar.me: 11}).envelope),
        ]
        answer = await refused(joined([*parts(honest)[:-1], *forged, ("end", b"")]))  # type: ignore[list-item]
        assert answer == {"not-finite": 1, "foreign-task": 1, "lineage-above-steps": 1}
    status = await other.status()
    assert status["errors"] == {}
    await daemon.stop()
    await other.stop()


async def test_files_that_are_none_are_told_apart(fleet: Fleet, tmp_path: Path) -> None:
    daemon = await hermit(fleet, "librarian", 0)

    async def error(what: str, path: Path) -> tuple[str, int]:
        with pytest.raises(OperatorError) as caught:
            await ask(daemon, what, path)
        assert caught.value.hint
        return caught.value.code, caught.value.exit_code

    there, nowhere, pipe = tmp_path / "there", tmp_path / "no" / "where", tmp_path / "pipe"
    there.write_bytes(b"To whom it may concern. " * 50)
    os.mkfifo(pipe)
    assert await error("import_bundle", there) == ("not-a-bundle", ExitCode.FAILURE)
    assert await error("import_bundle", nowhere) == ("no-file", ExitCode.USAGE)
    assert await error("import_bundle", pipe) == ("no-file", ExitCode.USAGE)
    assert await error("import_bundle", tmp_path) == ("no-file", ExitCode.USAGE)
    assert await error("export_bundle", nowhere) == ("export-failed", ExitCode.FAILURE)

    # Nothing that is there is written over, nor through a link into somewhere else.
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    assert await error("export_bundle", there) == ("file-exists", ExitCode.USAGE)
    assert await error("export_bundle", link) == ("file-exists", ExitCode.USAGE)
    assert there.read_bytes().startswith(b"To whom")
    await ask(daemon, "export_bundle", link, force=True)
    assert not link.is_symlink()
    assert not (tmp_path / "elsewhere").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"there", "pipe", "link"}

    # A whole bundle of another swarm.
    foreign = await hermit(fleet, "foreigner", 0, **{"swarm.id": "ab" * 32})
    await ask(foreign, "export_bundle", there, force=True)
    assert await error("import_bundle", there) == ("foreign-swarm", ExitCode.FAILURE)
    await foreign.stop()
    await daemon.stop()
