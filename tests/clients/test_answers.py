"""Every client through the router: what it gets is what it gets from the backend itself, and the backend is told more.

Each case is run twice, against the scripted backend directly and through the router. What the library shows of the
answer must be equal; of the requests that arrived, the second may only differ by the text that was added.
"""

from __future__ import annotations

import pytest

from tests.clients.cases import Twice, seen, spoken
from tests.clients.drivers.driving import SYSTEM, TOOLS
from tests.clients.script import CACHED_TOKENS, COMPLETION_TOKENS, ORDERS, PROMPT_TOKENS, TEXT
from tests.clients.upstream import MODEL, VECTOR

GENERAL = ("Never invent order data.", "Answer in one short sentence.")
SPECIAL = "Help the customer find the parcel."
FINISHES = {"stop", "completed", "end_turn"}
COUNTED = [PROMPT_TOKENS, CACHED_TOKENS, COMPLETION_TOKENS]
VERDICT = {"refund": True, "days": 7, "reason": "fits – 📦"}


@spoken("ask", "stream")
@pytest.mark.parametrize("system", [0, 1], ids=["plain", "with_system"])
def test_words(case: str, system: int, twice: Twice) -> None:
    outcome, (more,) = twice.compared(case, system=system)
    answer = seen(outcome)
    assert answer["text"] == TEXT
    assert answer.get("finish", "stop") in FINISHES
    assert answer.get("usage", COUNTED) == COUNTED
    assert answer.get("extra", {"kept": True}) == {"kept": True}
    assert answer.get("pieces", 2) > 1
    assert answer.get("rising", True)
    assert all(text in more for text in (*GENERAL, SPECIAL))
    assert SYSTEM not in more


@spoken("tools", "tools_stream")
def test_several_rounds_of_tools(case: str, twice: Twice) -> None:
    outcome, rounds = twice.compared(case)
    answer = seen(outcome)
    first, last = TOOLS
    asked_for = [(first, ORDERS[0]), (first, ORDERS[1]), (last, ORDERS[0])]
    assert answer["called"] == [[name, {"number": order}] for name, order in asked_for]
    assert answer["text"] == "Seen: " + "; ".join(TOOLS[name](order) for name, order in asked_for)
    assert len(rounds) == 3
    assert rounds[0] == rounds[1] == rounds[2]  # what was said at first is said again, unchanged
    assert all(text in rounds[0] for text in GENERAL)


@spoken("structured", "structured_native", "structured_stream")
def test_an_answer_by_schema(case: str, twice: Twice) -> None:
    outcome, (more,) = twice.compared(case)
    assert seen(outcome)["value"] == VERDICT
    assert all(text in more for text in GENERAL)


@spoken("bare_stream")
def test_every_event_of_a_bare_stream_is_the_backend_s(twice: Twice) -> None:
    outcome, _ = twice.compared("bare_stream")
    assert seen(outcome)["chunks"]


@spoken("embeddings")
def test_embeddings_pass_untouched(twice: Twice) -> None:
    outcome, (more,) = twice.compared("embeddings")
    assert seen(outcome)["vectors"] == [VECTOR, VECTOR]
    assert not more


@spoken("count_tokens")
def test_tokens_are_counted_with_our_text(twice: Twice) -> None:
    alone, with_us = seen(twice.direct("count_tokens")), seen(twice.through("count_tokens"))
    assert with_us["tokens"] > alone["tokens"]


@spoken("models")
def test_models(twice: Twice) -> None:
    assert seen(twice.through("models")) == {"models": ["late", "late-in-stream", "nobody"], "one": MODEL}


@spoken("request_id")
def test_the_sdk_knows_the_decision_by_its_request_id(twice: Twice) -> None:
    assert seen(twice.through("request_id"))["id"].startswith("dec_")
