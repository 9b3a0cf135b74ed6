"""The nodes of a run: who they are, whom they may meet, and whom they are told of."""

from collections.abc import Collection, Sequence

from gossipd.config import paths_of
from gossipd.members.identity import load_or_create
from gossipd_scenarios.backend import NodePlan, Setting
from gossipd_scenarios.errors import ScenarioError
from gossipd_scenarios.fleet import Fleet, Member


class Roster:
    """Every node that was ever added, in that order."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.plans: dict[str, NodePlan] = {}
        self.peer_ids: dict[str, str] = {}
        """Known before a node has ever run: its key is made when it is added."""

    def add(self, plan: NodePlan) -> Member:
        """A node with a home and a key."""
        if plan.name in self.plans:
            raise ScenarioError(f"{plan.name} is there already", "give another name")
        member = self._fleet.add(plan.name)
        member.home.mkdir(mode=0o700, parents=True)
        self.plans[plan.name] = plan
        self.peer_ids[plan.name] = load_or_create(paths_of(member.home).identity).peer_id
        return member

    def members(self, names: Collection[str], *, running: bool | None = None) -> list[Member]:
        """Nodes by name; ScenarioError for one that is unknown, or not in the state needed."""
        found = []
        for name in names:
            if name not in self.plans:
                raise ScenarioError(f"there is no node {name!r}", "add it first")
            member = self._fleet.members[name]
            if running is not None and member.running != running:
                state = "runs" if member.running else "does not run"
                raise ScenarioError(f"{name} {state}", "this cannot be done to it now")
            found.append(member)
        return found

    def allowed(self, name: str) -> list[str]:
        """`network.allow` of a node: peer ids of its neighbours; empty: everybody."""
        neighbours = self.plans[name].neighbours
        if neighbours is None:
            return []
        known = [self.peer_ids[other] for other in sorted(neighbours) if other in self.peer_ids]
        return known or [self.peer_ids[name]]  # its own id alone is nobody

    def reachable(self, name: str) -> frozenset[str]:
        """Whom a node is told of, sooner or later: its neighbours, or all that its contacts know.

        Through the proxy every pair has an address of its own, which only the two may know, so a
        daemon cannot hear of it from a third. Where everybody may meet everybody, we tell each of
        all whom it would have found.
        """
        neighbours = self.plans[name].neighbours
        if neighbours is not None:
            return neighbours & self.plans.keys()
        return self._island(name) - {name}

    def _island(self, name: str) -> frozenset[str]:
        """Who is connected with `name` by contacts, either way."""
        ties: dict[str, set[str]] = {node: set() for node in self.plans}
        for node, plan in self.plans.items():
            for contact in plan.contacts:
                if contact in ties:
                    ties[node].add(contact)
                    ties[contact].add(node)
        found, edge = {name}, [name]
        while edge:
            new = ties[edge.pop()] - found
            found |= new
            edge += new
        return frozenset(found)

    def ranked(self) -> dict[str, str]:
        """Peer id -> name of all whom an honest node may choose; empty where nobody lies."""
        if not any(plan.part.favourite for plan in self.plans.values()):
            return {}
        return {peer: name for name, peer in self.peer_ids.items()}

    def role(self, name: str) -> dict[str, str | bool] | None:
        """What a node's process is told of its role, as `hostile.Role`; None where nobody lies."""
        part = self.plans[name].part
        if not self.ranked():
            return None
        return {
            "favourite": self.peer_ids.get(part.favourite, ""),
            "defended": part.defended,
        }

    def settings(self, name: str, addresses: Sequence[str]) -> dict[str, Setting]:
        """A node's configuration; `addresses` of those whom it dials in the beginning."""
        return {
            **self.plans[name].settings,
            "network.allow": self.allowed(name),
            "network.peers": list(addresses),
        }
