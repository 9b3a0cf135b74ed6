"""The seam between a scenario and the world it happens in: what the engine asks of a backend.

Two implement it: `real/` (the shipped daemons as processes, over libp2p) and `sim/` (the same core
in virtual time). The engine plans, a backend does: it knows nothing of scenario files, selectors,
topologies and checks, it gets names and numbers.

    backend = RealBackend(directory, seed) or SimBackend(seed, ...)
    async with backend:                  # nothing is left when the block ends, however it ends
        await backend.add(plans)
        await backend.start(names)
        await backend.sleep_until(20.0)
        await backend.kill(["n01", "n07"])
        readings = await backend.read(backend.running())

Time is seconds since the backend was entered: of the machine's monotonic clock, or virtual ones.
Every operation takes effect before it returns. Nodes are called by name. Names that are unknown,
or an operation that does not fit a node's state (killing one that does not run), raise
`ScenarioError`: the engine has resolved selectors before, so it is a mistake of one of the two.
"""

from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

T = TypeVar("T")

Setting = str | int | float | bool | Sequence[str] | Sequence[int]
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What a node does otherwise than a shipped daemon: see hostile.py."""

    favourite: str = ""
    """Name of the node for which it lies; empty: it is honest."""
    defended: bool = True
    """Whether it counts clicks as shipped."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A node before it has lived: what the engine has decided for it."""

    name: str
    """Letters, digits and dashes; fit for a file name."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """`gossipd.config` keys by dotted name: task and its part of the data, mode, time-outs. Never
    network.listen, .port, .peers, .allow or .mdns: those are the backend's."""
    neighbours: frozenset[str] | None = None
    """The only nodes that it may dial and answer (`network.allow`); None: everybody. May name nodes
    that were never started: their identities are known beforehand."""
    contacts: tuple[str, ...] = ()
    """Whose addresses it is told, in every life, as soon as those have been started once. Others
    it finds through them. Subset of `neighbours` where there are any."""
    part: Part = Part()


@dataclass(frozen=True, slots=True)
class Quality:
    """What lies between a sender and a receiver, in that direction."""

    delay: float = 0.0
    """Seconds one way, on top of the backend's own best line."""
    jitter: float = 0.0
    """Seconds: each piece takes up to so much longer, uniformly."""
    loss: float = 0.0
    """Share of pieces that are lost, 0..1. Over TCP (real) a loss shows as a stall, as if the
    system had to send again; in the simulator a message never arrives."""
    resets: float = 0.0
    """Share of pieces that break their connection, 0..1. In the simulator they are lost."""
    rate: float | None = None
    """Bytes per second that a sender gets out to all these receivers together; None: endless."""


@dataclass(frozen=True, slots=True)
class Given:
    """What became of the bundles that somebody brought."""

    bundles: int = 0
    updates: int = 0
    """Models among what was new."""
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a node: one line of the history."""

    at: float
    """Seconds of the backend's clock, whatever the node's own clock shows."""
    node: str
    kind: str
    """As the daemon reports it on /events ("merged", "round-started", "peer-lost", ...), or of the
    backend: "started" and "ended" with {"asked": bool, "code": int | None}."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How one running node stands."""

    at: float
    node: str
    accuracy: float | None
    """Of its serving model on the task's whole test set, 0..1; None when it could not be had."""
    recalls: tuple[float, ...] | None
    """The same by class: share of each class's test examples that are recognised; None where the
    task has no classes."""
    model: str
    """Content hash of the serving model, hex."""
    lineage: Mapping[str, int]
    """Of its base, the last merged model: author (hex, as in /models) -> steps merged in."""
    author: str
    """Its own name in lineages, in this incarnation."""
    counters: Mapping[str, int]
    """Numbers that must never go back over all lives on one disk: "steps" at least (own training
    steps ever), "round" in the mode rounds."""
    bytes_in: int
    bytes_out: int
    """Over all lives."""
    connected: int
    """Admitted peers."""
    memory: int | None
    """Private memory in bytes; None where nodes share a process."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """What it has refused of others in this life, by reason."""
    health: tuple[str, ...] = ()
    """Codes of its present warnings."""
    choice: str | None = None
    """Whom it ranks first for what it asks most; None where nobody lies: then nobody asks."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What must not happen in any scenario: an exception that nobody handled, an end unasked."""

    at: float
    node: str
    what: str
    """"exception" | "ended"."""
    evidence: str
    """The traceback, or the last words of its log."""


class Backend(Protocol):
    """One world for one run of a scenario."""

    @property
    def name(self) -> str:
        """ "real" | "sim"."""

    @property
    def log_hash(self) -> str | None:
        """Of all that happened, where the same seed gives the same; None in the real world."""

    def drive(self, main: Coroutine[Any, Any, T]) -> T:
        """Run the engine's coroutine to its end: `asyncio.run` with SIGTERM and SIGHUP turned into
        KeyboardInterrupt, or plain stepping where waiting takes no time. Called from the main
        thread, not from a loop. The engine awaits this backend's methods and nothing else."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every node and clean up; never raises because a node had died."""

    # --- time ------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the backend was entered."""

    async def sleep_until(self, moment: float) -> None:
        """Let time pass until `now` is `moment` or later; at once when it is."""

    # --- lives -----------------------------------------------------------------------------------

    async def add(self, plans: Sequence[NodePlan]) -> None:
        """Prepare nodes, with their keys; they do not run yet. Called once, for newcomers too."""

    async def start(self, nodes: Collection[str]) -> None:
        """Begin a life of nodes that do not run; returns when all of them listen and answer."""

    async def stop(self, nodes: Collection[str]) -> None:
        """As `gossipd stop`: they say goodbye. Returns when they have ended."""

    async def kill(self, nodes: Collection[str]) -> None:
        """SIGKILL to all at the same moment; the kernel closes their sockets."""

    async def restart(self, nodes: Collection[str]) -> None:
        """`stop` those that run, then `start` them all on the disks they have."""

    async def freeze(self, nodes: Collection[str]) -> None:
        """SIGSTOP: they hold their sockets and say nothing."""

    async def thaw(self, nodes: Collection[str]) -> None:
        """SIGCONT."""

    def running(self) -> frozenset[str]:
        """Nodes that live now, frozen ones too."""

    # --- disks and clocks ------------------------------------------------------------------------

    async def wipe(self, nodes: Collection[str]) -> None:
        """Empty the disks of nodes that do not run: models, state, counters. The key stays."""

    async def corrupt(self, nodes: Collection[str], file: str, rng_seed: int) -> None:
        """Overwrite bytes in the middle of a file of nodes that do not run: "head", "base" or
        "serving" (the model's file). `rng_seed` decides which bytes."""

    async def full_disk(self, nodes: Collection[str], full: bool) -> None:
        """From now on every write of these running nodes fails as on a disk without room, or does
        not any more. A new life has room again. (Real: the soft RLIMIT_FSIZE, which needs no
        root.)"""

    async def set_clock(self, nodes: Collection[str], offset: float) -> None:
        """Let their wall clocks be ahead by `offset` seconds (negative: behind) from now on, and in
        later lives. Monotonic clocks go on undisturbed."""

    # --- network ---------------------------------------------------------------------------------

    async def partition(self, deaf: Mapping[str, Collection[str]], *, reset: bool) -> None:
        """Node -> whom it does not hear: the whole truth from now on, what is not named hears
        everybody (within its neighbours). An empty mapping heals. Newly deaf pairs' connections
        are `reset`, or fall silent as in a black hole: packets vanish, nothing is closed."""

    async def set_links(
        self, senders: Collection[str], receivers: Collection[str] | None, quality: Quality
    ) -> None:
        """From each sender to each receiver (None: to everybody) the line is so from now on; later
        calls win. Quality() is the best line again."""

    async def carry(self, stick: str, node: str) -> Given:
        """Somebody calls at a running node with this stick: it imports the bundles of all others
        that are on it, and exports its own in place of the one that it had written before."""

    # --- looking ---------------------------------------------------------------------------------

    async def events(self) -> Sequence[Event]:
        """All events since the last call, in order of time; each node's in its own order."""

    async def read(self, nodes: Collection[str], *, accuracy: bool = True) -> Sequence[Reading]:
        """How these nodes stand, in the order asked. Those that do not run, are frozen or do not
        answer in time are left out. Without `accuracy` the costly part is left out (None)."""

    def faults(self) -> Sequence[Fault]:
        """All of the run so far. A node's unasked end is one; the others go on."""

    async def holdings(self) -> Mapping[str, tuple[int, ...] | None]:
        """Examples by class that each node holds which ever ran (all zero for none; None for a task
        without classes): what "the classes of the smaller group" means."""

    def home(self, node: str) -> str | None:
        """Where its files are, for who wants to look; None where there are none."""
