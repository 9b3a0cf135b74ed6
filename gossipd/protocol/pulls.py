"""Anti-entropy of a node that works in rounds: ask one peer now and then for what is new there.

While rounds go on it asks for the serving model, which a node outside the sample predicts with;
when none do, and at a first meeting, for the base: so that islands find each other and a quiet
swarm ends on one model. With it go the view and the proof of the highest round.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from gossipd.protocol.antientropy import TIMER
from gossipd.protocol.bases import Bases, ignore
from gossipd.protocol.events import Output, SetTimer, SignedDocument
from gossipd.protocol.exchange import Exchange
from gossipd.protocol.fetching import Fetcher
from gossipd.protocol.letters import Judge
from gossipd.protocol.lineage import is_news
from gossipd.protocol.policy import PeerPolicy
from gossipd.protocol.questions import Questions, Then, ViewPull
from gossipd.protocol.view import SwarmView
from gossipd.wire.messages import Have, Offer, Response, Role, Update


class Pulls:
    """Asks and answers Have."""

    def __init__(
        self,
        interval: float,
        genesis: bytes,
        bases: Bases,
        exchange: Exchange,
        fetcher: Fetcher,
        judge: Judge,
        policy: PeerPolicy,
        view: SwarmView,
        questions: Questions,
        rng: Random,
        is_quiet: Callable[[float], bool],
        query: Callable[[str, float, list[Output]], None],
        round_: Callable[[], int],
    ) -> None:
        self._interval = interval
        self._genesis = genesis
        self._bases = bases
        self._exchange = exchange
        self._fetcher = fetcher
        self._judge = judge
        self._policy = policy
        self._view = view
        self._questions = questions
        self._rng = rng
        self._is_quiet = is_quiet
        """Whether no rounds go on."""
        self._query = query
        """Ask a peer for proof of a higher round."""
        self._round = round_
        self._turn = 0

    def start(self, now: float, out: list[Output]) -> None:
        out.append(SetTimer(TIMER, now + self._interval * self._rng.uniform(0.2, 1.0)))

    def on_timer(self, peers: list[str], now: float, out: list[Output]) -> None:
        out.append(SetTimer(TIMER, now + self._interval * self._rng.uniform(0.7, 1.3)))
        self._turn += 1
        quiet = self._is_quiet(now) and self._turn % 2
        for peer in self._policy.choose(peers, 1):
            self.ask(peer, "base" if quiet else "serving", out)
            self._questions.ask(peer, self._view.question(), ViewPull(), out)
            self._query(peer, now, out)

    # --- asking ----------------------------------------------------------------------------------

    def ask(self, peer: str, role: Role, out: list[Output]) -> None:
        have = self._bases.base if role == "base" else self._bases.serving
        message = Have(
            lineage={} if have is None else dict(have.manifest.lineage),
            model=self._genesis if have is None else have.manifest.model,
            role=role,
        )
        self._questions.ask(peer, message, Then(partial(self._answered, peer)), out)

    def _answered(
        self,
        peer: str,
        answer: Response | None,
        documents: Sequence[SignedDocument],
        now: float,
        out: list[Output],
    ) -> None:
        if not isinstance(answer, Offer):
            return
        self._judge.take(peer, documents, now, out)
        offered = {
            d.manifest.role: d
            for d in documents
            if isinstance(d, Update)
            and d.manifest.role != "head"
            and self._exchange.admissible(peer, d, now, out)
        }
        base, serving = offered.get("base"), offered.get("serving")

        def proven(ok: bool, later: float, outputs: list[Output]) -> None:
            if ok:
                self._consider(peer, base, serving, later, outputs)

        self._judge.prove(peer, (base, serving), proven, now, out)

    def _consider(
        self, peer: str, base: Update | None, serving: Update | None, now: float, out: list[Output]
    ) -> None:
        bases = self._bases
        if base is not None and bases.is_concurrent(base):
            island = bases.is_island(bases.lineage, base)
            if island or self._is_quiet(now):
                self._fetch(peer, base, serving if island else None, self._merge, now, out)
                return
            base = None
        if base is not None and not bases.is_better(base):
            base = None
        if base is None and serving is not None and bases.is_foreign(serving):
            self.ask(peer, "base", out)
            return
        if serving is not None and not bases.is_fresher(serving):
            serving = None
        if base is not None or serving is not None:
            self._fetch(peer, base, serving, self._adopt, now, out)

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
            then(base, serving if here else None, later, outputs)

        def first(here: bool, later: float, outputs: list[Output]) -> None:
            if not here:
                return
            if serving is None:
                then(base, None, later, outputs)
            else:
                self._fetcher.get(serving, (peer,), second, later, outputs)

        if base is None:
            first(True, now, out)
        else:
            self._fetcher.get(base, (peer,), first, now, out)

    def _adopt(
        self, base: Update | None, serving: Update | None, now: float, out: list[Output]
    ) -> None:
        self._bases.take(base, serving, ignore, now, out)

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
        """What the asker lacks: a base with the serving model beside it, or that alone."""
        base = self._bases.base if have.role == "base" else None
        serving = self._bases.serving
        offered = [
            update
            for update in (base, serving)
            if update is not None and self._is_news_to(have, update)
        ]
        if base is not None and base not in offered:
            offered = []
        claims = {c: None for u in offered for c in self._view.proofs_for(peer, u.manifest.lineage)}
        return Offer(manifests=tuple(u.envelope for u in offered), claims=tuple(claims))

    @staticmethod
    def _is_news_to(have: Have, update: Update) -> bool:
        manifest = update.manifest
        if have.role != manifest.role:
            # A serving model that goes along with its base.
            return True
        return is_news(have.lineage, have.model, manifest.lineage, manifest.model)
