"""An operator without a daemon: answers what it is told to, remembers what it was asked."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gossipd.control.events import EventLog
from gossipd.control.logs import LogRing
from gossipd.control.server import serve
from gossipd.errors import ExitCode, OperatorError

PEER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
OTHER = "12D3KooWHCJbJKGDfCgHRoCuK9q4STyRnVveqLoXAPBbXHTZx9Cv"


class FakeOperator:
    """Implements `gossipd.control.operator.Operator`."""

    def __init__(self, home: str = "/home", pid: int = 4242) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.warnings: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.evaluating = asyncio.Event()
        self.may_evaluate = asyncio.Event()
        self.may_evaluate.set()
        self.stopped = asyncio.Event()
        self._home = home
        self._pid = pid
        self._paused = False
        self.used: str | None = None
        self.blocked: list[str] = []
        self.accuracy: float | None = 0.9375

    def status(self) -> dict[str, Any]:
        if self.failure:
            raise self.failure
        address = f"/ip4/192.0.2.7/tcp/4001/p2p/{PEER}"
        model = {
            "hash": "ab" * 32,
            "held_out_loss": 0.25,
            "held_out_accuracy": self.accuracy,
            "held_out": {"accuracy": 0.9375},
        }
        return {
            "peer_id": PEER,
            "version": "0.1.0",
            "pid": self._pid,
            "uptime": 3725.5,
            "home": self._home,
            "mode": "rounds",
            "author": "0011223344556677",
            "swarm": "cd" * 32,
            "task": "digits",
            "addresses": [address],
            "join": f"gossipd start --peer {address}",
            "network": {
                "healthy": True,
                "detail": "",
                "restarts": 0,
                "connected": 1,
                "known": 2,
                "allow": [],
                "block": self.blocked,
                "bytes_in": 1_234_567,
                "bytes_out": 89,
            },
            "training": {
                "paused": self._paused,
                "why_not": "paused by the operator" if self._paused else None,
                "steps": 12_340,
                "cycles": 685,
                "loss": float("nan"),
                "examples": 1437,
                "class_counts": [140, 150],
            },
            "guest": {
                "train_when": "always",
                "plugged": True,
                "battery": None,
                "bytes_today": 0,
                "resting": None,
            },
            "using": {"hash": self.used or "ab" * 32, "chosen": self.used is not None},
            "models": {
                "base": {
                    "hash": "ef" * 32,
                    "held_out_loss": None,
                    "held_out_accuracy": None,
                    "held_out": {},
                },
                "head": model,
                "serving": model,
            },
            "updates": {
                "offered": 5,
                "fetched": 4,
                "merged": 3,
                "adopted": 0,
                "redundant": 1,
                "refused": 2,
            },
            "coding": {
                "setting": "auto",
                "published": {"q2+deflate": 12, "q3+deflate": 3},
                "bodies_sent": 20,
                "bytes_sent": 60_000,
                "bytes_saved": 324_800,
                "references": {"fetched": 1},
            },
            "refused": {"bad-signature": 2},
            "refused_by_peer": {OTHER: {"bad-signature": 2}},
            "errors": {},
            "round": {
                "number": 12,
                "proven": 12,
                "role": "trainer",
                "sample": [PEER, OTHER],
                "aggregators": [OTHER],
            },
            "waiting": [{"what": "body", "whom": OTHER, "seconds": 1.5, "deadline": 20.0}],
            "health": self.health(),
        }

    def rank(self, kind: str, query: str, limit: int) -> dict[str, Any]:
        vote = {
            "peer_id": PEER,
            "similarity": 0.5,
            "terms": 2,
            "items": 1,
            "union": 4,
            "unlike": 0.1,
            "value": 1.0,
            "scale": 0.5,
            "score": 0.3,
        }
        item = {"score": 0.3, "matches": True, "voters": 1, "parts": [vote]}
        if kind == "peers":
            return {
                "query": query or "label/3",
                "kind": kind,
                "items": [{"peer_id": OTHER, **item}],
            }
        model = {"model": "ab" * 32, "author": OTHER, "role": "serving", "tags": ["digits"]}
        return {"query": query or "label/3", "kind": kind, "items": [{**model, **item}]}

    def choose(self, model: str, query: str) -> dict[str, Any]:
        return {"query": query, "model": model, "shared": False}

    def inside(self) -> dict[str, Any]:
        return {
            "threads": 3,
            "tasks": 9,
            "network_tasks": 12,
            "objects": 120_000,
            "types": {"builtins.tuple": 30_000},
            "tables": {"Roster.table": 7},
        }

    def peers(self) -> list[dict[str, Any]]:
        return [
            {
                "peer_id": OTHER,
                "author": "8899aabbccddeeff",
                "state": "connected",
                "address": f"/ip4/192.0.2.8/tcp/4001/p2p/{OTHER}",
                "outbound": True,
                "round_trip": 0.0123,
                "bytes_in": 1_200_000,
                "bytes_out": 34_000,
                "steps": 7,
                "examples": 100,
                "next_dial_in": None,
                "failures": 0,
                "clock": 0.4,
                "last_error": "",
                "refused": {"bad-signature": 2},
                "violations": 2,
            }
        ]

    def block_peer(self, peer: str) -> dict[str, Any]:
        self.asked.append(("block_peer", peer))
        self.blocked = [peer]
        return {"peer_id": peer, "block": self.blocked}

    def unblock_peer(self, peer: str) -> dict[str, Any]:
        self.asked.append(("unblock_peer", peer))
        self.blocked = []
        return {"peer_id": peer, "block": self.blocked}

    def restrict(self, allow: Sequence[str]) -> dict[str, Any]:
        self.asked.append(("restrict", *allow))
        return {"allow": sorted(allow)}

    async def add_peer(self, address: str) -> dict[str, Any]:
        self.asked.append(("add_peer", address))
        peer = address.partition("/p2p/")[2]
        if not peer:
            raise OperatorError(
                "bad-address",
                f"{address} names no peer",
                "end it in /p2p/<peer id>",
                ExitCode.FAILURE,
            )
        return {"peer_id": peer}

    async def remove_peer(self, peer: str) -> dict[str, Any]:
        self.asked.append(("remove_peer", peer))
        return {"peer_id": peer}

    def members(self) -> list[dict[str, Any]]:
        return [
            {
                "peer_id": OTHER,
                "name": "station 4",
                "serial": 1_700_000_000_000,
                "issued": 1_700_000_000.0,
                "not_after": 1_800_000_000,
                "state": "member",
                "founder": False,
            }
        ]

    def issue_membership(self, peer: str, name: str, days: float | None) -> dict[str, Any]:
        self.asked.append(("issue_membership", peer, name, str(days)))
        return {"peer_id": peer, "name": name, "membership": "lQGqbWVt"}

    def invite(self, name: str, days: float | None, uses: int) -> dict[str, Any]:
        self.asked.append(("invite", name, str(days), str(uses)))
        return {
            "line": "gossipd-lAEB",
            "swarm": "cd" * 32,
            "task": "ab" * 32,
            "addresses": [f"/ip4/192.0.2.7/tcp/4001/p2p/{PEER}"],
            **self.invitations()[0],
        }

    def invitations(self) -> list[dict[str, Any]]:
        return [
            {
                "id": "5f3a90c1",
                "name": "station 4",
                "state": "open",
                "uses": 2,
                "used": [OTHER],
                "not_after": 1_800_000_000,
            }
        ]

    def withdraw_invitation(self, invitation: str) -> dict[str, Any]:
        self.asked.append(("withdraw_invitation", invitation))
        return {**self.invitations()[0], "state": "withdrawn"}

    def revoke_member(self, peer: str) -> dict[str, Any]:
        self.asked.append(("revoke_member", peer))
        return {"peer_id": peer, "serial": 1_700_000_000_001}

    def accept_membership(self, membership: str) -> dict[str, Any]:
        self.asked.append(("accept_membership", membership))
        return {"peer_id": PEER, "swarm": "cd" * 32}

    def models(self) -> list[dict[str, Any]]:
        return [
            {
                "hash": "ab" * 32,
                "role": "serving",
                "author": PEER,
                "created": 1_700_000_000.0,
                "lineage": {"0011223344556677": 1200, "8899aabbccddeeff": 34},
                "held_out_loss": 0.25,
                "held_out_accuracy": None,
                "size": 19_240,
                "codec": "q3+deflate",
                "body_size": 1_210,
                "used": self.used is not None,
                "pinned": False,
            }
        ]

    def show_model(self, model: str) -> dict[str, Any]:
        self.asked.append(("show_model", model))
        said = {"title": "Seals", "tags": ["digits"], "licence": "CC-BY-4.0", "labels": ["label/3"]}
        return {**self.models()[0], **said, "task": "digits", "here": True}

    def search_models(self, query: str, limit: int) -> dict[str, Any]:
        self.asked.append(("search_models", query, str(limit)))
        if query == "nonsense":
            return {"query": query, "items": []}
        said = {
            "title": "Seals",
            "licence": "CC-BY-4.0",
            "labels": ["label/3"],
            "loss": 0.25,
            "accuracy": 0.9375,
            "created": 1_700_000_000.0,
            "here": True,
            "used": self.used is not None,
            "pinned": False,
        }
        return {"query": query, "items": [{**self.rank("models", query, 1)["items"][0], **said}]}

    async def use_model(self, model: str | None) -> dict[str, Any]:
        self.asked.append(("use_model", str(model)))
        self.used = None if model is None else "ab" * 32
        return {"hash": "ab" * 32, "chosen": model is not None, "query": model and "seals"}

    async def roll_back(self) -> dict[str, Any]:
        self.asked.append(("roll_back",))
        return {"hash": "cd" * 32, "chosen": True, "query": None, "before": "ab" * 32}

    async def pin_model(self, model: str) -> dict[str, Any]:
        self.asked.append(("pin_model", model))
        return {"hash": "ab" * 32, "pinned": True, "query": "label/3"}

    def unpin_model(self, model: str) -> dict[str, Any]:
        self.asked.append(("unpin_model", model))
        return {"hash": "ab" * 32, "pinned": False, "query": None}

    async def evaluate(self) -> dict[str, Any]:
        self.evaluating.set()
        await self.may_evaluate.wait()
        return {"hash": "ab" * 32, "loss": 0.25, "accuracy": 0.95, "examples": 360}

    def identity(self) -> dict[str, Any]:
        return {"peer_id": PEER, "public_key": "00" * 32}

    def pause(self) -> dict[str, Any]:
        self._paused = True
        return {"paused": True}

    def resume(self) -> dict[str, Any]:
        self._paused = False
        return {"paused": False}

    async def export(self, model: str, path: str) -> dict[str, Any]:
        self.asked.append(("export", model, path))
        return {"hash": "ab" * 32, "path": path, "size": 19_240}

    async def export_bundle(self, path: str, everything: bool, force: bool) -> dict[str, Any]:
        self.asked.append(("export_bundle", path, str(everything), str(force)))
        return {"path": path, "bytes": 4711, "records": 3, "claims": 3, "updates": 2}

    async def import_bundle(self, path: str) -> dict[str, Any]:
        self.asked.append(("import_bundle", path))
        return {
            "path": path,
            "author": PEER,
            "created": 1.6e9,
            "taken": 7,
            "known": 1,
            "updates": 2,
            "refused": {"bad-chunk": 1},
        }

    def reload(self) -> dict[str, Any]:
        return {"applied": {"log.level": "debug"}, "restart": ["network.port"]}

    def stop(self) -> dict[str, Any]:
        self.stopped.set()
        return {"pid": self._pid}

    def health(self) -> list[dict[str, Any]]:
        return self.warnings


class WatchedLog(EventLog):
    """Says when somebody has begun to wait for an event."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = threading.Event()

    async def wait(self, seq: int, timeout: float) -> None:
        self.awaited.set()
        await super().wait(seq, timeout)


class ServedOperator:
    """A fake operator behind a real API, on a loop in a thread of its own."""

    def __init__(self, home: Path, pid: int) -> None:
        self.path = home / "api.sock"
        self.operator = FakeOperator(str(home), pid)
        self.events = WatchedLog()
        self.records = LogRing()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def append(self, kind: str, **fields: Any) -> None:
        """Record an event, on the loop as the daemon does."""
        self._loop.call_soon_threadsafe(lambda: self.events.append(kind, **fields))

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10), "the API did not come up"

    def wait(self, timeout: float) -> None:
        """Until somebody stops it."""
        self._thread.join(timeout)

    def stop(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.operator.stopped.set)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the API did not stop"

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        async with serve(self.operator, self.events, self.records, self.path, stop_timeout=2):
            self._ready.set()
            await self.operator.stopped.wait()


@contextlib.contextmanager
def served(home: Path, pid: int = 4242) -> Iterator[ServedOperator]:
    """A fake daemon in `home`, for as long as the block lasts."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    daemon = ServedOperator(home, pid)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()
