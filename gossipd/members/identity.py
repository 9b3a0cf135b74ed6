"""Who this daemon is: one Ed25519 key in a file that nobody else can read.

The libp2p peer id is derived from the key; it signs everything that this daemon publishes. Whoever
has the file can speak as this daemon, so a key that others could have read is refused, not used.
"""

import contextlib
import os
import shlex
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gossipd.errors import ExitCode, OperatorError
from gossipd.storage.atomic import create, make_private_directory

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gossipd.wire.envelope import Signer

# cryptography and the wire take some 30 ms to import: what only asks for a path need not wait.

SEED_BYTES = 32
FILE_BYTES = 4096
"""Far more than a key file holds; a larger one is not read."""


@dataclass(frozen=True)
class Identity:
    """A daemon's key and what follows from it."""

    seed: bytes = field(repr=False)
    """The private key: 32 bytes. Never logged, never sent."""

    @cached_property
    def public_key(self) -> bytes:
        """32 bytes, raw."""
        return self._key.public_key().public_bytes_raw()

    @cached_property
    def peer_id(self) -> str:
        """The libp2p peer id, base58."""
        from gossipd.wire.identifiers import peer_id_of

        return peer_id_of(self.public_key)

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of `data`: 64 bytes."""
        return self._key.sign(data)

    def signer(self) -> "Signer":
        """What `gossipd.wire.envelope.seal` takes."""
        from gossipd.wire.envelope import Signer

        return Signer(self.public_key, self.sign)

    @cached_property
    def _key(self) -> "Ed25519PrivateKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)


def load(path: Path) -> Identity:
    """The identity in a key file.

    Raises OperatorError: "no-identity"; "identity-permissions" when file or directory belong to
    somebody else or are open to others; "identity-damaged" when it holds no Ed25519 key (all
    exit 6).
    """
    _check_directory(path.parent)
    try:
        # Nobody can exchange the file between the check and the reading: both use the descriptor.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _refused(
            "no-identity", f"there is no key at {path}", "`gossipd init` makes one"
        ) from None
    except OSError as error:
        raise _refused(
            "identity-permissions",
            f"the key {path} cannot be read: {error.strerror}",
            f"chown $(id -u) {path} && chmod 600 {path}; it must be a file, not a link",
        ) from None
    try:
        _check_file(path, os.fstat(descriptor))
        data = os.read(descriptor, FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    return Identity(_seed_in(data, path))


def load_or_create(path: Path) -> Identity:
    """The identity in a key file, made at the first call. Errors as `load`, and OSError.

    Two processes that call this at the same time get the same identity.
    """
    make_private_directory(path.parent)
    _check_directory(path.parent)
    if not os.path.lexists(path):
        with contextlib.suppress(FileExistsError):  # another process was faster: its key is the one
            create(path, _pem(os.urandom(SEED_BYTES)))
    return load(path)


def _pem(seed: bytes) -> bytes:
    """PKCS8, as `openssl pkey -in identity.key -text` reads it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _seed_in(data: bytes, path: Path) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    why = "it holds another kind of key"
    try:
        key = load_pem_private_key(data[:FILE_BYTES], password=None)
        if isinstance(key, Ed25519PrivateKey) and len(data) <= FILE_BYTES:
            return key.private_bytes_raw()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = "it is empty" if not data else "it is not a private key in PEM"
    raise _refused(
        "identity-damaged",
        f"the key {path} cannot be used: {why}",
        f"restore it from a backup; or move {path} away, and the next start makes a new identity "
        "(other peers then see a new peer)",
    )


def _check_directory(path: Path) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return  # then there is no key in it either
    except OSError as error:
        raise _refused(
            "identity-permissions", f"{path} cannot be entered: {error.strerror}", "check its owner"
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(
            "identity-permissions", f"{path} is not a directory", "choose another with --home"
        )
    _check(path, found, 0o700, "directory")


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused("identity-permissions", f"the key {path} is not a file", f"move {path} away")
    _check(path, found, 0o600, "key")


def _check(path: Path, found: os.stat_result, mode: int, what: str) -> None:
    if found.st_uid != os.geteuid():
        raise _refused(
            "identity-permissions",
            f"the {what} {path} belongs to user {found.st_uid}, this runs as {os.geteuid()}",
            f"run as its owner, or: chown {os.geteuid()} {path}",
        )
    if found.st_mode & 0o077:
        raise _refused(
            "identity-permissions",
            f"the {what} {path} is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
            f"chmod {mode:o} {shlex.quote(str(path))}",
        )


def _refused(code: str, message: str, hint: str) -> OperatorError:
    return OperatorError(code, message, hint, ExitCode.IDENTITY)
