"""What a running daemon looks after beside its work: the machine's owner, the clock, the disk."""

import asyncio
from collections.abc import Callable
from typing import Any

from gossipd.control.events import EventLog
from gossipd.control.logs import get_logger
from gossipd.machine.data_files import DataFiles
from gossipd.machine.guest import Day, Guest, Sleep
from gossipd.machine.memory import give_back
from gossipd.network.interface import NetworkError
from gossipd.protocol import events
from gossipd.runtime import state
from gossipd.runtime.assembly import Parts
from gossipd.runtime.ports import Clock
from gossipd.storage.store import DiskStore

LOOK_SECONDS = 5.0
"""How often the battery, the load, the traffic, the clock and the data files are looked at; a
guess."""
SAVE_SECONDS = 15.0
"""How often the swarm's state is saved, addresses are looked at and old models are collected."""

log = get_logger("daemon")


class Upkeep:
    """Runs until it is cancelled."""

    def __init__(
        self,
        parts: Parts,
        store: DiskStore,
        clock: Clock,
        guest: Guest,
        day: Day,
        data: DataFiles,
        told: EventLog,
    ) -> None:
        self._parts = parts
        self._store = store
        self._clock = clock
        self.watch: Callable[[], object] = lambda: None
        """Looks whether something is wrong: a warning's delay counts from its first sight."""
        self.guest = guest
        self.day = day
        self._data = data
        self.resting: str | None = None
        """Why the daemon talks to nobody."""
        self._told = told
        self._sleep = Sleep()
        self._paused = False
        self._allowed: tuple[str, ...] = ()
        """Whom it talked to before it rested."""
        self._addresses: tuple[str, ...] = ()

    async def run(self) -> None:
        self._addresses = tuple(self._parts.transport.addresses)
        due = self._clock.now() + SAVE_SECONDS
        while True:
            self.look()
            await self._slept()
            self.watch()
            await asyncio.sleep(LOOK_SECONDS)
            if await self._data.look():
                self._sign_anew()
            if self._clock.now() >= due:
                due = self._clock.now() + SAVE_SECONDS
                await self._save()

    # --- the owner -------------------------------------------------------------------------------

    def look(self) -> None:
        """Ask the guest's manners, and do what they say."""
        self.obey(self.guest.look(self._clock.now()))
        counters = self._parts.transport.counters()
        total = counters.get("bytes_in", 0) + counters.get("bytes_out", 0)
        try:
            why = self.day.look(total, self._clock.wall())
        except OSError as error:
            log.warning("today's traffic cannot be written down", error=str(error))
            return
        if (why is None) != (self.resting is None):
            # The own id alone: nobody is talked to.
            if why is not None:
                self._allowed = tuple(self._parts.node.peers.overlay.allowed)
            allow = self._allowed if why is None else (self._parts.node.setup.peer_id,)
            self._parts.engine.feed(events.Restricted(allow))
            self._say("resting" if why else "talking-again", reason=why)
        self.resting = why

    def restrict(self, allowed: tuple[str, ...], blocked: tuple[str, ...]) -> None:
        """The operator's choice of whom to talk to; while the daemon rests, for when it talks
        again."""
        self._allowed = allowed
        now = (self._parts.node.setup.peer_id,) if self.resting else allowed
        self._parts.engine.feed(events.Restricted(now, blocked))

    def obey(self, why: str | None) -> None:
        """Pause or resume training; `why` None: nothing is against it."""
        if (why is not None) != self._paused:
            self._paused = why is not None
            self._parts.engine.feed(events.SetPaused(self._paused))
            self._say("training-paused" if why else "training-resumed", reason=why)

    # --- the clock -------------------------------------------------------------------------------

    async def _slept(self) -> None:
        """Connections of before a sleep are dead, and nobody is to blame: close and dial again."""
        seconds = self._sleep.look(self._clock.wall())
        if not seconds:
            return
        self._say("woke-up", seconds=round(seconds, 1))
        self._parts.engine.feed(events.ClockRead(self._clock.wall()))
        for connection in self._parts.transport.connections():
            try:
                await self._parts.transport.disconnect(connection.peer, "slept")
            except NetworkError as error:
                log.debug("already gone", peer=connection.peer, error=str(error))

    # --- the disk --------------------------------------------------------------------------------

    def save(self) -> None:
        self._parts.store.save_state(state.snapshot(self._parts.node, self._parts.transport.port))

    async def _save(self) -> None:
        self._parts.engine.feed(events.ClockRead(self._clock.wall()))
        try:
            self.save()
            await asyncio.to_thread(self._store.collect)
            await asyncio.to_thread(give_back)
        except OSError as error:
            log.warning("upkeep failed", error=str(error))
        now = tuple(self._parts.transport.addresses)
        if now and now != self._addresses:
            self._addresses = now
            self._sign_anew()

    def _sign_anew(self) -> None:
        """What this node says of itself is no longer so: its addresses, or its examples."""
        record = self._parts.record(self._addresses)
        self._parts.engine.feed(events.RecordChanged(record))

    def _say(self, kind: str, **fields: Any) -> None:
        self._told.append(kind, **fields)
        log.info(kind, **fields)
