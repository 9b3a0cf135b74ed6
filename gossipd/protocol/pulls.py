"""Anti-entropy of a node that works in rounds: ask one peer now and then for what is new there.

While rounds go on it asks for the serving model, which a node outside the sample predicts with;
when none do, and at a first meeting, for the base: so that islands find each other and a quiet
swarm ends on one model. With it go the view and the proof of the highest round.

A serving model is named by whoever was told of it when a round was handed out, and fetched from the
aggregator that made it: of ten nodes that are asked one has a fresh one, but half know of it. Ours,
measured (5 of 20 sampled, Dirichlet .1, a pull every ten rounds): from round 40 on the worst node
is at most .03 behind all twenty training in every round; by what nodes have themselves, .10.

What is heard of an island that brings much is passed on at once to a few others (see `islands`),
who judge it like an answer.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from gossipd.protocol.antientropy import TIMER
from gossipd.protocol.bases import Bases, ignore
from gossipd.protocol.events import Output, SetTimer, SignedDocument
from gossipd.protocol.exchange import Exchange
from gossipd.protocol.fetching import Fetcher
from gossipd.protocol.islands import RUMOUR_PEERS, Islands
from gossipd.protocol.letters import Judge
from gossipd.protocol.lineage import is_news
from gossipd.protocol.policy import PeerPolicy
from gossipd.protocol.questions import Questions, Then
from gossipd.protocol.view import SwarmView
from gossipd.protocol.view_pulls import ViewPulls
from gossipd.wire.messages import Have, Offer, Response, Role, Update


class Pulls:
    """Asks and answers Have."""

    def __init__(
        self,
        interval: float,
        genesis: bytes,
        bases: Bases,
        islands: Islands,
        exchange: Exchange,
        fetcher: Fetcher,
        judge: Judge,
        policy: PeerPolicy,
        view: SwarmView,
        view_pulls: ViewPulls,
        questions: Questions,
        rng: Random,
        is_quiet: Callable[[float], bool],
        trains: Callable[[], bool],
        query: Callable[[str, float, list[Output]], None],
        round_: Callable[[], int],
    ) -> None:
        self._interval = interval
        self._genesis = genesis
        self._bases = bases
        self._islands = islands
        self._exchange = exchange
        self._fetcher = fetcher
        self._judge = judge
        self._policy = policy
        self._view = view
        self._view_pulls = view_pulls
        self._questions = questions
        self._rng = rng
        self._is_quiet = is_quiet
        """Whether no rounds go on."""
        self._trains = trains
        """Whether this node may be in a sample. Who may not is never an aggregator either, and
        merges what it meets itself: so a node without data carries from island to island."""
        self._query = query
        """Ask a peer for proof of a higher round."""
        self._round = round_
        self._turn = 0
        self._heard: Update | None = None

    def heard(self, serving: Update) -> None:
        """A serving model was handed on beside a round's model: whoever made it has it."""
        self._heard = serving

    @property
    def _rumour(self) -> Update | None:
        """What this node has heard of, while it is fresher than what it has."""
        heard = self._heard
        return heard if heard is not None and self._bases.is_fresher(heard) else None

    def start(self, now: float, out: list[Output]) -> None:
        out.append(SetTimer(TIMER, now + self._interval * self._rng.uniform(0.2, 1.0)))

    def _wait(self, now: float, out: list[Output]) -> None:
        pause = min(self._interval, self._islands.pause(now))
        out.append(SetTimer(TIMER, now + pause * self._rng.uniform(0.7, 1.3)))

    def on_timer(self, peers: list[str], now: float, out: list[Output]) -> None:
        self._wait(now, out)
        self._turn += 1
        # Who is in no sample would else carry on what stood here when it came.
        whole = (self._is_quiet(now) or not self._trains()) and self._turn % 2
        if whole:
            for guest in self._islands.guests[:1]:
                self._bases.merge(guest.base, guest.serving, self._round(), now, out)
        for peer in self._policy.choose(peers, 1):
            self.ask(peer, "base" if whole or self._is_carrier(peer) else "serving", out)
            self._view_pulls.ask(peer, now, out)
            self._query(peer, now, out)

    # --- asking ----------------------------------------------------------------------------------

    def ask(self, peer: str, role: Role, out: list[Output]) -> None:
        have = self._bases.base if role == "base" else self._rumour or self._bases.serving
        message = Have(
            lineage={} if have is None else have.manifest.lineage,
            model=self._genesis if have is None else have.manifest.model,
            role=role,
        )
        self._questions.ask(peer, message, Then(partial(self._answered, peer, role)), out)

    def _answered(
        self,
        peer: str,
        role: Role,
        answer: Response | None,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        if isinstance(answer, Offer):
            self._judge_offer(peer, role, documents, now, out)

    def on_offer(
        self, peer: str, documents: Sequence[SignedDocument], now: float, out: list[Output]
    ) -> None:
        """A peer tells of an island."""
        self._judge_offer(peer, "base", documents, now, out)

    def _judge_offer(
        self,
        peer: str,
        role: Role,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        self._judge.take(peer, documents, now, out)
        admitted = [
            d
            for d in documents
            if isinstance(d, Update)
            and d.manifest.role != "head"
            and self._exchange.admissible(peer, d, now, out)
        ]
        for update in admitted:
            self._fetcher.trail.learn(update)
        # The first of a role is what is offered; other bases only lead to it.
        offered = {d.manifest.role: d for d in reversed(admitted)}
        base = offered.get("base") if role == "base" else None
        serving = offered.get("serving")

        def proven(ok: bool, later: float, outputs: list[Output]) -> None:
            if ok:
                newest = serving or (self._rumour if role == "serving" else None)
                self._consider(peer, role, base, newest, later, outputs)

        self._judge.prove(peer, (base, serving), proven, now, out)

    def _consider(
        self,
        peer: str,
        role: Role,
        base: Update | None,
        serving: Update | None,
        now: float,
        out: list[Output],
    ) -> None:
        """`role`: what was asked for."""
        bases = self._bases
        if base is not None and bases.is_concurrent(base):
            if self._is_quiet(now) or not self._trains():
                island = bases.is_island(bases.lineage, base)
                self._fetch(peer, base, serving if island else None, self._merge, now, out)
                return
            carried = self._is_carrier(peer)
            if carried or self._islands.is_news(base):
                # Of two clocks one must give way: whoever is behind should not train on in vain.
                self._query(peer, now, out)
                apart = serving if serving and bases.is_apart(bases.lineage, serving) else None
                self._fetch(peer, base, apart, partial(self._take_in, peer, carried), now, out)
                if apart is not None:
                    return
            base = None
        if base is not None and not bases.is_better(base):
            base = None
        if role == "serving" and serving is not None and bases.is_foreign(serving):
            self.ask(peer, "base", out)
            return
        if serving is not None and not bases.is_fresher(serving):
            serving = None
        if base is not None or serving is not None:
            self._fetch(peer, base, serving, self._adopt, now, out)

    def _is_carrier(self, peer: str) -> bool:
        """Whether a peer never trains: then no aggregator here is offered what it brings."""
        record = self._view.record_of(peer)
        return record is not None and record.record.examples == 0

    def _fetch(
        self,
        peer: str,
        base: Update | None,
        serving: Update | None,
        then: Callable[[Update | None, Update | None, float, list[Output]], None],
        now: float,
        out: list[Output],
    ) -> None:
        """Both bodies, then `then`: with None for what did not come."""

        def second(here: bool, later: float, outputs: list[Output]) -> None:
            if not here:
                self._heard = None
            then(base, serving if here else None, later, outputs)

        def first(here: bool, later: float, outputs: list[Output]) -> None:
            if not here:
                return
            if serving is None:
                then(base, None, later, outputs)
            else:
                self._fetcher.get(serving, (serving.author, peer), second, later, outputs)

        if base is None:
            first(True, now, out)
        else:
            self._fetcher.get(base, (peer,), first, now, out)

    def _adopt(
        self, base: Update | None, serving: Update | None, now: float, out: list[Output]
    ) -> None:
        self._bases.take(base, serving, ignore, now, out)

    def carried(
        self, base: Update | None, serving: Update | None, now: float, out: list[Output]
    ) -> None:
        """Brought by hand: nobody can be asked for more, and nobody may bring it again."""
        if base is not None and self._bases.is_concurrent(base):
            if serving is not None and not self._bases.is_apart(self._bases.lineage, serving):
                serving = None
            self._take_in("", True, base, serving, now, out)
        elif base is not None:
            self._adopt(base, serving, now, out)
        elif serving is not None:
            self._bases.blend(serving, self._round(), now, out)

    def handed_out(self, peer: str, serving: Update, now: float, out: list[Output]) -> None:
        """The chain's newest serving model is at an aggregator: shortly after a meeting the sample
        takes it as well, so that others find it there."""
        if self._islands.is_eager(now) and self._bases.is_fresher(serving):
            self._fetch(peer, None, serving, self._adopt, now, out)

    def _take_in(
        self,
        peer: str,
        carried: bool,
        base: Update | None,
        serving: Update | None,
        now: float,
        out: list[Output],
    ) -> None:
        if base is None or not self._islands.take_in(base, serving, now, out, carried=carried):
            return
        self._wait(now, out)
        updates = [u for u in (base, serving) if u is not None]
        others = [p for p in self._judge.peers.admitted() if p != peer]
        for other in self._policy.choose(others, RUMOUR_PEERS):
            self._questions.ask(other, self._offer(other, updates), Then(_nothing), out)

    def _merge(
        self, base: Update | None, serving: Update | None, now: float, out: list[Output]
    ) -> None:
        if base is None:
            return
        if self._bases.is_concurrent(base):
            self._bases.merge(base, serving, self._round(), now, out)
        else:
            self._bases.take(base, serving, ignore, now, out)

    # --- answering -------------------------------------------------------------------------------

    def answer(self, peer: str, have: Have) -> Offer:
        """What the asker lacks: a base with the serving model beside it, or one of these alone."""
        base = self._bases.base if have.role == "base" else None
        serving = self._bases.serving if base is not None else self._rumour or self._bases.serving
        offered = [
            update
            for update in (base, serving)
            if update is not None and self._is_news_to(have, update)
        ]
        if base is not None and base not in offered:
            offered = []
        return self._offer(peer, offered)

    def _offer(self, peer: str, updates: Sequence[Update]) -> Offer:
        """With the bases that the peer lacks to decode the first of these."""
        claims = {c: None for u in updates for c in self._view.proofs_for(peer, u.manifest.lineage)}
        between = self._fetcher.trail.between(peer, updates[0]) if updates else ()
        return Offer(
            manifests=tuple(u.envelope for u in (*updates, *between)), claims=tuple(claims)
        )

    @staticmethod
    def _is_news_to(have: Have, update: Update) -> bool:
        manifest = update.manifest
        if have.role != manifest.role:
            # A serving model that goes along with its base.
            return True
        return is_news(have.lineage, have.model, manifest.lineage, manifest.model)


def _nothing(answer: Response | None, documents: object, now: float, out: list[Output]) -> None:
    """Nobody waits for this answer."""
