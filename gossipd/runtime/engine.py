"""The one loop: what happens goes into the core, what the core wants is done through the ports.

Every output that takes time runs as a named task that ends in exactly one event; an exception in
one of them is this room's outer door: counted, logged, and turned into the failure event that the
core expects, so that it never waits for an answer that cannot come.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Protocol

from gossipd.network.interface import Handlers, NetworkError, Transport
from gossipd.protocol import click_events, events, round_events
from gossipd.protocol.events import Event, Output, SignedDocument
from gossipd.protocol.node import Node
from gossipd.protocol.overlay import REFUSED
from gossipd.runtime.documents import Documents
from gossipd.runtime.inbound import Inbound
from gossipd.runtime.outbound import Outbound
from gossipd.runtime.ports import Clock, LetIn, SheetKey, Store, StoredSheet
from gossipd.runtime.round_work import RoundWork
from gossipd.runtime.waits import Waits
from gossipd.wire.clicks import SignedSheet
from gossipd.wire.errors import WireError
from gossipd.wire.framing import encode_message
from gossipd.wire.lineages import UNHELD
from gossipd.wire.messages import AnyMessage, Goodbye, Hello, Refused, Response

ANSWER_SECONDS = 30.0
"""How long a peer's request may wait: only one for a serving model is not answered at once."""

GOODBYE_SECONDS = 1.0
"""How long stopping may wait for the peers to hear of it."""


class Log(Protocol):
    """What the runtime says to people: `structlog` has this shape."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def exception(self, event: str, **fields: Any) -> Any: ...


class Engine:
    """Runs one node."""

    def __init__(
        self,
        *,
        node: Node,
        transport: Transport,
        inbound: Inbound,
        outbound: Outbound,
        round_work: RoundWork | None = None,
        documents: Documents,
        store: Store,
        clock: Clock,
        waits: Waits,
        report: Callable[[str, dict[str, Any]], None],
        keep_revocations: Callable[[Sequence[bytes]], None],
        let_in: LetIn,
        log: Log,
        request_timeout: float,
        dial_timeout: float,
    ) -> None:
        self.node = node
        self._transport = transport
        self._inbound = inbound
        self._outbound = outbound
        self._documents = documents
        self._store = store
        self._clock = clock
        self._waits = waits
        self._report = report
        self._log = log
        self._request_timeout = request_timeout
        self._dial_timeout = dial_timeout
        self.errors: Counter[str] = Counter()
        """Exceptions at this room's outer door, by task."""
        self.network_healthy = True
        self.network_detail = ""
        self._events: deque[Event] = deque()
        self._draining = False
        self._stopping = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._next_task = 0
        self._answers: dict[int, asyncio.Future[AnyMessage]] = {}
        self._verdicts: dict[int, asyncio.Future[tuple[str, ...]]] = {}
        self._next_token = 0
        self._do: dict[type[Any], Callable[[Any], None]] = {
            events.SetTimer: self._set_timer,
            events.CancelTimer: self._cancel_timer,
            events.Dial: self._dial,
            events.Disconnect: self._disconnect,
            events.Ask: self._ask,
            events.Answer: self._answer,
            events.Judged: lambda o: self._verdicts.pop(o.token).set_result(o.verdicts),
            events.Fetch: lambda o: self._spawn(
                "fetch",
                self._inbound.receive(o),
                events.FetchFailed(o.peer, o.update, "internal", "nobody"),
            ),
            events.Train: lambda o: self._spawn(
                "train", self._outbound.train(o), events.LearningFailed("train", "internal")
            ),
            events.Merge: lambda o: self._spawn(
                "merge", self._inbound.merge(o), events.LearningFailed("merge", "internal")
            ),
            events.PublishServing: lambda o: self._spawn(
                "publish", self._outbound.publish_serving(o), events.ServingPublished(None)
            ),
            events.Remember: lambda o: self._store.save_peers([(o.peer, o.addresses, o.record)]),
            events.RememberAll: lambda o: self._store.save_peers(_rows(o)),
            events.Forget: lambda o: self._store.forget_peer(o.peer),
            events.KeepRevocations: lambda o: keep_revocations(o.envelopes),
            events.LetIn: lambda o: self.feed(
                events.Entered(o.peer, o.token, let_in(o.peer, o.message))
            ),
            events.KeepEvidence: lambda o: self._store.append_evidence(o.peer, o.first, o.second),
            click_events.SealClicks: self._seal_clicks,
            click_events.KeepSheets: lambda o: self._store.save_sheets(
                [_stored(held.signed, held.at) for held in o.kept],
                [_sheet_key(held.signed) for held in o.gone],
            ),
            click_events.KeepClick: lambda o: self._store.save_choice(o.query, o.item, o.at),
            events.Report: lambda o: self._report(o.kind, o.fields),
        }
        if round_work is not None:
            self._do |= self._round_outputs(round_work)

    def _round_outputs(self, work: RoundWork) -> dict[type[Any], Callable[[Any], None]]:
        """What a node that works in rounds wants done."""

        def spawn(name: str, do: Callable[[Any], Coroutine[Any, Any, Event]]) -> Any:
            return lambda o: self._spawn(
                name, do(o), round_events.RoundWorkFailed(o.ticket, "internal")
            )

        return {
            round_events.TrainRound: spawn("train", work.train),
            round_events.Aggregate: spawn("aggregate", work.aggregate),
            round_events.Blend: spawn("blend", work.blend),
            round_events.Adopt: spawn("adopt", work.adopt),
            round_events.SealSample: lambda o: self.feed(work.seal(o)),
        }

    # --- life ------------------------------------------------------------------------------------

    async def start(self, started: Callable[[Sequence[str]], events.Started]) -> None:
        """Listen, then begin. `started` makes the first event of the addresses listened on."""
        self.feed(events.ClockRead(self._clock.wall()))
        await self._transport.start(
            Handlers(
                connected=lambda p, a, out: self.feed(events.Connected(p, a, out)),
                disconnected=lambda p, why: self.feed(events.Disconnected(p, why)),
                request=self._on_request,
                blob=self._on_blob,
                discovered=lambda p, a: self.feed(events.Discovered(p, tuple(a), "mdns")),
                refused=lambda whom, why: self.feed(events.Misbehaved(whom, why)),
                health=self._on_health,
            )
        )
        self.feed(started(self._transport.addresses))

    async def farewell(self, event: Event, seconds: float) -> None:
        """Feed a last event, and give what it makes the node say at most so long to be said."""
        before = self._next_task
        self.feed(event)
        said = [task for number, task in self._tasks.items() if number > before]
        if said:
            await asyncio.wait(said, timeout=seconds)

    async def stop(self) -> None:
        """No more events; tasks are cancelled, the transport closes. Ends within its deadline."""
        self._stopping = True
        await self._say_goodbye()
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10.0)
        self._tasks.clear()  # what was cancelled before it began never ran
        for answer in self._answers.values():
            answer.cancel()
        for verdicts in self._verdicts.values():
            verdicts.cancel()
        await self._transport.stop()

    async def _say_goodbye(self) -> None:
        """Tell the peers that this end is meant, so that they need not find out."""
        farewell = encode_message(Goodbye(reason="stopping"))
        words = [
            asyncio.ensure_future(self._transport.request(peer, farewell, GOODBYE_SECONDS))
            for peer in self.node.peers.admitted()
        ]
        if words:
            await asyncio.wait(words, timeout=GOODBYE_SECONDS)
            for word in words:
                word.cancel()
            await asyncio.gather(*words, return_exceptions=True)

    def feed(self, event: Event) -> None:
        """Hand an event to the core and do what it wants. Outputs may feed further events."""
        self._events.append(event)
        if self._draining or self._stopping:
            return
        self._draining = True
        try:
            while self._events:
                for output in self.node.handle(self._events.popleft(), self._clock.now()):
                    self._perform(output)
        finally:
            self._draining = False

    def _perform(self, output: Output) -> None:
        try:
            self._do[type(output)](output)
        except OSError as error:
            self.errors["storage"] += 1
            self._log.warning("storage failed", output=type(output).__name__, error=str(error))

    def _spawn(
        self, name: str, work: Coroutine[Any, Any, Event | None], otherwise: Event | None
    ) -> None:
        """Run `work` beside the loop; feed the event it ends in, or `otherwise` if it breaks."""
        number = self._next_task = self._next_task + 1
        guarded = self._guard(number, name, work, otherwise)
        self._tasks[number] = asyncio.create_task(guarded, name=name)

    async def _guard(
        self,
        number: int,
        name: str,
        work: Coroutine[Any, Any, Event | None],
        otherwise: Event | None,
    ) -> None:
        try:
            try:
                event = await work
            except Exception:  # noqa: BLE001 - the room's outer door
                self.errors[name] += 1
                self._log.exception("unexpected error", task=name)
                event = otherwise
            if event is not None:
                self.feed(event)
        finally:
            self._tasks.pop(number, None)

    def _seal_clicks(self, output: click_events.SealClicks) -> None:
        """Each number is used up before it is used: a crash in between leaves a gap, not two."""
        seq, _ = self._store.reserve("sheets", 1)
        signed = self._documents.sheet(seq, output.clicks)
        self._store.save_sheets([_stored(signed, output.at)], [])
        self.feed(click_events.ClicksSealed(signed))

    # --- timers ----------------------------------------------------------------------------------

    def _set_timer(self, output: events.SetTimer) -> None:
        self._cancel_timer(events.CancelTimer(output.key))
        delay = max(output.at - self._clock.now(), 0.0)
        loop = asyncio.get_running_loop()
        self._timers[output.key] = loop.call_later(delay, self._fire, output.key)

    def _cancel_timer(self, output: events.CancelTimer) -> None:
        timer = self._timers.pop(output.key, None)
        if timer is not None:
            timer.cancel()

    def _fire(self, key: str) -> None:
        del self._timers[key]
        self.feed(events.TimerFired(key))

    # --- talking to peers ------------------------------------------------------------------------

    def _dial(self, output: events.Dial) -> None:
        async def work() -> Event | None:
            try:
                await self._waits.until(
                    "dial",
                    output.peer,
                    self._dial_timeout * (1 + len(output.addresses)),
                    self._transport.dial(output.peer, output.addresses, self._dial_timeout),
                )
            except NetworkError as error:
                return events.DialFailed(output.peer, str(error))
            except TimeoutError:
                return events.DialFailed(output.peer, "timeout")
            return None

        self._spawn("dial", work(), events.DialFailed(output.peer, "internal"))

    def _disconnect(self, output: events.Disconnect) -> None:
        async def work() -> None:
            await self._transport.disconnect(output.peer, output.reason)

        self._spawn("disconnect", work(), None)

    def _ask(self, output: events.Ask) -> None:
        peer, number = output.peer, output.request

        async def work() -> Event:
            lineages = self._documents.lineages
            try:
                said = lineages.abridged(peer, output.message)
                try:
                    message, documents = await self._converse(peer, said)
                except WireError as error:
                    if error.reason != UNHELD or said is output.message:
                        raise
                    lineages.doubt(peer)
                    self.feed(events.Misbehaved(peer, error.reason))
                    message, documents = await self._converse(peer, output.message)
            except NetworkError as error:
                return events.RequestFailed(peer, number, error.reason)
            except TimeoutError:
                return events.RequestFailed(peer, number, "timeout")
            except WireError as error:
                self._log.info("bad answer", peer=peer, reason=error.reason, detail=error.detail)
                self.feed(events.Misbehaved(peer, error.reason))
                return events.RequestFailed(peer, number, error.reason)
            return events.Answered(peer, number, message, documents)

        self._spawn("ask", work(), events.RequestFailed(peer, number, "internal"))

    async def _converse(
        self, peer: str, message: AnyMessage
    ) -> tuple[Response, tuple[SignedDocument, ...]]:
        """A peer's answer. WireError `UNHELD` when it leaves out too much, or too much was."""
        request = self._transport.request(peer, encode_message(message), self._request_timeout)
        name = type(message).__name__.lower()
        payload = await self._waits.until(name, peer, self._request_timeout + 1.0, request)
        answer, documents = self._documents.open_response(
            payload, lambda said: self.node.may_read(peer, said, self._clock.now())
        )
        if isinstance(answer, Refused) and answer.code == UNHELD:
            raise WireError(UNHELD, "there")
        self._documents.lineages.heard(peer, answer, documents)
        return answer, documents

    async def _on_request(self, peer: str, payload: bytes) -> bytes:
        """A peer's request: checked, put to the core, answered within a deadline."""
        if not self.node.peers.overlay.admits(peer):
            return encode_message(REFUSED)
        try:
            message, documents = self._documents.open_request(
                payload, lambda said: self.node.may_read(peer, said, self._clock.now())
            )
        except WireError as error:
            self._log.info("bad request", peer=peer, reason=error.reason, detail=error.detail)
            self.feed(events.Misbehaved(peer, error.reason))
            return encode_message(Refused(code=error.reason, reason=error.detail[:256]))
        lineages = self._documents.lineages
        if isinstance(message, Hello) or self.node.peers.is_admitted(peer):
            lineages.heard(peer, message, documents)
        token = self._next_token = self._next_token + 1
        answer: asyncio.Future[AnyMessage] = asyncio.get_running_loop().create_future()
        self._answers[token] = answer
        try:
            self.feed(events.Requested(peer, token, message, documents))
            if not answer.done():
                async with asyncio.timeout(ANSWER_SECONDS):
                    await answer
            return encode_message(lineages.answer(peer, message, answer.result()))
        except TimeoutError:
            self.errors["answer-timeout"] += 1
            return encode_message(Refused(code="busy", reason="no answer in time"))
        finally:
            del self._answers[token]

    def _answer(self, output: events.Answer) -> None:
        answer = self._answers.get(output.token)
        if answer is not None and not answer.done():
            answer.set_result(output.message)

    async def _on_blob(self, peer: str, key: bytes) -> bytes | None:
        if not self.node.peers.is_admitted(peer):
            self.feed(events.Misbehaved(peer, "hello-first"))
            return None
        return await self._outbound.body(key)

    async def show(self, documents: Sequence[events.SignedDocument]) -> tuple[str, ...]:
        """What the core makes of documents that were carried here by hand: a verdict for each."""
        token = self._next_token = self._next_token + 1
        verdicts: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
        self._verdicts[token] = verdicts
        self.feed(events.Shown(token, tuple(documents)))
        async with asyncio.timeout(ANSWER_SECONDS):
            return await verdicts

    def _on_health(self, healthy: bool, detail: str) -> None:
        self.network_healthy, self.network_detail = healthy, detail
        self._report("network-up" if healthy else "network-down", {"detail": detail})


def _rows(output: events.RememberAll) -> Iterator[tuple[str, Sequence[str], bytes | None]]:
    for one in output.peers:
        yield one.peer, one.addresses, one.record
    for signed in output.newcomers:
        yield signed.author, signed.record.addresses, signed.envelope


def _sheet_key(signed: SignedSheet) -> SheetKey:
    return SheetKey(signed.author, signed.sheet.incarnation, signed.sheet.seq)


def _stored(signed: SignedSheet, at: float) -> StoredSheet:
    return StoredSheet(_sheet_key(signed), signed.envelope, at)
