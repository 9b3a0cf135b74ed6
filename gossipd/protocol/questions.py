"""The requests that are out: what each was asked for, so that its answer finds its way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gossipd.protocol.events import Ask, Output, SignedDocument
from gossipd.wire.messages import Request, Response, Update


@dataclass(frozen=True, slots=True)
class Greeting:
    """A Hello is out."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A Have is out, for heads."""


@dataclass(frozen=True, slots=True)
class ServingPull:
    """A Have is out, for the serving model beside this update."""

    update: Update


@dataclass(frozen=True, slots=True)
class Proof:
    """A ViewSync is out, for the claims behind these updates."""

    updates: tuple[Update, ...]


@dataclass(frozen=True, slots=True)
class ViewPull:
    """A ViewSync is out, for everything new."""


@dataclass(frozen=True, slots=True)
class Offered:
    """An Offer is out."""


Reply = Callable[[Response | None, Sequence[SignedDocument], float, list[Output]], None]
"""Called with a peer's answer and the documents in it; with None when it does not come."""


@dataclass(frozen=True, slots=True)
class Then:
    """Whoever asked takes the answer itself."""

    reply: Reply


Purpose = Greeting | Pull | ServingPull | Proof | ViewPull | Offered | Then


class Questions:
    """Numbers requests and remembers what each was asked for, until its one answer or failure."""

    def __init__(self) -> None:
        self._next = 1
        self._open: dict[int, tuple[str, Purpose]] = {}

    def ask(self, peer: str, message: Request, purpose: Purpose, out: list[Output]) -> None:
        self._open[self._next] = (peer, purpose)
        out.append(Ask(peer, self._next, message))
        self._next += 1

    def asked(self) -> set[str]:
        """The peers that owe an answer."""
        return {peer for peer, _ in self._open.values()}

    def is_open(self, peer: str, kind: type[Purpose]) -> bool:
        return any(p == peer and isinstance(purpose, kind) for p, purpose in self._open.values())

    def take(self, request: int) -> tuple[str, Purpose] | None:
        return self._open.pop(request, None)
