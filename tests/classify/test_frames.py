"""The user's own words in framed turns: a corpus of shapes, and laws that hold for every text."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify import Artefact, LinearRecogniser
from router.classify.cleaning import PLAIN_CHARACTERS
from router.classify.frames import find
from router.classify.html_mail import as_text, is_html
from router.classify.signatures import without_signature
from router.classify.text import STRIP_CHARACTERS
from router.classify.user_words import UserWords, may_be_framed

SHAPES = [json.loads(line) for line in Path(__file__).with_name("frames.jsonl").read_text("utf-8").splitlines()]
LABELLED = [
    json.loads(line) for line in Path(__file__).with_name("frames_labelled.jsonl").read_text("utf-8").splitlines()
]
OPEN = {
    "log-json-order",  # "that's what your api gives me" is said by the user, too
    "im-quote-own",  # all of it is behind `>`
    "long-review-bare-tail",  # a long review in the first person, which nothing tells from a customer's story
}
READER = UserWords()


@pytest.fixture(scope="module")
def talker(artefact: Artefact) -> LinearRecogniser:
    return LinearRecogniser(artefact)


PASSAGE = "Parcels arrive in 3 to 5 days. Returns are possible within 30 days. The label is in your account."
ASKED = "My blender arrived broken and I want my money back"


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", text.lower()))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["id"])
def test_of_a_framed_turn_the_users_own_words_are_read(shape: dict[str, Any]) -> None:
    parts = shape["parts"]
    read, _ = READER.read("\n".join(parts), parts if len(parts) > 1 else ())
    if shape["expect"] != "reach":
        assert not read
        return
    own, found = words(shape["own"]), words(read)
    size = sum(own.values())
    assert sum((own - found).values()) <= size / 4
    assert shape["id"] in OPEN or sum((found - own).values()) <= max(4, size * 0.3)


@pytest.mark.parametrize("shape", LABELLED, ids=lambda shape: shape["id"])
def test_names_and_forms_of_lines_tell_whose_words_they_are(shape: dict[str, Any]) -> None:
    assert READER.read(shape["turn"])[0] == shape["own"]


@pytest.mark.parametrize(
    "turn",
    [
        f"<context>{PASSAGE}</context>\n{ASKED}",
        f"{ASKED}\n<context>\n{PASSAGE}\n</context>",
        f"<request><context>{PASSAGE}</context><question>{ASKED}</question></request>",
        f"Context:\n{PASSAGE}\n\nQuestion: {ASKED}",
        f"Question: {ASKED}\n\nContext: {PASSAGE}",
        f"Context: {PASSAGE} Question: {ASKED}",
        f"Kontext:\n{PASSAGE}\n\nFrage: {ASKED}",
        f"### Context\n{PASSAGE}\n\n### Question\n{ASKED}",
        f"**Context**\n{PASSAGE}\n\n**Question**\n{ASKED}",
        f"File: help.pdf\n{PASSAGE}\n\n{ASKED}",
        f"--- page 3 ---\n{PASSAGE}\n\n{ASKED}",
        f"Question: how long does it take?\nAnswer: Three days.\n\nQuestion: {ASKED}\nAnswer:",
        f"Name: Kim\nInbox: Website\nTicket #5\nMessage: {ASKED}",
        f"[29/11/26, 10:11:12] Shop: Welcome!\n[29/11/26, 10:12:00] Kim: {ASKED}",
        f"Customer: hi\nAgent: How can I help?\nCustomer: {ASKED}",
        f"<p>{ASKED}</p><blockquote>Your parcel is on its way</blockquote>",
        f"{ASKED}\n\nKind regards,\nAnn Lee\nHead of Returns",
    ],
    ids=lambda turn: repr(turn[:24]),
)
def test_what_stands_around_a_question_is_not_read(turn: str) -> None:
    assert READER.read(turn)[0] == ASKED


@pytest.mark.parametrize(
    "turn",
    [
        f"Context:\n{PASSAGE}",
        f"<documents>{PASSAGE}</documents>",
        "<system-reminder>The plan is Pro.</system-reminder>",
        "# AGENTS.md instructions for /app\n\n<INSTRUCTIONS>\nRun the tests.\n</INSTRUCTIONS>",
        f"Context:\n{PASSAGE}\n\nQuestion:\nAnswer:",
        "Name: Kim\nInbox: Website\nMessage:",
        f"[1] {PASSAGE}\n[2] {PASSAGE}",
        "On Mon, 3 Mar 2026, Shop wrote:\n> Your parcel is on its way.",
    ],
    ids=lambda turn: repr(turn[:24]),
)
def test_a_frame_without_the_users_words_says_nothing(turn: str) -> None:
    assert READER.read(turn) == ("", [])


@pytest.mark.parametrize(
    "text",
    [
        "Hi, it is 10:30 and I still wait: where is it?",
        "Note: I moved house",
        "Help: I cannot log in",
        "what does <context> mean in your manual?",
        "Book a train\nFrom: London\nTo: Paris\nDate: Monday",
        "I ordered two things:\n- a lamp\n- a chair\nWhere are they?",
        "Ticket #4711: my blender is still broken",
        "I sell lamps and one came back.\nThe customer said: it never worked",
        "Where is it?\n>>>\n>>> Your parcel is on its way, and it will reach you soon",
        "Steps:\n1. open the app\n2. click pay\n\nResult:\nnothing happens",
        "Context: I ordered a chair for my mum, and she says it is too low for her.",
        "The first one came on Monday.\n\nThe second one did not. Can you look where it is?",
        "Your website says it was delivered.\nYour driver says so, too.\nBut I have nothing",
        "Tracking: JD0146\nStatus: delivered\nBut I have got nothing",
        "Comment renvoyer un article ?\nje voudrais le renvoyer",
        "A suggestion: show the back of the chairs, too\nAnd thanks for the fast delivery",
        "Refund request\n\nthe mirror came broken",
    ],
)
def test_what_people_write_is_no_frame(text: str) -> None:
    assert find([text]) is None
    assert READER.read(text)[0] == text


def test_of_several_questions_the_last_is_read_and_never_more_than_the_turn_holds() -> None:
    turn = f"<question>cancel everything</question>\n<context>{PASSAGE}</context>\n<question>{ASKED}</question>"
    assert find([turn]) == ASKED


@pytest.mark.parametrize(
    "parts",
    [
        [f"Context:\n{PASSAGE}", ASKED],
        [ASKED, f"Context:\n{PASSAGE}"],
        [PASSAGE * 3, ASKED],
        ['{"user": "u1", "recent": ["viewed page: cancel membership"]}', ASKED],
        [ASKED, "[file: returns.txt]\nHow do I return it? Print a label.", "[file: account.txt]\nHow do I sign in?"],
    ],
)
def test_a_part_of_its_own_for_the_passage(parts: list[str]) -> None:
    assert READER.read("\n".join(parts), parts)[0] == ASKED
    assert READER.read("one\ntwo is here", ["one", "two is here"])[0] == "one\ntwo is here"


def test_a_context_behind_the_question_and_a_mere_reminder_keep_the_task(talker: LinearRecogniser) -> None:
    state, belief = talker.step(None, "I want my money back for the lamp, please refund my order")
    assert belief.mass
    for turn in (f"Context:\n{PASSAGE}", "<system-reminder>Where is my parcel? Reset the password.</system-reminder>"):
        after, same = talker.step(state, turn)
        assert same.mass == belief.mass and after == state
        assert talker.step(None, turn)[1].mass == {}


def test_the_parts_of_a_turn_are_read_one_by_one(talker: LinearRecogniser) -> None:
    asked = "I want my money back for the lamp, please refund my order"
    parts = ("Context:\nWhere is my parcel? It can be tracked. Reset your password here.", asked)
    assert talker.step(None, "\n".join(parts), "", parts)[1] == talker.step(None, asked)[1]


def test_a_pack_says_where_the_words_stand() -> None:
    reader = UserWords(user_words=(r"(?is)<ask(?:\s[^<>]*)?>(.*?)</ask\s*>", r"(?s)They wrote: (.*?)--end"))
    assert reader.read("Reset passwords. <ask>where is it?</ask> Bye.")[0] == "where is it?"
    assert reader.read("Reset passwords. They wrote: a refund --end\nfooter")[0] == "a refund"
    assert reader.read("<ask>one of them</ask> They wrote: the other --end")[0] == "the other"
    assert reader.read("<ask></ask>reset my password") == ("", [])
    assert reader.read("where is my parcel?")[0] == "where is my parcel?"


def test_html_is_read_as_a_person_would() -> None:
    assert as_text("<style>p {color: red}</style><p>It&nbsp;broke &amp; smells</p><!-- no --><p>Help</p>") == (
        "It broke & smells\n\nHelp"
    )
    assert is_html("Hi,<br>it broke<br>") and not is_html("why is my <div> not centred?")


def test_a_signature_is_never_all_there_is() -> None:
    assert without_signature(["Kind regards", "Ann"]) == ["Kind regards", "Ann"]
    assert without_signature(["thanks", "where is it?"]) == ["thanks", "where is it?"]


PIECES = [
    *(
        "<context>",
        "</context>",
        "<question>",
        "</question>",
        "<a_b>",
        "<p>",
        "</p>",
        "<br>",
        "<blockquote>",
        "Context:",
    ),
    *(
        "Question: a",
        "Answer:",
        "### Context",
        "Name: Kim",
        "Inbox: web",
        "Message:",
        "-----",
        "```",
        "[1] help.md",
        "{",
    ),
    *("[10:11] Kim: hello", "Customer: hi", "Agent: yes", "10:11 AM", "Kim", "Kind regards", "where is my parcel?", ""),
    *("Use the following context to answer the question.", "\ud800", "😀", "reply above this line", "}", "[/context]"),
]
turns = st.lists(st.sampled_from(PIECES), max_size=25).map("\n".join) | st.text(max_size=400)


@given(turns)
def test_only_what_the_turn_holds_is_read_and_it_never_fails(turn: str) -> None:
    found = find([turn])
    if found is not None:
        assert words(found) <= words(turn)
    assert len(READER.read(turn)[0]) <= max(len(turn), STRIP_CHARACTERS + 1)


plain = st.text(
    st.characters(codec="utf-8", exclude_characters="<:|[({\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    max_size=PLAIN_CHARACTERS - 1,
)


@given(plain)
def test_a_short_line_without_a_mark_is_not_looked_at(text: str) -> None:
    assert not may_be_framed(text)


def test_what_was_found_is_found_again() -> None:
    for shape in SHAPES:
        if shape["expect"] == "reach" and len(shape["parts"]) == 1:
            once = READER.read(shape["parts"][0])[0]
            again = READER.read(once)[0]
            assert again and words(again) <= words(once), shape["id"]


HOSTILE = [
    *(
        "<",
        "<a ",
        "<context>",
        "</context>",
        "<a_b></a_b>",
        "<br>",
        "<p ",
        "<blockquote>",
        "Question: a\n",
        "Context: a\n",
    ),
    *(
        "Foo: a\n",
        "Name: a\n",
        "```\n",
        "```a\n",
        "---\n",
        "Context:\n---\n",
        "10:11 AM\n",
        "[10:11] Kim: a\n",
        '{"a":',
    ),
    *(" | a: b", "Question: ", "Regards\n", "\n", "this e-mail ", "[1] ", ":", "reply above this line\n", "> a\n"),
    *(
        ">>>\n",
        "[a=b|c=d] ",
        "{}\n",
        "user> a\n",
        "Foo: you can return it\n\n",
        "a\t",
        "# X\n",
        "####a",
        "the customer writes: ",
        "I said\nthe user asked: a\n",
        "use the context to answer ",
        "a",
        "*",
        '"""',
        "[",
        "I said? ",
    ),
]


def work(text: str) -> float:
    """How long reading takes, the best of three."""
    best = 1e9
    for _ in range(3):
        begin = time.process_time()
        READER.read(text)
        best = min(best, time.process_time() - begin)
    return best


@pytest.mark.parametrize("piece", HOSTILE, ids=repr)
def test_reading_is_linear_and_no_more_than_a_bounded_part_is_read(piece: str) -> None:
    sizes = [piece * (size // len(piece)) for size in (STRIP_CHARACTERS // 8, STRIP_CHARACTERS - 100)]
    small, large = map(work, sizes)
    assert large <= 40 * small + 0.02  # eight times the text; sixty-four times the work would be quadratic
    READER.read(piece * (2_000_000 // len(piece)))
