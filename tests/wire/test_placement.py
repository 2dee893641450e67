"""What is said where, from decisions alone."""

from __future__ import annotations

import pytest

from router.core.decision import Decision, Piece, Settled, nothing
from router.core.policy import Level
from router.wire.placement import BLOCK_CLOSE, BLOCK_OPEN, SWITCH_LINE, in_block, place

GENERAL = Piece("g", "/", Level.BRIEF, "Be polite.", 3)
REFUND = Piece("r", "/refund", Level.BRIEF, "Check the date.", 4)
RULE = Piece("rule", "/refund", Level.BRIEF, "Promise nothing.", 3, required=True)
DETAIL = Piece("r2", "/refund", Level.GUIDED, "Name the rule.", 4)
PARCEL = Piece("p", "/parcel", Level.BRIEF, "Ask for the number.", 5)
CLOCK = Piece("clock", "/", Level.BRIEF, "It is 10:01.", 5, volatile=True)
FREE = Piece("tier", "/", Level.BRIEF, "Tier: free.", 3)
PAID = Piece("tier", "/", Level.BRIEF, "Tier: paid.", 3)


def settled(path, *mix, outcome="classified"):
    return Decision("r1", outcome, (Settled(path, 0.9, 0.5),), mix=mix)


SKIPPED = nothing("r1", "skipped")
BYPASSED = settled("/refund", GENERAL, REFUND, outcome="bypassed")

CASES = {
    "no decision": ([], "", []),
    "one turn": ([settled("/refund", GENERAL, REFUND)], "Be polite.\n\nCheck the date.", []),
    "nothing new": ([settled("/refund", GENERAL, REFUND)] * 3, "Be polite.\n\nCheck the date.", []),
    "a switch": (
        [settled("/refund", GENERAL, REFUND), settled("/parcel", GENERAL, PARCEL)],
        "Be polite.\n\nCheck the date.",
        [(1, SWITCH_LINE + "\nAsk for the number.")],
    ),
    "a switch and back says nothing twice": (
        [settled("/refund", REFUND), settled("/parcel", PARCEL), settled("/refund", REFUND)],
        "Check the date.",
        [(1, SWITCH_LINE + "\nAsk for the number.")],
    ),
    "only the level moved": (
        [settled("/refund", REFUND), settled("/refund", REFUND, DETAIL)],
        "Check the date.",
        [(1, "Name the rule.")],
    ),
    "a cue changed, and changed back": (
        [settled("/", FREE), settled("/", PAID), settled("/", PAID), settled("/", FREE)],
        "Tier: free.",
        [(1, "Tier: paid."), (3, "Tier: free.")],
    ),
    "a switch from a task that had nothing to say": (
        [settled("/", outcome="unclassified"), settled("/refund", REFUND)],
        "",
        [(1, SWITCH_LINE + "\nCheck the date.")],
    ),
    "volatile text is a tail even at the first turn": (
        [settled("/", CLOCK, GENERAL)],
        "Be polite.",
        [(0, "It is 10:01.")],
    ),
    "volatile text is said at the newest turn only, behind the rest": (
        [settled("/", CLOCK, GENERAL), settled("/parcel", CLOCK, PARCEL), settled("/refund", CLOCK, REFUND)],
        "Be polite.",
        [(1, SWITCH_LINE + "\nAsk for the number."), (2, SWITCH_LINE + "\nCheck the date.\n\nIt is 10:01.")],
    ),
    "volatile text alone is no switch": (
        [settled("/", GENERAL), settled("/parcel", GENERAL, CLOCK)],
        "Be polite.",
        [(1, "It is 10:01.")],
    ),
    "skipped": ([SKIPPED], "", []),
    "bypassed": ([BYPASSED], "", []),
    "bypassed, but some of it is required": (
        [settled("/refund", GENERAL, RULE, outcome="bypassed"), settled("/refund", GENERAL, RULE)],
        "Promise nothing.",
        [(1, "Be polite.")],
    ),
    "skipped, but some of it is required": (
        [settled("/refund", GENERAL, RULE, outcome="skipped"), settled("/refund", GENERAL, RULE)],
        "Promise nothing.",
        [(1, "Be polite.")],
    ),
    "a skipped turn keeps what was said before it": (
        [settled("/refund", GENERAL, REFUND), settled("/refund", RULE, outcome="skipped")],
        "Be polite.\n\nCheck the date.",
        [(1, "Promise nothing.")],
    ),
    "blocked": ([settled("/", GENERAL, outcome="blocked")], "", []),
    "unclassified and unavailable speak": (
        [settled("/", GENERAL, outcome="unclassified"), settled("/", GENERAL, REFUND, outcome="unavailable")],
        "Be polite.",
        [(1, "Check the date.")],
    ),
    "speech that begins late is a tail, not a head": (
        [SKIPPED, settled("/refund", GENERAL, REFUND)],
        "",
        [(1, "Be polite.\n\nCheck the date.")],
    ),
    "a skipped turn in between changes nothing": (
        [settled("/refund", REFUND), SKIPPED, settled("/refund", REFUND)],
        "Check the date.",
        [],
    ),
}


@pytest.mark.parametrize(("decisions", "head", "tails"), CASES.values(), ids=CASES)
def test_places(decisions, head, tails):
    placed = place(decisions, "tail")
    assert placed.head == head
    assert list(placed.tails) == tails


@pytest.mark.parametrize(
    ("decisions", "head"),
    [
        ([settled("/refund", GENERAL, REFUND), settled("/parcel", GENERAL, CLOCK, PARCEL)], "Be polite.\nIt is 10:01."),
        ([settled("/refund", GENERAL, REFUND), SKIPPED], ""),
        ([settled("/refund", GENERAL, RULE, outcome="bypassed")], "Promise nothing."),
        ([], ""),
    ],
)
def test_on_switch_head_says_the_newest_mix_and_no_tails(decisions, head):
    placed = place(decisions, "head")
    assert placed.head.startswith(head)
    assert bool(placed.head) is bool(head)
    assert placed.tails == ()


def test_a_block_is_marked_by_fixed_lines():
    assert (
        in_block("Be brief.")
        == BLOCK_OPEN + "Be brief." + BLOCK_CLOSE
        == "<instructions>\nBe brief.\n</instructions>\n\n"
    )
