"""The two ways in which daemons of a run reach each other: through our proxy, or over a switch."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.fleet import LOOPBACK, Fleet, FleetError, Setting
from gossipd_scenarios.real.links import Links, Shape
from gossipd_scenarios.real.proxy import Pair

PORT = 4001
"""Where daemons on a switch listen, each at an address of its own."""


class Lines(Protocol):
    """What a backend asks of the network between its daemons."""

    settings: Mapping[str, Setting]
    """What every daemon is told."""
    typed: bool
    """Whether daemons must be told addresses; else they find each other."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def add(self, nodes: Sequence[str]) -> None:
        """There are new nodes."""

    async def address(self, source: str, target: str) -> str:
        """Where `source` dials `target`, without its peer id. Only where they must be told."""

    async def listens(self, node: str, port: int) -> None:
        """A node has begun a life."""

    async def shape(self, shapes: Sequence[Shape]) -> None:
        """Make directions be so. ScenarioError for what this network cannot do."""


class ProxyLines:
    """Everything on the loopback goes through the shaping proxy; needs no rights.

    A daemon announces no address of its own, so that nobody can pass the proxy by.
    """

    settings: Mapping[str, Setting] = {**LOOPBACK, "network.announce": ("none",)}
    typed = True

    def __init__(self, log: Path, seed: int) -> None:
        self.links = Links(log, seed)

    async def __aenter__(self) -> Self:
        await self.links.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.links.__aexit__(kind, error, trace)

    async def add(self, nodes: Sequence[str]) -> None:
        """Links are made when somebody is told to use them."""

    async def address(self, source: str, target: str) -> str:
        return f"/ip4/127.0.0.1/tcp/{await self.links.open(source, target)}"

    async def listens(self, node: str, port: int) -> None:
        await self.links.moved(node, port)

    async def shape(self, shapes: Sequence[Shape]) -> None:
        if shapes:
            await self.links.shape(*shapes)


class SwitchLines:
    """Every daemon in a network namespace of its own, on a bridge (namespaces.py): losses and rates
    are the kernel's, and daemons find each other by mDNS.

    A partition is silence here whether it was to reset or not, and multicast comes through it. A
    sender has one rate, its lowest. Nothing delays: few kernels have netem, and the proxy does it.
    """

    settings: Mapping[str, Setting] = {"network.mdns": True, "network.port": PORT}
    typed = False

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._silent: set[Pair] = set()
        self._rates: dict[str, dict[str, float]] = {}
        """Sender -> receiver -> bytes per second, where there is a limit."""

    async def __aenter__(self) -> Self:
        try:
            await self._fleet.wire({"isolate": True})
        except FleetError as error:
            raise ScenarioError(
                f"no network namespaces: {error.message}",
                "leave out --netns: the shaping proxy needs no rights",
                "no-namespaces",
            ) from None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The namespaces end with the processes in them."""

    async def add(self, nodes: Sequence[str]) -> None:
        await self._fleet.wire({"plug": list(nodes)})

    async def address(self, source: str, target: str) -> str:
        raise ScenarioError("daemons on a switch find each other", "do not ask for an address")

    async def listens(self, node: str, port: int) -> None:
        """At the address that it always has."""

    async def shape(self, shapes: Sequence[Shape]) -> None:
        for shape in shapes:
            conditions = shape.conditions
            if conditions.delay or conditions.jitter or conditions.loss or conditions.resets:
                raise ScenarioError(
                    "delay, jitter and loss cannot be had in network namespaces",
                    "leave out --netns: the shaping proxy makes them",
                    "no-netem",
                )
            await self._silence(shape.pairs, conditions.state != "open")
            await self._limit(shape.pairs, conditions.rate)

    async def _silence(self, pairs: Collection[Pair], silent: bool) -> None:
        other = [pair for pair in pairs if (pair in self._silent) != silent]
        if other:
            await self._fleet.wire({"silence": other, "silent": silent})
            self._silent.symmetric_difference_update(other)

    async def _limit(self, pairs: Collection[Pair], rate: float) -> None:
        before = {sender: self._rate(sender) for sender, _ in pairs}
        for sender, receiver in pairs:
            self._rates.setdefault(sender, {})[receiver] = rate
        changed = [sender for sender, old in before.items() if self._rate(sender) != old]
        for sender in changed:
            await self._fleet.wire({"limit": [sender], "rate": self._rate(sender)})

    def _rate(self, sender: str) -> float:
        return min((rate for rate in self._rates.get(sender, {}).values() if rate), default=0.0)
