"""The founder's entrance: who comes with an invitation asks for a membership instead of a Hello.

The core decides nothing here but who is asked: whether an invitation is good, and how often it may
still be used, stands in the founder's books, which are on disk and have to be there before anybody
hears of it. Elsewhere, and for whatever is wrong, the answer is what every outsider is told.
"""

from gossipd.protocol.events import Answer, Entered, LetIn, Output, Report, Requested
from gossipd.protocol.membership import OUTSIDER, Denial, Members
from gossipd.protocol.peers import Peers
from gossipd.wire.messages import VERSION, Enter, Refused


class Entrance:
    """Asks the books, and passes on what they say."""

    def __init__(self, me: str, members: Members, peers: Peers) -> None:
        self._me = me
        self._members = members
        self._peers = peers

    def on_enter(self, event: Requested, enter: Enter, now: float, out: list[Output]) -> None:
        """A peer that is not admitted asks to be let in."""
        own = self._members.own
        if own is None:
            refused = Refused(code="open-swarm", reason="this swarm is open: say hello")
            self._turn_away(event, Denial("open-swarm", refused), now, out)
        elif own.founder != self._me:
            self._turn_away(event, Denial("not-the-founder", OUTSIDER), now, out)
        elif enter.version != VERSION:
            self._turn_away(event, Denial("version", OUTSIDER), now, out)
        else:
            out.append(LetIn(event.peer, event.token, enter))

    def on_entered(self, event: Entered, now: float, out: list[Output]) -> None:
        """What the books have said."""
        if isinstance(event.verdict, Denial):
            self._turn_away(event, event.verdict, now, out)
            return
        signed, welcome = event.verdict
        self._members.learn(signed)
        out.append(Answer(event.token, welcome))
        name = signed.membership.name
        out.append(Report("member-entered", {"peer": event.peer, "name": name}))

    def _turn_away(
        self, event: Requested | Entered, denial: Denial, now: float, out: list[Output]
    ) -> None:
        self._peers.refuse(event.peer, denial.reason, now, out, hostile=denial.hostile)
        out.append(Answer(event.token, denial.told))
        out.append(Report("peer-refused", {"peer": event.peer, "code": denial.reason}))
