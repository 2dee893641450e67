"""What is said where, from decisions alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.compose import CASES, NOTHING_MORE
from router.core.decision import Decision, Dropped, Piece, Settled, nothing
from router.core.evidence import Likely
from router.core.policy import Level
from router.core.voice import ANY_CASE_LINE, SWITCH_LINE
from router.wire.placement import SAID_ABOVE, place
from tests.support.weaving import as_cases

GENERAL = Piece("g", "/", Level.BRIEF, "Be polite.", 3)
ALWAYS = Piece("always", "/", Level.BRIEF, "Be honest.", 3, required=True)
REFUND = Piece("r", "/refund", Level.BRIEF, "Check the date.", 4)
RULE = Piece("rule", "/refund", Level.BRIEF, "Promise nothing.", 3, required=True)
DETAIL = Piece("r2", "/refund", Level.GUIDED, "Name the rule.", 4)
PARCEL = Piece("p", "/parcel", Level.BRIEF, "Ask for the number.", 5)
CLOCK = Piece("clock", "/", Level.BRIEF, "It is 10:01.", 5, volatile=True)
FREE = Piece("tier", "/", Level.BRIEF, "Tier: free.", 3)
PAID = Piece("tier", "/", Level.BRIEF, "Tier: paid.", 3)


SHARED = Piece("a", "/a", Level.BRIEF, "Shared.", 2)
BELOW = Piece("b", "/a/b", Level.BRIEF, "Below.", 2)
BESIDE = Piece("d", "/a/d", Level.BRIEF, "Beside.", 2)
THING = Piece("x", "/x", Level.BRIEF, "Thing.", 2)
PASSING = Piece("queue", "/x", Level.BRIEF, "Waiting: 3.", 3, volatile=True)
BY_TIER = {tier: Piece("t", "/refund", Level.GUIDED, f"Say: {tier}.", 3) for tier in ("free", "pro")}


def settled(paths, *mix, outcome="classified"):
    paths = (paths,) if isinstance(paths, str) else paths
    return Decision("r1", outcome, tuple(Settled(path, 0.9, 0.5) for path in paths), mix=mix)


def about(names):
    return f"For this part of the conversation, the case is: {names}. What is said above for it holds."


def either(cases, *plain, path="/", outcome="shortlisted"):
    return Decision(
        "r1",
        outcome,
        (Settled(path, 0.9, 0.5),),
        tuple(Likely(task, 0.4) for task in cases),
        mix=(*plain, *as_cases(cases)),
    )


def block(**cases):
    return "\n\n".join([CASES, *(f"Case: {name}\n{said}" for name, said in cases.items())])


SKIPPED = nothing("r1", "skipped")
BYPASSED = settled("/refund", GENERAL, REFUND, outcome="bypassed")

PLACES = {
    "no decision": ([], "", []),
    "one turn": ([settled("/refund", GENERAL, REFUND)], "Be polite.\n\nCheck the date.", []),
    "nothing new": ([settled("/refund", GENERAL, REFUND)] * 3, "Be polite.\n\nCheck the date.", []),
    "a switch": (
        [settled("/refund", GENERAL, REFUND), settled("/parcel", GENERAL, PARCEL)],
        "Be polite.\n\nCheck the date.",
        [(1, SWITCH_LINE + "\nAsk for the number.")],
    ),
    "a switch and back says nothing twice, but which part this is": (
        [
            settled("/refund", REFUND),
            settled("/parcel", PARCEL),
            settled("/refund", REFUND),
            settled("/refund", REFUND),
        ],
        "Check the date.",
        [(1, SWITCH_LINE + "\nAsk for the number."), (2, about("refund"))],
    ),
    "back, with something new": (
        [settled("/refund", REFUND), settled("/parcel", PARCEL), settled("/refund", REFUND, DETAIL)],
        "Check the date.",
        [(1, SWITCH_LINE + "\nAsk for the number."), (2, about("refund") + "\nName the rule.")],
    ),
    "what settles on nothing changes nothing": (
        [settled("/refund", REFUND), settled("/"), settled("/refund", REFUND), settled("/"), settled("/", PAID)],
        "Check the date.",
        [(4, "Tier: paid.")],
    ),
    "back by way of nothing": (
        [settled("/refund", REFUND), settled("/parcel", PARCEL), settled("/"), settled("/refund", REFUND)],
        "Check the date.",
        [(1, SWITCH_LINE + "\nAsk for the number."), (3, about("refund"))],
    ),
    "what lies above the task that is on changes nothing": (
        [settled("/a/b", SHARED, BELOW), settled("/a", SHARED), settled("/a/b", SHARED, BELOW)],
        "Shared.\n\nBelow.",
        [],
    ),
    "what lies above another task is a part of its own": (
        [
            settled("/a/b", SHARED, BELOW),
            settled("/refund", REFUND),
            settled("/a", SHARED),
            settled("/a/b", SHARED, BELOW),
        ],
        "Shared.\n\nBelow.",
        [(1, SWITCH_LINE + "\nCheck the date."), (2, about("a")), (3, about("b"))],
    ),
    "a second task beside the first": (
        [settled("/refund", REFUND), settled(("/refund", "/parcel"), REFUND, PARCEL), settled("/refund", REFUND)],
        "Check the date.",
        [(1, about("refund") + "\nAsk for the number."), (2, about("refund"))],
    ),
    "both again": (
        [settled("/refund", REFUND), settled("/parcel", PARCEL), settled(("/refund", "/parcel"), REFUND, PARCEL)],
        "Check the date.",
        [(1, SWITCH_LINE + "\nAsk for the number."), (2, about("refund; parcel"))],
    ),
    "a task that has nothing to say ends what was on": (
        [settled("/refund", REFUND), settled("/mute"), settled("/deaf"), settled("/refund", REFUND)],
        "Check the date.",
        [(1, "For this part of the conversation, the case is: mute."), (3, about("refund"))],
    ),
    "another task of a domain that has been spoken for": (
        [settled("/a/b", SHARED, BELOW), settled("/a/d", SHARED, BESIDE)],
        "Shared.\n\nBelow.",
        [(1, SWITCH_LINE + "\nBeside.")],
    ),
    "a machine's call in another part tells of nothing that was said": (
        [settled("/refund", RULE), settled("/parcel", PARCEL), settled("/refund", RULE, outcome="skipped")],
        "Promise nothing.",
        [(1, SWITCH_LINE + "\nAsk for the number.")],
    ),
    "a call without instructions that must say something new says where": (
        [settled("/parcel", PARCEL), settled("/refund", RULE, REFUND, outcome="bypassed"), settled("/parcel", PARCEL)],
        "Ask for the number.",
        [(1, SWITCH_LINE + "\nPromise nothing."), (2, about("parcel"))],
    ),
    "a call without instructions that says only what holds for all changes no part": (
        [
            settled("/parcel", PARCEL),
            settled("/refund", ALWAYS, REFUND, outcome="bypassed"),
            settled("/parcel", PARCEL),
        ],
        "Ask for the number.",
        [(1, "Be honest.")],
    ),
    "a shortlist at the first turn": (
        [either({"/refund": [RULE, REFUND], "/parcel": [PARCEL]}, GENERAL)],
        "Be polite.\n\n" + block(refund="Promise nothing.\nCheck the date.", parcel="Ask for the number."),
        [],
    ),
    "the same list again, in another order, and by way of nothing": (
        [
            either({"/refund": [REFUND], "/parcel": [PARCEL]}),
            either({"/parcel": [PARCEL], "/refund": [REFUND]}),
            settled("/"),
            either({"/parcel": [PARCEL], "/refund": [REFUND]}),
        ],
        block(refund="Check the date.", parcel="Ask for the number."),
        [],
    ),
    "the same list with something new": (
        [
            either({"/refund": [REFUND], "/parcel": [PARCEL]}),
            either({"/refund": [REFUND, DETAIL], "/parcel": [PARCEL]}),
        ],
        block(refund="Check the date.", parcel="Ask for the number."),
        [(1, block(refund=SAID_ABOVE + "\nName the rule.", parcel=SAID_ABOVE))],
    ),
    "another list": (
        [
            either({"/refund": [REFUND], "/parcel": [PARCEL]}),
            either({"/refund": [REFUND], "/x": []}),
            either({"/parcel": [PARCEL], "/refund": [REFUND]}),
        ],
        block(refund="Check the date.", parcel="Ask for the number."),
        [(1, block(refund=SAID_ABOVE, x=NOTHING_MORE)), (2, block(parcel=SAID_ABOVE, refund=SAID_ABOVE))],
    ),
    "one of them becomes sure": (
        [
            either({"/refund": [REFUND], "/parcel": [PARCEL]}, GENERAL),
            settled("/refund", GENERAL, REFUND, DETAIL),
            settled("/refund", GENERAL, REFUND, DETAIL),
            settled("/parcel", GENERAL, PARCEL),
        ],
        "Be polite.\n\n" + block(refund="Check the date.", parcel="Ask for the number."),
        [(1, about("refund") + "\nName the rule."), (3, about("parcel"))],
    ),
    "a task that was on is one of a list, and is on again": (
        [
            settled("/refund", REFUND),
            either({"/refund": [REFUND], "/parcel": [PARCEL]}),
            settled("/refund", REFUND),
        ],
        "Check the date.",
        [(1, block(refund=SAID_ABOVE, parcel="Ask for the number.")), (2, about("refund"))],
    ),
    "what was said under one condition was not said under another": (
        [
            either({"/a/b": [SHARED, BELOW], "/refund": [REFUND]}),
            either({"/a/d": [SHARED, BESIDE], "/a/b": [SHARED, BELOW], "/refund": [REFUND]}),
            settled("/a/d", SHARED, BESIDE),
            settled("/a", SHARED),
            either({"/a/b": [BELOW], "/a/d": [BESIDE]}, SHARED, path="/a"),
        ],
        block(b="Shared.\nBelow.", refund="Check the date."),
        [
            (1, block(d="Shared.\nBeside.", b=SAID_ABOVE, refund=SAID_ABOVE)),
            (2, about("d")),
            (4, "Shared.\n\n" + block(b=SAID_ABOVE, d=SAID_ABOVE)),
        ],
    ),
    "nor plainly": (
        [
            either({"/a/b": [SHARED, BELOW], "/refund": [REFUND]}),
            settled("/a/d", SHARED, BESIDE),
            settled("/a/b", SHARED, BELOW),
        ],
        block(b="Shared.\nBelow.", refund="Check the date."),
        [(1, SWITCH_LINE + "\nShared.\n\nBeside."), (2, about("b"))],
    ),
    "a cue that changed under a condition, and changed back": (
        [
            settled("/refund", REFUND, BY_TIER["free"]),
            either({"/refund": [REFUND, BY_TIER["pro"]], "/parcel": [PARCEL]}),
            settled("/refund", REFUND, BY_TIER["free"]),
            either({"/refund": [REFUND, BY_TIER["free"]], "/parcel": [PARCEL]}),
        ],
        "Check the date.\nSay: free.",
        [
            (1, block(refund=SAID_ABOVE + "\nSay: pro.", parcel="Ask for the number.")),
            (2, about("refund") + "\nSay: free."),
            (3, block(refund=SAID_ABOVE, parcel=SAID_ABOVE)),
        ],
    ),
    "a doubtful second request beside a sure one": (
        [
            settled("/x", THING),
            either({"/refund": [REFUND], "/parcel": [PARCEL]}, THING, path="/x", outcome="classified"),
            settled("/x", THING),
            either({"/refund": [REFUND], "/parcel": [PARCEL]}, THING, path="/x", outcome="classified"),
        ],
        "Thing.",
        [(1, block(refund="Check the date.", parcel="Ask for the number."))],
    ),
    "plain text behind cases is set apart": (
        [
            either({"/refund": [REFUND], "/parcel": [PARCEL]}, FREE),
            either({"/refund": [REFUND], "/parcel": [PARCEL]}, PAID),
        ],
        "Tier: free.\n\n" + block(refund="Check the date.", parcel="Ask for the number."),
        [(1, ANY_CASE_LINE + "\nTier: paid.")],
    ),
    "what is passing is set apart from cases, and has its own": (
        [
            either({"/refund": [REFUND], "/parcel": [PARCEL]}, CLOCK),
            either({"/x": [THING, PASSING], "/parcel": [PARCEL]}, CLOCK),
        ],
        block(refund="Check the date.", parcel="Ask for the number."),
        [
            (
                1,
                block(x="Thing.", parcel=SAID_ABOVE)
                + f"\n\n{ANY_CASE_LINE}\nIt is 10:01.\n\n"
                + block(x=SAID_ABOVE + "\nWaiting: 3.", parcel=SAID_ABOVE),
            )
        ],
    ),
    "a machine's call on a list says what is required under its condition": (
        [
            settled("/x", THING),
            either({"/refund": [RULE, REFUND], "/parcel": [PARCEL]}, outcome="skipped"),
            either({"/refund": [RULE, REFUND], "/parcel": [PARCEL]}, outcome="skipped"),
            either({"/refund": [RULE, REFUND], "/parcel": [PARCEL]}),
        ],
        "Thing.",
        [
            (1, block(refund="Promise nothing.", parcel=NOTHING_MORE)),
            (3, block(refund=SAID_ABOVE + "\nCheck the date.", parcel="Ask for the number.")),
        ],
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


@pytest.mark.parametrize(("decisions", "head", "tails"), PLACES.values(), ids=PLACES)
def test_places(decisions, head, tails):
    placed = place(decisions, "tail")
    assert placed.head == head
    assert list(placed.tails) == tails
    assert placed.open_case is ("Case: " in head)
    assert not any(text in placed.general for text in ("Case: ", CASES, REFUND.text, THING.text))
    for size in range(1, len(decisions)):
        before = place(decisions[:size], "tail")
        assert before.head == head
        passing = any(piece.volatile for piece in decisions[size - 1].mix)
        assert list(before.tails)[: -1 if passing else None] == [tail for tail in tails if tail[0] < size - passing]


def test_tasks_are_named_by_what_is_asked():
    decisions = [settled("/refund", REFUND), settled("/parcel", PARCEL), settled("/refund", REFUND)]
    names = {"/refund": "Money back for something bought", "/parcel": ""}
    (_, back) = place(decisions, "tail", names).tails
    assert back == (2, about("Money back for something bought"))
    assert place([*decisions, decisions[1]], "tail", names).tails[-1] == (3, about("parcel"))


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


@pytest.mark.parametrize(
    ("later", "lifted"),
    [
        (settled("/parcel", GENERAL), "Now true: known."),
        (settled(("/refund", "/parcel"), GENERAL, REFUND), ""),
        (settled("/refund", GENERAL, REFUND), ""),
    ],
    ids=["nobody says it any more", "another says it still", "its task is off"],
)
def test_what_another_said_in_the_same_words_is_lifted_too_unless_that_says_it_still(later, lifted):
    """Of two tasks that say a sentence one has the words; the other's condition comes true at a later turn."""
    both = replace(settled(("/refund", "/parcel"), GENERAL, REFUND), dropped=(Dropped("p", "repeated:r"),))
    if "/parcel" in later.tasks:
        later = replace(later, dropped=(Dropped("p", "unless:known", "Now true: known."),))
    tails = [text for _, text in place([both, later], "tail").tails]
    assert ["Now true" in text for text in tails] == [bool(lifted)] * len(tails) and (tails or not lifted)
    if lifted:
        assert tails[0].endswith(lifted)
