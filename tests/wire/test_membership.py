"""Nobody but the founder lets anybody in: the swarm's id commits to its key."""

import pytest
from msgspec.structs import replace

from gossipd.wire import limits
from gossipd.wire.envelope import (
    open_claim,
    open_membership,
    open_record,
    open_revocation,
    seal,
    swarm_of_membership,
)
from gossipd.wire.errors import WireError
from gossipd.wire.identifiers import closed_swarm
from gossipd.wire.messages import Membership, PeerRecord, Revocation
from support.keys import key_from
from support.wire_examples import CLOSED, ENVELOPES, NONCE, OF_CLOSED, PEER_ID, SIGNER, SWARM

_, OTHER_ID, OTHER = key_from("other")
MEMBERSHIP = OF_CLOSED["membership"]


def refusal(open_: object, envelope: bytes, swarm: bytes = CLOSED) -> str:
    with pytest.raises(WireError) as error:
        open_(envelope, swarm)  # type: ignore[operator]
    return error.value.reason


def test_a_swarm_s_id_depends_on_its_founder_and_its_nonce() -> None:
    ids = {
        closed_swarm(SIGNER.public_key, NONCE),
        closed_swarm(SIGNER.public_key, bytes(32)),
        closed_swarm(OTHER.public_key, NONCE),
    }
    assert len(ids) == 3


def test_a_membership_says_which_swarm_it_is_for() -> None:
    assert swarm_of_membership(ENVELOPES["membership"]) == CLOSED
    assert swarm_of_membership(seal(MEMBERSHIP, CLOSED, OTHER)) != CLOSED


def test_another_key_s_membership_is_forged_though_its_signature_is_good() -> None:
    assert refusal(open_membership, seal(MEMBERSHIP, CLOSED, OTHER)) == "forged-membership"
    revocation = seal(OF_CLOSED["revocation"], CLOSED, OTHER)
    assert refusal(open_revocation, revocation) == "forged-membership"


def test_the_founder_s_membership_of_its_other_swarm_is_forged_here() -> None:
    assert isinstance(MEMBERSHIP, Membership)
    other = replace(MEMBERSHIP, nonce=bytes(32))
    assert refusal(open_membership, seal(other, CLOSED, SIGNER)) == "forged-membership"


def test_a_membership_for_another_swarm_has_a_bad_signature() -> None:
    assert refusal(open_membership, ENVELOPES["membership"], SWARM) == "bad-signature"


def test_a_revocation_is_no_membership_and_the_other_way_round() -> None:
    assert refusal(open_membership, ENVELOPES["revocation"]) == "malformed"
    assert refusal(open_revocation, ENVELOPES["membership"]) == "malformed"
    assert refusal(open_claim, ENVELOPES["membership"]) == "malformed"


def test_a_record_shows_its_author_s_own_membership() -> None:
    signed = open_record(ENVELOPES["record-member"], CLOSED)
    assert signed.membership is not None
    assert (signed.membership.founder, signed.membership.membership) == (PEER_ID, MEMBERSHIP)


def test_a_record_with_somebody_else_s_membership_is_refused() -> None:
    theirs = PeerRecord(incarnation=1, seq=1, membership=ENVELOPES["membership"])
    assert refusal(open_record, seal(theirs, CLOSED, OTHER)) == "forged-membership"


def test_a_record_with_a_forged_membership_is_refused() -> None:
    own = Membership(nonce=NONCE, member=OTHER_ID, serial=1)
    theirs = PeerRecord(incarnation=1, seq=1, membership=seal(own, CLOSED, OTHER))
    assert refusal(open_record, seal(theirs, CLOSED, OTHER)) == "forged-membership"


def test_the_longest_membership_fits_its_bound() -> None:
    longest = Membership(
        nonce=NONCE,
        member="x" * 64,
        serial=limits.COUNTER,
        not_after=limits.COUNTER,
        name="\U0001f40b" * limits.MEMBER_NAME,
    )
    assert len(seal(longest, CLOSED, SIGNER)) <= limits.MEMBERSHIP_BYTES
    revocation = Revocation(nonce=NONCE, member="x" * 64, serial=limits.COUNTER)
    assert len(seal(revocation, CLOSED, SIGNER)) <= limits.MEMBERSHIP_BYTES
