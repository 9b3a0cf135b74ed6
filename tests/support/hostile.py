"""A peer that speaks gossipd's protocol and lies: for tests that go through a daemon's port.

It is a real libp2p host with a key of its own. Everything that it says is honest unless a test
says otherwise, so that what a daemon refuses is refused for the one thing that is wrong.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import numpy as np
from msgspec import UNSET

from gossipd.config import LearningConfig, TaskConfig
from gossipd.learning.build import learner_from_config
from gossipd.learning.learner import TorchLearner
from gossipd.network.interface import Handlers, RequestFailed
from gossipd.network.libp2p_transport import Libp2pTransport
from gossipd.runtime.outbound import chunk_hashes
from gossipd.tensors.codecs import encode
from gossipd.tensors.layout import content_hash
from gossipd.wire.clicks import Click, ClickSheet
from gossipd.wire.envelope import Signer, open_manifest, seal
from gossipd.wire.framing import decode_request, decode_response, encode_message
from gossipd.wire.identifiers import author_key, digest
from gossipd.wire.messages import (
    GENESIS,
    ClickPull,
    ClickSheets,
    Have,
    Hello,
    Manifest,
    Offer,
    PeerRecord,
    Request,
    Response,
    StepClaim,
    Update,
    View,
    Want,
)
from support.keys import key_from


class Outsider:
    """An authenticated peer under the test's control."""

    def __init__(self, name: str, swarm: bytes, learner: TorchLearner | None = None) -> None:
        self.seed, self.id, self.signer = key_from(name)
        self.swarm = swarm
        self.membership = b""
        """What it shows, in its Hello and its records."""
        self.incarnation = 1
        self.me = author_key(self.id, self.incarnation)
        self.learner = learner or digits()
        self.layout = self.learner.layout
        self.genesis = self.learner.genesis()
        self.task = digest(
            b"gossipd/1/task/",
            self.learner.task.encode(),
            self.layout.hash,
            content_hash(self.genesis),
        )
        self.blobs: dict[bytes, bytes] = {}
        self.lost: list[str] = []
        self.parted = asyncio.Event()
        """Set once a connection has ended."""
        self.serve_blob: Callable[[str, bytes], Awaitable[bytes | None]] = self._blob
        self._seq = 0
        self.show_clicks: Callable[[ClickPull], bytes] = lambda pull: encode_message(
            ClickSheets(upto=pull.since)
        )
        """What it answers when it is asked for clicks; it is only if its Hello says that it may."""
        self.transport = Libp2pTransport(
            self.seed,
            "127.0.0.1",
            0,
            mdns=False,
            max_connections=16,
            heartbeat_interval=2.0,
            heartbeat_timeout=10.0,
            dial_timeout=10.0,
        )

    async def __aenter__(self) -> Self:
        await self.transport.start(
            Handlers(
                connected=lambda peer, address, outbound: None,
                disconnected=self._disconnected,
                request=self._answer,
                blob=lambda peer, key: self.serve_blob(peer, key),
                discovered=lambda peer, addresses: None,
                refused=lambda whom, reason: None,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.stop()

    def _disconnected(self, peer: str, reason: str) -> None:
        self.lost.append(reason)
        self.parted.set()

    async def _answer(self, peer: str, payload: bytes) -> bytes:
        message = decode_request(payload)
        if isinstance(message, Hello):
            return encode_message(self.hello())
        if isinstance(message, Offer):
            return encode_message(Want())
        if isinstance(message, Have):
            return encode_message(Offer())
        if isinstance(message, ClickPull):
            return self.show_clicks(message)
        return encode_message(View())

    async def _blob(self, peer: str, key: bytes) -> bytes | None:
        return self.blobs.get(key)

    # --- speaking --------------------------------------------------------------------------------

    async def meet(self, daemon: str, addresses: Sequence[str], **hello: Any) -> Response:
        """Connect and say hello; fields of the Hello can be replaced."""
        await self.transport.dial(daemon, addresses, 10.0)
        try:
            return await self.ask(daemon, self.hello(**hello))
        except RequestFailed:  # on a connection that the daemon had just closed
            await self.transport.dial(daemon, addresses, 10.0)
            return await self.ask(daemon, self.hello(**hello))

    async def ask(self, daemon: str, message: Request) -> Response:
        return decode_response(await self.transport.request(daemon, encode_message(message), 10.0))

    async def ask_raw(self, daemon: str, payload: bytes) -> Response:
        return decode_response(await self.transport.request(daemon, payload, 10.0))

    def hello(self, **fields: Any) -> Hello:
        honest: dict[str, Any] = {
            "swarm": self.swarm,
            "task": self.task,
            "layout": self.layout.hash,
            "genesis": content_hash(self.genesis),
            "membership": self.membership,
            "record": self.record(),
            "claim": self.claim(0),
        }
        return Hello(**{**honest, **fields})

    def shows(self, *sheets: bytes, more: bool = False) -> list[ClickPull]:
        """Answer every pull with these sheets; the pulls as they come."""
        pulls: list[ClickPull] = []

        def answer(pull: ClickPull) -> bytes:
            pulls.append(pull)
            return encode_message(ClickSheets(sheets=sheets, upto=pull.since + 1, more=more))

        self.show_clicks = answer
        return pulls

    # --- documents -------------------------------------------------------------------------------

    def seq(self) -> int:
        self._seq += 1
        return self._seq

    def record(self, **fields: Any) -> bytes:
        honest: dict[str, Any] = {
            "incarnation": self.incarnation,
            "seq": self.seq(),
            "addresses": tuple(self.transport.addresses),
            "examples": 100,
            "membership": self.membership or UNSET,
        }
        return seal(PeerRecord(**{**honest, **fields}), self.swarm, self.signer)

    def claim(self, steps: int) -> bytes:
        return seal(StepClaim(incarnation=self.incarnation, steps=steps), self.swarm, self.signer)

    def sheet(self, seq: int, *items: bytes, signer: Signer | None = None) -> bytes:
        """A signed sheet of clicks for these items, all under one query."""
        clicks = tuple(Click("label/1", item) for item in items)
        made = ClickSheet(incarnation=self.incarnation, seq=seq, clicks=clicks)
        return seal(made, self.swarm, signer or self.signer)

    def body(self, offset: float = 0.01) -> bytes:
        """An honest body: a small step away from the initial model."""
        delta = np.full(self.layout.parameters, offset, np.float32)
        return encode("half", delta, self.layout)

    def manifest(self, body: bytes, **fields: Any) -> Manifest:
        """What is true of `body`, except for the fields that a test replaces."""
        decoded = np.frombuffer(body[: len(body) // 2 * 2], np.float16).astype(np.float32)
        honest: dict[str, Any] = {
            "swarm": self.swarm,
            "task": self.task,
            "incarnation": self.incarnation,
            "seq": self.seq(),
            "role": "head",
            "kind": "delta",
            "reference": GENESIS,
            "codec": "half",
            "layout": self.layout.hash,
            "parameters": self.layout.parameters,
            "model": content_hash(self.genesis + decoded)
            if decoded.size == self.layout.parameters
            else digest(b"none"),
            "lineage": {self.me: 10},
            "examples": 100,
            "steps": 10,
            "body_size": len(body),
            "chunks": chunk_hashes(body),
            "created": 1.0,
        }
        return Manifest(**{**honest, **fields})

    def update(self, body: bytes, signer: Signer | None = None, **fields: Any) -> Update:
        """A signed update whose body this peer serves."""
        manifest = self.manifest(body, **fields)
        sealed = seal(manifest, manifest.swarm, signer or self.signer)
        update = open_manifest(sealed, manifest.swarm)
        self.blobs[update.id] = body
        return update

    async def offer(self, daemon: str, update: Update, *, steps: int = 10) -> Response:
        message = Offer(manifests=(update.envelope,), claims=(self.claim(steps),))
        return await self.ask(daemon, message)


_LEARNERS: dict[str, TorchLearner] = {}


def digits() -> TorchLearner:
    """The task that the daemons under test work on; built once per test process."""
    if "digits" not in _LEARNERS:
        _LEARNERS["digits"] = learner_from_config(TaskConfig(), LearningConfig(), seed=0)
    return _LEARNERS["digits"]
