"""A closed swarm for tests: its founder's pen, which writes whatever a test wants."""

from dataclasses import replace
from typing import Any

from gossipd.protocol.greeting import Swarm
from gossipd.wire.envelope import open_membership, open_revocation, seal
from gossipd.wire.identifiers import closed_swarm, digest
from gossipd.wire.messages import Membership, Revocation, SignedMembership, SignedRevocation
from support.keys import key_from
from support.world import SWARM, key_of


class Founder:
    """A key that founded a swarm; `name` is that of the member whose key it is."""

    def __init__(self, name: str, nonce: bytes = digest(b"nonce")) -> None:
        _, self.id, self.signer = key_from(name)
        self.nonce = nonce
        self.swarm_id = closed_swarm(self.signer.public_key, nonce)
        self.swarm: Swarm = replace(SWARM, id=self.swarm_id)

    def issue(self, member: str, **fields: Any) -> bytes:
        """A membership of a peer id, sealed for the swarm that this founder says it is for."""
        honest: dict[str, Any] = {"nonce": self.nonce, "member": member, "serial": 1}
        return seal(Membership(**{**honest, **fields}), self.swarm_id, self.signer)

    def issued(self, member: str, **fields: Any) -> SignedMembership:
        return open_membership(self.issue(member, **fields), self.swarm_id)

    def revoke(self, member: str, serial: int = 1) -> SignedRevocation:
        sealed = seal(
            Revocation(nonce=self.nonce, member=member, serial=serial), self.swarm_id, self.signer
        )
        return open_revocation(sealed, self.swarm_id)

    def options(self, name: str, **fields: Any) -> dict[str, Any]:
        """What makes the world's `Member` called `name` a member of this swarm."""
        return {"swarm": self.swarm, "membership": self.issue(key_of(name)[0], **fields)}
