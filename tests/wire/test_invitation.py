"""The line that people paste: whole, genuine, and of use to its holder alone."""

import pytest

from gossipd.wire import invitation
from gossipd.wire.envelope import open_invitation, seal
from gossipd.wire.errors import WireError
from gossipd.wire.messages import Invitation
from support.keys import key_from
from support.wire_examples import CLOSED, NONCE, PEER_ID, SIGNER, SWARM, TASK

SECRET = bytes(range(16))
ADDRESSES = ("/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/4001")
_, OTHER_ID, OTHER = key_from("other")


def sealed(secret: bytes = SECRET, signer: object = SIGNER) -> bytes:
    key = invitation.public_key_of_secret(secret)
    return seal(Invitation(nonce=NONCE, key=key, task=TASK), CLOSED, signer)  # type: ignore[arg-type]


def refusal(text: str) -> str:
    with pytest.raises(WireError) as error:
        invitation.read(text)
    return error.value.reason


LINE = invitation.closed_line(SECRET, sealed(), ADDRESSES)


@pytest.mark.parametrize("text", [LINE, f"gossipd join {LINE}\n", f" {LINE[:90]}\r\n {LINE[90:]}"])
def test_a_line_is_read_as_people_paste_it(text: str) -> None:
    line = invitation.read(text)
    assert (line.swarm, line.task, line.inviter) == (CLOSED, TASK, PEER_ID)
    assert (line.addresses, line.secret) == (ADDRESSES, SECRET)


def test_a_line_to_an_open_swarm_has_no_secret() -> None:
    line = invitation.read(invitation.open_line(SWARM, TASK, PEER_ID, ADDRESSES))
    assert (line.swarm, line.task, line.inviter) == (SWARM, TASK, PEER_ID)
    assert line.invitation is None


@pytest.mark.parametrize("cut", range(0, len(LINE), 7))
def test_a_line_that_is_not_whole_is_refused(cut: int) -> None:
    assert refusal(LINE[:cut]) == "malformed"


def test_a_line_with_any_letter_changed_is_refused_or_leads_elsewhere() -> None:
    """All but the addresses is signed, or follows from what is."""
    genuine = invitation.read(LINE)
    for place in range(len(invitation.PREFIX), len(LINE)):
        letter = "A" if LINE[place] != "A" else "B"
        try:
            line = invitation.read(LINE[:place] + letter + LINE[place + 1 :])
        except (WireError, ValueError):
            continue
        assert line.swarm == genuine.swarm
        assert line.inviter == genuine.inviter
        assert line.invitation == genuine.invitation


def test_another_s_signature_makes_another_swarm() -> None:
    forged = invitation.closed_line(SECRET, sealed(signer=OTHER), ADDRESSES)
    assert refusal(forged) == "bad-signature"


def test_a_secret_of_another_invitation_is_refused() -> None:
    assert refusal(invitation.closed_line(bytes(16), sealed(), ADDRESSES)) == "malformed"


def test_a_newer_form_is_called_so() -> None:
    import base64

    from gossipd.wire.framing import pack

    text = base64.urlsafe_b64encode(pack([3, b"whatever"])).decode().rstrip("=")
    assert refusal(invitation.PREFIX + text) == "version"
    assert refusal(invitation.PREFIX + "A" * 4000) == "too-large"


def test_a_proof_is_of_use_to_one_member_in_one_swarm() -> None:
    signed = open_invitation(sealed(), CLOSED)
    proof = invitation.prove(SECRET, CLOSED, PEER_ID)
    assert invitation.is_proven(signed, CLOSED, PEER_ID, proof)
    assert not invitation.is_proven(signed, CLOSED, OTHER_ID, proof)
    assert not invitation.is_proven(signed, SWARM, PEER_ID, proof)
    assert not invitation.is_proven(signed, CLOSED, PEER_ID, bytes(64))
    other = open_invitation(sealed(bytes(16)), CLOSED)
    assert not invitation.is_proven(other, CLOSED, PEER_ID, proof)


def test_a_line_fits_into_a_picture_of_eighty_columns() -> None:
    from gossipd_cli.commands.join import picture

    widest = invitation.closed_line(SECRET, sealed(), ["/ip4/192.168.100.100/tcp/65535"] * 2)
    rows = picture(widest).splitlines()
    assert {len(row.replace("\x1b[30;107m", "").replace("\x1b[0m", "")) for row in rows} <= set(
        range(81)
    )
