"""How fast a body travels between two nodes, and what hashing and signing it costs.

Two processes on the loopback: a host of the network room in each, real libp2p, one stream; and, in
the same run and the same processes, asyncio's TCP and TLS streams with nothing on top. The three
take turns, body by body, so whatever else the machine does meets them alike; what counts is the
median of the ratios of neighbours.
"""

import asyncio
import os
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from matplotlib.figure import Figure

from benchmarks.harness import COLOURS, Options, Report, main
from gossipd.network.interface import Handlers
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.runtime.outbound import chunk_hashes
from gossipd.tensors.layout import Vector, content_hash
from gossipd.wire.envelope import Signer, open_manifest, seal
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import GENESIS, Manifest
from gossipd_cli.output import table

MEGABYTE = 1_000_000
SIZES, QUICK_SIZES = (1, 10, 50), (1, 2)
JUDGED = 10
"""Megabytes from which on a bound is set: below, the way there and back counts as well."""
REPEATS, QUICK_REPEATS = 9, 1
UPDATE, QUICK_UPDATE = 50, 2
PIECE = 256 * 1024
"""What asyncio's streams are given and asked for at once."""
SECONDS = 60.0
OURS, TCP, TLS = "ours", "TCP", "TLS"

Fetch = Callable[[int], Awaitable[None]]
"""Gets a body of so many bytes."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One way and one size: medians of the repetitions."""

    way: str
    megabytes: int
    seconds: float
    cpu: float
    """CPU seconds, both processes."""
    against_tls: float
    """Throughput, times that of TLS right before or after."""


def measure(options: Options) -> Report:
    """Transfers of each size, then an update's hashes and signature."""
    sizes = QUICK_SIZES if options.quick else SIZES
    transfers = asyncio.run(_transfers(sizes, QUICK_REPEATS if options.quick else REPEATS))
    size = QUICK_UPDATE if options.quick else UPDATE
    made, checked = _update(size * MEGABYTE, 1 if options.quick else REPEATS)
    ratios = {(t.way, t.megabytes): t.against_tls for t in transfers}
    large = [n for n in SIZES if n >= JUDGED]
    measured: dict[str, float | None] = {
        f"one stream, {n} MB: times asyncio TLS's throughput": ratios.get((OURS, n)) for n in large
    }
    measured["hashing, signing and checking an update of 50 MB: CPU seconds"] = (
        None if options.quick else made + checked
    )
    return Report(
        dataset="",
        text=_text(transfers, size, made, checked),
        data={
            "rows": [asdict(transfer) for transfer in transfers],
            "update": {"megabytes": size, "made": made, "checked": checked},
        },
        measured=measured,
        figures={"throughput": _figure(transfers)},
    )


# --- transfers ------------------------------------------------------------------------------------


async def _transfers(sizes: Sequence[int], repeats: int) -> list[Transfer]:
    """Fetch bodies from another process in all three ways, in turn."""
    context = get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="gossipd-transport-") as folder:
        pem = _certificate(Path(folder))
        server = context.Process(target=_serve, args=(there, pem), daemon=True)
        server.start()
        try:
            address, tcp, tls = await asyncio.to_thread(_first_word, here)
            return await _fetched(server.pid or 0, address, tcp, tls, pem, sizes, repeats)
        finally:
            here.send("end")
            await asyncio.to_thread(server.join, SECONDS)
            server.kill()


def _first_word(pipe: Pipe) -> tuple[str, int, int]:
    if not pipe.poll(SECONDS):
        raise TimeoutError("the serving process did not begin")
    address, tcp, tls = pipe.recv()
    return address, tcp, tls


async def _fetched(
    server: int, address: str, tcp: int, tls: int, pem: Path, sizes: Sequence[int], repeats: int
) -> list[Transfer]:
    host = _host()
    await host.start(_handlers({}))
    peer = address.rsplit("/", 1)[1]
    await host.dial(peer, [address], SECONDS)
    buffers = {n * MEGABYTE: bytearray(n * MEGABYTE) for n in sizes}

    async def ours(size: int) -> None:
        await host.fetch_blob(peer, b"%d" % size, memoryview(buffers[size]), 0, SECONDS)

    streams = {
        TCP: await asyncio.open_connection("127.0.0.1", tcp),
        TLS: await asyncio.open_connection("127.0.0.1", tls, ssl=_trust(pem)),
    }

    async def plain(way: str, size: int) -> None:
        reader, writer = streams[way]
        writer.write(size.to_bytes(8, "big"))
        buffer, position = memoryview(buffers[size]), 0
        while position < size:
            piece = await reader.read(min(PIECE, size - position))
            if not piece:
                raise ConnectionError(f"{way} ended after {position} of {size} bytes")
            buffer[position : position + len(piece)] = piece
            position += len(piece)

    ways: dict[str, Fetch] = {
        TCP: lambda size: plain(TCP, size),
        TLS: lambda size: plain(TLS, size),
        OURS: ours,
    }
    processes = [psutil.Process(), psutil.Process(server)]
    try:
        return [
            transfer
            for size in sizes
            for transfer in await _in_turn(ways, size, repeats, processes)
        ]
    finally:
        for _, writer in streams.values():
            writer.close()
        await host.stop()


async def _in_turn(
    ways: Mapping[str, Fetch], megabytes: int, repeats: int, processes: Sequence[psutil.Process]
) -> list[Transfer]:
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for turn in range(repeats + 1):
        for way, fetch in ways.items():
            cpu, began = _cpu(processes), time.perf_counter()
            async with asyncio.timeout(SECONDS):
                await fetch(megabytes * MEGABYTE)
            seconds = time.perf_counter() - began
            if turn:  # the first one grows windows and buffers
                taken[way].append((seconds, _cpu(processes) - cpu))
    return [
        Transfer(
            way,
            megabytes,
            median(seconds for seconds, _ in pairs),
            median(cpu for _, cpu in pairs),
            median(tls / own for (own, _), (tls, _) in zip(pairs, taken[TLS], strict=True)),
        )
        for way, pairs in taken.items()
    ]


def _cpu(processes: Sequence[psutil.Process]) -> float:
    used = [process.cpu_times() for process in processes]
    return float(sum(times.user + times.system for times in used))


# --- the serving process --------------------------------------------------------------------------


def _serve(pipe: Pipe, pem: Path) -> None:
    asyncio.run(_serving(pipe, pem))


async def _serving(pipe: Pipe, pem: Path) -> None:
    bodies: dict[int, bytes] = {}

    def body(size: int) -> bytes:
        if size not in bodies:
            bodies[size] = os.urandom(size)
        return bodies[size]

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                view = memoryview(body(int.from_bytes(await reader.readexactly(8), "big")))
                for start in range(0, len(view), PIECE):
                    writer.write(view[start : start + PIECE])
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    host = _host()
    await host.start(_handlers({"body": body}))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    tcp = await asyncio.start_server(plain, "127.0.0.1", 0)
    tls = await asyncio.start_server(plain, "127.0.0.1", 0, ssl=context)
    ports = [server.sockets[0].getsockname()[1] for server in (tcp, tls)]
    pipe.send((host.addresses[0], *ports))
    await asyncio.to_thread(pipe.recv)
    tcp.close()
    tls.close()
    await host.stop()


def _host() -> Libp2pTransport:
    """As a daemon has it, but for mDNS."""
    return Libp2pTransport(
        os.urandom(32),
        "127.0.0.1",
        0,
        mdns=False,
        max_connections=64,
        heartbeat_interval=5.0,
        heartbeat_timeout=15.0,
        dial_timeout=10.0,
    )


def _handlers(bodies: Mapping[str, Callable[[int], bytes]]) -> Handlers:
    async def answer(peer: str, payload: bytes) -> bytes:
        return payload

    async def blob(peer: str, key: bytes) -> bytes | None:
        return bodies["body"](int(key)) if bodies else None

    return Handlers(
        connected=lambda peer, address, outbound: None,
        disconnected=lambda peer, reason: None,
        request=answer,
        blob=blob,
        discovered=lambda peer, addresses: None,
        refused=lambda peer, reason: None,
    )


def _certificate(folder: Path) -> Path:
    """Key and certificate of the TLS server, for this run."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, None)
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return path


def _trust(pem: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pem))
    context.check_hostname = False
    return context


# --- an update ------------------------------------------------------------------------------------


def _update(size: int, repeats: int) -> tuple[float, float]:
    """CPU seconds, medians, that hashing and signing take where an update is made, and checking all
    of it where it arrives: a body of `size` bytes, in float32."""
    key = Ed25519PrivateKey.generate()
    signer = Signer(key.public_key().public_bytes_raw(), key.sign)
    vector = np.random.default_rng(1).standard_normal(size // 4, dtype=np.float32)
    body = vector.tobytes()
    made, checked = [], []
    for _ in range(repeats):
        began = time.process_time()
        sealed = seal(_manifest(vector, body), b"\1" * 32, signer)
        halfway = time.process_time()
        manifest = open_manifest(sealed, b"\1" * 32).manifest
        if chunk_hashes(body) != manifest.chunks or content_hash(vector) != manifest.model:
            raise ValueError("an update does not hold its own hashes")
        checked.append(time.process_time() - halfway)
        made.append(halfway - began)
    return median(made), median(checked)


def _manifest(vector: Vector, body: bytes) -> Manifest:
    return Manifest(
        swarm=b"\1" * 32,
        task=b"\2" * 32,
        incarnation=1,
        seq=1,
        role="head",
        kind="delta",
        reference=GENESIS,
        codec="dense",
        layout=b"\3" * 32,
        parameters=vector.size,
        model=content_hash(vector),
        lineage={author_key("peer", 1): 1},
        examples=1,
        steps=1,
        body_size=len(body),
        chunks=chunk_hashes(body),
        created=0.0,
    )


# --- what is shown --------------------------------------------------------------------------------


def _text(transfers: Sequence[Transfer], size: int, made: float, checked: float) -> str:
    rows = [
        (
            f"{transfer.megabytes} MB",
            transfer.way,
            f"{1000 * transfer.seconds:.1f}",
            f"{transfer.megabytes / transfer.seconds:.0f}",
            f"{transfer.against_tls:.2f}",
            f"{1000 * transfer.cpu:.0f}",
        )
        for transfer in transfers
    ]
    headings = ("size", "way", ">ms", ">MB/s", ">times TLS's", ">CPU ms, both ends")
    return (
        "One stream between two processes on the loopback; medians\n\n"
        + table(headings, rows)
        + f"\n\nAn update of {size} MB, CPU ms: hash and sign {1000 * made:.0f}, "
        f"verify and hash {1000 * checked:.0f}"
    )


def _figure(transfers: Sequence[Transfer]) -> Figure:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    place = figure.subplots()
    sizes = list(dict.fromkeys(transfer.megabytes for transfer in transfers))
    for number, way in enumerate((TCP, TLS, OURS)):
        rates = [t.megabytes / t.seconds for t in transfers if t.way == way]
        places = [index + 0.27 * (number - 1) for index in range(len(sizes))]
        place.bar(places, rates, 0.25, color=COLOURS[number], label=way)
    place.set_xticks(range(len(sizes)), [f"{size} MB" for size in sizes])
    place.set_ylabel("MB/s")
    place.grid(axis="y", alpha=0.3)
    place.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main("transport", "How fast bodies travel; what signing them costs.", measure))
