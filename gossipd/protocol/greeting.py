"""Hello: who may stay on a connection, and what the other is told when not.

In a closed swarm the membership comes first: until it holds, nothing else of a Hello is read, and
nothing is said that an outsider could learn from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from gossipd.protocol.events import SignedDocument
from gossipd.protocol.membership import Denial
from gossipd.protocol.view import SwarmView
from gossipd.wire import limits
from gossipd.wire.identifiers import author_key
from gossipd.wire.messages import (
    VERSION,
    Hello,
    Introduction,
    Mode,
    Refused,
    SignedClaim,
    SignedMembership,
    SignedRecord,
)


@dataclass(frozen=True, slots=True)
class Swarm:
    """What two peers must share to work together."""

    id: bytes
    task: bytes
    """Digest of the task description."""
    layout: bytes
    genesis: bytes
    mode: Mode
    agent: str
    """Program and version, for people."""
    about: str = ""
    """What is learnt, for people."""


def refusal(swarm: Swarm, hello: Hello, *, closed: bool = False) -> Refused | None:
    """Why the sender does not belong here, in words for both sides; None when it does.

    In a `closed` swarm it is asked once `membership` has let the sender in.
    """
    if hello.version != VERSION:
        return Refused(
            code="version",
            reason=f"wire version {hello.version} meets {VERSION}: upgrade the older of the two",
        )
    if hello.swarm != swarm.id:
        return Refused(code="foreign-swarm", reason=f"this is swarm {swarm.id.hex()[:16]}")
    if hello.membership and not closed:
        return Refused(
            code="no-membership-here", reason="this peer holds no membership of that closed swarm"
        )
    both = (
        f"{_plain(hello.introduction.about or '')} meets {swarm.about}: check task and data of both"
    )
    if hello.layout != swarm.layout:
        return Refused(code="wrong-layout", reason=f"the models differ in shape; {both}")
    if hello.genesis != swarm.genesis:
        return Refused(code="wrong-genesis", reason=f"the initial models differ; {both}")
    if hello.task != swarm.task:
        return Refused(code="foreign-task", reason=f"the tasks differ; {both}")
    if hello.mode and hello.mode != swarm.mode:
        return Refused(
            code="wrong-mode",
            reason=f"mode {hello.mode} meets {swarm.mode}: all of a swarm learn in the same way",
        )
    return None


def _plain(text: str) -> str:
    """What a stranger calls its task, as part of our words."""
    return "".join(c for c in text if c.isprintable()) or "another task"


class Door:
    """Lets peers in or turns them away. Keeps what it learns of members in the view's `members`."""

    def __init__(self, swarm: Swarm, view: SwarmView) -> None:
        self._swarm = swarm
        self._view = view
        self._members = view.members

    def hello(
        self,
        record: SignedRecord,
        claim: SignedClaim,
        now: float,
        *,
        asked: bool,
        clicks: bool = False,
    ) -> Hello:
        """What this node says of itself. In a closed swarm, who has not been `asked` first by a
        member says no more than what lets it in: the other may be an outsider."""
        swarm = self._swarm
        introduce = asked or not self._members.closed
        wall = self._members.wall(now)
        return Hello(
            swarm=swarm.id,
            task=swarm.task,
            layout=swarm.layout,
            genesis=swarm.genesis,
            membership=self._members.envelope,
            record=record.envelope if introduce else b"",
            claim=claim.envelope if introduce else b"",
            agent=swarm.agent,
            mode=swarm.mode,
            intro=Introduction(
                clicks=clicks or UNSET,
                about=swarm.about if introduce and swarm.about else UNSET,
                time=UNSET if wall is None or not introduce else max(int(wall), 0),
            ),
        )

    def may_read(self, peer: str, hello: Hello, now: float) -> bool:
        """Whether the documents in a Hello may be opened."""
        if not self._members.closed:
            return True
        return isinstance(self._members.admit(peer, hello, now), SignedMembership)

    def judge(
        self, peer: str, hello: Hello, documents: Sequence[SignedDocument], now: float
    ) -> Denial | None:
        """Why the sender is turned away; None lets it in."""
        closed = self._members.closed
        if closed and hello.version == VERSION:  # in another version it may mean something else
            shown = self._members.admit(peer, hello, now)
            if isinstance(shown, Denial):
                return shown
            self._members.learn(shown)
        refused = refusal(self._swarm, hello, closed=closed)
        if refused is None:
            refused = self._judge_introduction(peer, hello, documents)
        return None if refused is None else Denial(refused.code, refused)

    def _judge_introduction(
        self, peer: str, hello: Hello, documents: Sequence[SignedDocument]
    ) -> Refused | None:
        said = [d for d in documents if isinstance(d, SignedRecord | SignedClaim)]
        withheld = self._members.closed and not (hello.record or hello.claim)
        if not withheld and {document.author for document in said} != {peer}:
            return Refused(code="forged-hello", reason="record and claim must be the sender's own")
        claims = [d for d in said if isinstance(d, SignedClaim)]
        room = self._view.has_room_for
        if not all(room(author_key(peer, c.claim.incarnation)) for c in claims):
            return Refused(code="swarm-full", reason=f"at most {limits.AUTHORS} authors")
        return None
