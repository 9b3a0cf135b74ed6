"""What a node that works in rounds does when others ask: which message is worth what.

AGGREGATED(k)   older than proven             -> old
                above what can be proven      -> refused, its proof asked for
                above the round worked for    -> accepted: the first copy wins
                an attempt with its number    -> accepted when nothing is under way, when its
                                                 sender comes first in ORDER(k), or when it
                                                 builds on the attempt that was worked for
TRAINED(r)      of a round that is proven     -> old
                otherwise                     -> the aggregator's
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gossipd.protocol.activity import Activity, rank
from gossipd.protocol.aggregator import Aggregator
from gossipd.protocol.bases import Bases
from gossipd.protocol.courier import Courier, Progress
from gossipd.protocol.events import Answer, Output, Requested, SignedDocument
from gossipd.protocol.letters import Judge
from gossipd.protocol.lineage import Relation, compare
from gossipd.protocol.proof import RoundClock
from gossipd.protocol.pulls import Pulls
from gossipd.protocol.tasks import Task
from gossipd.protocol.trainer import Phase, Trainer
from gossipd.protocol.view import SwarmView
from gossipd.wire.messages import (
    Advert,
    Aggregated,
    Have,
    Offer,
    Ping,
    Pong,
    Response,
    RoundQuery,
    RoundState,
    Trained,
    Want,
)


@dataclass(frozen=True, slots=True)
class Inbox:
    """Reads, judges, answers."""

    swarm: bytes
    view: SwarmView
    activity: Activity
    clock: RoundClock
    bases: Bases
    trainer: Trainer
    aggregator: Aggregator
    pulls: Pulls
    judge: Judge
    courier: Courier
    pong: Callable[[], Pong]
    takes_part: Callable[[], bool]
    """Whether this node exchanges models at all."""
    progress: Progress
    """Called when a higher round was proven."""
    working: Callable[[float], None]
    """Called when others work on a round."""
    quiet: Callable[[float], float]
    """Seconds for which no round has been seen to go on."""
    begin: Callable[[Task, float, list[Output]], None]

    def on_request(self, event: Requested, now: float, out: list[Output]) -> bool:
        """True when the request is one that is answered otherwise than in the asynchronous mode."""
        peer, message = event.peer, event.message
        self.activity.heard(peer, self.clock.next)
        answer: Response
        if isinstance(message, Ping):
            if self.takes_part():
                self.courier.doubt(peer, message.est, now, out)
            answer = self.pong()
        elif isinstance(message, Have):
            # What cannot be proven, others would only refuse.
            shown = self.takes_part() and not self.view.unproven(self.bases.lineage)
            answer = self.pulls.answer(peer, message) if shown else Offer()
        elif isinstance(message, Offer):
            if self.takes_part():
                self.pulls.on_offer(peer, event.documents, now, out)
            answer = Want()
        elif isinstance(message, Trained):
            state = self._on_trained(peer, message, event.documents, now, out)
            answer = self.clock.shown(state, above=message.round - 1)
        elif isinstance(message, Aggregated):
            state = self._on_aggregated(peer, message, event.documents, now, out)
            answer = self.clock.shown(state, above=message.round)
        elif isinstance(message, RoundQuery):
            state = self.state_of(peer, message, now, out)
            answer = self.clock.shown(state, above=message.round, quiet=self.quiet(now))
        elif isinstance(message, Advert):
            self.judge.take(peer, event.documents, now, out)
            answer = self.pong()
        else:
            return False
        out.append(Answer(event.token, answer))
        return True

    def state_of(self, peer: str, query: RoundQuery, now: float, out: list[Output]) -> RoundState:
        """What this node does about the sample that is asked about."""
        if query.sample is None:
            return "unknown"
        if query.about == "training":
            works = self.trainer.reports_to(peer, query.sample, now, out)
            return "accepted" if works else "unknown"
        return self.aggregator.state(query.sample)

    # --- AGGREGATED ------------------------------------------------------------------------------

    def _on_aggregated(
        self,
        peer: str,
        message: Aggregated,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> RoundState:
        self._take(peer, message, documents, now, out)
        if not self.takes_part():
            return "refused"
        if self.clock.learn_from(message.previous, documents):
            self.progress(now, out)
        task = self.judge.task(peer, message, documents, now, out)
        if task is None:
            return "refused"
        if task.round > self.clock.next:
            # Perhaps the witnesses are not known here yet; a newer view is on its way.
            self.courier.doubt(peer, task.round, now, out)
            return "refused"
        state = self.worth(task)
        if state == "accepted":

            def proven(ok: bool, later: float, outputs: list[Output]) -> None:
                if ok and self.worth(task) == "accepted":
                    self.begin(task, later, outputs)

            self.judge.prove(peer, (task.model, task.serving), proven, now, out)
        return state

    def worth(self, task: Task) -> RoundState:
        """What a hand-out is worth beside the one that this node works for."""
        current, proven = self.trainer.task, self.clock.proven
        if task.round < proven:
            return "old"
        if current is None or task.round > current.round:
            return "accepted"
        if task.round <= max(current.round - 1, proven) or task.sample.id == current.sample.id:
            return "old"
        if self.trainer.phase is Phase.IDLE or self._precedence(task) < self._precedence(current):
            return "accepted"
        if self.trainer.phase is Phase.WAITING and _continues(task, current):
            return "accepted"
        return "refused"

    def _precedence(self, task: Task) -> tuple[bool, bytes]:
        alone = len(task.sample.sample.peers) == 1
        return alone, rank(self.swarm, task.sample.author, task.round)

    # --- TRAINED ---------------------------------------------------------------------------------

    def _on_trained(
        self,
        peer: str,
        message: Trained,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> RoundState:
        self._take(peer, message, documents, now, out)
        if not self.takes_part():
            return "refused"
        delivery = self.judge.delivery(peer, message, documents, now, out)
        if delivery is None:
            return "refused"
        if delivery.round > self.clock.next + 1:
            self.courier.doubt(peer, delivery.round, now, out)
            return "unknown"
        states: list[RoundState] = []

        def proven(ok: bool, later: float, outputs: list[Output]) -> None:
            if ok:
                self.working(later)
                states.append(self.aggregator.on_trained(peer, delivery, later, outputs))

        updates = (delivery.head, delivery.base, delivery.serving)
        self.judge.prove(peer, updates, proven, now, out)
        # Until its claims are here it is neither taken nor refused; the trainer asks again.
        return states[0] if states else "collecting"

    def _take(
        self,
        peer: str,
        message: Trained | Aggregated,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        self.judge.take(peer, documents, now, out)
        self.activity.told_by(peer, message.activity)
        self.activity.merge(message.activity, at_most=self.clock.next)


def _continues(task: Task, current: Task) -> bool:
    """Whether an attempt builds on what was trained for another one with its number."""
    theirs = {} if task.model is None else task.model.manifest.lineage
    own = {} if current.model is None else current.model.manifest.lineage
    return compare(own, theirs) is Relation.AHEAD
