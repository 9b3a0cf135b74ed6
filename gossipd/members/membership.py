"""Membership of a closed swarm as this device keeps it: three files beside its key.

    <home>/members/own       its own membership; a daemon that has one is in a closed swarm
    <home>/members/issued    on the founder's device: whom it has let in
    <home>/members/revoked   who was shut out, as far as it is known here

Each line is a signed envelope in base64, the form in which a membership is handed on. They belong
to who this device is, not to what it has learnt, so they outlive a database that is begun anew.

A running daemon writes them itself, asked by its control API; otherwise whoever does holds the
state directory's lock.
"""

import base64
import binascii
import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from gossipd.address import check_peer_id
from gossipd.errors import ExitCode, OperatorError
from gossipd.members.identity import Identity, load
from gossipd.paths import paths_of
from gossipd.storage.atomic import make_private_directory, replace
from gossipd.storage.lock import Lock
from gossipd.wire import envelope, limits
from gossipd.wire.errors import WireError
from gossipd.wire.identifiers import closed_swarm
from gossipd.wire.messages import Membership, Revocation, SignedMembership, SignedRevocation

NONCE_BYTES = 32
FOUNDER_NAME = "founder"
LONGEST_DAYS = 36_500
DAY = 86_400
TOKEN_CHARACTERS = 2 * limits.MEMBERSHIP_BYTES
"""Far more than a membership has in base64; a longer text is not read."""

Document = dict[str, Any]
S = TypeVar("S", SignedMembership, SignedRevocation)


def token(sealed: bytes) -> str:
    """An envelope as people hand it on: base64 for URLs, one word."""
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def envelope_of(text: str) -> bytes:
    """What `token` has made; ValueError when it did not."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


@dataclass(frozen=True)
class Books:
    """What one device keeps about its closed swarm. All of it is checked whenever it is read.

    Every method raises OperatorError; "membership-damaged" (exit 6) when a file is not what was
    written.
    """

    directory: Path
    identity: Identity
    state: Path
    """The database: where it is, something has been learnt in some swarm."""

    # --- reading ---------------------------------------------------------------------------------

    def own(self) -> SignedMembership | None:
        """This device's membership; None: it is in no closed swarm."""
        path = self.directory / "own"
        if not path.exists():
            if self.directory.exists():
                # Rather no swarm than the open one with data of a closed one.
                raise _damaged(path, "it is gone")
            return None
        found = self._read(path, lambda sealed: _open(sealed, _swarm_of(sealed)))
        if len(found) != 1 or found[0].membership.member != self.identity.peer_id:
            raise _damaged(path, "it is not this device's")
        return found[0]

    def swarm(self) -> bytes | None:
        """The id of the closed swarm; None when there is none."""
        own = self.own()
        return None if own is None else swarm_of(own)

    def issued(self) -> list[SignedMembership]:
        """On the founder's device, everything it has issued, oldest first."""
        swarm = self._the_swarm()
        return self._read(self.directory / "issued", lambda sealed: _open(sealed, swarm))

    def revoked(self) -> list[SignedRevocation]:
        if self.own() is None:
            return []
        swarm = self._the_swarm()
        path = self.directory / "revoked"
        return self._read(path, lambda sealed: envelope.open_revocation(sealed, swarm))

    def _read(self, path: Path, open_: Callable[[bytes], S]) -> list[S]:
        try:
            lines = path.read_text(encoding="ascii").split()
            return [open_(envelope_of(line)) for line in lines]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _damaged(path, error.strerror or "it cannot be read") from None
        except (ValueError, WireError) as error:
            raise _damaged(path, str(error)) from None

    # --- founding and entering -------------------------------------------------------------------

    def found(self, wall: float) -> SignedMembership:
        """Make a closed swarm, of which this device is the founder and first member."""
        taken = self.swarm()
        if taken is not None:
            raise self._taken(taken)
        self._must_be_new()
        nonce = os.urandom(NONCE_BYTES)
        swarm = closed_swarm(self.identity.public_key, nonce)
        membership = Membership(
            nonce=nonce,
            member=self.identity.peer_id,
            serial=int(wall * 1000),
            name=FOUNDER_NAME,
        )
        signed = _open(envelope.seal(membership, swarm, self.identity.signer()), swarm)
        self._write("issued", [signed.envelope])
        self._write("own", [signed.envelope])
        return signed

    def accept(self, text: str) -> SignedMembership:
        """Keep a membership that was issued to this device: its first, or a newer one."""
        if len(text) > TOKEN_CHARACTERS:
            raise _no_membership("it is too long")
        try:
            sealed = envelope_of("".join(text.split()))
            signed = _open(sealed, _swarm_of(sealed))
        except (ValueError, WireError) as error:
            raise _no_membership(str(error)) from None
        if signed.membership.member != self.identity.peer_id:
            raise OperatorError(
                "foreign-membership",
                f"it was issued to {signed.membership.member}, this is {self.identity.peer_id}",
                "have one issued to this device: `gossipd id` shows its peer id",
                ExitCode.IDENTITY,
            )
        known = self.own() if (self.directory / "own").exists() else None
        if known is None:
            self._must_be_new()
        elif swarm_of(known) != swarm_of(signed):
            raise self._taken(swarm_of(known))
        elif known.membership.serial > signed.membership.serial:
            raise OperatorError(
                "older-membership",
                "this device has a newer one",
                "ask the founder for a new one, if that does not do",
            )
        self._write("own", [signed.envelope])
        return signed

    def _must_be_new(self) -> None:
        """What was learnt in one swarm, and signed for it, is of no use in another."""
        if self.state.exists() and not self.directory.exists():
            raise OperatorError(
                "has-learnt",
                f"{self.state} is from another swarm",
                "choose another state directory with --home, or move state.db, models and bodies "
                "away (the key stays)",
            )

    def _taken(self, swarm: bytes) -> OperatorError:
        return OperatorError(
            "in-a-swarm",
            f"this state directory belongs to the closed swarm {swarm.hex()}",
            "one directory, one swarm: choose another one with --home",
        )

    # --- what a founder does ---------------------------------------------------------------------

    def issue(self, peer: str, name: str, days: float | None, wall: float) -> SignedMembership:
        """Let `peer` in, for `days` or until it is revoked. Again: a newer membership."""
        nonce, swarm = self._as_founder()
        self._check_member(peer)
        check_term(name, days)
        issued = self.issued()
        if len({*(i.membership.member for i in issued), peer}) > limits.KNOWN_PEERS:
            raise OperatorError(
                "too-many-members",
                f"a swarm has at most {limits.KNOWN_PEERS}",
                "found another one",
            )
        membership = Membership(
            nonce=nonce,
            member=peer,
            serial=self._serial(wall),
            not_after=None if days is None else int(wall + days * DAY),
            name=name,
        )
        signed = _open(envelope.seal(membership, swarm, self.identity.signer()), swarm)
        # Of each member the last one is enough: it is what the member has, or will have.
        others = [i.envelope for i in issued if i.membership.member != peer]
        self._write("issued", [*others, signed.envelope])
        return signed

    def revoke(self, peer: str, wall: float) -> SignedRevocation:
        """Shut `peer` out: what it was issued so far is void. It may be let in again later."""
        nonce, swarm = self._as_founder()
        self._check_member(peer)
        revoked = self.revoked()
        if len({*(r.revocation.member for r in revoked), peer}) > limits.REVOCATIONS:
            raise OperatorError(
                "too-many-revocations",
                f"a swarm can shut out {limits.REVOCATIONS} members",
                "found a new swarm for those who stay",
            )
        revocation = Revocation(nonce=nonce, member=peer, serial=self._serial(wall))
        signed = envelope.open_revocation(
            envelope.seal(revocation, swarm, self.identity.signer()), swarm
        )
        others = [r.envelope for r in revoked if r.revocation.member != peer]
        self._write("revoked", [*others, signed.envelope])
        return signed

    def keep_revocations(self, envelopes: Sequence[bytes]) -> None:
        """Replace what is known of who was shut out. OSError when the disk refuses."""
        replace(self.directory / "revoked", _lines(envelopes))

    def _check_member(self, peer: str) -> None:
        check_peer_id(peer)
        if peer == self.identity.peer_id:
            raise OperatorError(
                "own-membership",
                "that is the founder itself, who is always a member",
                "give the peer id of another device: `gossipd id` shows it there",
                ExitCode.USAGE,
            )

    def is_void(self, signed: SignedMembership) -> bool:
        """Whether its member was shut out, and not let in again."""
        serials = {r.revocation.member: r.revocation.serial for r in self.revoked()}
        return signed.membership.serial <= serials.get(signed.membership.member, -1)

    def founded(self) -> SignedMembership:
        """The founder's own membership, on its device."""
        own = self.own()
        if own is None:
            raise OperatorError(
                "no-closed-swarm",
                "this device is in no closed swarm",
                "`gossipd members found` makes one, in a state directory of its own",
            )
        if own.founder != self.identity.peer_id:
            raise OperatorError(
                "not-the-founder",
                "only the founder's device lets members in and shuts them out",
                f"do it on the device of {own.founder}",
                ExitCode.IDENTITY,
            )
        return own

    def _as_founder(self) -> tuple[bytes, bytes]:
        """(nonce, swarm id), on the founder's device."""
        own = self.founded()
        return own.membership.nonce, swarm_of(own)

    def _serial(self, wall: float) -> int:
        """Above all that this founder has signed, as far as its books tell."""
        said = [signed.membership.serial for signed in self.issued()]
        said += [signed.revocation.serial for signed in self.revoked()]
        return max(int(wall * 1000), *(serial + 1 for serial in said), 0)

    def _the_swarm(self) -> bytes:
        swarm = self.swarm()
        return b"" if swarm is None else swarm

    def _write(self, name: str, envelopes: Sequence[bytes]) -> None:
        try:
            make_private_directory(self.directory)
            replace(self.directory / name, _lines(envelopes))
        except OSError as error:
            raise OperatorError(
                "home-unusable",
                f"{self.directory / name} cannot be written: {error.strerror}",
                "make room on the disk and check that this user may write there",
                ExitCode.IDENTITY,
            ) from None

    # --- showing ---------------------------------------------------------------------------------

    def rows(self, wall: float) -> list[Document]:
        """[{peer_id, name, serial, issued, not_after, state, founder}] at `wall`, Unix seconds.

        The founder's device knows whom it has let in, another one itself and who was shut out.
        """
        own = self.own()
        if own is None:
            return []
        revoked = {r.revocation.member: r.revocation.serial for r in self.revoked()}
        known = self.issued() if own.founder == self.identity.peer_id else [own]
        rows = [row(signed, revoked, wall) for signed in known]
        listed = {signed.membership.member for signed in known}
        rows += [
            {
                "peer_id": member,
                "name": "",
                "serial": serial,
                "issued": None,
                "not_after": None,
                "state": "revoked",
                "founder": False,
            }
            for member, serial in revoked.items()
            if member not in listed
        ]
        return rows


@contextlib.contextmanager
def at_rest(home: Path) -> Iterator[Books]:
    """The books of a state directory whose daemon does not run; "already-running" if it does."""
    paths = paths_of(home)
    identity = load(paths.identity)
    with Lock(paths.lock):
        yield Books(paths.members, identity, paths.database)


def row(signed: SignedMembership, revoked: dict[str, int], wall: float) -> Document:
    """A membership as it stands at `wall`, Unix seconds."""
    membership = signed.membership
    state = "member"
    if membership.serial <= revoked.get(membership.member, -1):
        state = "revoked"
    elif membership.not_after is not None and wall >= membership.not_after:
        state = "expired"
    return {
        "peer_id": membership.member,
        "name": membership.name,
        "serial": membership.serial,
        "issued": membership.serial / 1000,
        "not_after": membership.not_after,
        "state": state,
        "founder": signed.founder == membership.member,
    }


def handed_on(signed: SignedMembership) -> Document:
    """A membership as its founder hands it to its member."""
    membership = signed.membership
    return {
        "peer_id": membership.member,
        "name": membership.name,
        "serial": membership.serial,
        "not_after": membership.not_after,
        "founder": signed.founder,
        "swarm": swarm_of(signed).hex(),
        "membership": token(signed.envelope),
    }


def swarm_of(signed: SignedMembership) -> bytes:
    return _swarm_of(signed.envelope)


def _swarm_of(sealed: bytes) -> bytes:
    return envelope.swarm_of_membership(sealed)


def check_term(name: str, days: float | None) -> None:
    """What a founder calls a member, and for how long: OperatorError when it cannot be so."""
    if len(name) > limits.MEMBER_NAME or not name.isprintable():
        raise OperatorError(
            "bad-name",
            f"{name!r} is no name",
            f"at most {limits.MEMBER_NAME} printable characters",
            ExitCode.USAGE,
        )
    if days is not None and not 0 < days <= LONGEST_DAYS:
        raise OperatorError(
            "bad-days",
            f"{days:g} days are no term",
            f"give at most {LONGEST_DAYS} days, or none: until it is taken back",
            ExitCode.USAGE,
        )


@lru_cache(maxsize=limits.KNOWN_PEERS)
def _open(sealed: bytes, swarm: bytes) -> SignedMembership:
    return envelope.open_membership(sealed, swarm)


def _lines(envelopes: Sequence[bytes]) -> bytes:
    return "".join(f"{token(sealed)}\n" for sealed in envelopes).encode()


def _no_membership(why: str) -> OperatorError:
    return OperatorError(
        "bad-membership",
        f"this is no membership: {why}",
        "give what `gossipd members issue` printed, whole",
        ExitCode.USAGE,
    )


def _damaged(path: Path, why: str) -> OperatorError:
    return OperatorError(
        "membership-damaged",
        f"{path} cannot be used: {why}",
        f"restore it from a backup; or remove {path}: a membership can be accepted again, and who "
        "was shut out is heard from other members",
        ExitCode.IDENTITY,
    )
