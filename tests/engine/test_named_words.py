"""The user's own words where a client names them, and parts of a turn, through a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.core.conversation import Turn
from router.engine.named_words import TURNS_KEPT, WORDS_CHARACTERS, NamedWords, name_words, words_of
from router.wire.chat import ChatCompletions
from router.wire.messages import Messages
from router.wire.responses import Responses
from tests.support.parts import WordRecogniser, body, call, preparer, sent_messages, snapshot

FRAMED = "Read this about refunds: they take 14 days. Asked: where is my parcel"


def task(of: Any, given: dict[str, Any]) -> str:
    return str(of.prepare(call(given)).decision.task)


def test_the_words_that_a_client_names_are_read_and_the_turn_is_sent_as_it_came() -> None:
    named = body(FRAMED, metadata={"user_words": "where is my parcel"})
    assert task(preparer(), body(FRAMED)) == "/billing/refund"
    assert task(preparer(), named) == "/delivery"
    assert sent_messages(preparer(), named)[-1]["content"] == FRAMED


def test_a_conversation_remembers_them_when_the_turn_is_sent_again() -> None:
    seen = preparer()
    first = sent_messages(seen, body(FRAMED, metadata={"user_words": "where is my parcel"}))
    grown = body(FRAMED, "On its way.", "Refund? " + FRAMED, metadata={"user_words": "and when?"})
    prepared = seen.prepare(call(grown))
    assert [decision.task for decision in prepared.decisions] == ["/delivery"] * 2
    assert sent_messages(seen, grown)[: len(first)] == first


@pytest.mark.parametrize("given", [5, ["where"], {"a": 1}, True])
def test_words_that_are_no_text_are_not_used_and_the_decision_says_so(given: Any) -> None:
    decision = preparer().prepare(call(body(FRAMED, metadata={"user_words": given}))).decision
    assert decision.task == "/billing/refund"
    assert "user_words_invalid" in [reason.code for reason in decision.reasons]


@pytest.mark.parametrize("given", [None, "", "  "])
def test_no_words_are_no_news(given: Any) -> None:
    decision = preparer().prepare(call(body(FRAMED, metadata={"user_words": given}))).decision
    assert decision.task == "/billing/refund"
    assert "user_words_invalid" not in [reason.code for reason in decision.reasons]


def test_what_is_kept_is_bounded() -> None:
    named: NamedWords = {}
    for number in range(TURNS_KEPT + 9):
        named, _ = name_words(named, [Turn("user", str(number), 0)], {"user_words": "x" * 9_999})
    assert len(named) == TURNS_KEPT
    assert words_of(Turn("user", str(number), 0), named) == ("x" * WORDS_CHARACTERS, ())
    assert words_of(Turn("user", "0", 0), named) == ("0", ())


PARTS = [{"type": "text", "text": "Context: refunds"}, {"type": "text", "text": "where is it"}]


@pytest.mark.parametrize(
    ("wire", "given"),
    [
        (ChatCompletions(), {"model": "m", "messages": [{"role": "user", "content": PARTS}]}),
        (Messages(), {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": PARTS}]}),
        (
            Responses(),
            {"model": "m", "input": [{"role": "user", "content": [{**part, "type": "input_text"} for part in PARTS]}]},
        ),
    ],
    ids=["chat", "messages", "responses"],
)
def test_every_format_tells_the_parts_of_a_turn(wire: Any, given: dict[str, Any]) -> None:
    (turn,) = wire.parse(json.dumps(given).encode()).conversation.turns
    assert turn.parts == ("Context: refunds", "where is it")
    assert turn.text == "Context: refunds\nwhere is it"


def test_recognition_is_told_the_parts_where_there_are_several() -> None:
    told: list[Any] = []

    class Listening(WordRecogniser):
        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> Any:
            told.append(parts)
            return super().step(before, text, reply_before, parts)

    seen = preparer(snapshot(recogniser=Listening()))
    seen.prepare(call({"model": "m", "messages": [{"role": "user", "content": PARTS}]}))
    joined = "\n".join(part["text"] for part in PARTS)
    seen.prepare(call(body(joined)))
    assert told == [("Context: refunds", "where is it"), ()]
