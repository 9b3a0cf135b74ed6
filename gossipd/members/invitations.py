"""A founder's invitations: made, counted, withdrawn, and exchanged for memberships.

    <home>/members/invitations    a JSON line for each: its signed envelope, a name, who has used it

A use is on disk before the membership is, and that before anybody hears of it; so power may go at
any instant, nobody enters uncounted, and who asks again with the same key is told again and not
counted twice. No secret is kept here: who copies these books cannot enter with them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gossipd.errors import ExitCode, OperatorError
from gossipd.learning.description import FILE
from gossipd.members.membership import DAY, Books, check_term, envelope_of, swarm_of, token
from gossipd.protocol.membership import OUTSIDER, REVOKED, Denial
from gossipd.storage.atomic import replace
from gossipd.wire import envelope, invitation, limits
from gossipd.wire.errors import WireError
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import (
    Enter,
    Invitation,
    Mode,
    Refused,
    SignedInvitation,
    SignedMembership,
    SignedRevocation,
    Welcome,
)

DAYS = 7.0
"""How long an invitation is good unless it is said; a guess: a week to get round to it."""
KEPT = 1024
"""Invitations in the books. The dead ones go first, the oldest before the others."""
FILE_BYTES = 16 * limits.MIB

EXPIRED = Refused(code="invitation-expired", reason="this invitation has ended: ask for a new one")
USED_UP = Refused(code="invitation-used-up", reason="this invitation was used: ask for a new one")
WITHDRAWN = Refused(code="invitation-withdrawn", reason="the founder has withdrawn this invitation")
"""What only somebody is told who holds the invitation's secret."""

Document = dict[str, Any]


class _Entry(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the books."""

    invitation: str
    name: str = ""
    used: list[str] = []
    """Peer ids, in the order in which they came."""
    withdrawn: bool = False


class _Kept(Struct):
    signed: SignedInvitation
    entry: _Entry

    @property
    def id(self) -> str:
        """What people call it: the beginning of its key."""
        return self.signed.invitation.key.hex()[:8]

    def state(self, wall: float) -> str:
        said = self.signed.invitation
        if self.entry.withdrawn:
            return "withdrawn"
        if len(self.entry.used) >= said.uses:
            return "used-up"
        if said.not_after is not None and wall >= said.not_after:
            return "expired"
        return "open"


@dataclass(frozen=True)
class Invitations:
    """The invitations in the books of one device. Every method raises OperatorError, as `Books`."""

    books: Books

    # --- what a founder does ---------------------------------------------------------------------

    def make(
        self,
        addresses: Sequence[str],
        task: bytes,
        mode: Mode,
        *,
        name: str,
        days: float | None,
        uses: int,
        wall: float,
    ) -> Document:
        """A new invitation, good for `days` (None: until it is withdrawn) and `uses` devices."""
        own = self.books.founded()
        _check(name, days, uses)
        description = self.description()
        secret = os.urandom(invitation.SECRET_BYTES)
        made = Invitation(
            nonce=own.membership.nonce,
            key=invitation.public_key_of_secret(secret),
            task=task,
            description=digest(description) if description else None,
            not_after=None if days is None else int(wall + days * DAY),
            uses=uses,
            mode=mode,
        )
        swarm = swarm_of(own)
        sealed = envelope.seal(made, swarm, self.books.identity.signer())
        signed = envelope.open_invitation(sealed, swarm)
        kept = _Kept(signed, _Entry(token(sealed), name))
        self._write([*self._with_room(wall), kept])
        line = invitation.closed_line(secret, sealed, [_without_peer(a) for a in addresses])
        return {
            **_row(kept, wall),
            "line": line,
            "swarm": swarm.hex(),
            "task": task.hex(),
            "addresses": list(addresses[: invitation.ADDRESSES]),
        }

    def rows(self, wall: float) -> list[Document]:
        """[{id, name, state, uses, used: [peer id], not_after}], oldest first; state: open |
        used-up | expired | withdrawn."""
        return [_row(kept, wall) for kept in self._kept()]

    def withdraw(self, id_: str, wall: float) -> Document:
        """Nobody enters with it any more; who has entered stays."""
        kept = self._kept()
        found = [one for one in kept if one.id == id_]
        if not found:
            raise OperatorError(
                "unknown-invitation",
                f"no invitation {id_!r} was made here",
                "`gossipd invite --list` shows those that were",
            )
        found[0].entry.withdrawn = True
        self._write(kept)
        return _row(found[0], wall)

    def shut_out(self, peer: str, wall: float) -> SignedRevocation:
        """Revoke the membership of `peer`, and withdraw the line that it came in by and has."""
        kept = self._kept()
        held = [one for one in kept if peer in one.entry.used and not one.entry.withdrawn]
        for one in held:
            one.entry.withdrawn = True
        if held:
            self._write(kept)
        return self.books.revoke(peer, wall)

    def description(self) -> bytes:
        """The task's description; empty when it has none."""
        path = self.books.directory.parent / FILE
        try:
            with path.open("rb") as file:
                found = file.read(limits.DESCRIPTION_BYTES + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise _unreadable(path, error.strerror or "it cannot be read") from None
        if len(found) > limits.DESCRIPTION_BYTES:
            raise OperatorError(
                "description-too-long",
                f"{path} has more than {limits.DESCRIPTION_BYTES} bytes",
                f"describe fewer columns; or let members in by hand, with a copy of {path.name}: "
                "`gossipd members issue`",
            )
        return found

    # --- what a founder's daemon does ------------------------------------------------------------

    def let_in(
        self, peer: str, enter: Enter, wall: float
    ) -> tuple[SignedMembership, Welcome] | Denial:
        """What becomes of `peer`, whose key its connection has proven, and of what it shows."""
        own = self.books.founded()
        swarm = swarm_of(own)
        try:
            shown = envelope.open_invitation(enter.invitation, swarm)
        except WireError:
            return Denial("forged-invitation", OUTSIDER, hostile=True)
        if not invitation.is_proven(shown, swarm, peer, enter.proof):
            return Denial("stolen-invitation", OUTSIDER, hostile=True)
        kept = self._kept()
        key = shown.invitation.key
        found = next((one for one in kept if one.signed.invitation.key == key), None)
        if found is None:  # signed once, and gone from the books: dead, or they were lost
            return Denial("unknown-invitation", OUTSIDER)
        known = next((m for m in self.books.issued() if m.membership.member == peer), None)
        if known is not None and self.books.is_void(known):
            # Else whom the founder shuts out would come back by the same door.
            return Denial(REVOKED.code, REVOKED)
        used = peer in found.entry.used
        state = found.state(wall)
        if state in _CLOSED and not (used and state == "used-up"):
            return Denial(_CLOSED[state].code, _CLOSED[state])
        description = self.description() if shown.invitation.description else b""
        if not used:
            found.entry.used.append(peer)
            self._write(kept)
        if known is None or not used:
            known = self.books.issue(peer, found.entry.name, None, wall)
        return known, Welcome(membership=known.envelope, description=description)

    # --- the file --------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self.books.directory / "invitations"

    def _kept(self) -> list[_Kept]:
        swarm = swarm_of(self.books.founded())
        try:
            with self._path.open("rb") as file:
                lines = file.read(FILE_BYTES).splitlines()
            entries = [msgspec.json.decode(line, type=_Entry) for line in lines]
            return [_Kept(_open(envelope_of(e.invitation), swarm), e) for e in entries]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self._path, error.strerror or "it cannot be read") from None
        except (ValueError, WireError) as error:  # msgspec's errors are ValueErrors
            raise _unreadable(self._path, str(error)) from None

    def _with_room(self, wall: float) -> list[_Kept]:
        """The books with room for one more."""
        kept = self._kept()
        while len(kept) >= KEPT:
            dead = next((one for one in kept if one.state(wall) != "open"), None)
            if dead is None:
                raise OperatorError(
                    "too-many-invitations",
                    f"{KEPT} invitations are open",
                    "withdraw some: `gossipd invite --withdraw ID`; or make one with more --uses",
                )
            kept.remove(dead)
        return kept

    def _write(self, kept: Sequence[_Kept]) -> None:
        text = b"".join(msgspec.json.encode(one.entry) + b"\n" for one in kept)
        try:
            replace(self._path, text)
        except OSError as error:
            raise OperatorError(
                "home-unusable",
                f"{self._path} cannot be written: {error.strerror}",
                "make room on the disk and check that this user may write there",
                ExitCode.IDENTITY,
            ) from None


_CLOSED = {"withdrawn": WITHDRAWN, "used-up": USED_UP, "expired": EXPIRED}


@lru_cache(maxsize=2 * KEPT)
def _open(sealed: bytes, swarm: bytes) -> SignedInvitation:
    return envelope.open_invitation(sealed, swarm)


def _check(name: str, days: float | None, uses: int) -> None:
    check_term(name, days)
    if not 1 <= uses <= limits.INVITATION_USES:
        raise OperatorError(
            "bad-uses",
            f"{uses} devices cannot enter with one invitation",
            f"give 1 to {limits.INVITATION_USES}",
            ExitCode.USAGE,
        )


def _row(kept: _Kept, wall: float) -> Document:
    said = kept.signed.invitation
    return {
        "id": kept.id,
        "name": kept.entry.name,
        "state": kept.state(wall),
        "uses": said.uses,
        "used": list(kept.entry.used),
        "not_after": said.not_after,
    }


def _without_peer(address: str) -> str:
    return address.rpartition("/p2p/")[0] or address


def _unreadable(path: Path, why: str) -> OperatorError:
    return OperatorError(
        "membership-damaged",
        f"{path} cannot be used: {why}",
        f"restore it from a backup; or remove {path}: nobody enters with an old invitation then",
        ExitCode.IDENTITY,
    )
