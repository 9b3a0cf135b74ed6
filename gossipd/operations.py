"""What the operator sees of a running daemon and does to it: the control API's `Operator`."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from gossipd import __version__
from gossipd.address import check_address, check_peer_id
from gossipd.config import Config, Paths
from gossipd.errors import ExitCode, OperatorError
from gossipd.identity import Identity
from gossipd.membership import Books, handed_on, row
from gossipd.protocol import events
from gossipd.protocol.roster import State
from gossipd.ranks import chosen, ranked
from gossipd.runtime.assembly import Parts
from gossipd.runtime.bundles import Bundles
from gossipd.runtime.ports import Clock, Compute, StoredModel
from gossipd.storage import bundles
from gossipd.storage.store import DiskStore
from gossipd.wire.errors import WireError
from gossipd.wire.messages import Update

Document = dict[str, Any]

ALONE_SECONDS = 30.0
"""How long a daemon may be without peers before `health` says so."""

SOON_SECONDS = 7 * 86_400.0
"""How long before its end `health` speaks of a membership; ours, time to reach a founder."""

_BUNDLE_HINTS = {
    "not-a-bundle": "give a file that `gossipd bundle export` has written",
    "foreign-swarm": "it is another swarm's; `gossipd status` shows which one this daemon is in",
    "version": "it was written by a newer gossipd: upgrade this one",
}


class Operations:
    """Implements `gossipd.control.operator.Operator` over the daemon's rooms."""

    def __init__(
        self,
        config: Config,
        paths: Paths,
        identity: Identity,
        parts: Parts,
        compute: Compute,
        store: DiskStore,
        books: Books,
        clock: Clock,
        stop: asyncio.Event,
    ) -> None:
        self._config = config
        self._paths = paths
        self._identity = identity
        self._parts = parts
        self._learner = parts.learner
        self._compute = compute
        self._store = store
        self._books = books
        self._clock = clock
        self._stop = stop
        self._bundles = Bundles(parts, compute, clock)
        self._started = time.monotonic()
        self._alone_since: float | None = self._started

    # --- looking ---------------------------------------------------------------------------------

    def status(self) -> Document:
        parts, node = self._parts, self._parts.node
        counters = parts.transport.counters()
        mode, exchange = node.mode, node.exchange.counts
        return {
            "peer_id": self._identity.peer_id,
            "version": __version__,
            "pid": os.getpid(),
            "uptime": time.monotonic() - self._started,
            "home": str(self._paths.home),
            "mode": self._config.mode,
            "author": node.me.hex(),
            "swarm": node.setup.swarm.id.hex(),
            "membership": self._membership(),
            "task": self._learner.task,
            "addresses": list(parts.transport.addresses),
            "join": self._join_line(),
            "network": {
                "healthy": parts.engine.network_healthy,
                "detail": parts.engine.network_detail,
                "restarts": counters.get("restarts", 0),
                "connected": sum(p.state is State.ADMITTED for p in node.peers.table.values()),
                "known": len(node.peers),
                "allow": sorted(node.peers.overlay.allowed),
                "bytes_in": counters.get("bytes_in", 0),
                "bytes_out": counters.get("bytes_out", 0),
            },
            "training": {
                "paused": mode.paused,
                "steps": node.view.steps_of(node.me),
                "cycles": mode.cycles,
                "loss": mode.loss,
                "examples": self._learner.examples,
                "class_counts": self._learner.class_counts,
            },
            "round": self._round(),
            "models": {role: self._model(role) for role in ("base", "head", "serving")},
            "updates": {
                "offered": node.offers_sent,
                "fetched": exchange.fetched + (node.rounds.fetcher.fetched if node.rounds else 0),
                "merged": mode.merged,
                "adopted": mode.adopted,
                "redundant": exchange.redundant + exchange.duplicate,
                "refused": exchange.refused,
                "gated": mode.gated,
            },
            "coding": self._coding(),
            "clicks": node.clicks.status(),
            "refused": dict(node.peers.refused),
            "refused_by_peer": {
                p.id: dict(p.refused) for p in node.peers.table.values() if p.refused
            },
            "errors": dict(parts.engine.errors),
            "waiting": self._waiting(),
            "health": self.health(),
        }

    def _coding(self) -> Document:
        """What `gossip.codec` has come to, and what that saves against float32."""
        sent = self._parts.outbound
        return {
            "setting": self._config.gossip.codec,
            "published": dict(sent.published),
            "bodies_sent": sent.bodies_sent,
            "bytes_sent": sent.bytes_sent,
            "bytes_saved": sent.bodies_sent * sent.whole_bytes - sent.bytes_sent,
            "references": dict(self._parts.inbound.references.counts),
        }

    def _membership(self) -> Document | None:
        """Of a closed swarm; None in an open one."""
        members = self._parts.node.members
        if members.own is None:
            return None
        revoked = {r.revocation.member: r.revocation.serial for r in members.revocations()}
        return {
            **row(members.own, revoked, self._clock.wall()),
            "founded_by": members.own.founder,
            "known": len(members.known()),
            "revoked": len(revoked),
        }

    def _round(self) -> Document | None:
        rounds = self._parts.node.rounds
        if rounds is None:
            return None
        return {
            "number": rounds.round,
            "proven": rounds.clock.proven,
            "role": rounds.role,
            "sample": list(rounds.sample),
            "aggregators": list(rounds.trainer.aggregators),
        }

    def _model(self, role: str) -> Document:
        model: bytes = getattr(self._parts.models.pointers, role)
        evaluation = self._parts.outbound.evaluations.get(model)
        return {
            "hash": model.hex(),
            "held_out_loss": evaluation.loss if evaluation else None,
            "held_out_accuracy": evaluation.accuracy if evaluation else None,
        }

    def _waiting(self) -> list[Document]:
        now = time.monotonic()
        return [
            {
                "what": wait.what,
                "whom": wait.whom,
                "seconds": now - wait.since,
                "deadline": wait.deadline - now,
            }
            for wait in self._parts.waits.open()
        ]

    def _join_line(self) -> str:
        addresses = self._parts.transport.addresses
        if not addresses:
            return ""
        reachable = [a for a in addresses if not a.startswith(("/ip4/127.", "/ip6/::1/"))]
        words = ["gossipd", "start"]
        if self._config.swarm.id and not self._parts.node.members.closed:
            words += ["--swarm", self._config.swarm.id]
        if self._config.task.name == "idx":
            words += ["--data", "DIR"]
        if self._config.mode != Config().mode:
            words += ["--set", f"mode={self._config.mode}"]
        return " ".join([*words, "--peer", (reachable or list(addresses))[0]])

    def rank(self, kind: Literal["peers", "models"], query: str, limit: int) -> Document:
        return ranked(self._parts.node, kind, query, limit)

    def choose(self, model: str, query: str) -> Document:
        shared = self._config.ranking.share_clicks
        event = chosen(self._parts.node, model, query, shared=shared)
        self._parts.engine.feed(event)
        return {"query": event.query, "model": model, "shared": shared}

    def peers(self) -> list[Document]:
        node = self._parts.node
        live = {c.peer: c for c in self._parts.transport.connections()}
        now = time.monotonic()
        rows = []
        for peer in node.peers:
            connection = live.get(peer.id)
            record = node.view.record_of(peer.id)
            waiting = peer.state.value in ("known", "backing-off") and bool(peer.addresses)
            rows.append(
                {
                    "peer_id": peer.id,
                    "state": peer.state.value,
                    "address": connection.remote_address
                    if connection
                    else next(iter(peer.addresses), None),
                    "outbound": connection.outbound if connection else None,
                    "round_trip": connection.round_trip if connection else None,
                    "steps": node.view.steps_of_peer(peer.id),
                    "examples": record.record.examples if record else None,
                    "next_dial_in": max(peer.next_dial - now, 0.0) if waiting else None,
                    "failures": peer.failures,
                    "last_error": peer.last_error,
                    "refused": dict(peer.refused),
                }
            )
        return rows

    def models(self) -> list[Document]:
        pointers = self._parts.models.pointers
        roles = {pointers.base: "base", pointers.serving: "serving", pointers.head: "head"}
        rows = []
        for stored in self._store.models():
            update = self._update_of(stored)
            rows.append(
                {
                    "hash": stored.model.hex(),
                    "role": roles.get(stored.model, "other"),
                    "author": self._author_of(stored, update),
                    "codec": None if update is None else update.manifest.codec,
                    "body_size": None if update is None else update.manifest.body_size,
                    "created": stored.created,
                    "lineage": {author.hex(): steps for author, steps in stored.lineage.items()},
                    "held_out_loss": stored.loss,
                    "held_out_accuracy": stored.accuracy,
                    "size": self._parts.models.layout.parameters * 4,
                }
            )
        return rows

    def _update_of(self, stored: StoredModel) -> Update | None:
        sealed = None if stored.update is None else self._store.load_manifest(stored.update)
        return None if sealed is None else self._parts.documents.open_manifest(sealed)

    def _author_of(self, stored: StoredModel, update: Update | None) -> str | None:
        """Who signed a model's update; the own id for averages, which nobody signs."""
        if stored.update is None:
            return self._identity.peer_id
        return None if update is None else update.author

    def identity(self) -> Document:
        return {
            "peer_id": self._identity.peer_id,
            "public_key": self._identity.public_key.hex(),
            "addresses": list(self._parts.transport.addresses),
        }

    def health(self) -> list[Document]:
        node, engine = self._parts.node, self._parts.engine
        found: list[Document] = []

        def warn(code: str, severity: str, text: str, fix: str) -> None:
            found.append({"code": code, "severity": severity, "text": text, "fix": fix})

        if node.identity_in_use:
            warn(
                "identity-in-use",
                "error",
                "another daemon signs with this key, or this state is an old copy; nothing is "
                "published any more",
                "give one of the two a home of its own, or delete state.db here to begin a new "
                "incarnation",
            )
        if not engine.network_healthy:
            warn("network-down", "error", engine.network_detail, "it restarts by itself; see logs")
        if engine.errors.get("storage"):
            warn(
                "storage-failing",
                "error",
                f"{engine.errors['storage']} writes failed",
                "make room on the disk or check its permissions",
            )
        if node.mode.last_failure is not None:
            warn("learning-failed", "warning", node.mode.last_failure, "see `gossipd events`")
        membership = self._membership()
        if membership is not None and membership["state"] != "member":
            warn(
                f"membership-{membership['state']}",
                "error",
                "the other members of this closed swarm turn this device away",
                "ask the founder for a new membership, then: gossipd members accept FILE",
            )
        elif membership is not None and membership["not_after"] is not None:
            left = membership["not_after"] - self._clock.wall()
            if left < SOON_SECONDS:
                warn(
                    "membership-ends",
                    "info",
                    f"the membership of this closed swarm ends in {left / 86_400:.1f} days",
                    "ask the founder for a new membership, then: gossipd members accept FILE",
                )
        now = time.monotonic()
        if node.peers.admitted():
            self._alone_since = None
        else:
            self._alone_since = self._alone_since or now
            if now - self._alone_since > ALONE_SECONDS:
                warn("alone", "warning", "no peer is connected", "gossipd peers add ADDRESS")
        return found

    # --- doing -----------------------------------------------------------------------------------

    async def add_peer(self, address: str) -> Document:
        peer = check_address(address)
        if peer == self._identity.peer_id:
            raise OperatorError(
                "own-address", "that is this daemon itself", "give another's", ExitCode.USAGE
            )
        self._parts.engine.feed(events.Discovered(peer, (address,), "operator"))
        return {"peer_id": peer, "address": address}

    async def remove_peer(self, peer: str) -> Document:
        if peer not in self._parts.node.peers:
            raise OperatorError(
                "unknown-peer", f"no peer {peer!r}", "`gossipd peers ls` lists them"
            )
        self._parts.engine.feed(events.Forgotten(peer))
        return {"peer_id": peer}

    def restrict(self, allow: Sequence[str]) -> Document:
        for peer in allow:
            check_peer_id(peer)
        self._parts.engine.feed(events.Restricted(tuple(allow)))
        return {"allow": sorted(self._parts.node.peers.overlay.allowed)}

    def members(self) -> list[Document]:
        return self._books.rows(self._clock.wall())

    def issue_membership(self, peer: str, name: str, days: float | None) -> Document:
        return handed_on(self._books.issue(peer, name, days, self._clock.wall()))

    def revoke_member(self, peer: str) -> Document:
        signed = self._books.revoke(peer, self._clock.wall())
        self._parts.engine.feed(events.MemberRevoked(signed))
        return {"peer_id": peer, "serial": signed.revocation.serial}

    def accept_membership(self, membership: str) -> Document:
        parts = self._parts
        if not parts.node.members.closed:
            raise OperatorError(
                "already-running",
                "a daemon stays in its swarm as long as it runs",
                "gossipd stop; then accept the membership, and start again",
                ExitCode.ALREADY_RUNNING,
            )
        signed = self._books.accept(membership)
        parts.documents.membership = signed.envelope
        parts.engine.feed(events.MembershipRenewed(signed))
        parts.engine.feed(events.RecordChanged(parts.record(parts.transport.addresses)))
        return handed_on(signed)

    async def evaluate(self) -> Document:
        model = self._parts.models.pointers.serving
        result = await self._compute.run(lambda: self._learner.test(self._parts.models.get(model)))
        return {
            "hash": model.hex(),
            "loss": result.loss,
            "accuracy": result.accuracy,
            "examples": result.examples,
        }

    async def export(self, model: str, path: str) -> Document:
        found = self._find_model(model)
        size = await self._compute.run(
            lambda: self._store.export(
                Path(path), self._parts.models.get(found), self._parts.models.layout
            )
        )
        return {"hash": found.hex(), "path": path, "size": size}

    async def export_bundle(self, path: str, everything: bool, force: bool) -> Document:
        outgoing = await self._bundles.export(everything=everything)
        await asyncio.to_thread(bundles.write, Path(path), outgoing.pieces, overwrite=force)
        return {"path": path, **outgoing.counts}

    async def import_bundle(self, path: str) -> Document:
        try:
            with bundles.reading(Path(path)) as source:
                return {"path": path, **await self._bundles.take(source)}
        except WireError as error:
            raise OperatorError(
                error.reason,
                f"nothing in {path} is of use here: {error.detail}",
                _BUNDLE_HINTS.get(error.reason, "export it anew"),
            ) from None

    def _find_model(self, named: str) -> bytes:
        """The one model with this role, or whose hash begins so."""
        pointers = self._parts.models.pointers
        if named in ("base", "head", "serving"):
            return bytes(getattr(pointers, named))
        known = {stored.model for stored in self._store.models()}
        found = [model for model in known if model.hex().startswith(named)]
        if len(found) != 1:
            raise OperatorError(
                "unknown-model" if not found else "ambiguous-model",
                f"{len(found) or 'no'} models here begin with {named}",
                "`gossipd models ls --all` lists them",
            )
        return found[0]

    def pause(self) -> Document:
        self._parts.engine.feed(events.SetPaused(True))
        return {"paused": True}

    def resume(self) -> Document:
        self._parts.engine.feed(events.SetPaused(False))
        return {"paused": False}

    def stop(self) -> Document:
        self._stop.set()
        return {"pid": os.getpid()}
