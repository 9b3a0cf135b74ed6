"""The transport over real libp2p: an asyncio facade of a trio thread, started again if it fails.

asyncio loop   Libp2pTransport, the caller's handlers; life: the thread
bridge         calls across, both ways
trio thread    host -> swarm (in), dialler (out) -> links -> link -> rpc, blobs -> pipe -> yamux
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gossipd.network import addresses
from gossipd.network.assembly import Settings, peer_id
from gossipd.network.bridge import BridgeDown
from gossipd.network.discovery import Discovery
from gossipd.network.host import NotConnected
from gossipd.network.interface import (
    Connection,
    Handlers,
    NetworkError,
    PeerUnreachable,
    PortInUse,
    RequestFailed,
    TransferInterrupted,
)
from gossipd.network.life import Life
from gossipd.network.upload import Upload
from gossipd.wire import limits

log = logging.getLogger(__name__)

BACK_OFF_SECONDS = (0.5, 30.0)
"""Before the first new start after a failure, and at most: doubling in between. Ours."""
STABLE_SECONDS = 60.0
"""After this long a life, the back-off starts over. Ours."""


class Libp2pTransport:
    """One node's network. Noise and yamux only; the peer id is the key's.

    :param private_key: the 32-byte seed of the Ed25519 key
    :param listen: IP address to listen on; 0.0.0.0 is every interface
    :param port: 0 lets the system choose one, which later starts of this object keep
    :param mdns: find peers on the local network, and be found
    :param max_connections: live connections, both directions together
    :param heartbeat_interval: seconds between two pings of a peer
    :param heartbeat_timeout: seconds of silence after which a connection is closed; also how long
        a write may make no progress
    :param dial_timeout: the longest a dial may take, whatever its caller allows
    :param max_upload: bytes a second at which blobs are given; 0: no limit
    :param announce: where others reach this node, without /p2p; None: where it listens. mDNS, which
        only neighbours hear, tells where it listens in any case
    :param last_port: tried before the system chooses, where `port` is 0
    """

    def __init__(
        self,
        private_key: bytes,
        listen: str,
        port: int,
        *,
        mdns: bool,
        max_connections: int,
        heartbeat_interval: float,
        heartbeat_timeout: float,
        dial_timeout: float,
        max_upload: float = 0.0,
        announce: Sequence[str] | None = None,
        last_port: int = 0,
    ) -> None:
        self._settings = Settings(
            private_key=private_key,
            listen=listen,
            port=port,
            mdns=mdns,
            max_connections=max_connections,
            heartbeat_interval=heartbeat_interval,
            heartbeat_timeout=heartbeat_timeout,
            dial_timeout=dial_timeout,
            upload=Upload(max_upload),
        )
        self._announce = announce
        self._last_port = last_port
        self._peer_id = peer_id(private_key)
        self._handlers: Handlers | None = None
        self._life: Life | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._discovery: Discovery | None = None
        self._connected: set[str] = set()
        self._totals: Counter[str] = Counter()

    def limit_upload(self, rate: float) -> None:
        """From now on as with another `max_upload`."""
        self._settings.upload.rate = rate

    # --- Transport ------------------------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        return self._peer_id

    @property
    def port(self) -> int:
        return 0 if self._life is None else self._settings.port

    @property
    def addresses(self) -> Sequence[str]:
        if self._life is None:
            return ()
        if self._announce is None:
            return self._reachable()
        return [f"{address}/p2p/{self._peer_id}" for address in self._announce]

    async def start(self, handlers: Handlers) -> None:
        if self._supervisor is not None:
            raise RuntimeError("the transport is started already")
        self._handlers = handlers
        await self._launch_first()
        self._supervisor = asyncio.create_task(self._supervise())
        if self._settings.mdns:
            self._discovery = Discovery(
                self._peer_id, self._reachable, self._on_discovered, self._totals
            )
            self._discovery.start()

    async def stop(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        supervisor.cancel()
        await asyncio.wait([supervisor])
        if self._discovery is not None:
            await self._discovery.stop()
            self._discovery = None
        if self._life is not None:
            await self._life.end()
            self._bury("stopped")

    async def dial(self, peer: str, addresses: Sequence[str], timeout: float) -> None:
        try:
            life = self._alive()
            await life.bridge.call(life.host.dial, peer, addresses, timeout)
        except BridgeDown:
            raise PeerUnreachable("unreachable", "the network is down") from None

    async def disconnect(self, peer: str, reason: str) -> None:
        try:
            life = self._alive()
            await life.bridge.call(life.host.disconnect, peer, reason)
        except BridgeDown:
            return

    async def request(self, peer: str, payload: bytes, timeout: float) -> bytes:
        if len(payload) > limits.MESSAGE_BYTES:
            raise RequestFailed("too-large", f"{len(payload)} bytes")
        try:
            life = self._alive()
            return await life.bridge.call(life.host.request, peer, payload, timeout)
        except (BridgeDown, NotConnected):
            raise RequestFailed("disconnected") from None

    async def fetch_blob(
        self,
        peer: str,
        key: bytes,
        buffer: memoryview,
        offset: int,
        progress_timeout: float,
        end: int | None = None,
    ) -> None:
        try:
            life = self._alive()
            await life.bridge.call(
                life.host.fetch, peer, key, buffer, offset, progress_timeout, end
            )
        except (BridgeDown, NotConnected):
            raise TransferInterrupted("disconnected", offset) from None

    def connections(self) -> Sequence[Connection]:
        return () if self._life is None else self._life.host.connections()

    def counters(self) -> dict[str, int]:
        totals = Counter(self._totals)
        if self._life is not None:
            totals.update(self._life.host.totals())
        return {"restarts": 0, "bytes_in": 0, "bytes_out": 0, **totals}

    # --- lives ----------------------------------------------------------------------------------

    def _reachable(self) -> Sequence[str]:
        return addresses.reachable(self._settings.listen, self._settings.port, self._peer_id)

    def _alive(self) -> Life:
        if self._life is None:
            raise BridgeDown
        return self._life

    async def _launch_first(self) -> None:
        """Where it listened in its last life, if nobody else does so now."""
        wanted = self._settings
        if not wanted.port and self._last_port:
            self._settings = replace(wanted, port=self._last_port)
            with contextlib.suppress(PortInUse):
                await self._launch()
                return
            self._settings = wanted
        await self._launch()

    async def _launch(self) -> None:
        """A new trio thread, listening. Raises PortInUse, NetworkError."""
        assert self._handlers is not None
        life = Life(self._settings, self._guarded(self._handlers))
        try:
            port = await life.begin()
        except BaseException:
            await life.end()
            raise
        self._settings = replace(self._settings, port=port)
        self._life = life

    async def _supervise(self) -> None:
        """Start the thread again, for ever, whenever it ends."""
        assert self._handlers is not None
        assert self._life is not None
        delay, ceiling = BACK_OFF_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            why = await self._life.ended()
            if loop.time() - began > STABLE_SECONDS:
                delay = BACK_OFF_SECONDS[0]
            self._bury("network-restart")
            while self._life is None:
                detail = f"restarting in {delay:g} s: {why}"
                log.error("the network thread ended, %s", detail)
                self._guard(self._handlers.health, False, detail)
                await asyncio.sleep(delay)
                delay = min(2 * delay, ceiling)
                try:
                    await self._launch()
                except NetworkError as error:
                    why = str(error)
            self._totals["restarts"] += 1
            self._guard(self._handlers.health, True, "the network thread is up again")

    def _bury(self, reason: str) -> None:
        """A life has ended: keep its totals, and say of every peer that it is gone."""
        assert self._life is not None
        life, self._life = self._life, None
        self._totals.update(life.host.totals())
        for peer in tuple(self._connected):
            self._on_disconnected(peer, reason)

    # --- what the handlers see ------------------------------------------------------------------

    def _guarded(self, handlers: Handlers) -> Handlers:
        """The caller's handlers; what fails in them is counted, and does not end anything."""
        return replace(
            handlers,
            connected=self._on_connected,
            disconnected=self._on_disconnected,
            refused=lambda *args: self._guard(handlers.refused, *args),
        )

    def _on_connected(self, peer: str, remote_address: str, outbound: bool) -> None:
        if self._handlers is not None and peer not in self._connected:
            self._connected.add(peer)
            self._guard(self._handlers.connected, peer, remote_address, outbound)

    def _on_disconnected(self, peer: str, reason: str) -> None:
        if self._handlers is not None and peer in self._connected:
            self._connected.discard(peer)
            self._guard(self._handlers.disconnected, peer, reason)

    def _on_discovered(self, peer: str, addresses: Sequence[str]) -> None:
        if self._handlers is not None:
            self._guard(self._handlers.discovered, peer, addresses)

    def _guard(self, handler: Any, *args: object) -> None:
        try:
            handler(*args)
        except Exception:
            self._totals["handler-errors"] += 1
            log.exception("a handler of the transport failed")
