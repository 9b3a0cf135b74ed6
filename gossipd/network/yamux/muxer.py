"""All yamux streams of one secured connection."""

import contextlib
import logging
from dataclasses import dataclass

import trio
from libp2p.abc import IMuxedConn, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamReset
from multiaddr import Multiaddr
from noise.exceptions import NoiseInvalidMessage  # type: ignore[import-untyped]

from gossipd.network.yamux.frames import (
    ACK,
    FIN,
    GOODBYE_NORMAL,
    RST,
    SYN,
    Frame,
    Kind,
    Parser,
    ProtocolError,
    encode,
)
from gossipd.network.yamux.outbox import Outbox
from gossipd.network.yamux.stream import LARGEST_WINDOW, MuxedStream

log = logging.getLogger(__name__)

STREAMS = 32
"""New streams of the peer that may wait to be accepted. Ours: our protocols need two."""


class Muxer(IMuxedConn):
    """One connection's streams. `start` runs until the connection has ended, whoever ended it."""

    def __init__(self, conn: ISecureConn, peer_id: ID) -> None:
        self.secured_conn = conn
        self.peer_id = peer_id
        self.event_started = trio.Event()
        self.event_closed = trio.Event()
        self.round_trip = 0.05
        """Seconds; a guess until the first ping came back."""
        self._streams: dict[int, MuxedStream] = {}
        self._next_number = 1 if conn.is_initiator else 2
        self._accepted, self._arriving = trio.open_memory_channel[MuxedStream](STREAMS)
        self._outbox = Outbox()
        self._ping_sent = 0.0
        self._body = _Body(None, 0, False)

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                self.event_started.set()
                self._ping_sent = trio.current_time()
                self._outbox.reply(encode(Kind.PING, SYN, 0, 0))
                await self._read()
                nursery.cancel_scope.cancel()
        finally:
            self.event_closed.set()
            self._accepted.close()
            self._outbox.close()
            for stream in tuple(self._streams.values()):
                stream.on_reset()
            self._streams.clear()

    async def close(self) -> None:
        """Say goodbye. The connection ends when the peer, or our owner, closes the socket."""
        with contextlib.suppress(MuxedStreamReset):
            await self._outbox.put(encode(Kind.GO_AWAY, 0, 0, GOODBYE_NORMAL))

    @property
    def is_initiator(self) -> bool:
        return self.secured_conn.is_initiator

    @property
    def is_established(self) -> bool:
        return self.event_started.is_set() and not self.event_closed.is_set()

    @property
    def is_closed(self) -> bool:
        return self.event_closed.is_set()

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self.secured_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        return self.secured_conn.get_connection_type()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.secured_conn.get_remote_address()

    # --- streams --------------------------------------------------------------------------------

    async def open_stream(self) -> MuxedStream:
        stream = self._streams[self._next_number] = MuxedStream(self, self._next_number)
        self._next_number += 2
        await self.send(Kind.WINDOW_UPDATE, SYN, stream.number)
        return stream

    async def accept_stream(self) -> MuxedStream:
        try:
            return await self._arriving.receive()
        except trio.EndOfChannel:
            raise MuxedConnUnavailable("the connection has ended") from None

    async def send(
        self, kind: Kind, flags: int, number: int, length: int = 0, body: bytes | memoryview = b""
    ) -> None:
        """Queue a frame of a stream. MuxedStreamReset when the connection has ended."""
        await self._outbox.put(encode(kind, flags, number, length, body))

    def send_at_once(
        self, kind: Kind, flags: int, number: int, length: int, body: bytes | memoryview
    ) -> bool:
        """As `send`, if the frame need not wait; else False."""
        return self._outbox.put_at_once(encode(kind, flags, number, length, body))

    def return_window(self, number: int, increment: int) -> None:
        """Let the peer send more on a stream."""
        self._outbox.put_nowait(encode(Kind.WINDOW_UPDATE, 0, number, increment))

    def forget_if_done(self, stream: MuxedStream) -> None:
        if stream.done:
            self._streams.pop(stream.number, None)

    # --- out and in -----------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while True:
                await self.secured_conn.write(await self._outbox.take())
        except BaseLibp2pError:
            return  # the reader sees the end, too

    async def _read(self) -> None:
        """Until the connection ends, or the peer breaks the protocol."""
        parser = Parser()
        try:
            while True:
                for event in parser.feed(await self.secured_conn.read()):
                    if isinstance(event, bytes):
                        self._on_body(event)
                    elif event.kind is Kind.GO_AWAY:
                        return
                    else:
                        self._on_frame(event)
        except (BaseLibp2pError, NoiseInvalidMessage) as error:
            log.debug("the connection to %s has ended: %s", self.peer_id, error)
        except ProtocolError as error:
            log.warning("%s broke the yamux protocol: %s", self.peer_id, error)

    def _on_frame(self, frame: Frame) -> None:
        if frame.kind is Kind.PING:
            self._on_ping(frame)
            return
        stream = self._streams.get(frame.number)
        if frame.flags & SYN:
            stream = self._on_new(frame.number)
        if frame.kind is Kind.DATA:
            self._expect_body(stream, frame)
        elif stream is not None:
            stream.on_window(frame.length)
        if frame.flags & RST and stream is not None:
            stream.on_reset()
        if frame.flags & FIN and stream is not None and self._body.left == 0:
            stream.on_end()
        if stream is not None:
            self.forget_if_done(stream)

    def _on_ping(self, frame: Frame) -> None:
        if frame.flags & SYN:
            self._outbox.reply(encode(Kind.PING, ACK, 0, frame.length))
        elif frame.flags & ACK:
            self.round_trip = trio.current_time() - self._ping_sent

    def _on_new(self, number: int) -> MuxedStream | None:
        """A stream of the peer, or None when it has too many already."""
        if number % 2 == self.is_initiator or number in self._streams:
            raise ProtocolError(f"opens stream {number}")
        stream = MuxedStream(self, number)
        try:
            self._accepted.send_nowait(stream)
        except trio.WouldBlock:
            self._outbox.reply(encode(Kind.WINDOW_UPDATE, RST, number, 0))
            return None
        self._streams[number] = stream
        self._outbox.reply(encode(Kind.WINDOW_UPDATE, ACK, number, 0))
        return stream

    def _expect_body(self, stream: MuxedStream | None, frame: Frame) -> None:
        """The window is checked before a byte of the body is kept."""
        if frame.length > (stream.receive_window if stream else LARGEST_WINDOW):
            raise ProtocolError(f"sends {frame.length} bytes beyond its window")
        if stream is not None:
            stream.receive_window -= frame.length
        self._body = _Body(stream, frame.length, bool(frame.flags & FIN))

    def _on_body(self, piece: bytes) -> None:
        body = self._body
        body.left -= len(piece)
        if body.stream is None:
            return  # of a stream that we have just given up
        body.stream.on_data(piece)
        if body.left == 0 and body.ends:
            body.stream.on_end()
            self.forget_if_done(body.stream)


@dataclass(slots=True)
class _Body:
    """The DATA frame that is arriving."""

    stream: MuxedStream | None
    left: int
    ends: bool
