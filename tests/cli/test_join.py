"""`gossipd invite` and `gossipd join`: what people see, and what is left of what did not work."""

from pathlib import Path

import pytest

from gossipd.errors import ExitCode
from gossipd.members.membership import at_rest, swarm_of
from gossipd.wire.envelope import seal
from gossipd.wire.identifiers import digest
from gossipd.wire.invitation import closed_line, open_line, public_key_of_secret
from gossipd.wire.messages import Invitation
from support.command import Outcome, gossipd
from support.operator import PEER, served

SECRET = bytes(16)
NOBODY = "/ip4/127.0.0.1/tcp/9"


def code_of(outcome: Outcome) -> str:
    code: str = outcome.document["error"]["code"]
    return code


def line_to(home: Path) -> str:
    """An invitation of a founder that does not run."""
    gossipd("init", "--closed", home=home)
    with at_rest(home) as books:
        own = books.founded()
        made = Invitation(
            nonce=own.membership.nonce, key=public_key_of_secret(SECRET), task=bytes(32)
        )
        sealed = seal(made, swarm_of(own), books.identity.signer())
    return closed_line(SECRET, sealed, [NOBODY])


def test_an_invitation_is_one_line_that_can_be_typed(tmp_path: Path) -> None:
    with served(tmp_path) as daemon:
        outcome = gossipd("invite", "--name", "station 4", "--expires", "12h", home=tmp_path)
        assert outcome.out == "gossipd join gossipd-lAEB\n"
        assert gossipd("invite", "--expires", "never", "--uses", "3", home=tmp_path).code == 0
        assert daemon.operator.asked == [
            ("invite", "station 4", "0.5", "1"),
            ("invite", "", "None", "3"),
        ]


def test_invitations_are_listed_and_withdrawn(tmp_path: Path) -> None:
    with served(tmp_path) as daemon:
        listed = gossipd("invite", "--list", home=tmp_path).out
        assert "5f3a90c1  station 4  open   1 of 2  2027-01-15" in listed
        assert gossipd("invite", "--withdraw", "5f3a90c1", home=tmp_path).out == "withdrawn\n"
        assert daemon.operator.asked == [("withdraw_invitation", "5f3a90c1")]


@pytest.mark.parametrize("term", ["soon", "12", "1y", "-3d", "", "1e9d"])
def test_a_term_that_is_none_is_refused(term: str, tmp_path: Path) -> None:
    outcome = gossipd("invite", "--expires", term, "--format", "json", home=tmp_path)
    assert (outcome.code, code_of(outcome)) == (ExitCode.USAGE, "usage")


@pytest.mark.parametrize("text", ["nonsense", "gossipd-", "gossipd-AAAA", "gossipd-" + "A" * 9000])
def test_what_is_no_invitation_is_refused_and_makes_nothing(text: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    outcome = gossipd("join", text, "--format", "json", home=home)
    assert (outcome.code, code_of(outcome)) == (ExitCode.USAGE, "bad-invitation")
    assert not home.exists()


def test_an_open_swarm_is_joined_without_asking_anybody(tmp_path: Path) -> None:
    home = tmp_path / "home"
    line = open_line(digest(b"swarm"), digest(b"task"), PEER, [NOBODY])
    outcome = gossipd("join", f"gossipd join {line}", "--format", "json", home=home)
    assert outcome.code == 0
    assert outcome.document["data"]["closed"] is False
    text = (home / "config.toml").read_text()
    assert digest(b"swarm").hex() in text
    assert f"{NOBODY}/p2p/{PEER}" in text
    assert not (home / "invitation").exists()


def test_an_inviter_that_is_away_leaves_a_home_that_can_be_tried_again(tmp_path: Path) -> None:
    home, line = tmp_path / "home", line_to(tmp_path / "founder")
    arguments = ("join", line, "--timeout", "1", "--format", "json")
    outcome = gossipd(*arguments, home=home)
    assert (outcome.code, code_of(outcome)) == (ExitCode.TEMPORARY, "not-entered")
    assert (home / "invitation").stat().st_mode & 0o777 == 0o600
    assert code_of(gossipd(*arguments, home=home)) == "not-entered"
    other = gossipd("join", line_to(tmp_path / "second"), "--format", "json", home=home)
    assert code_of(other) == "already-initialised"


def test_a_home_that_is_in_use_is_not_taken(tmp_path: Path) -> None:
    home = tmp_path / "home"
    gossipd("init", home=home)
    before = (home / "config.toml").read_text()
    outcome = gossipd("join", line_to(tmp_path / "founder"), "--format", "json", home=home)
    assert code_of(outcome) == "already-initialised"
    assert (home / "config.toml").read_text() == before
