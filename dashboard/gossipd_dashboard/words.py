"""How values are said on the page: with their units, short, and with nothing that moves a reader.

Some of what a daemon shows came from strangers. Markup cannot come of it, because every text goes
to the browser as text; here it loses control characters (of which some turn the direction of
writing) and what is beyond a line's length.
"""

import re
import time
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

LONGEST = 160
"""Characters of one text on the page. Ours: two lines of a phone."""
_SPACES = re.compile(r"\s+")
UNKNOWN = "-"

KINDS: Mapping[str, str] = {
    "peer-connected": "Peer connected",
    "peer-lost": "Peer lost",
    "peer-refused": "Peer turned away",
    "peer-dropped": "Peer held off",
    "update-refused": "Update refused",
    "equivocation": "Contradicting documents",
    "identity-in-use": "This key is used elsewhere",
    "member-entered": "Member came in",
    "member-revoked": "Member shut out",
    "trained": "Trained",
    "merged": "Merged",
    "learning-failed": "Learning came to nothing",
    "model-chosen": "Model chosen",
    "model-pinned": "Model pinned",
    "round-opened": "Round opened",
    "round-started": "In a round's sample",
    "round-declined": "Round declined",
    "aggregated": "Averaged a round",
    "aggregator-lost": "Aggregator lost",
    "training-paused": "Training paused",
    "training-resumed": "Training goes on",
}
"""Of the frequent events; another kind is said by its own name."""


def clean(value: object, longest: int = LONGEST) -> str:
    """Any value as one line of plain characters."""
    text = "".join(
        c for c in str(value) if not unicodedata.category(c).startswith("C") or c in " \n\t"
    )
    text = _SPACES.sub(" ", text).strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def size(count: float | None) -> str:
    """Bytes, in powers of 1000."""
    if count is None:
        return UNKNOWN
    for unit, factor in (("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if abs(count) < 999.5 * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count / 1e12:.3g} TB"


def duration(seconds: float | None) -> str:
    """One or two units: "3 h 12 min", "4 s", "12 ms"."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    whole = int(seconds)
    for unit_seconds, unit, next_seconds, next_unit in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit_seconds:
            rest = whole % unit_seconds // next_seconds
            return f"{whole // unit_seconds} {unit} {rest} {next_unit}"
    return f"{whole} s"


def ago(seconds: float | None) -> str:
    """Of a moment in Unix seconds."""
    if not seconds:
        return UNKNOWN
    return f"{duration(max(time.time() - seconds, 1.0))} ago"


def clock(seconds: float) -> str:
    """A moment of today, in this machine's time zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def count(amount: int, thing: str) -> str:
    """ "1 peer", "2 peers"."""
    return f"{amount:,} {thing}" if amount == 1 else f"{amount:,} {thing}s"


def peer(peer_id: str | None, names: Mapping[str, str] | None = None) -> str:
    """A name where there is one, else the end of the id, where ids differ."""
    if not peer_id:
        return UNKNOWN
    named = (names or {}).get(peer_id)
    return clean(named, 40) if named else f"…{clean(peer_id)[-8:]}"


def short(identifier: str | None) -> str:
    """The beginning of a hash."""
    return clean(identifier)[:12] if identifier else UNKNOWN


def kind(event: Mapping[str, Any]) -> str:
    return KINDS.get(event["kind"], clean(event["kind"]).replace("-", " ").capitalize())


def details(event: Mapping[str, Any]) -> str:
    """An event's fields, hashes and ids short."""
    said = []
    for name, value in event.items():
        if name in ("seq", "time", "kind") or value is None or value == "":
            continue
        said.append(f"{clean(name)} {_value(name, value)}")
    return clean(" · ".join(said), 2 * LONGEST)


def _value(name: str, value: object) -> str:
    if name in ("bytes", "saved") and isinstance(value, int):
        return size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"{len(value)}"
    text = str(value)
    if text.startswith("12D3Koo"):
        return peer(text)
    return short(text) if re.fullmatch(r"[0-9a-f]{32,}", text) else clean(text)
