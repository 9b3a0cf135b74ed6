"""One key per daemon, for its owner's eyes only."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gossipd.errors import ExitCode, OperatorError
from gossipd.members.identity import load, load_or_create
from gossipd.wire.envelope import open_claim, seal
from gossipd.wire.identifiers import digest, peer_id_of, public_key_of
from gossipd.wire.messages import StepClaim


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a home" / "identity.key"  # a shell has to be told where it ends


def refusal(path: Path) -> OperatorError:
    with pytest.raises(OperatorError) as refused:
        load(path)
    assert refused.value.exit_code == ExitCode.IDENTITY
    assert str(path.parent) in refused.value.message + refused.value.hint
    return refused.value


def test_the_first_start_makes_a_key_and_later_ones_find_it(path: Path) -> None:
    first = load_or_create(path)
    again = load_or_create(path)
    assert (again.seed, again.peer_id) == (first.seed, first.peer_id)
    assert load(path).seed == first.seed
    assert first.peer_id == peer_id_of(first.public_key)
    assert public_key_of(first.peer_id) == first.public_key


def test_two_directories_are_two_peers(tmp_path: Path) -> None:
    ids = {load_or_create(tmp_path / name / "identity.key").peer_id for name in "ab"}
    assert len(ids) == 2


def test_only_the_owner_can_read_it(path: Path) -> None:
    load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_others_know_who_signed(path: Path) -> None:
    identity = load_or_create(path)
    swarm = digest(b"swarm")
    sealed = seal(StepClaim(incarnation=1, steps=2), swarm, identity.signer())
    assert open_claim(sealed, swarm).author == identity.peer_id


def test_the_private_key_is_not_in_what_is_logged(path: Path) -> None:
    identity = load_or_create(path)
    assert identity.seed.hex() not in repr(identity)
    assert repr(identity.seed) not in repr(identity)


def test_many_who_make_it_at_once_get_the_same(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(load_or_create, [path] * 8))
    assert len({identity.seed for identity in found}) == 1
    assert list(path.parent.iterdir()) == [path]


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o601])
def test_a_key_that_others_can_open_is_refused_with_the_fix(path: Path, mode: int) -> None:
    load_or_create(path)
    path.chmod(mode)
    refused = refusal(path)
    assert refused.code == "identity-permissions"
    assert f"{mode:04o}" in refused.message
    subprocess.run(refused.hint, shell=True, check=True, timeout=10)
    load(path)


def test_a_directory_that_others_can_enter_is_refused_with_the_fix(path: Path) -> None:
    load_or_create(path)
    path.parent.chmod(0o755)
    refused = refusal(path)
    assert refused.code == "identity-permissions"
    subprocess.run(refused.hint, shell=True, check=True, timeout=10)
    load(path)


def test_no_key_is_put_where_others_could_reach_it(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    with pytest.raises(OperatorError, match="open to others"):
        load_or_create(path)
    assert not path.exists()


def test_somebody_elses_key_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_create(path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    refused = refusal(path)
    assert refused.code == "identity-permissions"
    assert f"belongs to user {os.getuid()}" in refused.message


def test_a_link_in_its_place_is_refused(path: Path, tmp_path: Path) -> None:
    load_or_create(path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert refusal(path).code == "identity-permissions"


def test_a_directory_or_pipe_in_its_place_is_refused(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.mkdir(mode=0o700)
    assert refusal(path).code == "identity-permissions"
    path.rmdir()
    os.mkfifo(path, 0o600)
    assert refusal(path).code == "identity-permissions"


def test_no_key_is_said_so(path: Path) -> None:
    assert refusal(path).code == "no-identity"
    path.parent.mkdir(mode=0o700)
    refused = refusal(path)
    assert (refused.code, refused.hint) == ("no-identity", "`gossipd init` makes one")


def another_kind() -> bytes:
    return generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"hello", "not a private key"),
        (b"-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n", "not a private key"),
        (b"\xff" * 10_000, "not a private key"),
        (another_kind(), "another kind of key"),
    ],
    ids=["empty", "text", "torn", "large", "another-kind"],
)
def test_a_damaged_key_is_said_so_and_stays_where_it_is(
    path: Path, content: bytes, why: str
) -> None:
    load_or_create(path)
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=why) as refused:
        load_or_create(path)
    assert refused.value.code == "identity-damaged"
    assert path.read_bytes() == content
