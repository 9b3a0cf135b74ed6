"""One of everything that travels, with fixed keys and values: for golden files and mutation.

Nothing here may ever change: tests/golden/wire-v1 holds these objects' bytes. A new message or
field gets a new example.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from gossipd.wire.clicks import Click, ClickSheet
from gossipd.wire.envelope import Signer, seal
from gossipd.wire.framing import encode_message, pack
from gossipd.wire.identifiers import closed_swarm
from gossipd.wire.messages import (
    GENESIS,
    ZERO,
    AbridgedManifest,
    Advert,
    Aggregated,
    AnyMessage,
    ClickPull,
    ClickSheets,
    Document,
    Enter,
    Goodbye,
    Have,
    Hello,
    Introduction,
    Invitation,
    Manifest,
    Membership,
    Offer,
    Participation,
    PeerRecord,
    Ping,
    Pong,
    Refused,
    Revocation,
    Revocations,
    RevocationSync,
    RoundProof,
    RoundQuery,
    Sample,
    StepClaim,
    Trained,
    View,
    ViewSync,
    Want,
    Welcome,
)

SWARM, TASK, LAYOUT, MODEL, BASE = (bytes([byte]) * 32 for byte in range(0xA0, 0xA5))
AUTHORS = bytes(range(8)), bytes(range(8, 16))

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNER = Signer(_KEY.public_key().public_bytes_raw(), _KEY.sign)
PEER_ID = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"

NONCE = bytes([0xB0]) * 32
CLOSED = closed_swarm(SIGNER.public_key, NONCE)
"""The swarm that the examples' key has founded; of it are the documents in `OF_CLOSED`."""

OF_CLOSED: dict[str, Document] = {
    "membership": Membership(
        nonce=NONCE,
        member=PEER_ID,
        serial=1_700_000_000_500,
        not_after=1_800_000_000,
        name="Station Süd",
    ),
    "membership-minimal": Membership(nonce=NONCE, member=PEER_ID, serial=0),
    "revocation": Revocation(nonce=NONCE, member=PEER_ID, serial=1_700_000_000_501),
    "invitation": Invitation(
        nonce=NONCE, key=bytes(range(32)), task=TASK, description=MODEL, not_after=9, uses=3
    ),
    "invitation-minimal": Invitation(nonce=NONCE, key=bytes(range(32)), task=TASK),
}
OF_CLOSED["record-member"] = PeerRecord(
    incarnation=3, seq=19, membership=seal(OF_CLOSED["membership"], CLOSED, SIGNER)
)

DOCUMENTS: dict[str, Document] = {
    "record": PeerRecord(
        incarnation=3,
        seq=17,
        addresses=("/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/4001"),
        examples=1437,
        class_counts=(700, 0, 737),
        counter=2,
        event="leave",
    ),
    "record-minimal": PeerRecord(incarnation=0, seq=0),
    "claim": StepClaim(incarnation=3, steps=9001),
    "manifest": Manifest(
        swarm=SWARM,
        task=TASK,
        incarnation=3,
        seq=18,
        role="head",
        kind="delta",
        reference=GENESIS,
        codec="half",
        layout=LAYOUT,
        parameters=150_000,
        model=MODEL,
        base=BASE,
        variances=(0.25, 1e-8, 0.0),
        lineage={AUTHORS[0]: 9001, AUTHORS[1]: 2**53},
        examples=1437,
        steps=9001,
        class_counts=(700, 0, 737),
        round=12,
        loss=0.375,
        accuracy=0.875,
        tags=("digits", "Ziffern: äöü"),
        body_size=300_000,
        chunks=(bytes([1]) * 32, bytes([2]) * 32),
        created=1_700_000_000.5,
    ),
    "manifest-minimal": Manifest(
        swarm=SWARM,
        task=TASK,
        incarnation=0,
        seq=0,
        role="base",
        kind="full",
        reference=ZERO,
        codec="dense",
        layout=LAYOUT,
        parameters=1,
        model=MODEL,
        lineage={},
        examples=0,
        steps=0,
        body_size=4,
        chunks=(bytes([1]) * 32,),
        created=0.0,
    ),
    "manifest-titled": Manifest(
        swarm=SWARM,
        task=TASK,
        incarnation=0,
        seq=1,
        role="serving",
        kind="full",
        reference=ZERO,
        codec="dense",
        layout=LAYOUT,
        parameters=1,
        model=MODEL,
        lineage={},
        examples=0,
        steps=0,
        tags=("seals",),
        title="Robben zählen",
        licence="CC-BY-4.0",
        body_size=4,
        chunks=(bytes([1]) * 32,),
        created=0.0,
    ),
    "sample": Sample(round=12, peers=(PEER_ID, "12D3KooWSomebodyElse"), model=MODEL, attempt=2),
    "sample-minimal": Sample(round=0, peers=(PEER_ID,), model=MODEL),
    "participation": Participation(incarnation=3, round=13, sample=BASE),
    "clicks": ClickSheet(
        incarnation=3,
        seq=7,
        clicks=(Click("label/3 task/digits", AUTHORS[0]), Click("größe", AUTHORS[1])),
    ),
    **OF_CLOSED,
}

ENVELOPES: dict[str, bytes] = {
    name: seal(document, CLOSED if name in OF_CLOSED else SWARM, SIGNER)
    for name, document in DOCUMENTS.items()
}

HELLO = Hello(
    swarm=SWARM,
    task=TASK,
    layout=LAYOUT,
    genesis=MODEL,
    record=ENVELOPES["record"],
    claim=ENVELOPES["claim"],
)

MESSAGES: dict[str, AnyMessage] = {
    "hello": replace(HELLO, membership=b"proof", agent="gossipd/0.1.0"),
    "hello-mode": replace(HELLO, mode="rounds"),
    "hello-held": replace(HELLO, held=bytes(range(8))),
    "hello-clicks": replace(HELLO, intro=Introduction(clicks=True)),
    "hello-rounds": replace(HELLO, mode="rounds", intro=Introduction(est=41, base=BASE)),
    "hello-about": replace(HELLO, intro=Introduction(about="digits (4,810 parameters)")),
    "hello-time": replace(HELLO, intro=Introduction(time=1_700_000_000)),
    "refused": Refused(code="foreign-swarm", reason="this is another swarm"),
    "ping": Ping(est=41, counter=2),
    "ping-minimal": Ping(),
    "pong": Pong(est=42, counter=1, unavailable=True),
    "view-sync": ViewSync(records={AUTHORS[0]: 17}, claims={AUTHORS[1]: 5}, only=AUTHORS),
    "view-sync-since": ViewSync(claims={AUTHORS[1]: 5}, since=17),
    "view": View(records=(ENVELOPES["record"],), claims=(ENVELOPES["claim"],)),
    "view-sync-sum": ViewSync(claims={AUTHORS[1]: 5}, sum=bytes(range(16))),
    "view-sync-sum-upto": ViewSync(claims={AUTHORS[1]: 5}, sum=bytes(range(16)), upto=17),
    "view-sync-names": ViewSync(claims={AUTHORS[1]: 5}, names=bytes(range(16))),
    "view-upto": View(claims=(ENVELOPES["claim"],), upto=18),
    "offer": Offer(manifests=(ENVELOPES["manifest"],), claims=(ENVELOPES["claim"],)),
    "offer-abridged": Offer(
        manifests=(
            AbridgedManifest(
                head=b"up to the lineage",
                tail=b"and from there on",
                public_key=SIGNER.public_key,
                signature=bytes(64),
                against=bytes(range(16)),
                changes={AUTHORS[0]: 9001, AUTHORS[1]: 0},
            ),
            ENVELOPES["manifest"],
        ),
    ),
    "want": Want(updates=(MODEL, BASE)),
    "have": Have(lineage={AUTHORS[0]: 9001}, model=MODEL, role="serving"),
    "have-against": Have(
        lineage={AUTHORS[1]: 0},
        model=MODEL,
        role="base",
        against=bytes(range(16)),
        held=bytes(range(8)),
    ),
    "goodbye": Goodbye(reason="shutting down"),
    "trained": Trained(
        round=13,
        sample=ENVELOPES["sample"],
        participation=ENVELOPES["participation"],
        manifests=(ENVELOPES["manifest"], ENVELOPES["manifest-minimal"]),
        claims=(ENVELOPES["claim"],),
        activity={AUTHORS[0]: 12, AUTHORS[1]: 2**53},
    ),
    "trained-declined": Trained(round=13, sample=ENVELOPES["sample"]),
    "aggregated": Aggregated(
        round=12,
        sample=ENVELOPES["sample"],
        manifests=(ENVELOPES["manifest-minimal"],),
        previous=ENVELOPES["sample"],
        participations=(ENVELOPES["participation"],),
        claims=(ENVELOPES["claim"],),
        activity={AUTHORS[0]: 12},
    ),
    "aggregated-minimal": Aggregated(round=1, sample=ENVELOPES["sample"]),
    "round-query": RoundQuery(round=12, sample=MODEL, about="training"),
    "round-query-minimal": RoundQuery(round=0),
    "round-proof": RoundProof(
        round=13,
        previous=ENVELOPES["sample"],
        participations=(ENVELOPES["participation"],),
        state="collecting",
        quiet=1500,
    ),
    "round-proof-minimal": RoundProof(),
    "advert": Advert(record=ENVELOPES["record"], est=12),
    "revocation-sync": RevocationSync(known={PEER_ID: 1_700_000_000_501}),
    "revocation-sync-minimal": RevocationSync(),
    "revocations": Revocations(revocations=(ENVELOPES["revocation"],)),
    "revocations-minimal": Revocations(),
    "click-pull": ClickPull(since=17, marks={AUTHORS[0]: 7}),
    "click-pull-minimal": ClickPull(),
    "click-sheets": ClickSheets(sheets=(ENVELOPES["clicks"],), upto=18, more=True),
    "click-sheets-minimal": ClickSheets(upto=0),
    "enter": Enter(invitation=ENVELOPES["invitation"], proof=bytes(range(64))),
    "welcome": Welcome(membership=ENVELOPES["membership"], description=b"{}"),
    "welcome-minimal": Welcome(membership=ENVELOPES["membership"]),
}

GOLDEN: dict[str, bytes] = {
    **{f"message-{name}": encode_message(message) for name, message in MESSAGES.items()},
    **{f"document-{name}": pack(document) for name, document in DOCUMENTS.items()},
    **{f"envelope-{name}": envelope for name, envelope in ENVELOPES.items()},
}
"""The bytes that this version writes, by the name of the file that holds those of version 1."""
