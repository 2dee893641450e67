"""What a model is fitted to: the pack's own words first, shipped ones where the pack has none."""

from __future__ import annotations

import numpy as np
import pytest

from router.classify.fit.training import ENOUGH_NONE, GOES_ON, NONE, Material, TrainingSet, training_set
from router.classify.shipped import background
from router.core.policy import Dialogue, DialogueTurn, Policy
from tests.classify.conftest import EXAMPLES, lines, make_policy


def rows_of(policy: Policy) -> TrainingSet:
    rows = training_set(Material.of(policy))
    assert rows is not None
    return rows


def texts_of(rows: TrainingSet, name: str) -> list[str]:
    number = [*rows.classes, NONE, GOES_ON].index(name)
    return [text for text, label in zip(rows.texts, rows.labels.tolist(), strict=True) if label == number]


def test_the_shipped_texts_are_varied_and_distinct() -> None:
    for name, least in (("unrelated", 60), ("follow_ups", 60)):
        texts = background(name)
        assert len(texts) == len(set(texts)) >= least


def test_examples_come_in_order_of_the_tree(policy: Policy) -> None:
    rows = rows_of(policy)
    assert rows.classes == tuple(sorted(EXAMPLES))
    assert texts_of(rows, "/billing/refund") == list(lines(EXAMPLES["/billing/refund"]))
    assert rows.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    assert set(rows.truths) == {*EXAMPLES, "/"}


def test_a_pack_with_enough_unrelated_texts_needs_none_of_ours(policy: Policy) -> None:
    own = tuple(f"unrelated text number {chr(97 + i)}" for i in range(ENOUGH_NONE))
    some = make_policy({"/a": ("refund me", "money back")}, unrelated=own[:3])
    enough = make_policy({"/a": ("refund me", "money back")}, unrelated=own)
    assert texts_of(rows_of(enough), NONE) == list(own)
    assert texts_of(rows_of(some), NONE)[:3] == list(own[:3]) and len(texts_of(rows_of(some), NONE)) > 20
    assert len(texts_of(rows_of(policy), NONE)) > 20


def test_a_shipped_text_that_is_a_task_of_the_pack_is_left_out() -> None:
    joke = make_policy(
        {"/joke": ("tell me a joke about elephants", "tell me a joke"), "/thanks": ("thanks", "thank you very much")}
    )
    rows = rows_of(joke)
    assert "tell me a joke about elephants" in background("unrelated")
    assert "tell me a joke about elephants" not in texts_of(rows, NONE)
    assert "thank you very much" not in texts_of(rows, GOES_ON)
    assert "who painted the ceiling of the Sistine Chapel" in texts_of(rows, NONE)


def test_examples_at_the_root_are_unrelated_texts() -> None:
    rows = rows_of(make_policy({"/": ("nothing of ours",), "/a": ("refund me",)}))
    assert rows.classes == ("/a",)
    assert "nothing of ours" in texts_of(rows, NONE)


def test_what_a_task_is_about_is_a_row_that_proves_nothing() -> None:
    about = {"/a": "Money comes back. Not for invoices", "/b": "Has no examples"}
    rows = rows_of(make_policy({"/a": ("refund me",), "/b": ()}, about=about))
    assert rows.texts[-1] == "Money comes back" and not rows.held[-1]
    assert rows.held[:-1].all() and "Has no examples" not in rows.texts


def test_the_classes_that_are_not_tasks_do_not_outweigh_the_tasks(policy: Policy) -> None:
    rows = rows_of(policy)
    weight = np.bincount(rows.labels, rows.weights)
    assert weight[:-2].tolist() == [8.0] * 6
    assert (weight[-2:] < weight[0]).all() and (weight[-2:] > 0).all()
    wide = {f"/t{i}": (f"about {name}", f"{name} please") for i, name in enumerate(background("unrelated")[:40])}
    rows = rows_of(make_policy(wide))
    assert 1.0 < np.bincount(rows.labels, rows.weights)[-2] / 2 < 3.0


@pytest.mark.parametrize("examples", [{}, {"/a": ()}, {"/a": ("", "   ", "\u200b")}])
def test_without_a_usable_example_there_is_nothing_to_fit(examples: dict[str, tuple[str, ...]]) -> None:
    assert training_set(Material.of(make_policy(examples))) is None


def dialogue(*turns: tuple[str, str]) -> Dialogue:
    """A dialogue of (task, text) by the user and ("", text) by the assistant."""
    return Dialogue(tuple(DialogueTurn("user" if task else "assistant", text, task) for task, text in turns))


def test_the_turns_of_dialogues_are_rows_but_for_small_talk() -> None:
    talk = dialogue(
        ("/a", "I want my money back"),
        ("", "Gladly. For which order?"),
        ("/a", "the blue chair"),
        ("/a", "thank you"),
        ("/", "who won the match"),
        ("/b", "and where is my parcel"),
    )
    policy = make_policy({"/a": ("refund me",), "/b": ("where is it",), "/c": ()}, dialogues=(talk,))
    rows = rows_of(policy)
    at = {text: number for number, text in enumerate(rows.texts)}
    assert "thank you" not in [text for text in rows.texts if rows.talk[at[text]] == 0]
    assert rows.truths[at["the blue chair"]] == "/a" and rows.truths[at["who won the match"]] == "/"
    assert [rows.opening[at[text]] for text in ("I want my money back", "the blue chair", "and where is my parcel")] == [
        True, False, True,
    ]  # fmt: skip
    (said,) = rows.dialogues
    assert [turn.question for turn in said] == ["", "For which order?", "", "", ""]
    assert [turn.row >= 0 for turn in said] == [True, True, False, True, True]
    assert all(rows.texts[turn.row] in at for turn in said if turn.row >= 0)


def test_a_task_may_be_known_from_dialogues_alone() -> None:
    policy = make_policy({"/a": ("refund me",), "/b": ()}, dialogues=(dialogue(("/b", "where is my parcel")),))
    assert rows_of(policy).classes == ("/a", "/b")
