"""Snippets: sentences that a pack names once and several tasks say; a name is resolved when the pack is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from router.core.policy import Policy
from router.packs import Pack, check
from tests.packs.conftest import Faults

Load = Callable[[Mapping[str, str]], Pack]

NAMED = """
cues: {tier: {values: [free, pro], from: {header: x-tier}}}
snippets:
  number: Ask for the order number.
  plan: Their plan is {tier}.
guided:
- {snippet: plan}
tasks:
  refund:
    brief:
    - {snippet: number, unless: {tier: pro}, check: {mentions_any: [number]}, id: asks}
    - Promise nothing.
  parcel:
    brief: [{snippet: number}]
"""
WRITTEN_OUT = """
cues: {tier: {values: [free, pro], from: {header: x-tier}}}
guided: ["Their plan is {tier}."]
tasks:
  refund:
    brief:
    - {text: Ask for the order number., unless: {tier: pro}, check: {mentions_any: [number]}, id: asks}
    - Promise nothing.
  parcel:
    brief: [Ask for the order number.]
"""


def policy_of(load: Load, text: str) -> Policy:
    return load({"pack.yaml": text}).policy


def test_a_sentence_that_is_named_is_the_same_policy_as_one_that_is_written_out(load: Load) -> None:
    assert policy_of(load, NAMED) == policy_of(load, WRITTEN_OUT)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("Ask for the order number.", "Ask for the number.", True),
        ("- {snippet: plan}", "- Their plan is {tier}.", False),
        ("number:", "the_number:", False),
        ("snippets:", "snippets:\n  spare: Nobody says this.", False),
    ],
)
def test_the_revision_changes_with_what_is_said_and_not_with_its_name(
    load: Load, old: str, new: str, changes: bool
) -> None:
    changed = NAMED.replace(old, new, 1)
    if old == "number:":
        changed = changed.replace("snippet: number", "snippet: the_number")
    assert (policy_of(load, changed).revision != policy_of(load, NAMED).revision) is changes


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        (
            NAMED.replace("[{snippet: number}]", "[{snippet: numbr}]"),
            14,
            'no snippet "numbr"',
            'did you mean "number"?',
        ),
        ("brief:\n- {snippet: a}", 2, 'there is no snippet "a"', "add a: ... under snippets: at the root"),
        (NAMED.replace("{tier}", "{teir}"), 5, 'there is no cue "teir"', 'did you mean "tier"'),
        ("snippets: {a: x}\nbrief:\n- {snippet: a, text: y}", 3, "exactly one of text, snippet", "keep one"),
        ("snippets: {a: x}\nbrief:\n- {when: {b: c}}", 3, "exactly one of text, snippet", "add one"),
        ("snippets: {a: x}\nbrief:\n- {snipet: a}", 3, 'unknown key "snipet"', 'did you mean "snippet"?'),
        ("snippets:\n  A: x", 2, 'the name "A" holds more', '"a"'),
        ("snippets:\n  a: ''", 2, "snippets.a is empty", ""),
        ("tasks:\n  a:\n    snippets: {b: x}", 3, 'unknown key "snippets"', "a key of the root of a pack"),
    ],
)
def test_what_is_wrong_with_a_snippet_is_told_where_it_stands(
    faults_of: Faults, text: str, line: int, message: str, hint: str
) -> None:
    (fault,) = faults_of({"pack.yaml": text})
    assert fault.line == line
    assert message in fault.message and hint in fault.hint


def test_a_snippet_that_nothing_says_is_a_finding(load: Load) -> None:
    def told(text: str) -> list[tuple[str, int]]:
        found = check(load({"pack.yaml": text}))
        return [(finding.severity, finding.line) for finding in found if finding.code == "unused_snippet"]

    assert told(NAMED) == []
    assert told(NAMED.replace("- {snippet: plan}", "- Be kind.")) == [("warning", 5)]


def test_a_pack_that_extends_another_may_say_its_sentences_and_word_them_anew(load: Load) -> None:
    child = "extends: base\nsnippets: {plan: The plan is {tier}.}\ntasks: {exchange: {brief: [{snippet: number}]}}"
    child = child.replace("The plan is {tier}.", "'The plan is {tier}.'")
    policy = load({"base.yaml": NAMED, "pack.yaml": child}).policy
    assert [i.text for i in policy.tasks["/exchange"].instructions] == ["- Ask for the order number."]
    assert [i.text for i in policy.tasks["/"].instructions] == ["- The plan is {tier}."]
