"""Raw peers: a stock libp2p host in a trio thread of its own, to be foreign, rude or hostile with.

Nothing of gossipd.network is used by it but the patches of libp2p, which hold for the process.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

DEADLINE = 20.0
Story = Callable[["Stock"], Awaitable[Any]]
StreamHandler = Callable[[INetStream], Awaitable[None]]


class Stock:
    """A running stock host."""

    def __init__(self, host: BasicHost) -> None:
        self.host = host

    @property
    def id(self) -> str:
        return str(self.host.get_id())

    @property
    def addresses(self) -> Sequence[str]:
        return [str(address) for address in self.host.get_addrs()]

    async def connect(self, address: str) -> Any:
        """A connection of libp2p's to a multiaddress with its peer id."""
        info = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(info)
        return info.peer_id

    async def open(self, address: str, protocol: str) -> INetStream:
        peer = await self.connect(address)
        return await self.host.new_stream(peer, [TProtocol(protocol)])


@asynccontextmanager
async def stock_host(*, plaintext: bool = False) -> AsyncIterator[Stock]:
    """A stock host that listens on loopback; to be used inside trio."""
    keys = create_new_key_pair()
    if plaintext:
        security: Any = {TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(keys)}
    else:
        noise = NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)
        security = {NOISE: noise}
    host = new_host(
        key_pair=keys,
        sec_opt=security,
        muxer_opt={TProtocol(YAMUX): Yamux},
    )
    assert isinstance(host, BasicHost)
    async with host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        yield Stock(host)


async def as_stock_peer(story: Story, *, plaintext: bool = False) -> Any:
    """Run a trio story with a stock host in another thread, while this loop goes on."""

    async def main() -> Any:
        with trio.fail_after(DEADLINE):
            async with stock_host(plaintext=plaintext) as stock:
                return await story(stock)

    return await asyncio.to_thread(trio.run, main)


@asynccontextmanager
async def stock_server(
    handlers: Mapping[str, StreamHandler],
) -> AsyncIterator[tuple[str, list[str]]]:
    """A stock host with these protocols, for as long as the block runs: its id and addresses."""
    loop = asyncio.get_running_loop()
    up: asyncio.Future[tuple[str, list[str], trio.lowlevel.TrioToken]] = loop.create_future()
    finished = trio.Event()

    async def story(stock: Stock) -> None:
        for protocol, handler in handlers.items():
            stock.host.set_stream_handler(TProtocol(protocol), handler)
        there = (stock.id, list(stock.addresses), trio.lowlevel.current_trio_token())
        loop.call_soon_threadsafe(up.set_result, there)
        await finished.wait()

    task = asyncio.create_task(as_stock_peer(story))
    peer, addresses, token = await up
    try:
        yield peer, addresses
    finally:
        token.run_sync_soon(finished.set)
        await task


async def read_to_end(stream: INetStream) -> bytes:
    """Everything that still comes, up to the stream's end or reset."""
    received = bytearray()
    try:
        while piece := await stream.read(65536):
            received += piece
    except Exception:  # noqa: BLE001 - libp2p has a dozen names for the end of a stream
        pass
    return bytes(received)
