"""Does the operations of a timeline: picks nodes, asks the backend, undoes what ends by itself.

An operation on several nodes with `every` happens to one after the other; it picks them all when it
begins and leaves out who is no longer in the state for it.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from random import Random

from gossipd_scenarios import partitions, schema
from gossipd_scenarios.backend import Backend, Quality
from gossipd_scenarios.history import History, Phase
from gossipd_scenarios.partitions import Deaf
from gossipd_scenarios.plan import Plan

Later = Callable[[float, Callable[[], Awaitable[None]]], None]
"""(time, what to do then)."""
SHOWN = 6
"""Names that are written out where many are meant."""


class Stage:
    """The present state of a run: who is there, frozen, cut off."""

    def __init__(self, plan: Plan, backend: Backend, history: History, later: Later) -> None:
        self._plan = plan
        self._cast = plan.cast
        self._backend = backend
        self._history = history
        self._later = later
        self._present: set[str] = set()
        """Those that have been started once and have not left for good."""
        self._waiting = [node.name for node in plan.nodes if node.name not in plan.first]
        self._frozen: set[str] = set()
        self._cuts: dict[str, Deaf] = {}
        self._phases: dict[str, Phase] = {}
        self._bad_links: set[str] = set()
        self.time = 0.0
        """Now, in the scenario's seconds."""

    async def begin(self) -> None:
        """Start those that are there from the beginning."""
        self._present |= set(self._plan.first)
        await self._backend.start(self._plan.first)

    def broken(self) -> bool:
        """Whether anything is left to heal."""
        return bool(self._cuts or self._bad_links or self._frozen)

    # --- one operation ---------------------------------------------------------------------------

    async def do(self, step: schema.Operation, place: str) -> None:
        """Carry out an operation; `place` names it for the drawing of lots."""
        match step:
            case schema.Partition():
                await self._partition(step, place)
            case schema.Heal():
                await self.heal(step.name)
            case schema.LinkQuality():
                await self._link(step, place)
            case schema.Flap():
                self._flap(step, place)
            case schema.Travel():
                self._travel(step, place)
            case schema.Carry():
                self._carry(step, place)
            case schema.Join():
                await self._join(step)
            case _:
                await self._to_nodes(step, place)

    async def _to_nodes(self, step: schema.OnNodes, place: str) -> None:
        chosen = self._cast.pick(step.who, self._fit(step), place)
        if not step.every:
            await self._happen(step, chosen, place)
            return
        for number, name in enumerate(chosen):
            if number == 0:
                await self._happen(step, [name], place)
            else:
                when = self.time + number * step.every
                self._later(when, partial(self._if_fit, step, name, place))

    async def _if_fit(self, step: schema.OnNodes, name: str, place: str) -> None:
        if name in self._fit(step):
            await self._happen(step, [name], place)

    def _fit(self, step: schema.OnNodes) -> Collection[str]:
        """To whom it can happen now."""
        running = self._backend.running()
        match step:
            case schema.Start() | schema.Wipe() | schema.Corrupt():
                return self._present - running
            case schema.Resume():
                return self._frozen & running
            case schema.Kill():
                return running
            case _:
                return running - self._frozen

    async def _happen(self, step: schema.OnNodes, names: Sequence[str], place: str) -> None:
        backend, chosen = self._backend, list(names)
        if not chosen:
            self._note(f"{_word(step)}: nobody")
            return
        self._note(f"{_word(step)} {_listed(chosen)}")
        match step:
            case schema.Start():
                await backend.start(chosen)
            case schema.Stop():
                await backend.stop(chosen)
            case schema.Kill():
                self._frozen -= set(chosen)
                await backend.kill(chosen)
            case schema.Leave():
                self._present -= set(chosen)
                await backend.stop(chosen)
            case schema.Restart():
                await backend.restart(chosen)
            case schema.Pause():
                await self._freeze(step, chosen)
            case schema.Resume():
                await self._thaw(chosen)
            case schema.Wipe():
                self._history.damaged |= set(chosen)
                await backend.wipe(chosen)
            case schema.Corrupt():
                self._history.damaged |= set(chosen)
                seed = Random(f"{self._cast.seed}/{place}").getrandbits(32)
                await backend.corrupt(chosen, step.file, seed)
            case schema.FillDisk():
                await self._fill_disk(step, chosen)
            case schema.Clock():
                await backend.set_clock(chosen, step.seconds)

    # --- nodes -----------------------------------------------------------------------------------

    async def _join(self, step: schema.Join) -> None:
        for number in range(step.count):
            name = self._waiting.pop(0)
            if number and step.every:
                when = self.time + number * step.every
                self._later(when, partial(self._arrive, name))
            else:
                await self._arrive(name)

    async def _arrive(self, name: str) -> None:
        self._note(f"{name} joins")
        self._present.add(name)
        await self._backend.start([name])

    async def _freeze(self, step: schema.Pause, names: list[str]) -> None:
        self._frozen |= set(names)
        phase = self._open(f"paused: {_listed(names)}")
        await self._backend.freeze(names)

        async def wake() -> None:
            phase.end = self.time
            await self._thaw([name for name in names if name in self._frozen])

        if step.seconds is not None:
            self._later(self.time + step.seconds, wake)

    async def _thaw(self, names: list[str]) -> None:
        self._frozen -= set(names)
        if names:
            self._note(f"resume {_listed(names)}")
            await self._backend.thaw(names)

    async def _fill_disk(self, step: schema.FillDisk, names: list[str]) -> None:
        phase = self._open(f"disk full: {_listed(names)}")
        await self._backend.full_disk(names, True)

        async def room() -> None:
            phase.end = self.time
            self._note(f"room again: {_listed(names)}")
            running = self._backend.running()
            await self._backend.full_disk([name for name in names if name in running], False)

        if step.seconds is not None:
            self._later(self.time + step.seconds, room)

    # --- network ---------------------------------------------------------------------------------

    async def _partition(self, step: schema.Partition, place: str) -> None:
        name = step.name or place
        cut = partitions.made(step, self._cast, sorted(self._present or self._plan.first), place)
        self._note(f"partition {step.maker}: {len(cut)} nodes do not hear all others")
        await self._cut(name, cut, reset=step.reset)
        if name not in self._phases:
            self._phases[name] = self._open(f"partition: {step.maker}")
        if step.seconds is not None:
            self._later(self.time + step.seconds, partial(self.heal, name))

    async def _cut(self, name: str, cut: Deaf | None, *, reset: bool = False) -> None:
        """Let a partition of this name hold, or (None) no more."""
        self._cuts.pop(name, None)
        if cut:
            self._cuts[name] = cut
        await self._backend.partition(partitions.together(self._cuts.values()), reset=reset)

    async def heal(self, name: str = "") -> None:
        """End the partition of this name; without a name all of them and bad links."""
        self._history.marks["heal"] = self.time
        for healed in [name] if name else [*self._cuts]:
            self._cuts.pop(healed, None)
        for healed in [name] if name else [*self._phases]:
            if healed in self._phases:
                self._phases.pop(healed).end = self.time
        self._note(f"heal {name}".rstrip())
        await self._backend.partition(partitions.together(self._cuts.values()), reset=False)
        if not name and self._bad_links:
            await self._set_links(sorted(self._bad_links), Quality())
            self._bad_links.clear()

    async def mend(self) -> None:
        """Heal everything that is still broken: what every scenario ends with."""
        await self._thaw(sorted(self._frozen & self._backend.running()))
        for phase in self._history.phases:
            phase.end = self.time if phase.end is None else phase.end
        if self._cuts or self._bad_links:
            await self.heal()

    async def _link(self, step: schema.LinkQuality, place: str) -> None:
        chosen = self._cast.pick(step.who, self._present or set(self._plan.first), place)
        if not chosen:
            self._note("link: nobody")
            return
        quality = Quality(
            delay=step.delay_ms / 1000,
            jitter=step.jitter_ms / 1000,
            loss=step.loss,
            resets=step.resets,
            rate=None if step.rate_kbit is None else step.rate_kbit * 1000 / 8,
        )
        self._note(f"bad lines: {_listed(chosen)}")
        label = f"link: {step.delay_ms:g} ms, {step.loss:.0%} loss"
        if step.rate_kbit is not None:
            label += f", {step.rate_kbit:g} kbit/s"
        self._phases[place] = self._open(label)
        self._bad_links |= set(chosen)
        await self._set_links(chosen, quality)

        async def good() -> None:
            self._bad_links.difference_update(chosen)
            self._phases.pop(place).end = self.time
            self._note(f"good lines: {_listed(chosen)}")
            await self._set_links(chosen, Quality())

        if step.seconds is not None:
            self._later(self.time + step.seconds, good)

    async def _set_links(self, names: Sequence[str], quality: Quality) -> None:
        """To and from these nodes, whoever is at the other end."""
        await self._backend.set_links(names, None, quality)
        others = [name for name in self._cast.names if name not in set(names)]
        if others:
            await self._backend.set_links(others, names, quality)

    def _flap(self, step: schema.Flap, place: str) -> None:
        chosen = self._cast.pick(step.who, self._present or set(self._plan.first), place)
        self._note(f"flapping: {_listed(chosen)}")
        chance = Random(f"{self._cast.seed}/{place}/beat")
        end = self.time + step.seconds
        phase = self._open(f"flapping: {_listed(chosen)}")
        for name in chosen:
            moment = self.time + chance.uniform(0.0, step.every - step.down)
            while moment + step.down <= end:
                self._later(moment, partial(self._fall, step, name))
                self._later(moment + step.down, partial(self._rise, name))
                moment += step.every

        async def over() -> None:
            phase.end = self._history.marks["heal"] = self.time

        self._later(end, over)

    async def _fall(self, step: schema.Flap, name: str) -> None:
        cut = partitions.alone([name], self._cast.names)
        await self._cut(f"flap/{name}", cut, reset=step.reset)

    async def _rise(self, name: str) -> None:
        await self._cut(f"flap/{name}", None)

    def _travel(self, step: schema.Travel, place: str) -> None:
        chosen = frozenset(self._cast.pick(step.who, self._cast.names, place))
        ports = [frozenset(island) - chosen for island in self._cast.islands]
        ports = [port for port in ports if port]
        visits = int(step.seconds // step.stay)
        for number in range(visits):
            where = number % len(ports)
            sail = partial(self._visit, place, chosen, ports[where], where)
            self._later(self.time + number * step.stay, sail)
        self._later(self.time + visits * step.stay, partial(self._cut, place, None))

    async def _visit(
        self, place: str, chosen: frozenset[str], port: frozenset[str], number: int
    ) -> None:
        self._note(f"{_listed(sorted(chosen))} on island {number}")
        await self._cut(place, partitions.only(chosen, port, self._cast.names))

    # --- by hand ---------------------------------------------------------------------------------

    def _carry(self, step: schema.Carry, place: str) -> None:
        stops = sorted(self._cast.pick(step.who, self._cast.names, place))
        for number in range(int(step.seconds // step.every) if stops else 0):
            stop = partial(self._call, place, stops[number % len(stops)])
            self._later(self.time + number * step.every, stop)

    async def _call(self, stick: str, name: str) -> None:
        if name not in self._backend.running() - self._frozen:
            self._note(f"carry: {name} is not there")
            return
        given = await self._backend.carry(stick, name)
        refused = "".join(f", {count} {why}" for why, count in given.refused.items())
        self._note(f"carry: {given.bundles} bundles to {name}, {given.updates} updates{refused}")

    # --- notes -----------------------------------------------------------------------------------

    def _open(self, label: str) -> Phase:
        phase = Phase(label, self.time)
        self._history.phases.append(phase)
        return phase

    def _note(self, text: str) -> None:
        self._history.steps.append((self.time, text))


def _word(step: schema.OnNodes) -> str:
    return str(type(step).__struct_config__.tag)


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:SHOWN])
    return few if len(names) <= SHOWN else f"{len(names)} nodes ({few}, ...)"
