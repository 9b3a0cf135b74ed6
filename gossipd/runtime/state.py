"""What the core knows of the swarm, between two lives of the daemon.

Models, counters and peers are not in here; they are committed when they change.
"""

import contextlib

import msgspec

from gossipd.protocol.node import Node
from gossipd.protocol.rounds import Rounds
from gossipd.runtime.coding import Way
from gossipd.runtime.documents import Documents
from gossipd.runtime.models import Models
from gossipd.runtime.outbound import Outbound
from gossipd.runtime.ports import Store, StoredModel
from gossipd.wire.clicks import SignedSheet
from gossipd.wire.envelope import recall_sheet
from gossipd.wire.errors import WireError
from gossipd.wire.framing import pack
from gossipd.wire.messages import ZERO, Role, SignedClaim, SignedRecord, Update


class ForeignStateError(Exception):
    """What is stored was signed for another swarm."""


class SwarmState(msgspec.Struct, frozen=True):
    records: tuple[bytes, ...] = ()
    claims: tuple[bytes, ...] = ()
    port: int = 0
    """The port listened on last, so that remembered addresses stay true."""
    proof: tuple[bytes, ...] = ()
    """Of the highest round: the sample, then who took part. Empty in the asynchronous mode."""


def snapshot(node: Node, port: int) -> bytes:
    """The state as it is now, of a node that listens on `port`. It is committed with every merged
    model, since a model whose lineage rests on claims that are lost could be shown to nobody."""
    state = SwarmState(
        records=tuple(signed.envelope for signed in node.view.records()),
        claims=tuple(signed.envelope for signed in node.view.claims()),
        port=port,
        proof=() if node.rounds is None else node.rounds.clock.envelopes,
    )
    return pack(state)


def load(store: Store) -> SwarmState:
    """The saved state; an empty one when there is none or it cannot be read."""
    raw = store.state()
    if raw is None:
        return SwarmState()
    try:
        return msgspec.msgpack.decode(raw, type=SwarmState)
    except msgspec.MsgspecError:
        return SwarmState()


def restore(
    node: Node, state: SwarmState, head: StoredModel | None, documents: Documents, store: Store
) -> None:
    """Put the node where it stood. Documents that no longer verify are left out.

    ForeignStateError when it stood in another swarm.
    """
    records: list[SignedRecord] = []
    claims: list[SignedClaim] = []
    for sealed in state.records:
        try:
            records.append(documents.open_record(sealed))
        except WireError:
            continue
    for sealed in state.claims:
        try:
            claims.append(documents.open_claim(sealed))
        except WireError:
            continue
    update: Update | None = None
    if head is not None and head.update is not None:
        sealed_head = store.load_manifest(head.update)
        if sealed_head is not None:
            update = _opened(sealed_head, documents)
    node.restore(update, records, claims)
    for known in reversed(store.updates()):
        sealed_known = store.load_manifest(known)
        with contextlib.suppress(WireError):
            if sealed_known is not None:
                node.clicks.note((documents.open_manifest(sealed_known),))
    sheets: list[tuple[SignedSheet, float]] = []
    for sealed, at in store.sheets():
        with contextlib.suppress(WireError):
            sheets.append((recall_sheet(sealed), at))
    node.clicks.restore(sheets, store.choices())


def restore_rounds(
    rounds: Rounds,
    models: Models,
    outbound: Outbound,
    documents: Documents,
    store: Store,
    head: StoredModel | None,
) -> None:
    """Put a node that works in rounds where it stood. In the compute worker.

    What it has claimed to have trained is the most that any of its models says: a head that missed
    its round is contained in no base, but others have heard of its steps.
    """
    proof = load(store).proof
    # One that is damaged is asked for again.
    with contextlib.suppress(WireError):
        rounds.clock.learn_from(proof[0] if proof else b"", documents.open_proof(proof))
    rows = {row.model: row for row in store.models()}
    steps = max((row.lineage.get(outbound.me, 0) for row in rows.values()), default=0)
    if head is None:
        rounds.restore(None, None, steps)
        return

    def standing(role: Role, model: bytes) -> Update | None:
        """The update of a committed model; a new one if it was published as something else."""
        row, vector = rows.get(model), models.find(model)
        known = _update(row, documents, store)
        if known is not None and known.manifest.role == role:
            return known
        if row is None or vector is None:
            return None
        lineage = dict(row.lineage)
        round_ = 0 if known is None else known.manifest.round
        own = lineage.get(outbound.me, 0)
        # Exactly as it is, so that the node goes on standing on what was committed.
        way = Way("dense", ZERO)
        return outbound.publish(
            vector, role=role, lineage=lineage, steps=own, round_=round_, way=way
        )

    pointers = models.pointers
    last = _update(rows.get(pointers.base), documents, store)
    if last is None or last.manifest.role == "head":
        # It worked asynchronously before, or alone: its head is what it takes into the rounds.
        rounds.restore(standing("base", pointers.head), None, steps)
    else:
        serving = standing("serving", pointers.serving)
        rounds.restore(standing("base", pointers.base), serving, steps)


def _update(row: StoredModel | None, documents: Documents, store: Store) -> Update | None:
    sealed = None if row is None or row.update is None else store.load_manifest(row.update)
    return None if sealed is None else _opened(sealed, documents)


def _opened(sealed: bytes, documents: Documents) -> Update:
    """An update that this node has checked before: a seal that fails now is another swarm's."""
    try:
        return documents.open_manifest(sealed)
    except WireError as error:
        raise ForeignStateError(str(error)) from error
