"""What can be seen of the daemons of a run: their events, how they stand, what went wrong.

Everything goes through what the daemons show to anybody: the control API, their logs, their
processes. A life's events and numbers are fetched once more before it is ended, so that they are
not lost with it.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from gossipd_scenarios.backend import Event, Fault, Reading
from gossipd_scenarios.fleet import FleetError, Member
from gossipd_scenarios.judge import Judge

LOOK_SECONDS = 15.0
"""For a daemon to show how it stands; ours, for a hundred of them on two cores."""
BATCH = 10_000
"""Events asked for at once: the API's most."""
AT_ONCE = 16
"""Daemons looked at together."""
TRACE = "Traceback (most recent call last)"
TRACE_LINES = 40

Document = dict[str, Any]


@dataclass(slots=True)
class Seen:
    """What has been seen of one node so far."""

    run: str = ""
    next: int = 0
    """Where its present life's events go on."""
    life: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    """Of this life."""
    earlier_in: int = 0
    earlier_out: int = 0
    """Of all lives before."""
    read: int = 0
    """Bytes of its log."""
    models: dict[str, str] = field(default_factory=dict)
    """Role -> content hash, when last seen."""


class Looking:
    """The eyes of a backend."""

    def __init__(self, judge: Judge) -> None:
        """`judge` measures models of the digits; others are evaluated by the daemons themselves."""
        self._judge = judge
        self._began = time.monotonic()
        self._wall = time.time()
        self._seen: dict[str, Seen] = {}
        self._events: list[Event] = []
        self._faults: list[Fault] = []
        self._turn = asyncio.Semaphore(AT_ONCE)
        self.holdings: dict[str, tuple[int, ...] | None] = {}
        self.names: Mapping[str, str] = {}
        """Peer id -> name, where it is asked whom nodes rank first."""

    @property
    def now(self) -> float:
        return time.monotonic() - self._began

    def _at(self, moment: float) -> float:
        """A moment of the monotonic clock, as seconds of this backend's."""
        return moment - self._began

    def models_of(self, node: str) -> Mapping[str, str]:
        """Role -> content hash of a node's models, when last seen."""
        return self._of(node).models

    def _of(self, node: str) -> Seen:
        return self._seen.setdefault(node, Seen())

    # --- lives -----------------------------------------------------------------------------------

    async def began(self, member: Member) -> None:
        """A life has begun."""
        seen = self._of(member.name)
        seen.earlier_in += seen.bytes_in
        seen.earlier_out += seen.bytes_out
        seen.bytes_in = seen.bytes_out = seen.next = 0
        seen.run, seen.life = "", member.lives
        self._events.append(Event(self._at(member.began_at), member.name, "started"))
        training = self._note(member, await member.status())["training"]
        counts = training["class_counts"]
        self.holdings[member.name] = None if counts is None else tuple(counts)

    def ended(self, member: Member, *, asked: bool) -> None:
        """A life has ended; if it was not `asked` to, that is a fault."""
        at, fields = self._at(member.ended_at), {"asked": asked, "code": member.returncode}
        self._events.append(Event(at, member.name, "ended", fields))
        if not asked:
            self._faults.append(Fault(at, member.name, "ended", member.last_words()))

    async def last_look(self, members: Collection[Member]) -> None:
        """At what is about to end; one that does not answer keeps its last words to itself."""
        await asyncio.gather(*map(self._last_look, members))

    async def _last_look(self, member: Member) -> None:
        async with self._turn:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._fetch(member)
                    self._note(member, await member.status())
            except (FleetError, TimeoutError):
                return

    # --- events ----------------------------------------------------------------------------------

    async def events(self, members: Collection[Member]) -> Sequence[Event]:
        """All since the last call, in order of time; `members` are those to ask."""
        await asyncio.gather(*map(self._ask_events, members))
        found, self._events = sorted(self._events, key=lambda event: event.at), []
        return found

    async def _ask_events(self, member: Member) -> None:
        async with self._turn:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._fetch(member)
            except (FleetError, TimeoutError):
                return  # ended or frozen meanwhile; the next call asks again

    async def _fetch(self, member: Member) -> None:
        seen = self._of(member.name)
        while True:
            batch = await member.events(seen.next, run=seen.run, limit=BATCH)
            seen.run, seen.next = batch["run"], batch["next"]
            if batch["missed"]:
                fields = {"number": batch["missed"]}
                self._events.append(Event(self.now, member.name, "events-missed", fields))
            for row in batch["events"]:
                fields = {k: v for k, v in row.items() if k not in ("seq", "time", "kind")}
                at = max(0.0, row["time"] - self._wall)
                self._events.append(Event(at, member.name, row["kind"], fields))
            if len(batch["events"]) < BATCH:
                return

    # --- readings --------------------------------------------------------------------------------

    async def read(self, members: Sequence[Member], *, accuracy: bool) -> Sequence[Reading]:
        """How they stand; who does not answer in time is left out."""
        found = await asyncio.gather(*(self._read(member, accuracy) for member in members))
        return [reading for reading in found if reading is not None]

    async def _read(self, member: Member, accuracy: bool) -> Reading | None:
        async with self._turn:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    return await self._reading(member, accuracy)
            except (FleetError, TimeoutError, psutil.NoSuchProcess):
                return None

    async def _reading(self, member: Member, accuracy: bool) -> Reading:
        status = self._note(member, await member.status())
        models = {row["hash"]: row for row in await member.models()}
        serving = status["models"]["serving"]["hash"]
        base = models.get(status["models"]["base"]["hash"])
        measured, recalls = None, None
        if accuracy and status["task"] == "digits":
            measured, recalls, serving = await self._judge.recalls(member)
        elif accuracy:
            answer = await member.evaluate()
            measured, serving = answer["accuracy"], answer["hash"]
        seen, counters = self._of(member.name), {"steps": status["training"]["steps"]}
        if status["round"] is not None:
            counters["round"] = status["round"]["number"]
        return Reading(
            at=self.now,
            node=member.name,
            accuracy=measured,
            recalls=recalls,
            model=serving,
            lineage={} if base is None else base["lineage"],
            author=status["author"],
            counters=counters,
            bytes_in=seen.earlier_in + seen.bytes_in,
            bytes_out=seen.earlier_out + seen.bytes_out,
            connected=status["network"]["connected"],
            memory=await asyncio.to_thread(member.private_memory),
            refused=status["refused"],
            health=tuple(warning["code"] for warning in status["health"]),
            choice=self.names.get(await member.first_choice() or "") if self.names else None,
        )

    def _note(self, member: Member, status: Document) -> Document:
        """Keep what is asked for when the daemon can no longer be."""
        seen = self._of(member.name)
        seen.bytes_in = status["network"]["bytes_in"]
        seen.bytes_out = status["network"]["bytes_out"]
        seen.models = {role: model["hash"] for role, model in status["models"].items()}
        return status

    # --- faults ----------------------------------------------------------------------------------

    def faults(self, members: Collection[Member]) -> Sequence[Fault]:
        """All so far, tracebacks in these daemons' logs included."""
        for member in members:
            self._read_log(member)
        return tuple(self._faults)

    def _read_log(self, member: Member) -> None:
        if not member.log.exists():
            return
        seen = self._of(member.name)
        with member.log.open("rb") as file:
            file.seek(seen.read)
            new = file.read()
        whole = new.rfind(b"\n") + 1
        seen.read += whole
        lines = new[:whole].decode(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if TRACE in line:
                evidence = "\n".join(lines[max(0, number - 1) : number + TRACE_LINES])
                self._faults.append(Fault(self.now, member.name, "exception", evidence))
