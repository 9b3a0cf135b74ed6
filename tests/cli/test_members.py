"""`gossipd members`: founding, letting in, entering and shutting out, with a daemon and without."""

import io
import json
import stat
import time
import tomllib
from pathlib import Path
from unittest import mock

import pytest

from gossipd.errors import ExitCode
from gossipd.members.invitations import Invitations
from gossipd.members.membership import at_rest
from gossipd.storage.lock import Lock
from gossipd_cli.render import how_to_join
from support.command import Outcome, gossipd
from support.operator import OTHER, PEER, served

FOUNDER, MEMBER = "founder", "member"


class Desk:
    """Two devices that do not run."""

    def __init__(self, directory: Path) -> None:
        self.founder, self.member = directory / FOUNDER, directory / MEMBER
        self.swarm = self.json("init", "--closed", home=self.founder)["swarm"]
        self.id = self.json("init", home=self.member)["peer_id"]

    def json(self, *arguments: str | Path, home: Path) -> dict[str, str]:
        outcome = gossipd(*arguments, "--format", "json", home=home)
        assert outcome.code == 0, outcome.out
        data: dict[str, str] = outcome.document["data"]
        return data

    def issue(self, *options: str) -> str:
        return self.json("members", "issue", self.id, *options, home=self.founder)["membership"]

    def accept(self, text: str, home: Path | None = None) -> Outcome:
        with mock.patch("sys.stdin", io.StringIO(text)):
            return gossipd("members", "accept", "-", "--format", "json", home=home or self.member)

    def rows(self, home: Path) -> list[tuple[str, str]]:
        listed = gossipd("members", "ls", "--format", "json", home=home).document["data"]
        return [(row["peer_id"], row["state"]) for row in listed]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def code_of(outcome: Outcome) -> str:
    code: str = outcome.document["error"]["code"]
    return code


def test_a_founder_lets_a_device_in_and_that_device_enters(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "membership"
    printed = gossipd("members", "issue", desk.id, "--name", "station 4", home=desk.founder)
    assert printed.err == ""
    file.write_text(printed.out)
    accepted = desk.json("members", "accept", file, home=desk.member)
    assert accepted["swarm"] == desk.swarm
    assert accepted["name"] == "station 4"
    assert desk.rows(desk.member) == [(desk.id, "member")]
    assert [state for _, state in desk.rows(desk.founder)] == ["member", "member"]


def test_people_see_who_belongs_at_a_glance(desk: Desk) -> None:
    desk.issue("--name", "station 4", "--days", "30")
    lines = gossipd("members", "ls", home=desk.founder).out.splitlines()
    assert lines[0].split() == ["PEER", "NAME", "STATE", "ISSUED", "GOOD", "UNTIL"]
    assert "founder  " in lines[1]
    assert lines[2].startswith(f"{desk.id}  station 4  member")
    assert not lines[2].endswith("-")
    assert "in no closed swarm" in gossipd("members", "ls", home=desk.member).out


def test_init_of_a_closed_swarm_writes_no_other_swarm_down(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert gossipd("init", "--closed", home=home).code == 0
    config = tomllib.loads((home / "config.toml").read_text())
    assert "swarm" not in config
    outcome = gossipd("init", "--closed", "--swarm", "ab" * 32, home=tmp_path / "other")
    assert outcome.code == ExitCode.USAGE


def test_what_lies_in_the_home_is_for_its_owner_alone(desk: Desk) -> None:
    desk.accept(desk.issue())
    for home in (desk.founder, desk.member):
        assert stat.S_IMODE((home / "members").stat().st_mode) == 0o700
        for file in (home / "members").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_member_that_was_shut_out_is_listed_so_and_may_be_let_in_again(desk: Desk) -> None:
    first = json.loads(json.dumps(desk.issue()))
    desk.json("members", "revoke", desk.id, home=desk.founder)
    assert dict(desk.rows(desk.founder))[desk.id] == "revoked"
    again = desk.issue()
    assert again != first
    assert dict(desk.rows(desk.founder))[desk.id] == "member"


def test_one_that_has_ended_is_listed_so(desk: Desk) -> None:
    desk.issue("--days", "0.000001")
    with mock.patch("time.time", return_value=2e9):
        assert dict(desk.rows(desk.founder))[desk.id] == "expired"


def test_only_the_founder_s_device_lets_in_and_shuts_out(desk: Desk, tmp_path: Path) -> None:
    desk.accept(desk.issue())
    for command in ("issue", "revoke"):
        outcome = gossipd("members", command, desk.id, "--format", "json", home=desk.member)
        assert (outcome.code, code_of(outcome)) == (ExitCode.IDENTITY, "not-the-founder")
        assert outcome.document["error"]["hint"].startswith("do it on the device of 12D3Koo")
    gossipd("init", home=tmp_path / "alone")
    outcome = gossipd("members", "issue", desk.id, "--format", "json", home=tmp_path / "alone")
    assert (outcome.code, code_of(outcome)) == (ExitCode.FAILURE, "no-closed-swarm")


def test_inviting_with_the_daemon_stopped_says_what_to_do_or_who_can(desk: Desk) -> None:
    desk.accept(desk.issue())
    outcome = gossipd("invite", "--format", "json", home=desk.founder)
    assert (outcome.code, code_of(outcome)) == (ExitCode.NOT_RUNNING, "not-running")
    assert "gossipd start" in outcome.document["error"]["hint"]
    outcome = gossipd("invite", "--format", "json", home=desk.member)
    assert (outcome.code, code_of(outcome)) == (ExitCode.IDENTITY, "not-the-founder")


def test_invitations_are_listed_and_withdrawn_with_the_daemon_stopped(desk: Desk) -> None:
    with at_rest(desk.founder) as books:
        kept = Invitations(books)
        made = kept.make((), bytes(32), "rounds", name="", days=1.0, uses=1, wall=time.time())
    listed = gossipd("invite", "--list", "--format", "json", home=desk.founder).document["data"]
    assert [(row["id"], row["state"]) for row in listed] == [(made["id"], "open")]
    assert gossipd("invite", "--withdraw", made["id"], home=desk.founder).out == "withdrawn\n"
    listed = gossipd("invite", "--list", "--format", "json", home=desk.founder).document["data"]
    assert listed[0]["state"] == "withdrawn"


def test_status_says_who_makes_the_line_for_another_device() -> None:
    founder = {"join": "", "membership": {"founder": True, "founded_by": PEER}}
    assert how_to_join(founder) == "`gossipd invite` makes the line for another device"
    member = {"join": "", "membership": {"founder": False, "founded_by": PEER}}
    assert how_to_join(member).endswith(f"on the founder's device: {PEER}")
    assert how_to_join({"join": "gossipd start", "membership": None}) == "gossipd start"
    assert "announces no address" in how_to_join({"join": "", "membership": None})


def test_a_membership_is_of_use_to_its_own_device_alone(desk: Desk, tmp_path: Path) -> None:
    thief = tmp_path / "thief"
    gossipd("init", home=thief)
    outcome = desk.accept(desk.issue(), home=thief)
    assert (outcome.code, code_of(outcome)) == (ExitCode.IDENTITY, "foreign-membership")
    assert not (thief / "members").exists()


@pytest.mark.parametrize("text", ["", "hello", "!!!!", "lQGqbWVt", "x" * 5000])
def test_what_is_no_membership_is_refused(desk: Desk, text: str) -> None:
    outcome = desk.accept(text)
    assert (outcome.code, code_of(outcome)) == (ExitCode.USAGE, "bad-membership")


def test_one_bit_of_it_changed_is_refused(desk: Desk) -> None:
    good = desk.issue()
    middle = len(good) // 2
    outcome = desk.accept(
        good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :]
    )
    assert code_of(outcome) == "bad-membership"
    assert not (desk.member / "members").exists()


def test_a_missing_file_is_an_error_not_a_traceback(desk: Desk) -> None:
    outcome = gossipd("members", "accept", "nowhere", "--format", "json", home=desk.member)
    assert (outcome.code, code_of(outcome)) == (ExitCode.USAGE, "no-file")


def test_the_newer_membership_stays(desk: Desk) -> None:
    older, newer = desk.issue(), desk.issue("--name", "new")
    assert desk.accept(newer).code == 0
    assert code_of(desk.accept(older)) == "older-membership"
    assert desk.accept(newer).code == 0


def test_one_home_is_in_one_swarm(desk: Desk, tmp_path: Path) -> None:
    assert code_of(gossipd("members", "found", "--format", "json", home=desk.founder)) == (
        "in-a-swarm"
    )
    assert desk.accept(desk.issue()).code == 0
    other = Desk(tmp_path / "other")
    theirs = other.json("members", "issue", desk.id, home=other.founder)["membership"]
    assert code_of(desk.accept(theirs)) == "in-a-swarm"
    outcome = gossipd("start", "--swarm", "ab" * 32, "--format", "json", home=desk.member)
    assert (outcome.code, code_of(outcome)) == (ExitCode.CONFIG, "two-swarms")


def test_what_was_learnt_in_another_swarm_is_not_taken_along(desk: Desk) -> None:
    (desk.member / "state.db").write_bytes(b"")
    assert code_of(desk.accept(desk.issue())) == "has-learnt"
    assert code_of(gossipd("members", "found", "--format", "json", home=desk.member)) == (
        "has-learnt"
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("issue", "nobody"), "bad-peer-id"),
        (("issue", OTHER, "--name", "x" * 65), "bad-name"),
        (("issue", OTHER, "--name", "a\nb"), "bad-name"),
        (("issue", OTHER, "--days", "0"), "bad-days"),
        (("issue", OTHER, "--days", "nan"), "bad-days"),
        (("issue", OTHER, "--days", "1e9"), "bad-days"),
        (("revoke", "nobody"), "bad-peer-id"),
    ],
)
def test_slips_of_the_keyboard_are_named(desk: Desk, arguments: tuple[str, ...], code: str) -> None:
    outcome = gossipd("members", *arguments, "--format", "json", home=desk.founder)
    assert (outcome.code, code_of(outcome)) == (ExitCode.USAGE, code)


def test_the_founder_cannot_shut_itself_out(desk: Desk) -> None:
    me = gossipd("id", "--format", "json", home=desk.founder).document["data"]["peer_id"]
    for command in ("issue", "revoke"):
        outcome = gossipd("members", command, me, "--format", "json", home=desk.founder)
        assert code_of(outcome) == "own-membership"


def test_a_founder_that_lost_its_books_does_not_begin_below_what_it_has_said(desk: Desk) -> None:
    shut_out = desk.json("members", "revoke", desk.id, home=desk.founder)
    for name in ("issued", "revoked"):
        (desk.founder / "members" / name).unlink(missing_ok=True)
    again = desk.json("members", "issue", desk.id, home=desk.founder)
    assert again["serial"] > shut_out["serial"]


def test_a_disk_that_refuses_is_an_error_not_a_traceback(desk: Desk) -> None:
    with mock.patch("gossipd.members.membership.replace", side_effect=OSError(28, "No space left")):
        outcome = gossipd("members", "issue", desk.id, "--format", "json", home=desk.founder)
    assert (outcome.code, code_of(outcome)) == (ExitCode.IDENTITY, "home-unusable")


def test_a_membership_that_was_lost_is_accepted_again(desk: Desk) -> None:
    membership = desk.issue()
    desk.accept(membership)
    (desk.member / "members" / "own").write_text("")
    refused = desk.accept(membership)
    assert code_of(refused) == "membership-damaged"
    (desk.member / "members" / "own").unlink()
    assert desk.accept(membership).code == 0


@pytest.mark.parametrize("name", ["own", "issued", "revoked"])
def test_a_damaged_book_is_said_and_nothing_is_guessed(desk: Desk, name: str) -> None:
    desk.issue()
    desk.json("members", "revoke", desk.id, home=desk.founder)
    (desk.founder / "members" / name).write_text("rubbish\n")
    outcome = gossipd("members", "ls", "--format", "json", home=desk.founder)
    assert (outcome.code, code_of(outcome)) == (ExitCode.IDENTITY, "membership-damaged")


def test_without_its_membership_a_home_is_not_taken_for_an_open_one(desk: Desk) -> None:
    (desk.founder / "members" / "own").unlink()
    outcome = gossipd("members", "ls", "--format", "json", home=desk.founder)
    assert (outcome.code, code_of(outcome)) == (ExitCode.IDENTITY, "membership-damaged")


def test_while_something_holds_the_home_nothing_is_changed_behind_its_back(desk: Desk) -> None:
    with Lock(desk.founder / "lock"):
        outcome = gossipd("members", "revoke", desk.id, "--format", "json", home=desk.founder)
    assert outcome.code == ExitCode.ALREADY_RUNNING


def test_without_a_home_the_first_step_is_named(tmp_path: Path) -> None:
    outcome = gossipd("members", "ls", "--format", "json", home=tmp_path / "none")
    assert code_of(outcome) == "no-identity"
    assert not (tmp_path / "none").exists()


def test_a_running_daemon_is_asked_to_do_it(tmp_path: Path) -> None:
    with served(tmp_path) as daemon:
        assert gossipd("members", "issue", OTHER, "--days", "3", home=tmp_path).out == "lQGqbWVt\n"
        assert gossipd("members", "revoke", OTHER, home=tmp_path).out == f"{OTHER}\n"
        assert OTHER in gossipd("members", "ls", home=tmp_path).out
        with mock.patch("sys.stdin", io.StringIO("lQGqbWVt")):
            assert gossipd("members", "accept", "-", home=tmp_path).code == 0
    assert daemon.operator.asked == [
        ("issue_membership", OTHER, "", "3.0"),
        ("revoke_member", OTHER),
        ("accept_membership", "lQGqbWVt"),
    ]


def test_status_says_when_a_swarm_is_closed(tmp_path: Path) -> None:
    with served(tmp_path) as daemon:
        (row,) = daemon.operator.members()
        closed = {
            **daemon.operator.status(),
            "membership": {**row, "founded_by": PEER, "known": 4, "revoked": 1},
        }
        daemon.operator.status = lambda: closed  # type: ignore[method-assign]
        lines = gossipd("status", home=tmp_path).out.splitlines()
    (line,) = [line for line in lines if line.startswith("swarm")]
    assert "closed · member station 4 · until 2027-01-" in line
    assert line.endswith("4 members known · 1 revoked")
