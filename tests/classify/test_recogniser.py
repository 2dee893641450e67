"""Recognition from outside: what a user says, and what is believed."""

from __future__ import annotations

import dataclasses
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify import Artefact, LinearRecogniser
from router.classify.artefact import ArtefactError, StoredBlock
from router.core.decide import settle
from router.core.evidence import Belief
from router.core.policy import Policy
from router.core.ports import Recogniser, RecogniserState
from tests.classify.conftest import EXAMPLES, lines


def tasks(policy: Policy, recogniser: LinearRecogniser, *turns: str) -> tuple[str, ...]:
    """Return the paths that the last of these user turns settles on."""
    state: RecogniserState | None = None
    belief = Belief({})
    for turn in turns:
        state, belief = recogniser.step(state, turn)
    return tuple(settled.path for settled in settle(policy.tasks, belief, recogniser.thresholds, 2).paths)


def test_it_is_a_recogniser(recogniser: LinearRecogniser) -> None:
    port: Recogniser = recogniser
    assert port.inline and (port.thresholds.sure, port.thresholds.shortlist) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("I'd like my money back for the lamp", "/billing/refund"),
        ("could you send the invoice again", "/billing/invoice"),
        ("my parcel has not arrived, where is it", "/delivery/track"),
        ("I need to change the delivery address", "/delivery/address"),
        ("forgot my password, please reset it", "/account/password"),
        ("please delete my account and my data", "/account/close"),
        # typing errors, shouting, an emoji, noise around the request
        ("plaese give me back my mony, i wnat a refnud", "/billing/refund"),
        ("WHERE IS MY PARCEL!!!! 😡", "/delivery/track"),
        ("> you wrote something about an invoice\nI forgot my password\nSent from my Phone", "/account/password"),
    ],
)
def test_a_clear_message_settles_on_its_task(
    policy: Policy, recogniser: LinearRecogniser, text: str, path: str
) -> None:
    assert tasks(policy, recogniser, text) == (path,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n ",
        "12345",
        "4711 0815 / 2",
        "😀😀😀",
        "xqzv wkkj pfft zzub",
        "yes",
        "who painted the ceiling of the Sistine Chapel",
        "מה שלומך היום",
        "今日はいい天気ですね",
        "\u202e\u200b\u200f",
        "a" * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_message_that_is_none_of_the_tasks_settles_on_nothing(
    policy: Policy, recogniser: LinearRecogniser, text: str
) -> None:
    assert tasks(policy, recogniser, text) == ("/",)


def test_of_100_kilobytes_the_beginning_and_the_end_are_read(policy: Policy, recogniser: LinearRecogniser) -> None:
    filler = "so it went on for a while and nothing else was said about it " * 1_700
    text = "I want my money back, please refund my order. " * 5 + filler + "I want my money back. " * 5
    assert len(text) > 100_000
    assert tasks(policy, recogniser, text)[0] == "/billing/refund"


@pytest.mark.parametrize("follow_up", ["Sure - it is 12345", "yes", "ok", "", "😀", "qqqq zzzz", "no thanks"])
def test_a_follow_up_keeps_the_task(policy: Policy, recogniser: LinearRecogniser, follow_up: str) -> None:
    opening = "I want my money back for the lamp"
    assert tasks(policy, recogniser, opening, *[follow_up] * 3) == ("/billing/refund",)


def test_a_turn_of_which_nothing_is_known_changes_no_mass(recogniser: LinearRecogniser) -> None:
    state, belief = recogniser.step(None, "I want my money back")
    assert recogniser.step(state, "😀😀😀")[1] == belief
    assert recogniser.step(state, "")[1] == belief


def test_a_clear_new_request_moves_at_once(policy: Policy, recogniser: LinearRecogniser) -> None:
    turns = ("I want my money back", "Sure - it is 12345", "I forgot my password, how do I reset it")
    assert tasks(policy, recogniser, *turns) == ("/account/password",)
    assert tasks(policy, recogniser, *turns, "ok") == ("/account/password",)


def test_a_greeting_does_not_stand_in_the_way(policy: Policy, recogniser: LinearRecogniser) -> None:
    assert tasks(policy, recogniser, "good evening", "where is my parcel") == ("/delivery/track",)


@pytest.mark.parametrize(
    "text",
    [
        "I forgot my password. Also, where is my parcel?",
        "Where is my parcel?\nI cannot log in, I forgot my password.",
        "where is my parcel and also how do I reset my password",
    ],
)
def test_two_requests_in_one_message_both_settle(policy: Policy, recogniser: LinearRecogniser, text: str) -> None:
    assert set(tasks(policy, recogniser, text)) == {"/account/password", "/delivery/track"}


@pytest.mark.parametrize(
    "text",
    [
        "Hello there. I want my money back. Thank you very much.",
        "It is broken. I had hoped for more. I want a refund, please give me my money back.",
    ],
)
def test_what_surrounds_a_request_is_no_second_one(policy: Policy, recogniser: LinearRecogniser, text: str) -> None:
    assert tasks(policy, recogniser, text) == ("/billing/refund",)


def test_one_sentence_has_no_sentence_masses(recogniser: LinearRecogniser) -> None:
    assert recogniser.step(None, "I want my money back.")[1].sentences == ()
    assert recogniser.step(None, "Yes. No. Ok then. Thank you.")[1].sentences == ()


@given(st.lists(st.text(max_size=60), max_size=4))
def test_beliefs_are_well_formed_and_a_function_of_the_turns(artefact: Artefact, turns: list[str]) -> None:
    one, other = LinearRecogniser(artefact), LinearRecogniser(artefact)
    state: RecogniserState | None = None
    again: RecogniserState | None = None
    for turn in turns:
        other.step(None, turn[::-1])  # other traffic in between
        state, belief = one.step(state, turn, "what the assistant said")
        again, same = other.step(again, turn, "what the assistant said")
        assert belief == same
        for each in (belief, *belief.sentences):
            mass = each.mass
            assert [likely.mass for likely in each.likeliest] == sorted((x.mass for x in each.likeliest), reverse=True)
            assert all(likely.mass <= mass.get(likely.path, 0.01) + 1e-9 for likely in each.likeliest)
            assert sum(value for path, value in mass.items() if path.count("/") == 1) <= 1.001
            assert all(mass.get(path.rpartition("/")[0], 1.0) >= value for path, value in mass.items())


def test_scores_are_probabilities_of_one_message(recogniser: LinearRecogniser) -> None:
    scores = recogniser.scores("I want my money back for the lamp")
    assert list(scores) == ["/", *sorted(EXAMPLES)]
    assert sum(scores.values()) == pytest.approx(1.0)
    assert max(scores, key=scores.__getitem__) == "/billing/refund"
    assert recogniser.scores("😀") == {"/": 1.0}


def test_few_typing_errors_cost_little(recogniser: LinearRecogniser) -> None:
    draw = random.Random(7)

    def mistype(text: str) -> str:
        words = text.split()
        for at in range(0, len(words), 3):
            word = words[at]
            cut = draw.randrange(len(word))
            words[at] = word[:cut] + word[cut + 1 :] if len(word) > 3 else word
        return " ".join(words)

    def right(change: bool) -> int:
        found = 0
        for path, text in EXAMPLES.items():
            for example in lines(text):
                scores = recogniser.scores(mistype(example) if change else example)
                found += max((p for p in scores if p != "/"), key=scores.__getitem__, default="") == path
        return found

    assert right(change=False) == 48
    assert right(change=True) >= 44


def test_threads_agree(recogniser: LinearRecogniser) -> None:
    texts = [f"{example} nr {i}x{i}" for block in EXAMPLES.values() for i, example in enumerate(lines(block))] * 3
    expected = [recogniser.step(None, text)[1] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert [belief for _, belief in pool.map(lambda text: recogniser.step(None, text), texts)] == expected


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ("/billing/refund",)},
        {"blocks": (StoredBlock("unknown"),)},
        {"blocks": (StoredBlock("lexical"),)},
        {"blocks": (StoredBlock("static"),)},
        {"paths": ("/",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_parts_that_do_not_fit_together_are_refused(artefact: Artefact, change: dict[str, object]) -> None:
    with pytest.raises(ArtefactError, match="fit together"):
        LinearRecogniser(dataclasses.replace(artefact, **change))  # type: ignore[arg-type]
