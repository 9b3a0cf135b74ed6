"""What version 1 wrote is understood, and written the same way, by every later version 1."""

from pathlib import Path

import pytest
from msgspec import UNSET

from gossipd.wire.clicks import ClickSheet
from gossipd.wire.envelope import (
    open_claim,
    open_invitation,
    open_manifest,
    open_membership,
    open_participation,
    open_record,
    open_revocation,
    open_sample,
    open_sheet,
)
from gossipd.wire.framing import decode_request, decode_response, unpack
from gossipd.wire.identifiers import digest
from gossipd.wire.messages import (
    Invitation,
    Manifest,
    Membership,
    Participation,
    PeerRecord,
    Request,
    Response,
    Revocation,
    Sample,
)
from support.wire_examples import CLOSED, DOCUMENTS, GOLDEN, MESSAGES, OF_CLOSED, PEER_ID, SWARM

FOLDER = Path(__file__).parents[1] / "golden" / "wire-v1"


def stored(name: str) -> bytes:
    return (FOLDER / f"{name}.bin").read_bytes()


def test_every_golden_file_has_an_example_and_the_other_way_round() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == GOLDEN.keys()


def test_every_message_and_document_has_a_golden_file() -> None:
    examples = {type(message) for message in MESSAGES.values()}
    assert examples == {*Request.__args__, *Response.__args__}
    assert len({type(document) for document in DOCUMENTS.values()}) == 9


@pytest.mark.parametrize("name", GOLDEN)
def test_this_version_writes_the_same_bytes(name: str) -> None:
    assert GOLDEN[name] == stored(name)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_of_version_1_is_read(name: str) -> None:
    message, data = MESSAGES[name], stored(f"message-{name}")
    decode = decode_request if isinstance(message, Request) else decode_response
    assert decode(data) == message


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_version_1_is_read(name: str) -> None:
    document = DOCUMENTS[name]
    assert unpack(stored(f"document-{name}"), type(document)) == document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_envelope_of_version_1_is_opened(name: str) -> None:
    document, envelope = DOCUMENTS[name], stored(f"envelope-{name}")
    match document:
        case PeerRecord():
            signed = open_record(envelope, CLOSED if name in OF_CLOSED else SWARM)
            shown = signed.membership.envelope if signed.membership else UNSET
            assert shown == document.membership
            assert (signed.author, signed.record, signed.envelope) == (PEER_ID, document, envelope)
        case Manifest():
            update = open_manifest(envelope, SWARM)
            assert (update.author, update.manifest, update.envelope) == (
                PEER_ID,
                document,
                envelope,
            )
            assert update.id == digest(stored(f"document-{name}"))
        case Sample():
            drawn = open_sample(envelope, SWARM)
            assert (drawn.author, drawn.sample, drawn.envelope) == (PEER_ID, document, envelope)
            assert drawn.id == digest(stored(f"document-{name}"))
        case Participation():
            part = open_participation(envelope, SWARM)
            assert (part.author, part.participation) == (PEER_ID, document)
            assert part.envelope == envelope
        case Membership():
            member = open_membership(envelope, CLOSED)
            assert (member.founder, member.membership) == (PEER_ID, document)
            assert member.envelope == envelope
        case Revocation():
            revoked = open_revocation(envelope, CLOSED)
            assert (revoked.founder, revoked.revocation) == (PEER_ID, document)
            assert revoked.envelope == envelope
        case ClickSheet():
            clicks = open_sheet(envelope, SWARM)
            assert (clicks.author, clicks.sheet, clicks.envelope) == (PEER_ID, document, envelope)
        case Invitation():
            invited = open_invitation(envelope, CLOSED)
            assert (invited.founder, invited.invitation) == (PEER_ID, document)
            assert invited.envelope == envelope
        case _:
            claimed = open_claim(envelope, SWARM)
            assert (claimed.author, claimed.claim, claimed.envelope) == (
                PEER_ID,
                document,
                envelope,
            )
