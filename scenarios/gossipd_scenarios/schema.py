"""What a scenario file may say, as types. docs/scenarios.md explains it with examples.

    Scenario      the whole file: how many nodes, how long, what every daemon is told
    Topology      who may talk to whom
    Data          who holds which examples
    Hostile       who lies
    Selector      picks nodes: by name, island, group, data, centrality, chance
    Operation     one step of the timeline; `do` says which
    Check         what must hold in the end; `check` says which

Times are seconds since the moment when all nodes of the beginning have started. msgspec converts
and checks; what types cannot say is checked in `document` and `plan`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1, le=100_000)]
Natural = Annotated[int, Meta(ge=0, le=100_000)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Duration = Annotated[float, Meta(gt=0, le=86_400)]
Share = Annotated[float, Meta(ge=0, le=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
Moment = Seconds | str
"""A time, or the name of a mark: "start", "heal", "end", or the `mark` of an operation."""


class Selector(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which nodes: those that meet all conditions, or as many of them as are asked for."""

    names: tuple[str, ...] = ()
    """Shell patterns: "n01", "n1*"."""
    group: str = ""
    """A name of [groups]: picked once, when the scenario is planned."""
    outside: str = ""
    """Those that are not of this group."""
    island: Natural | None = None
    """Number of an island of the topology, from 0."""
    data: bool | None = None
    """With examples of their own, or without any."""
    by: Literal["chance", "degree", "betweenness", "name"] = "chance"
    """Whom `count` and `percent` take first: by lot, the most central, or in order of names."""
    count: Natural | None = None
    percent: Percent | None = None
    """Of those that meet the conditions, rounded."""


EVERYBODY = Selector()


class Topology(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The overlay: who may dial and answer whom. The daemons themselves keep to it."""

    kind: Literal[
        "full",
        "ring",
        "regular",
        "barabasi-albert",
        "erdos-renyi",
        "small-world",
        "islands",
        "star",
        "file",
    ] = "full"
    degree: Count = 4
    """regular, small-world: neighbours of each node."""
    attach: Count = 2
    """barabasi-albert: links of each new node."""
    probability: Share = 0.2
    """erdos-renyi: chance of a link; small-world: of a link to be rewired."""
    islands: tuple[Annotated[float, Meta(gt=0)], ...] = ()
    """Sizes in proportion: [0.8, 0.2]. Nodes are dealt to them in order of their names. With the
    kind "islands" nobody may talk across them but over bridges; with others they are only named."""
    bridges: Natural = 1
    """islands: links from each island to the next."""
    file: str = ""
    """file: "a b" per line, a link between the nodes with these names or numbers from 0; relative
    to the scenario."""


class Data(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who holds which examples. All shards are disjoint but in the split "all"."""

    split: Literal["iid", "dirichlet", "classes", "islands", "all"] = "iid"
    """islands: each island has classes of its own, as many as the others; each node as many
    examples as any other, so that a small island holds less."""
    alpha: Annotated[float, Meta(gt=0, le=1e6)] = 0.5
    """dirichlet: the lower the more skewed."""
    classes_per_node: Count = 2
    """classes."""
    empty: Selector | None = None
    """These hold nothing; the others share what would have been theirs."""
    heavy: Selector | None = None
    """iid: these hold `times` as much as each of the others."""
    times: Annotated[int, Meta(ge=1, le=1000)] = 4


SIDES = ("hostile", "honest")
"""The groups that [hostile] makes."""


class Hostile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nodes that learn from wrong labels and flood the others with clicks for one of them. Makes
    two groups, "hostile" and "honest"."""

    who: Selector
    defended: bool = True
    """False: all count clicks by the paper's rules, each as often as it comes."""


# --- the timeline ---------------------------------------------------------------------------------


class _Operation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="do"):
    at: Seconds
    mark: str = ""
    """A name for this moment, for checks."""


class OnNodes(_Operation, frozen=True, kw_only=True):
    who: Selector = EVERYBODY
    """Of those to whom it can happen now: a node that does not run cannot be killed."""
    every: Seconds = 0.0
    """Seconds from one node to the next; 0: all at once."""


class Start(OnNodes, frozen=True, kw_only=True, tag="start"):
    """Nodes that ended begin another life on the disks they have."""


class Stop(OnNodes, frozen=True, kw_only=True, tag="stop"):
    """As `gossipd stop`."""


class Kill(OnNodes, frozen=True, kw_only=True, tag="kill"):
    """SIGKILL."""


class Restart(OnNodes, frozen=True, kw_only=True, tag="restart"):
    """An orderly stop and a new life."""


class Pause(OnNodes, frozen=True, kw_only=True, tag="pause"):
    """SIGSTOP, and SIGCONT after `seconds` if they are given."""

    seconds: Duration | None = None


class Resume(OnNodes, frozen=True, kw_only=True, tag="resume"):
    """SIGCONT."""


class Wipe(OnNodes, frozen=True, kw_only=True, tag="wipe"):
    """Empty the disks of nodes that do not run."""


class Corrupt(OnNodes, frozen=True, kw_only=True, tag="corrupt"):
    """Damage a file of nodes that do not run."""

    file: Literal["head", "base", "serving"] = "head"


class FillDisk(OnNodes, frozen=True, kw_only=True, tag="fill-disk"):
    """Writes fail for want of room, for `seconds` or to the end of this life."""

    seconds: Duration | None = None


class Clock(OnNodes, frozen=True, kw_only=True, tag="clock"):
    """Set wall clocks ahead (or behind: negative)."""

    seconds: Annotated[float, Meta(ge=-1e9, le=1e9)]


class Join(_Operation, frozen=True, kw_only=True, tag="join"):
    """Nodes that were never there come."""

    count: Count = 1
    every: Seconds = 0.0


class Leave(OnNodes, frozen=True, kw_only=True, tag="leave"):
    """Nodes say goodbye and are not expected back: as `stop`."""


class Partition(_Operation, frozen=True, kw_only=True, tag="partition"):
    """Who may not hear whom, until healed."""

    maker: Literal[
        "islands", "halves", "isolate", "away", "bridge", "most-central", "only", "pairs"
    ]
    """islands: those of the topology, as far as they are `who`. halves: `share` of all, in order,
    and the rest. isolate: each of `who` alone. away: `who` together, apart from all others. bridge:
    halves, and one node that hears both. most-central: `percent` of all, by betweenness, each
    alone. only: `who` hear only `hears`. pairs: `deaf` as it stands."""
    who: Selector = EVERYBODY
    hears: Selector = EVERYBODY
    share: Share = 0.5
    percent: Percent = 10.0
    deaf: dict[str, tuple[str, ...]] = {}
    """pairs: node -> whom it does not hear; one way, unless both are named."""
    reset: bool = False
    """Break connections at once; else packets vanish and nobody is told."""
    name: str = ""
    """Several partitions hold side by side; one of the same name takes the place of the former."""
    seconds: Duration | None = None
    """Healed after so long."""


class Heal(_Operation, frozen=True, kw_only=True, tag="heal"):
    """Partitions end: that of this name, or all; without a name bad links end too."""

    name: str = ""


class LinkQuality(_Operation, frozen=True, kw_only=True, tag="link"):
    """What the lines of these nodes are like, in both directions."""

    who: Selector = EVERYBODY
    delay_ms: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    """One way."""
    jitter_ms: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    loss: Share = 0.0
    resets: Share = 0.0
    """Of packets that break their connection instead."""
    rate_kbit: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """Of each sender, all its lines together; none: endless."""
    seconds: Duration | None = None


class Flap(_Operation, frozen=True, kw_only=True, tag="flap"):
    """Nodes lose and regain their network, again and again, each at its own beat."""

    who: Selector = EVERYBODY
    every: Duration = 10.0
    down: Duration = 3.0
    """Seconds of each `every` without network."""
    seconds: Duration
    """How long it goes on."""
    reset: bool = True


class Travel(_Operation, frozen=True, kw_only=True, tag="travel"):
    """Nodes visit one island after the other, round and round: they hear nobody elsewhere."""

    who: Selector
    stay: Duration = 10.0
    seconds: Duration


class Carry(_Operation, frozen=True, kw_only=True, tag="carry"):
    """Somebody with a stick goes from node to node, round and round. At each stop it gives what
    other nodes have written on the stick, and takes what this one knows along: bundles."""

    who: Selector = EVERYBODY
    """The stops, in order of their names; one that does not run then is passed by."""
    every: Duration = 10.0
    """Seconds from one stop to the next."""
    seconds: Duration


Operation = (
    Start
    | Stop
    | Kill
    | Restart
    | Pause
    | Resume
    | Wipe
    | Corrupt
    | FillDisk
    | Clock
    | Join
    | Leave
    | Partition
    | Heal
    | LinkQuality
    | Flap
    | Travel
    | Carry
)

# --- checks ---------------------------------------------------------------------------------------

Stat = Literal["median", "worst", "mean", "best"]
Of = Literal["running", "connected", "isolated"]
"""Which of the nodes that run: all; those that the overlay still links to others that run; those
that it does not."""
Classes = Literal["all", "small-island"]
"""Accuracy over all classes, or over those that only the smallest island holds."""


class _Check(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="check"):
    name: str = ""
    """As what it is reported; by default its kind."""


class Accuracy(_Check, frozen=True, kw_only=True, tag="accuracy"):
    """How good nodes are at a moment: the last reading up to then."""

    at: Moment = "end"
    stat: Stat = "median"
    of: Of = "running"
    group: str = ""
    classes: Classes = "all"
    at_least: Share | None = None
    at_most: Share | None = None


class Reaches(_Check, frozen=True, kw_only=True, tag="reaches"):
    """How long it takes after a moment until nodes are as good as they should be."""

    at_least: Share
    after: Moment = "heal"
    within: Duration
    stat: Stat = "worst"
    of: Of = "running"
    group: str = ""
    classes: Classes = "all"


class Undisturbed(_Check, frozen=True, kw_only=True, tag="undisturbed"):
    """Accuracy in the end as a share of what the same nodes reach in a run without any fault."""

    at_least: Annotated[float, Meta(gt=0, le=2)]
    stat: Stat = "median"
    of: Of = "running"
    group: str = ""


class LineageConverges(_Check, frozen=True, kw_only=True, tag="lineage"):
    """How long it takes after a moment until everybody has merged what anybody had merged then."""

    after: Moment = "heal"
    within: Duration


class Bytes(_Check, frozen=True, kw_only=True, tag="bytes"):
    """Megabytes (10^6) that one node sends in the whole run."""

    at_most: Annotated[float, Meta(gt=0)]
    stat: Stat = "worst"


class Memory(_Check, frozen=True, kw_only=True, tag="memory"):
    """Private memory of the largest daemon, megabytes (10^6). Only where each has its own."""

    at_most: Annotated[float, Meta(gt=0)]


class Meshed(_Check, frozen=True, kw_only=True, tag="meshed"):
    """How long it takes until everybody has so many admitted peers (or all that it may have)."""

    peers: Count = 6
    within: Duration
    after: Moment = 0.0


class Progress(_Check, frozen=True, kw_only=True, tag="progress"):
    """Rounds or own training steps go on after a moment: in total, of those that run until another
    moment."""

    counter: Literal["steps", "round"] = "steps"
    after: Moment = "start"
    until: Moment = "end"
    at_least: Annotated[float, Meta(gt=0)]


class Choice(_Check, frozen=True, kw_only=True, tag="choice"):
    """Share of the honest nodes that rank an honest peer first, for what they ask most."""

    at: Moment = "end"
    at_least: Share | None = None
    at_most: Share | None = None


class Events(_Check, frozen=True, kw_only=True, tag="events"):
    """How often daemons have reported something."""

    kind: str
    at_least: Natural | None = None
    at_most: Natural | None = None


class CountersGrow(_Check, frozen=True, kw_only=True, tag="counters-grow"):
    """No counter of any node ever went back, over all its lives on one disk."""


class NothingLost(_Check, frozen=True, kw_only=True, tag="nothing-lost"):
    """No node's base ever lost what it had merged, and nobody forgot own steps that others hold."""


class NoException(_Check, frozen=True, kw_only=True, tag="no-exception"):
    """No exception that nobody handled, in any daemon."""


class NobodyEnded(_Check, frozen=True, kw_only=True, tag="nobody-ended"):
    """No daemon ended unless it was told to."""


Check = (
    Accuracy
    | Reaches
    | Undisturbed
    | LineageConverges
    | Bytes
    | Memory
    | Meshed
    | Progress
    | Choice
    | Events
    | CountersGrow
    | NothingLost
    | NoException
    | NobodyEnded
)
STANDING: tuple[Check, ...] = (CountersGrow(), NothingLost(), NoException(), NobodyEnded())
"""Held against every run, whatever the file says."""

# --- the file -------------------------------------------------------------------------------------

Plain = str | int | float | bool


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole file, after its parameters were filled in."""

    title: str
    about: str
    """What it stands for."""
    nodes: Count
    """Without those that join later."""
    seconds: Duration
    """Length of the timeline. Then everything that is still broken is healed."""
    settle: Seconds = 0.0
    """Seconds after that, before the final checks."""
    seed: Natural = 1
    training: Literal["real", "stub"] = "real"
    """stub: models that learn nothing of use, in the simulator only; for thousands of nodes."""
    read_every: Duration = 2.0
    """Seconds between two readings of all nodes."""
    settings: dict[str, Plain | dict[str, Plain | list[str]]] = {}
    """Configuration of every daemon, as in config.toml."""
    topology: Topology = Topology()
    data: Data = Data()
    hostile: Hostile | None = None
    groups: dict[Name, Selector] = {}
    timeline: tuple[Operation, ...] = ()
    checks: tuple[Check, ...] = ()
