"""Streams of a connection: opening ours, serving the peer's."""

import logging
import math
from collections import Counter
from collections.abc import Callable

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.protocol_muxer.exceptions import MultiselectClientError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from gossipd.network import blobs, rpc
from gossipd.network.bridge import Bridge, BridgeDown
from gossipd.network.interface import Handlers
from gossipd.network.link import Link, Unsupported
from gossipd.network.pipe import Pipe, PipeBroken, PipeStalled
from gossipd.network.rpc import ProtocolViolation, RpcServer
from gossipd.network.upload import Upload

log = logging.getLogger(__name__)

STREAMS_PER_CONNECTION = 16
"""Streams of one connection that may be open, ours included; ours need four. Ours."""


async def open_pipe(connection: SwarmConn, protocol: str, stall: float) -> Pipe:
    """A new stream of ours; PipeBroken, PipeStalled, Unsupported."""
    try:
        with trio.fail_after(stall):
            stream = await connection.new_stream()
            await MultiselectClient().select_one_of(
                [TProtocol(protocol)], MultiselectCommunicator(stream), math.ceil(stall)
            )
    except trio.TooSlowError:
        raise PipeStalled from None
    except MultiselectClientError as error:
        if "not supported" in str(error):
            raise Unsupported(protocol) from None
        raise PipeBroken(str(error)) from None
    except BaseLibp2pError as error:
        raise PipeBroken(str(error)) from None
    return Pipe(stream, stall)


class Inbound:
    """The peer's streams: libp2p chooses the protocol, ours are served here.

    :param link: the link of a connection on which our protocols are spoken
    :param refuse: (connection, reason): count it and end the connection
    :param abort: (connection, reason): end the connection
    """

    def __init__(
        self,
        host: BasicHost,
        bridge: Bridge,
        handlers: Handlers,
        counters: Counter[str],
        stall: float,
        upload: Upload,
        link: Callable[[SwarmConn], Link],
        refuse: Callable[[SwarmConn, str], None],
        abort: Callable[[SwarmConn, str], None],
    ) -> None:
        self._host = host
        self._bridge = bridge
        self._handlers = handlers
        self._counters = counters
        self._stall = stall
        self._upload = upload
        self._link = link
        self._refuse = refuse
        self._abort = abort
        host.set_stream_handler(TProtocol(rpc.PROTOCOL), self._serve_rpc)
        host.set_stream_handler(TProtocol(blobs.PROTOCOL), self._serve_blobs)

    async def serve(self, stream: INetStream) -> None:
        """Any inbound stream. Nothing may leave here: upstream, it would end the process."""
        connection = _connection_of(stream)
        if len(connection.streams) > STREAMS_PER_CONNECTION:
            self._refuse(connection, "too-many-streams")
            return
        pipe = Pipe(stream, self._stall)
        try:
            await self._host._swarm_stream_handler(stream)
            await pipe.finish()
            return
        except ProtocolViolation as violation:
            self._refuse(connection, violation.reason)
        except PipeStalled:
            self._counters["streams-stalled"] += 1
        except (BaseLibp2pError, UnicodeDecodeError) as error:
            log.debug("a stream of %s ended: %s", connection.muxed_conn.peer_id, error)
            self._counters["streams-broken"] += 1
        except Exception:
            log.exception("a stream of %s failed", connection.muxed_conn.peer_id)
            self._counters["stream-errors"] += 1
        await pipe.reset()

    async def _serve_rpc(self, stream: INetStream) -> None:
        connection = _connection_of(stream)
        peer = self._link(connection).peer

        async def answer(payload: bytes) -> bytes | None:
            self._counters["requests_in"] += 1
            try:
                return await self._bridge.ask(self._handlers.request, peer, payload)
            except BridgeDown:
                return None
            except Exception:
                self._counters["request-errors"] += 1
                log.exception("a request of %s failed", peer)
                return None

        server = RpcServer(Pipe(stream, self._stall), answer, self._stall)
        self._abort(connection, await server.run())

    async def _serve_blobs(self, stream: INetStream) -> None:
        peer = self._link(_connection_of(stream)).peer

        async def lookup(key: bytes) -> memoryview | bytes | None:
            try:
                return await self._bridge.ask(self._handlers.blob, peer, key)
            except BridgeDown:
                return None
            except Exception:
                self._counters["blob-errors"] += 1
                log.exception("looking up a blob for %s failed", peer)
                return None

        def sent() -> None:
            self._counters["blobs_out"] += 1

        await blobs.serve(Pipe(stream, self._stall), lookup, self._stall, sent, self._upload)


def _connection_of(stream: INetStream) -> SwarmConn:
    connection = stream.swarm_conn  # type: ignore[attr-defined]
    assert isinstance(connection, SwarmConn)
    return connection
