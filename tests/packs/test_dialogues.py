"""Labelled dialogues: in the pack's YAML, in files of JSON lines, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.core.errors import Fault
from router.core.policy import Dialogue, DialogueTurn
from router.packs import Pack, check

Load = Callable[[Mapping[str, str]], Pack]
Faults = Callable[[Mapping[str, str]], tuple[Fault, ...]]

TASKS = """
tasks:
  billing: {tasks: {refund: {examples: [money back]}}}
"""
YAML = """
dialogues:
- - user: I want my money back
    task: /billing/refund
  - assistant: Which order?
  - user: "12345"
  - user: and what about the weather
    task: /
- - assistant: Good morning
  - user: hello
    task: /
"""
LINES = (
    '{"turns": [{"user": "I want my money back", "task": "/billing/refund"}, {"assistant": "Which order?"}, '
    '{"user": "12345"}, {"user": "and what about the weather", "task": "/"}]}\n'
    "\n"
    '[{"assistant": "Good morning"}, {"user": "hello", "task": "/"}]\n'
)


def user(text: str, task: str) -> DialogueTurn:
    return DialogueTurn("user", text, task)


def test_a_turn_without_a_task_stays_with_the_one_before(load: Load) -> None:
    assert load({"pack.yaml": YAML + TASKS}).policy.dialogues == (
        Dialogue(
            (
                user("I want my money back", "/billing/refund"),
                DialogueTurn("assistant", "Which order?"),
                user("12345", "/billing/refund"),
                user("and what about the weather", "/"),
            )
        ),
        Dialogue((DialogueTurn("assistant", "Good morning"), user("hello", "/"))),
    )


def test_a_file_of_json_lines_says_the_same(load: Load, tmp_path: Path) -> None:
    written = load({"pack.yaml": YAML + TASKS}).policy
    read = load({"pack/policy.yaml": "dialogues: [{file: talk.jsonl}]" + TASKS, "pack/talk.jsonl": LINES})
    assert read.policy.dialogues == written.dialogues
    assert read.policy.revision == written.revision
    assert tmp_path / "pack" / "talk.jsonl" in read.files
    assert read.places["pack:dialogues.2"] == (str(tmp_path / "pack" / "talk.jsonl"), 3)


def test_a_dialogue_that_is_written_twice_counts_once(load: Load) -> None:
    same = "\n".join(["- [{user: a, task: /}, {user: b}]", "- [{user: a, task: /}, {user: b, task: /}]"])
    pack = load({"pack.yaml": f"dialogues:\n{same}"})
    assert len(pack.policy.dialogues) == 1
    assert pack.places["pack:dialogues.1"][1] == 2 and "pack:dialogues.2" not in pack.places


@pytest.mark.parametrize(
    ("written", "line", "message", "hint"),
    [
        (
            "- - user: a\n    task: /biling/refund",
            3,
            "there is no task /biling/refund",
            'did you mean "/billing/refund"',
        ),
        ("- - user: a\n    task: /\n  - user: b\n    task: /x", 5, "there is no task /x", ""),
        ("- - assistant: a\n  - user: b", 3, "the user's first turn has no task", "add task: the path, or /"),
        ("- - assistant: a\n  - assistant: b", 2, "the user says nothing in this dialogue", "remove it"),
        ("- file: ../talk.jsonl", 2, 'the file "../talk.jsonl" may lie outside of the pack', "in this folder"),
        ("- file: talk.jsonl", 2, "there is no file", "relative"),
    ],
)
def test_mistakes_in_yaml(faults_of: Faults, written: str, line: int, message: str, hint: str) -> None:
    (fault,) = faults_of({"pack.yaml": f"dialogues:\n{written}{TASKS}"})
    assert (fault.file, fault.line) == ("pack.yaml", line)
    assert message in fault.message and hint in fault.hint


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("hello", "cannot be read as JSON: Expecting value (column 1)", "one dialogue a line"),
        ('{"turns": [{"user": "a", "user": "b"}]}', 'duplicate key "user"', "one dialogue a line"),
        ('{"turns": [{"user": NaN}]}', "NaN is not a finite number", ""),
        ("[" * 100_000, "cannot be read as JSON", ""),
        ("[" * 40 + "]" * 40, "more than 32 levels", ""),
        ('[{"user": "a \\ud800", "task": "/"}]', "control character, or half a surrogate pair", ""),
        ('{"turn": []}', 'unknown key "turn"', 'did you mean "turns"'),
        ('"a text"', "must be a mapping", ""),
        ('{"turns": []}', "turns is empty", ""),
        ('[{"user": 5}]', "must be a text, not the number 5", "quotes"),
        ('[{"user": null}]', "there is no value here", ""),
        ('[{"user": "a", "task": ["/"]}]', "must be a text, not a list", ""),
        ('[{"user": "a", "task": "/refund"}]', "there is no task /refund", ""),
        ('[{"user": "a"}]', "the user's first turn has no task", ""),
        (json.dumps([{"user": "a", "task": "/"}] * 501), "more than 500 entries", "keep fewer"),
    ],
    ids=lambda value: value[:40],
)
def test_mistakes_in_a_file(faults_of: Faults, line: str, message: str, hint: str) -> None:
    good = '[{"user": "a", "task": "/"}]'
    files = {"pack.yaml": f"dialogues: [{{file: talk.jsonl}}]{TASKS}", "talk.jsonl": f"{good}\n{line}\n{good}"}
    (fault,) = faults_of(files)
    assert (fault.file, fault.line) == ("talk.jsonl", 2)
    assert message in fault.message and hint in fault.hint


def test_all_mistakes_of_a_file_are_reported_at_once(faults_of: Faults) -> None:
    found = faults_of({"pack.yaml": "dialogues: [{file: talk.jsonl}]", "talk.jsonl": 'x\n[{"usr": "a"}]\n{"turns": 5}'})
    assert [(fault.file, fault.line) for fault in found] == [("talk.jsonl", 1), ("talk.jsonl", 2), ("talk.jsonl", 3)]


def test_a_dialogue_about_a_task_that_is_off_is_left_out(load: Load) -> None:
    tasks = "tasks: {a: {off: true, tasks: {b: {}}}, c: {}}"
    talks = "- [{user: x, task: /c}, {user: y, task: /a/b}]\n- [{user: z, task: /c}]"
    (dialogue,) = load({"pack.yaml": f"{tasks}\ndialogues:\n{talks}"}).policy.dialogues
    assert dialogue.turns == (user("z", "/c"),)


def test_secrets_in_a_dialogue_are_found(load: Load) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLX"
    pack = load({"pack.yaml": f"dialogues:\n- [{{user: my key is {key}, task: /}}]"})
    assert [(finding.code, finding.line) for finding in check(pack) if finding.code == "secret"] == [("secret", 2)]
