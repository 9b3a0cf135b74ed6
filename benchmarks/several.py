"""What it gains to ask several holders for a large model: one, two and three, on slow lines.

Real hosts of one process behind the shaping proxy of the scenarios: each holder has an uplink of
its own, 8 Mbit/s with 20 ms there and 20 ms back, the joiner's way in is not limited. The model
takes 4 MB in float32, sixteen chunks. Then the same where one of the three holders lies, and where
one dies halfway.
"""

import asyncio
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median

from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.daemon import SystemClock
from gossipd.network.interface import Handlers
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.runtime.downloads import Downloads
from gossipd.runtime.outbound import chunk_hashes
from gossipd.runtime.waits import Waits
from gossipd_cli.output import table
from gossipd_scenarios.real.links import Links, Shape
from gossipd_scenarios.real.shaping import Conditions

RATE = 1_000_000
"""Bytes per second of each uplink."""
DELAY = 0.02
SIZE, QUICK_SIZE = 4_000_000, 1_500_000
SECONDS = 30.0
KEY = b"model"
CASES = ("one", "two", "three", "three, one dies", "three, one lies")


@dataclass(frozen=True, slots=True)
class Row:
    """One download."""

    case: str
    seed: int
    seconds: float


def measure(options: Options) -> Report:
    """Every case with every seed."""
    size = QUICK_SIZE if options.quick else SIZE
    rows = [
        asyncio.run(_run(case, size, seed))
        for seed in (options.seeds[:1] if options.quick else options.seeds)
        for case in CASES
    ]
    taken = {case: median(row.seconds for row in rows if row.case == case) for case in CASES}
    shown = [(case, f"{taken[case]:.2f}", f"{taken[case] / taken['one']:.2f}") for case in CASES]
    drawn = table(("holders", ">seconds", ">times one's"), shown)
    return Report(
        dataset="",
        text=f"{size / 1e6:g} MB, {RATE / 1e6:g} MB/s from each holder; medians\n\n{drawn}",
        data={"rows": [asdict(row) for row in rows]},
        measured={
            f"{case}: times one holder's": taken[case] / taken["one"]
            for case in ("two", "three", "three, one dies", "three, one lies")
        },
        figures={"seconds": _figure(taken)},
    )


async def _run(case: str, size: int, seed: int) -> Row:
    model = Random(seed).randbytes(size)
    count = {"one": 1, "two": 2}.get(case, 3)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gossipd-several-"))
        links = await stack.enter_async_context(Links(Path(folder) / "proxy.log", seed=seed))
        joiner = await _host(stack, 0, b"")
        served = [model] * (count - 1) + [bytes(size) if "lies" in case else model]
        holders = [await _host(stack, n, blob) for n, blob in enumerate(served, 1)]
        for number, holder in enumerate(holders):
            name = f"holder{number}"
            port = await links.open("joiner", name)
            await links.moved(name, holder.port)
            await links.shape(Shape([(name, "joiner")], Conditions(delay=DELAY, rate=RATE)))
            await links.shape(Shape([("joiner", name)], Conditions(delay=DELAY)))
            where = f"/ip4/127.0.0.1/tcp/{port}/p2p/{holder.peer_id}"
            await joiner.dial(holder.peer_id, [where], SECONDS)
        downloads = Downloads(joiner, Waits(SystemClock()), SECONDS)
        ids = [holder.peer_id for holder in holders]
        began = time.monotonic()
        coming = asyncio.create_task(_get(downloads, ids, model))
        if "dies" in case:
            await asyncio.sleep(size / RATE / count / 2)
            await holders[-1].stop()
        data = await coming
        seconds = time.monotonic() - began
        if hashlib.sha256(data).digest() != hashlib.sha256(model).digest():
            raise AssertionError(f"{case}: what came is not the model")
    return Row(case, seed, seconds)


async def _get(downloads: Downloads, ids: Sequence[str], model: bytes) -> bytes:
    chunks = chunk_hashes(model)
    return (await downloads.get("model", ids[0], KEY, len(model), ids[1:], chunks)).data


async def _host(stack: AsyncExitStack, number: int, blob: bytes) -> Libp2pTransport:
    async def nothing(peer: str, payload: bytes) -> bytes:
        return b""

    async def give(peer: str, key: bytes) -> bytes | None:
        return blob if key == KEY else None

    host = Libp2pTransport(
        bytes([number + 1]) * 32,
        "127.0.0.1",
        0,
        mdns=False,
        max_connections=8,
        heartbeat_interval=5.0,
        heartbeat_timeout=15.0,
        dial_timeout=SECONDS,
    )
    await host.start(
        Handlers(
            connected=lambda peer, where, outbound: None,
            disconnected=lambda peer, reason: None,
            request=nothing,
            blob=give,
            discovered=lambda peer, addresses: None,
            refused=lambda whom, reason: None,
        )
    )
    stack.push_async_callback(host.stop)
    return host


def _figure(taken: dict[str, float]) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    place = figure.subplots()
    place.barh(list(taken), list(taken.values()), color=COLOURS[1])
    place.invert_yaxis()
    place.set_xlabel("seconds until the model is here")
    return figure


if __name__ == "__main__":
    sys.exit(main("several", "What several holders of a model gain.", measure))
