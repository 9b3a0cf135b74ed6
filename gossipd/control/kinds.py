"""What a daemon reports, by kind: the events of `gossipd events` and GET /events.

Kinds and fields are part of the API. docs/events.md is written from here, and a test compares the
table with what the code reports.
"""

from typing import NamedTuple

PEER = "the peer's id"
ROUND = "the round's number"
CODEC = "how what was made is encoded when it travels"
REFERENCE = "what it is a difference to: a model's hash, `genesis` or `zero`"
BYTES = "size of it, encoded"
SAVED = "bytes less than it would take exactly"
WHY = "why, in words"


class Kind(NamedTuple):
    """What stands in the reference."""

    text: str
    fields: dict[str, str]
    """What else an event of this kind says, beside `seq`, `time` and `kind`; a field that only
    some of them have says so."""
    quiet: bool = False
    """Ordinary work: in the log it shows at level debug only."""


KINDS = {
    # --- peers
    "peer-connected": Kind("A peer and this daemon have admitted each other.", {"peer": PEER}),
    "peer-lost": Kind("An admitted peer's connection has ended.", {"peer": PEER, "reason": WHY}),
    "peer-refused": Kind(
        "A peer does not belong here, or is not let in.",
        {"peer": PEER, "code": "why, as a stable word", "reason": WHY + "; not always there"},
    ),
    "peer-dropped": Kind(
        "A peer has broken the rules too often and is held off for a while.",
        {"peer": PEER, "reason": "the last of them, as a stable word"},
    ),
    "update-refused": Kind(
        "An update that a peer carried was not taken.",
        {"peer": "who carried it", "author": "who signed it", "reason": "a stable word"},
    ),
    "equivocation": Kind(
        "A peer has signed two documents that contradict each other; both are kept as proof.",
        {"author": "who signed them", "carrier": "who brought the second; updates only"},
    ),
    "identity-in-use": Kind(
        "Another daemon signs with this key; this one no longer publishes.",
        {"incarnation": "which start of a home the other's documents come from"},
    ),
    "member-entered": Kind(
        "A device has come in by an invitation of this daemon's.",
        {"peer": PEER, "name": "the name in its membership"},
    ),
    "member-revoked": Kind(
        "The founder has shut a member out.",
        {"peer": PEER, "told_by": "the peer that said so; null: this device's own operator"},
    ),
    # --- learning
    "restored": Kind(
        "The daemon has started from the models that it had committed.",
        {"base": "hash", "head": "hash", "serving": "hash of the model that predictions use"},
    ),
    "trained": Kind(
        "A training cycle has ended and is committed.",
        {
            "steps": "mini-batches that this daemon has trained in all",
            "loss": "mean loss of the cycle; mode gossip only",
            "round": ROUND + "; mode rounds only, as all that follow",
            "codec": CODEC,
            "reference": REFERENCE,
            "bytes": BYTES,
            "saved": SAVED,
        },
        quiet=True,
    ),
    "merged": Kind(
        "Others' models were merged into this daemon's own.",
        {
            "models": "how many",
            "head": "hash of the result; mode gossip only",
            "author": "who signed the other one; mode rounds only",
        },
        quiet=True,
    ),
    "learning-failed": Kind(
        "A training or a merge has come to nothing.",
        {
            "task": "what was to be done",
            "reason": WHY,
            "gate": "true: the gate refused the result, since it would have done harm",
        },
    ),
    "model-chosen": Kind(
        "Another model answers from now on, or the serving average again.",
        {
            "hash": "hash of the model that answers",
            "chosen": "false: the serving average",
            "query": "the search that this was a click for, or null",
        },
    ),
    "model-pinned": Kind(
        "A model is never collected, or may be again.",
        {
            "hash": "hash",
            "pinned": "which of the two",
            "query": "the search that this was a click for, or null",
        },
    ),
    "chosen": Kind(
        "The operator has said that a model suits some words.",
        {"query": "the words", "shared": "whether others are told"},
    ),
    # --- rounds
    "round-opened": Kind(
        "This daemon has begun a round, since it knew of none that goes on.", {"round": ROUND}
    ),
    "round-started": Kind(
        "This daemon is in a round's sample.",
        {
            "round": ROUND,
            "role": "`trainer`",
            "sample": "ids of all peers in it",
            "aggregator": "id of who drew it",
        },
        quiet=True,
    ),
    "round-declined": Kind(
        "It is in the sample and does not train this time.", {"round": ROUND, "reason": WHY}
    ),
    "aggregated": Kind(
        "This daemon has averaged what a sample learnt.",
        {
            "round": ROUND,
            "models": "how many",
            "base": "hash of the result",
            "codec": CODEC,
            "reference": REFERENCE,
            "bytes": BYTES,
            "saved": SAVED,
        },
        quiet=True,
    ),
    "aggregator-lost": Kind(
        "Who was to average this daemon's work is gone or of no use; it looks for another.",
        {"round": ROUND, "peer": "the last who was asked"},
    ),
    # --- the machine
    "network-up": Kind("The network thread runs.", {"detail": "more, in words; may be empty"}),
    "network-down": Kind("It has ended, and will be started again.", {"detail": WHY}),
    "training-paused": Kind("Training has been paused.", {"reason": WHY}),
    "training-resumed": Kind("Nothing is against training any more.", {"reason": "null"}),
    "resting": Kind("The day's bytes are used up: nobody is talked to.", {"reason": WHY}),
    "talking-again": Kind("A new day has begun, or more is allowed.", {"reason": "null"}),
    "woke-up": Kind(
        "The machine was asleep; connections are made anew.", {"seconds": "for how long"}
    ),
    "data-read-again": Kind(
        "Data files had changed, and are in use.", {"examples": "training examples there are now"}
    ),
    "data-unreadable": Kind(
        "Data files have changed and cannot be read; the last good data stay in use.",
        {"why": WHY, "fix": "what to do about it"},
    ),
}

QUIET = frozenset(name for name, kind in KINDS.items() if kind.quiet)
