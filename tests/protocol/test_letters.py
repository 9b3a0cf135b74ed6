"""The claims behind a lineage are asked for, as many at a time as one answer holds."""

from collections.abc import Sequence

import pytest

from gossipd.protocol.events import Ask, Output, SignedDocument
from gossipd.protocol.letters import Judge
from gossipd.protocol.questions import Questions, Then
from gossipd.wire import limits
from gossipd.wire.messages import SignedClaim, SignedRecord, View, ViewSync
from support.solo import Solo, one
from support.world import Member


class Asking:
    """A judge, and a peer that answers it with what the test says."""

    def __init__(self, solo: Solo, peer: Member) -> None:
        self.solo, self.peer = solo, peer
        node = solo.node
        self.questions = Questions()
        self.judge = Judge(
            node.setup.peer_id, b"", node.exchange, node.view, node.peers, self.questions, self.take
        )
        self.verdicts: list[bool] = []

    def take(
        self, peer: str, documents: Sequence[SignedDocument], now: float, out: list[Output]
    ) -> None:
        for document in documents:
            if isinstance(document, SignedRecord):
                self.solo.node.view.add_record(document)
            elif isinstance(document, SignedClaim):
                self.solo.node.view.add_claim(document)

    def prove(self, authors: Sequence[Member]) -> list[Output]:
        out: list[Output] = []
        update = self.peer.update(lineage={author.me: 5 for author in authors})
        then = lambda ok, now, outputs: self.verdicts.append(ok)  # noqa: E731
        self.judge.prove(self.peer.id, (update,), then, 0.0, out)
        return out

    def answer(self, asked: Ask, documents: Sequence[SignedDocument]) -> list[Output]:
        question = self.questions.take(asked.request)
        assert question is not None
        assert isinstance(question[1], Then)
        out: list[Output] = []
        question[1].reply(View(), documents, 0.0, out)
        return out


@pytest.fixture
def authors() -> list[Member]:
    solo = Solo().start()
    return [solo.puppet(f"author {number}") for number in range(5)]


def test_what_one_answer_cannot_hold_is_asked_for_again(
    authors: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUTHORS_PER_QUESTION", 2)
    solo = Solo().start()
    asking = Asking(solo, solo.peer("ann"))
    said = {a.me: (solo.record_of(a), a.documents.claim(5)) for a in authors}
    out, asked = asking.prove(authors), 0
    while not asking.verdicts:
        question = one(out, Ask)
        assert isinstance(question.message, ViewSync)
        assert len(question.message.only) <= 2
        asked += 1
        out = asking.answer(question, [d for a in question.message.only for d in said[a]])
    assert asking.verdicts == [True]
    assert asked == 3
    assert not solo.node.peers.refused


def test_who_leaves_out_what_it_was_asked_for_is_not_asked_for_ever(
    authors: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUTHORS_PER_QUESTION", 2)
    solo = Solo().start()
    asking = Asking(solo, ann := solo.peer("ann"))
    question = one(asking.prove(authors), Ask)
    assert asking.answer(question, []) == []
    assert asking.verdicts == [False]
    assert solo.node.peers.table[ann.id].refused == {"unproven-lineage": 1}
