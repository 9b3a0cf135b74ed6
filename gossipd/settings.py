"""What can be set: every section and key, its type, its default and where that comes from.

`gossipd.config` reads and checks it; docs/configuration.md is written from here.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gossipd.wire import limits

# Upper bounds are far above what makes sense: they keep infinity and slips of the keyboard out.
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Natural = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]


RELOADED = frozenset(
    {
        "guest.max_per_day",
        "guest.max_upload",
        "guest.min_battery",
        "guest.train_when",
        "log.level",
        "network.allow",
        "network.block",
        "network.peers",
        "ranking.share_clicks",
        "storage.quota_mb",
    }
)
"""What a running daemon takes over on SIGHUP or `gossipd config reload`; the rest needs a start."""


class NetworkConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to listen and whom to know."""

    listen: str = "0.0.0.0"
    """IP address to listen on; every IPv4 interface, so that a LAN just works."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """TCP port; 0: a free one, taken at the first start and remembered."""
    peers: tuple[str, ...] = ()
    """Multiaddresses of peers to begin with, each ending in /p2p/<peer id>; others are found."""
    allow: tuple[str, ...] = ()
    """Peer ids: the only peers to dial and to answer; empty: everybody. Between nodes that name
    their neighbours this makes an overlay, whatever network lies below."""
    block: tuple[str, ...] = ()
    """Peer ids: never dialled nor answered, even where `allow` names them. What they teach others
    still arrives through those; `gossipd peers block` and `unblock` write it."""
    announce: tuple[str, ...] = ()
    """Multiaddresses that others are told to dial, without /p2p, as behind a forwarded port; empty:
    those of this machine; "none": no address, for who cannot be dialled. mDNS tells the local
    network where this machine listens in any case."""
    mdns: bool = True
    """Find peers on the local network, and be found."""
    max_connections: Annotated[int, Meta(ge=1, le=limits.CONNECTIONS)] = 64
    """Live connections at once; a guess that a laptop bears easily."""
    dial_timeout: Seconds = 10.0
    """Seconds for one address to answer; a guess, ample for a radio mesh."""
    request_timeout: Seconds = 10.0
    """Seconds until a peer must have answered; a guess."""
    heartbeat_interval: Seconds = 5.0
    """Seconds between two signs of life; a guess between traffic and patience."""
    heartbeat_timeout: Seconds = 15.0
    """Seconds of silence after which a connection counts as dead; three intervals, so that two
    lost heartbeats are borne."""
    progress_timeout: Seconds = 20.0
    """Seconds without a new byte after which a transfer is broken off, to be resumed; a guess."""


class SwarmConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which swarm this daemon belongs to; `gossipd members accept` says it for a closed one."""

    id: str = ""
    """64 hex digits; empty: the open swarm of the task. Not used by a member of a closed swarm."""


class TaskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is learnt, and from which part of the data."""

    name: Literal["digits", "idx", "described", "code"] = "digits"
    """digits: scikit-learn's, built in; idx: the IDX images in the folder `data`; described: a
    table or images, as the task description `task.json` in the state directory says; code: a class
    of your own. `gossipd init` and `join` write it."""
    data: str = ""
    """This device's own data: a table (CSV, NPZ, Parquet), or a folder of images or IDX files.
    Empty: it has none, and carries and uses what others learn."""
    code: str = ""
    """FILE.py:CLASS, for the task code: a class derived from gossipd.learning.task.Task."""
    partition: Literal["all", "iid", "dirichlet", "classes"] = "all"
    """How the data is divided among the nodes of an experiment; a device keeps its own whole."""
    alpha: Positive = 0.5
    """Concentration of the Dirichlet partition, lower is more skewed; the literature's usual
    "moderate" value."""
    classes_per_node: Count = 2
    """Classes that one node sees in the partition "classes"; the usual pathological case (paper:
    FedAvg)."""
    node: Natural = 0
    """Which part is this node's: 0 to nodes - 1."""
    nodes: Count = 1
    """Parts that the data is divided into."""
    parts: Natural = 1
    """How many parts, from number `node` on, are this node's; 0: it holds nothing."""
    labels: tuple[Natural, ...] = ()
    """Only examples of these classes are divided; empty: of all."""
    seed: Natural = 0
    """Of the partition and of the model's initial values; the same on every node."""
    title: str = ""
    """What the models that this device signs are called, for people to find them by; at most 128
    characters."""
    tags: tuple[str, ...] = ()
    """Words to find them by, beside the task's name; at most 15 of 64 characters."""
    licence: str = ""
    """On which terms they are given away, such as CC-BY-4.0; at most 64 characters. Said to people,
    enforced by nobody."""
    show_labels: bool = True
    """Tell others how many examples of each label there are here. False: merging weighs this
    device's models, and those that are averaged with them, by the number of examples alone, and
    ranking knows nothing of its labels."""


class LearningConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Local training by SGD."""

    lr: Positive = 0.1
    """Learning rate; ours, measured on digits."""
    momentum: Decay = 0.0
    """None (paper: MoDeST)."""
    weight_decay: Annotated[float, Meta(ge=0, le=1e3)] = 0.0
    """None (paper: MoDeST)."""
    batch_size: Count = 20
    """Examples per mini-batch (paper: MoDeST)."""
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Threads of torch; one leaves a laptop usable."""
    background: bool = True
    """Train at low priority, behind what people do on the machine."""
    niceness: Annotated[int, Meta(ge=1, le=19)] = 10
    """How low that is (Linux's nice values). Ours, measured: at 19 the daemon's own network waits
    for its training by seconds when the machine is busy."""


class GossipConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How models are exchanged and merged."""

    exchange: bool = True
    """False: train alone, give and take nothing."""
    cycle_seconds: Seconds = 0.5
    """Shortest time between two training cycles, in seconds; a longer training stretches it. A
    guess."""
    local_steps: Count = 18
    """Mini-batches per cycle; ours, measured on digits: 5 to 50 do alike."""
    fanout: Annotated[int, Meta(ge=0, le=64)] = 2
    """Peers that are shown the new model after each cycle; ours, measured: two reach what FedAvg
    reaches, one is half as fast."""
    averaging: Literal["variance_corrected", "mean"] = "variance_corrected"
    """Variance-corrected (paper: arXiv 2404.04616)."""
    self_weight: Fraction = 0.2
    """Weight of the own model in a merge. Departure from the paper (.5, arXiv 2404.04616): ours,
    measured on digits, five nodes of two classes: the target is reached in 25-50 cycles instead of
    30-55, and still is when exchanges take as long as half a cycle, where .5 never gets there."""
    buffer: Annotated[int, Meta(ge=1, le=1024)] = 8
    """Received models that start a merge before the cycle is due; a guess."""
    anti_entropy_seconds: Seconds = 5.0
    """Mean seconds between two pulls from one peer; a guess."""
    serving_decay: Decay = 0.8
    """Of the moving average that predictions use; ours, measured."""
    codec: Literal["auto", "half", "dense"] = "auto"
    """What travels: float16, float32, or what takes fewest bytes: in rounds two or three bits a
    number against the round's model where the receivers have it, eight against the initial one
    elsewhere; in gossip float16. Ours, measured by benchmarks/codecs.py and benchmarks/w1.py."""
    init: Literal["genesis", "own"] = "genesis"
    """Start from the task's common initial model, or each from its own random one (the papers'; not
    in rounds)."""


class RoundsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Sampled rounds; what both ways of learning share stands under [gossip]."""

    sample: Annotated[int, Meta(ge=2, le=limits.SAMPLE)] = 5
    """Peers that train in a round. Departure from the paper (10): ours, measured on MNIST: 5 of 20
    reach .90 with two thirds of the transfers that 10 need."""
    aggregators: Annotated[int, Meta(ge=1, le=16)] = 1
    """Aggregators that each trainer sends to (paper: 1, explored up to 5)."""
    success_fraction: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Share of a sample, as far as it is alive, that is waited for (paper: 1.0)."""
    activity_window: Count = 50
    """Rounds without a sign of life after which a peer is no candidate (paper's library: 50)."""
    local_steps: Count = 18
    """Mini-batches per round; ours, as in [gossip] (paper: 5, or one epoch)."""
    round_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.25
    """Least seconds from one round to the next; a guess that leaves a laptop usable."""


class RankingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is learnt from use: which peers and models serve this node best."""

    exchange: bool = True
    """Show others which peers' models have helped this node, and ask for the same."""
    peers: Literal["rank", "uniform", "round-robin"] = "uniform"
    """Whom gossip and anti-entropy turn to next: who has helped nodes with such data, anybody, one
    after the other. In rounds anybody, since all stand on one model. `rank` is for who predicts on
    data like its own: in four groups of labels it gains .03 there, and loses .3 on the labels of
    others (ours, measured by benchmarks/personal.py); so it is not the default."""
    share_clicks: bool = False
    """Whether others learn what is chosen here with `gossipd rank vote`, and for which words."""


class GuestConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Being a good guest on somebody's machine; `gossipd status` says why it does not train."""

    train_when: Literal["always", "plugged", "idle"] = "always"
    """plugged: not on battery; idle: while others use less than a quarter of the processors."""
    min_battery: Fraction = 0.3
    """On battery, training pauses below this charge; a guess. 0: never."""
    max_upload: Annotated[int, Meta(ge=0, le=10**7)] = 0
    """Kilobytes (10^3 bytes) a second at which models are given to others; 0: no limit."""
    max_per_day: Annotated[int, Meta(ge=0, le=10**7)] = 0
    """Megabytes (10^6 bytes) in both directions; then it talks to nobody until midnight UTC. 0: no
    limit."""


class StorageConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What may be kept."""

    quota_mb: Annotated[int, Meta(ge=1, le=2**24)] = 1024
    """Megabytes (10^6 bytes) for models and updates; the oldest go first, those in use never. A
    guess."""


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe that is said."""
    format: Literal["text", "json"] = "text"
    """For people or for machines."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    mode: Literal["rounds", "gossip"] = "rounds"
    """How all of a swarm learn: in sampled rounds, or each node on its own clock. Ours, measured on
    MNIST, 20 nodes: to the same accuracy, rounds take a quarter of the transfers."""
    network: NetworkConfig = NetworkConfig()
    swarm: SwarmConfig = SwarmConfig()
    task: TaskConfig = TaskConfig()
    learning: LearningConfig = LearningConfig()
    gossip: GossipConfig = GossipConfig()
    rounds: RoundsConfig = RoundsConfig()
    ranking: RankingConfig = RankingConfig()
    guest: GuestConfig = GuestConfig()
    storage: StorageConfig = StorageConfig()
    log: LogConfig = LogConfig()
