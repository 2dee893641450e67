"""Labelled data: what is read, and what is said of what cannot be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from router.evaluate import LabelError, read_labelled
from router.evaluate.labelled import MOST_FAULTS, LabelledTurn

PATHS = ("/", "/billing", "/billing/refund", "/delivery")


def write(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_bytes(
        b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines) + b"\n"
    )
    return path


def test_messages_and_conversations(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": "refund", "task": "/billing/refund", "id": 7},
        b"",
        b"   ",
        {"text": "weather", "task": "/"},
        {"text": "both", "task": ["/delivery", "/billing", "/delivery", "/"]},
        {
            "turns": [
                {"assistant": "Hello!"},
                {"user": "hi", "task": []},
                {"user": "parcel", "task": "/delivery"},
                {"assistant": "One"},
                {"assistant": "Number?"},
                {"user": "12", "task": "/delivery"},
            ]
        },
    )
    found = read_labelled(path, PATHS)
    assert found.name == str(path) and not found.unknown
    assert found.conversations == (
        (LabelledTurn("refund", "", ("/billing/refund",)),),
        (LabelledTurn("weather", "", ()),),
        (LabelledTurn("both", "", ("/delivery", "/billing")),),
        (
            LabelledTurn("hi", "Hello!", ()),
            LabelledTurn("parcel", "", ("/delivery",)),
            LabelledTurn("12", "Number?", ("/delivery",)),
        ),
    )


TURNS = [
    {"user": "my parcel?", "task": "/delivery"},
    {"assistant": "Number?"},
    {"user": "12"},
    {"user": "bye", "task": "/"},
    {"user": "thanks"},
]
STAYED = (
    LabelledTurn("my parcel?", "", ("/delivery",)),
    LabelledTurn("12", "Number?", ("/delivery",)),
    LabelledTurn("bye", "", ()),
    LabelledTurn("thanks", "", ()),
)
PACK = """\
name: shop
dialogues:
  - - {user: "my parcel?", task: /delivery}
    - {assistant: Number?}
    - user: "12"
    - {user: bye, task: /}
    - {user: thanks}
tests:
  - {ask: refund, expect: {reach: /billing/refund, says: rules}}
  - talk: [hi, Hello!, both]
    expect: {tasks: [/billing, /delivery]}
  - {ask: style, expect: {says: polite}}
  - {ask: later, todo: true, expect: {task: /billing}}
tasks:
  billing:
    tests: [{ask: bill, expect: {task: /billing}}]
"""


def test_the_forms_of_a_pack_are_read(tmp_path: Path) -> None:
    lines = read_labelled(write(tmp_path, TURNS, {"turns": TURNS}, {"ask": "refund", "expect": {"task": "/"}}), PATHS)
    assert lines.conversations == (STAYED, STAYED, (LabelledTurn("refund", "", ()),))
    assert [turn.line for turns in lines.conversations for turn in turns] == [1] * 4 + [2] * 4 + [3]
    (file := tmp_path / "pack.yaml").write_text(PACK)
    found = read_labelled(file, PATHS).conversations
    assert found == (
        STAYED,
        (LabelledTurn("refund", "", ("/billing/refund",)),),
        (LabelledTurn("hi", "", None), LabelledTurn("both", "Hello!", ("/billing", "/delivery"))),
        (LabelledTurn("style", "", None),),
        (LabelledTurn("later", "", None),),
        (LabelledTurn("bill", "", ("/billing",)),),
    )
    assert [turn.line for turns in found for turn in turns] == [3, 5, 6, 7, 9, 10, 10, 12, 13, 16]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- [{user: hi}]", [":1:", 'turns[0] has no "task"']),
        ("dialogues: [{file: talks.jsonl}]", [":1:", "names the file talks.jsonl", "--against"]),
        ("tests:\n- {ask: 3, expect: {task: /}}", [":2:", '"ask" is a text']),
        ("tests:\n- {ask: hi, expect: {task: /biling}}", [":2:", 'did you mean "/billing"?']),
        ("- [}", [":1:", "broken YAML"]),
        ("name: shop", ["no labelled turn"]),
    ],
)
def test_what_is_wrong_with_yaml_has_its_line(tmp_path: Path, text: str, says: list[str]) -> None:
    (file := tmp_path / "talks.yml").write_text(text)
    with pytest.raises(LabelError) as caught:
        read_labelled(file, PATHS)
    assert all(part in str(caught.value) for part in says), str(caught.value)


def test_standard_input_and_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b'\xef\xbb\xbf{"text": "x", "task": "/"}\r\n')

    monkeypatch.setattr("sys.stdin", Stdin)
    found = read_labelled(Path("-"), PATHS)
    assert found.name == "standard input" and len(found.conversations) == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{not json", ["not JSON", "one JSON object"]),
        (b'{"text": "x", "task": "/"', ["not JSON"]),
        (b"\xff\xfe{}", ["not UTF-8"]),
        (b"[" * 100_000, ["nested too deeply"]),
        (b'"text"', ["a string, not an object"]),
        ({}, ['neither "text" nor "turns"', '"task"']),
        ({"text": "x", "turns": [], "task": "/"}, ['both "text" and "turns"']),
        ({"text": "x"}, ['no "task"', '"/" for none']),
        ({"text": 3, "task": "/"}, ['"text" is a number, not a string']),
        ({"text": None, "task": "/"}, ['"text" is null']),
        ({"text": "x", "task": None}, ['"task" is null, not a string']),
        ({"text": "x", "task": ["/billing", True]}, ["a boolean, not a string"]),
        (
            {"text": "x", "task": "/biling/refund"},
            ['no task "/biling/refund"', 'did you mean "/billing/refund"?', "--skip-unknown"],
        ),
        ({"text": "x", "task": "billing/refund"}, ['did you mean "/billing/refund"?']),
        ({"text": "x", "task": "/zzz"}, ["known: ", "/delivery"]),
        ({"turns": {}}, ['"turns" is an object, not a list']),
        ({"turns": ["hi"]}, ["turns[0] is a string"]),
        ({"turns": [{"user": "hi", "task": "/"}, {"role": "user"}]}, ['turns[1] has neither "user" nor "assistant"']),
        ({"turns": [{"user": "hi", "assistant": "x", "task": "/"}]}, ['both "user" and "assistant"']),
        ({"turns": [{"user": "hi"}]}, ['turns[0] has no "task"']),
        ({"turns": [{"user": ["hi"], "task": "/"}]}, ["turns[0].user is a list, not a string"]),
        ({"turns": [{"assistant": 1}, {"user": "hi", "task": "/"}]}, ["turns[0].assistant is a number"]),
        ({"turns": [{"user": "hi", "task": "/none"}]}, ['no task "/none"']),
    ],
)
def test_a_fault_names_file_line_and_the_way_out(tmp_path: Path, line: Any, says: list[str]) -> None:
    path = write(tmp_path, {"text": "x", "task": "/"}, b"", line, {"text": "y", "task": "/"})
    with pytest.raises(LabelError) as caught:
        read_labelled(path, PATHS)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert len(caught.value.faults) == 1
    assert all(part in str(caught.value) for part in says), str(caught.value)


def test_every_fault_is_told_up_to_a_bound(tmp_path: Path) -> None:
    with pytest.raises(LabelError) as caught:
        read_labelled(write(tmp_path, *[{"text": "x", "task": "/wrong"}] * 500), PATHS)
    assert [fault.line for fault in caught.value.faults] == list(range(1, MOST_FAULTS + 1))


@pytest.mark.parametrize("lines", [[], [b"", b"  "], [{"turns": []}], [{"turns": [{"assistant": "hi"}]}]])
def test_a_file_without_a_labelled_turn_is_refused(tmp_path: Path, lines: list[Any]) -> None:
    with pytest.raises(LabelError, match="no labelled turn"):
        read_labelled(write(tmp_path, *lines), PATHS)


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabelError, match="give lines like"):
        read_labelled(tmp_path / name, PATHS)


def test_unknown_labels_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"text": "a", "task": "/gone"},
        {"turns": [{"user": "b", "task": "/gone"}, {"user": "c", "task": ["/other", "/delivery"]}]},
    )
    found = read_labelled(path, PATHS, skip_unknown=True)
    assert found.unknown == {"/gone": 2, "/other": 1}
    assert [turn.truth for turns in found.conversations for turn in turns] == [None, None, ("/delivery",)]


def test_a_file_of_nothing_but_unknown_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="all unknown"):
        read_labelled(write(tmp_path, {"text": "a", "task": "/gone"}), PATHS, skip_unknown=True)


def test_a_large_pack_is_not_listed_whole(tmp_path: Path) -> None:
    paths = ["/", *(f"/group{i}/leaf{i}" for i in range(500))]
    with pytest.raises(LabelError) as caught:
        read_labelled(write(tmp_path, {"text": "x", "task": "????"}), paths)
    assert len(str(caught.value)) < 400
