"""Entering a closed swarm: an invitation becomes a membership of this device's own key.

    <home>/invitation    the line, from `gossipd join` until it has been used
    <home>/task.json     the task's description, as the founder handed it out

The founder is asked over a connection that proves its key, and this device's; nobody else is told
anything. What comes back is checked against the line: the founder's signature on the membership,
the hash of the task's description. A line that could not be used yet stays in its file, and the
next start asks again.
"""

import asyncio
import contextlib
import time
from pathlib import Path

from gossipd.address import peer_of
from gossipd.config import load
from gossipd.configfile import change
from gossipd.errors import ExitCode, OperatorError
from gossipd.members.identity import Identity
from gossipd.members.membership import Books, token
from gossipd.network.asking import asking
from gossipd.network.interface import NetworkError, Transport
from gossipd.paths import Paths
from gossipd.storage.atomic import replace
from gossipd.wire.errors import WireError
from gossipd.wire.framing import decode_response, encode_message
from gossipd.wire.identifiers import digest
from gossipd.wire.invitation import LINE_BYTES, prove, read
from gossipd.wire.invitation import Line as Line
from gossipd.wire.messages import Enter, Refused, Welcome

PAUSE_SECONDS = 1.0
"""Between two attempts to reach the founder."""
ATTEMPT_SECONDS = 10.0
"""For one attempt, and for the founder's answer."""


def parse(text: str) -> Line:
    """What a pasted line says; OperatorError "bad-invitation"."""
    try:
        line = read(text[: 2 * LINE_BYTES])
        for address in line.addresses:
            peer_of(f"{address}/p2p/{line.inviter}")
    except WireError as error:
        raise _no_invitation(error.detail or error.reason) from None
    except ValueError as error:
        raise _no_invitation(str(error.args[0])) from None
    return line


def addresses_of(line: Line) -> tuple[str, ...]:
    """Where the inviter may be, as multiaddresses with its name."""
    return tuple(f"{address}/p2p/{line.inviter}" for address in line.addresses)


def describes(line: Line) -> bool:
    """Whether the inviter hands out a task description."""
    return line.invitation is not None and line.invitation.invitation.description is not None


def pending(home: Path) -> str | None:
    """The line that waits in a state directory."""
    try:
        return (home / "invitation").read_text(encoding="ascii")[: 2 * LINE_BYTES]
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            "home-unusable",
            f"{home / 'invitation'} cannot be read: {error}",
            "remove it, and join with the line again",
            ExitCode.IDENTITY,
        ) from None


def remember(home: Path, text: str) -> None:
    """Keep a line until it has been used. It is as good as a key: nobody else may read it."""
    replace(home / "invitation", text.encode())


async def complete(paths: Paths, identity: Identity, timeout: float) -> bool:
    """Use the line that waits in this home, if there is one; whether there was.

    The caller holds the home's lock. Raises OperatorError "not-entered" (exit 75) when the founder
    cannot be reached within `timeout` seconds, and what it answered when it refused.
    """
    text = pending(paths.home)
    if text is None:
        return False
    line = parse(text)
    books = Books(paths.members, identity, paths.database)
    if line.invitation is not None and books.swarm() != line.swarm:
        welcome = await _ask(line, identity, timeout)
        if describes(line):
            if digest(welcome.description) != line.invitation.invitation.description:
                raise _untrue("the description of the task is not the one that was announced")
            replace(paths.task, welcome.description)
        signed = books.accept(token(welcome.membership))
        if books.swarm() != line.swarm:
            raise _untrue(f"the membership is for {signed.founder}'s other swarm")
    if line.invitation is not None and line.invitation.invitation.description is not None:
        _settle(paths)
    (paths.home / "invitation").unlink()
    return True


def _settle(paths: Paths) -> None:
    """Let the settings say what the task's description makes of this device's data; OperatorError
    "bad-data" when they do not fit it: the next attempt may bring others."""
    from gossipd.founding import Wishes, plan_for  # reads tables and images

    data = load(paths.home).task.data
    plan = plan_for(Path(data) if data else None, Wishes(task_file=paths.task))
    for key, value in plan.settings.items():
        change(paths, key, str(value))


async def _ask(line: Line, identity: Identity, timeout: float) -> Welcome:
    """What the founder answers; it is tried again until `timeout` is over."""
    assert line.invitation is not None
    enter = Enter(
        invitation=line.invitation.envelope,
        proof=prove(line.secret, line.swarm, identity.peer_id),
    )
    deadline = time.monotonic() + timeout
    longest = min(timeout, ATTEMPT_SECONDS)
    why = "this device enters a swarm"
    async with asking(identity.seed, why, peers=1, dial_timeout=longest) as transport:
        while True:
            try:
                return await _exchange(transport, line, enter, deadline - time.monotonic())
            except NetworkError as error:
                if time.monotonic() + PAUSE_SECONDS > deadline:
                    raise OperatorError(
                        "not-entered",
                        f"{line.inviter} does not answer at "
                        f"{', '.join(line.addresses) or 'any address'}: {error}",
                        "the line is kept: with the inviter's daemon running and reachable, "
                        "`gossipd start` tries again; or ask for a new line",
                        ExitCode.TEMPORARY,
                    ) from None
            await asyncio.sleep(PAUSE_SECONDS)


async def _exchange(transport: Transport, line: Line, enter: Enter, seconds: float) -> Welcome:
    seconds = max(1.0, min(seconds, ATTEMPT_SECONDS))
    await transport.dial(line.inviter, addresses_of(line), seconds)
    payload = await transport.request(line.inviter, encode_message(enter), seconds)
    with contextlib.suppress(NetworkError):
        await transport.disconnect(line.inviter, "entered")
    try:
        answer = decode_response(payload)
    except WireError as error:
        raise _untrue(f"its answer cannot be read: {error.reason}") from None
    if isinstance(answer, Welcome):
        return answer
    if not isinstance(answer, Refused):
        raise _untrue(f"its answer is a {type(answer).__name__}")
    raise OperatorError(
        answer.code,
        f"the inviter says: {answer.reason}",
        "ask for a new line: `gossipd invite` makes it on the founder's device",
        ExitCode.IDENTITY,
    )


def _no_invitation(why: str) -> OperatorError:
    return OperatorError(
        "bad-invitation",
        f"this is no invitation: {why}",
        "paste the whole line that `gossipd invite` printed, in quotes if it has spaces",
        ExitCode.USAGE,
    )


def _untrue(why: str) -> OperatorError:
    return OperatorError(
        "untrue-inviter", f"the inviter is not to be trusted: {why}", "ask whom you had the line of"
    )
