"""Cases in a body: what stands under a condition, and that nothing else does, whatever the format and the place."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from router.assembly import WIRES
from router.core.decision import Decision, Piece, Settled
from router.core.evidence import Likely
from router.core.policy import Level
from router.core.ports import Capability, Weaving
from router.core.voice import ANY_CASE_LINE
from router.wire.placement import place
from tests.support.reading import read
from tests.support.weaving import as_cases, texts_of

GENERAL = Piece("g", "/", Level.BRIEF, "Be polite.", 3)
PAID = Piece("g", "/", Level.BRIEF, "Be brief.", 3)
REFUND = Piece("r", "/refund", Level.BRIEF, "Check the date.", 4)
PARCEL = Piece("p", "/parcel", Level.BRIEF, "Ask for the number.", 5)
CLOCK = Piece("clock", "/", Level.BRIEF, "It is 10:01.", 5, volatile=True)
APP = "The app says so."
EITHER = as_cases({"/refund": [REFUND], "/parcel": [PARCEL]})
UNDER = {("refund", "Check the date."), ("parcel", "Ask for the number.")}

CAPABILITIES = [
    Capability(mid, frozenset({"user", "assistant", *roles}), marks, 1)
    for mid, roles, marks in product(("system", "user_block"), (("system", "developer"), ()), ("off", "always"))
]
FORMATS = ("chat", "responses", "messages")


def decided(*mix: Piece) -> Decision:
    likely = (Likely("/refund", 0.5), Likely("/parcel", 0.4))
    return Decision("r1", "shortlisted", (Settled("/", 1.0, 0.0),), likely, mix=mix)


def body(format_: str, system: str, *users: str) -> bytes:
    messages = [{"role": "user", "content": text} for text in users]
    field = {"chat": "messages", "messages": "messages", "responses": "input"}[format_]
    given: dict[str, Any] = {"model": "m", field: messages}
    if system and format_ == "chat":
        messages.insert(0, {"role": "system", "content": system})
    elif system:
        given["system" if format_ == "messages" else "instructions"] = system
    return json.dumps(given).encode()


def lines(format_: str, system: str, users: list[str], decisions: list[Decision], weaving: Weaving) -> list[Any]:
    """All that can be read in the body, the texts of one message as one text."""
    wire = WIRES[format_]
    sent = json.loads(wire.weave(wire.parse(body(format_, system, *users)), decisions, weaving))
    messages = [sent.get("system", ""), sent.get("instructions", ""), *sent.get("messages", sent.get("input", ()))]
    told = ["".join(texts_of(m["content"] if isinstance(m, dict) else m)) for m in messages]
    return [pair for text in told for pair in read(text).lines]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda each: each.mid_conversation + str(len(each.roles)))
@pytest.mark.parametrize("side", ["after", "before", "replace"])
@pytest.mark.parametrize("on_switch", ["tail", "head"])
@pytest.mark.parametrize("system", [APP, ""])
def test_nothing_but_a_case_stands_under_its_condition(
    format_: str, capability: Capability, side: Any, on_switch: Any, system: str
) -> None:
    weaving = Weaving(side, on_switch, capability=capability)
    turns = ["Hi", "You there?", "Now?"]
    mixes = [(GENERAL, CLOCK, *EITHER), (PAID, CLOCK, *EITHER), (PAID, CLOCK, GENERAL, *EITHER)]
    for size in (1, 2, 3):
        found = lines(format_, system, turns[:size], [decided(*mix) for mix in mixes[:size]], weaving)
        assert {pair for pair in found if pair[0]} == UNDER
        plain = {text for heading, text in found if not heading}
        assert {"It is 10:01.", *turns[:size]} <= plain
        assert APP not in system or side == "replace" or APP in plain


def test_what_stands_behind_an_open_case_is_set_apart_only_where_something_does() -> None:
    for side, said in (("before", True), ("after", False), ("replace", False)):
        out = WIRES["chat"].weave(
            WIRES["chat"].parse(body("chat", APP, "Hi")), [decided(GENERAL, *EITHER)], Weaving(side)
        )
        assert (ANY_CASE_LINE.encode() in out) is said
    assert place([decided(GENERAL, *EITHER)], "tail").open_case
    assert not place([decided(GENERAL)], "tail").open_case
