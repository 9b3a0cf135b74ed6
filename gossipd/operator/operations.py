"""What the operator sees of a running daemon and does to it: the control API's `Operator`."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from gossipd import __version__
from gossipd.address import check_address, check_peer_id
from gossipd.config import Config, Paths
from gossipd.configfile import block
from gossipd.errors import ExitCode, OperatorError
from gossipd.machine.data_files import DataFiles
from gossipd.machine.upkeep import Upkeep
from gossipd.members.identity import Identity
from gossipd.members.invitations import Invitations
from gossipd.members.membership import Books, handed_on, row
from gossipd.operator.census import census
from gossipd.operator.choices import Choices
from gossipd.operator.collection import Collection
from gossipd.operator.health import Health
from gossipd.operator.ranks import chosen, ranked
from gossipd.operator.reloading import Reloader
from gossipd.protocol import events
from gossipd.protocol.roster import State
from gossipd.runtime.assembly import Parts
from gossipd.runtime.bundles import Bundles
from gossipd.runtime.ports import Clock, Compute
from gossipd.storage import bundles
from gossipd.storage.store import DiskStore
from gossipd.wire.errors import WireError
from gossipd.wire.invitation import open_line

Document = dict[str, Any]

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
        upkeep: Upkeep,
        reloader: Reloader,
        data: DataFiles,
        report: Callable[[str, Document], None],
    ) -> None:
        self._config = config
        self._paths = paths
        self._identity = identity
        self._parts = parts
        self._learner = parts.learner
        self._compute = compute
        self._store = store
        self._books = books
        self._invitations = Invitations(books)
        self._clock = clock
        self._stop = stop
        self._bundles = Bundles(parts, compute, clock)
        self._collection = Collection(parts, store, identity.peer_id)
        self._choices = Choices(parts, compute, store, clock, self._collection, report, self.choose)
        self._started = time.monotonic()
        self._upkeep = upkeep
        upkeep.watch = self.health
        self._reloader = reloader
        self._health = Health(
            parts,
            paths,
            self._membership,
            clock,
            paused=lambda: upkeep.guest.why,
            stale=lambda: data.problem,
        )

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
                "inbound": sum(not c.outbound for c in parts.transport.connections()),
                "known": len(node.peers),
                "allow": sorted(node.peers.overlay.allowed),
                "block": sorted(node.peers.overlay.blocked),
                "bytes_in": counters.get("bytes_in", 0),
                "bytes_out": counters.get("bytes_out", 0),
            },
            "training": {
                "paused": mode.paused,
                "why_not": self._upkeep.guest.why,
                "steps": node.view.steps_of(node.me),
                "cycles": mode.cycles,
                "loss": mode.loss,
                "examples": self._learner.examples,
                "class_counts": self._learner.class_counts,
            },
            "guest": self._guest(),
            "round": self._round(),
            "models": {role: self._model(role) for role in ("base", "head", "serving")},
            "using": self._choices.using(),
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

    def inside(self) -> Document:
        return census(self._parts, self._store)

    def _guest(self) -> Document:
        guest, day = self._upkeep.guest, self._upkeep.day
        return {
            "train_when": guest.settings.train_when,
            "plugged": guest.power.plugged,
            "battery": guest.power.level,
            "bytes_today": day.bytes,
            "resting": self._upkeep.resting,
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
            "held_out": dict(evaluation.metrics) if evaluation else {},
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
        if not addresses or self._parts.node.members.closed:
            return ""  # nobody enters a closed swarm by an address: `invite` makes the line
        words = ["gossipd", "start"]
        if self._config.swarm.id:
            words += ["--swarm", self._config.swarm.id]
        if self._config.task.name == "idx":
            words += ["--data", "DIR"]
        if self._config.mode != Config().mode:
            words += ["--set", f"mode={self._config.mode}"]
        return " ".join([*words, "--peer", _reachable_first(addresses)[0]])

    def rank(self, kind: Literal["peers", "models"], query: str, limit: int) -> Document:
        return ranked(self._parts.node, kind, query, limit)

    def choose(self, model: str, query: str) -> Document:
        self._collection.note_own()
        shared = self._reloader.config.ranking.share_clicks
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
            author = node.view.author_of(peer.id)
            waiting = peer.state.value in ("known", "backing-off") and bool(peer.addresses)
            rows.append(
                {
                    "peer_id": peer.id,
                    "author": author.hex() if author else None,
                    "state": peer.state.value,
                    "address": connection.remote_address
                    if connection
                    else next(iter(peer.addresses), None),
                    "outbound": connection.outbound if connection else None,
                    "round_trip": connection.round_trip if connection else None,
                    "bytes_in": connection.bytes_in if connection else None,
                    "bytes_out": connection.bytes_out if connection else None,
                    "steps": node.view.steps_of_peer(peer.id),
                    "examples": record.record.examples if record else None,
                    "next_dial_in": max(peer.next_dial - now, 0.0) if waiting else None,
                    "failures": peer.failures,
                    "clock": peer.clock,
                    "last_error": peer.last_error,
                    "refused": dict(peer.refused),
                    "violations": peer.violations,
                }
            )
        return rows

    def models(self) -> list[Document]:
        return self._collection.rows()

    def show_model(self, model: str) -> Document:
        return self._collection.show(model)

    def search_models(self, query: str, limit: int) -> Document:
        return self._collection.search(query, limit)

    def identity(self) -> Document:
        return {
            "peer_id": self._identity.peer_id,
            "public_key": self._identity.public_key.hex(),
            "addresses": list(self._parts.transport.addresses),
        }

    def health(self) -> list[Document]:
        return self._health.look(time.monotonic())

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

    def block_peer(self, peer: str) -> Document:
        check_peer_id(peer)
        if peer == self._identity.peer_id:
            raise OperatorError(
                "own-address", "that is this daemon itself", "give another's", ExitCode.USAGE
            )
        return self._block(peer, True)

    def unblock_peer(self, peer: str) -> Document:
        return self._block(peer, False)

    def _block(self, peer: str, wanted: bool) -> Document:
        block(self._paths, self._reloader.config.network.block, peer, wanted)
        self._reloader.reload()
        return {"peer_id": peer, "block": list(self._reloader.config.network.block)}

    def members(self) -> list[Document]:
        return self._books.rows(self._clock.wall())

    def issue_membership(self, peer: str, name: str, days: float | None) -> Document:
        return handed_on(self._books.issue(peer, name, days, self._clock.wall()))

    def invite(self, name: str, days: float | None, uses: int) -> Document:
        swarm = self._parts.node.setup.swarm
        addresses = _reachable_first(self._parts.transport.addresses)
        if not self._parts.node.members.closed:
            places = [address.rpartition("/p2p/")[0] for address in addresses]
            me = self._identity.peer_id
            line = open_line(swarm.id, swarm.task, me, places, swarm.mode)
            return {"line": line, "swarm": swarm.id.hex(), "task": swarm.task.hex()}
        return self._invitations.make(
            addresses,
            swarm.task,
            swarm.mode,
            name=name,
            days=days,
            uses=uses,
            wall=self._clock.wall(),
        )

    def invitations(self) -> list[Document]:
        return self._invitations.rows(self._clock.wall())

    def withdraw_invitation(self, invitation: str) -> Document:
        return self._invitations.withdraw(invitation, self._clock.wall())

    def revoke_member(self, peer: str) -> Document:
        signed = self._invitations.shut_out(peer, self._clock.wall())
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
        return await self._choices.evaluate()

    async def export(self, model: str, path: str) -> Document:
        found = self._collection.find(model)
        size = await self._compute.run(
            lambda: self._store.export(
                Path(path), self._choices.vector(found), self._parts.models.layout
            )
        )
        return {"hash": found.hex(), "path": path, "size": size}

    async def use_model(self, model: str | None) -> Document:
        return self._choices.follow() if model is None else await self._choices.use(model)

    async def roll_back(self) -> Document:
        return await self._choices.rollback()

    async def pin_model(self, model: str) -> Document:
        return await self._choices.pin(model)

    def unpin_model(self, model: str) -> Document:
        return self._choices.unpin(model)

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

    def pause(self) -> Document:
        self._by_operator(True)
        return {"paused": True}

    def resume(self) -> Document:
        self._by_operator(False)
        return {"paused": self._parts.node.mode.paused}

    def _by_operator(self, paused: bool) -> None:
        guest = self._upkeep.guest
        guest.by_operator = paused
        self._upkeep.obey(guest.why)

    def reload(self) -> Document:
        return self._reloader.reload()

    def stop(self) -> Document:
        self._stop.set()
        return {"pid": os.getpid()}


def _reachable_first(addresses: Sequence[str]) -> list[str]:
    """Those that other machines can dial come before this machine's own."""
    return sorted(addresses, key=lambda a: a.startswith(("/ip4/127.", "/ip6/::1/")))
