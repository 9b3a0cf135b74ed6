"""What only clicks ask of the runtime, and what comes back; see `events`."""

from msgspec import Struct

from gossipd.protocol.ranking.clicklog import Held
from gossipd.wire.clicks import Click, SignedSheet

# --- outputs: what shall be done -----------------------------------------------------------------


class SealClicks(Struct, frozen=True):
    """Sign a sheet of this node's clicks and write it down; `ClicksSealed` follows, or nothing when
    the disk refuses: then the same is asked for again, under another number."""

    clicks: tuple[Click, ...]
    at: float
    """Unix seconds."""


class KeepSheets(Struct, frozen=True):
    """Others' sheets that are held from now on, and those that no longer are."""

    kept: tuple[Held, ...]
    gone: tuple[Held, ...]


class KeepClick(Struct, frozen=True):
    """Somebody's choice at this node; it stays here."""

    query: str
    item: bytes
    at: float


ClickOutput = SealClicks | KeepSheets | KeepClick

# --- events: what happened -----------------------------------------------------------------------


class ClicksSealed(Struct, frozen=True):
    signed: SignedSheet


class Chosen(Struct, frozen=True):
    """The operator has chosen a model; `shared`: others may learn of it."""

    query: str
    item: bytes
    shared: bool


ClickEvent = ClicksSealed | Chosen
