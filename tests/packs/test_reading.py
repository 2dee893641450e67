"""YAML in, nodes with lines out; whatever is not plain data is refused with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import Fault
from router.packs import reading
from router.packs.reading import MAX_DEPTH, plain, read_tree


@pytest.fixture(params=["CBaseLoader", "BaseLoader"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every case holds for libyaml and for PyYAML's own parser."""
    monkeypatch.setattr(reading, "_LOADER", getattr(yaml, request.param))


def values_of(text: str) -> Any:
    faults: list[Fault] = []
    node = read_tree(text, "f.yaml", faults)
    assert node is not None and not faults
    return plain(node)


def faults_in(text: str) -> list[Fault]:
    faults: list[Fault] = []
    read_tree(text, "f.yaml", faults)
    return faults


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("false", False),
        ("off", "off"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("True", "True"),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-7", -7),
        ("0123", 123),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("1.5", 1.5),
        (".5e1", 5.0),
        ("1.2.3", "1.2.3"),
        ("+49 123", "+49 123"),
        ('"12"', "12"),
        ("'true'", "true"),
        ('"caf\\u00e9"', "café"),
        ("|\n  one\n  two\n", "one\ntwo\n"),
        ("[a, {b: 1}]", ["a", {"b": 1}]),
    ],
)
def test_words_are_resolved_by_the_core_schema(word: str, value: object) -> None:
    (found,) = values_of(f"key: {word}").values()
    assert found == value and type(found) is type(value)


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: b: c", 1, "broken YAML"),
        ("a:\n\t- b", 2, "broken YAML"),
        ("x: 0\na: [1, 2\n", 2, "begins in line 2"),
        ("a: 1\nb: 'x", 2, "broken YAML"),
        ("a: 1\nb: \x07", 2, "a character that YAML does not allow"),
        ("a: 1\n\na: 2", 3, 'duplicate key "a"'),
        ("- {a: 1,\n   a: 2}", 2, 'duplicate key "a"'),
        ("a: 1\n'a': 2", 2, 'duplicate key "a"'),
        ("a: !!python/object:os.system 3", 1, "tag"),
        ("a: !!str 3", 1, "tag"),
        ("a: !mine [1]", 1, "tag"),
        ("a: ! x", 1, "tag"),
        ("x: &x {a: 1}\ny:\n  <<: *x", 3, "merge keys"),
        ("? [a]\n: b", 1, "a key must be a word"),
        ("a: &x 1\n*x : 2", 2, "a key must be a word"),
        ("a: *x", 1, "*x refers to nothing"),
        ("a: &x [1, *x]", 1, "inside of what it refers to"),
        ("a: 1\n---\nb: 1", 2, "a second document"),
        ("a: .inf", 1, "not a finite number"),
        ("a: -.INF", 1, "not a finite number"),
        ("a: .nan", 1, "not a finite number"),
        ("a: 1e999", 1, "not a finite number"),
        (f"a: {'9' * 5000}", 1, "more than 18 digits"),
        ('a: "bell \\a"', 1, "control character"),
    ],
)
def test_what_is_not_plain_data_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    fault, *_ = faults_in(text)
    assert (fault.file, fault.line) == ("f.yaml", line)
    assert message in fault.message
    assert fault.hint


@pytest.mark.usefixtures("loader")
def test_faults_that_leave_the_tree_usable_are_all_collected() -> None:
    assert [fault.line for fault in faults_in("a: 1\na: 2\nb: .nan\nc: !!int 3\n<<: {d: 1}")] == [2, 3, 4, 5]


LADDER = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 16))])


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(
    "text",
    [
        LADDER,
        "\n".join(["a: &a [x]", *(f"b{i}: *a" for i in range(33))]),
        "a: &a [" + "x, " * 4_000 + "x]\nb: [*a, *a, *a]",
    ],
    ids=["a ladder of doublings", "33 aliases", "3 aliases of 4,000 nodes"],
)
def test_an_alias_bomb_is_refused_before_it_goes_off(text: str) -> None:
    fault, *_ = faults_in(text)
    assert "the file expands too far" in fault.message


@pytest.mark.usefixtures("loader")
def test_a_few_aliases_are_fine() -> None:
    assert values_of("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded(opening: str, depth: int) -> None:
    fault, *_ = faults_in(opening * depth)
    assert f"more than {MAX_DEPTH} levels" in fault.message or "a key must be a word" in fault.message


@pytest.mark.usefixtures("loader")
def test_depth_is_bounded_through_aliases_too() -> None:
    chain = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 32))])
    fault, *_ = faults_in(chain)
    assert "through aliases" in fault.message


def test_a_value_is_known_by_the_line_of_its_key() -> None:
    node = read_tree("a:\n  b:\n    - one\n    - |\n      two\n", "f.yaml", [])
    assert node is not None
    assert [node.at(*steps).line for steps in [("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1)]] == [1, 2, 3, 4]


def test_steps_that_lead_nowhere_are_passed_over() -> None:
    node = read_tree("a:\n  - b", "f.yaml", [])
    assert node is not None
    assert node.at("a", "<list>", 0, "x").value == "b"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["C", "Z"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc ", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc"), json_values, max_size=4))
def test_json_is_read_as_json(value: dict[str, Any]) -> None:
    assert values_of(json.dumps(value, ensure_ascii=False)) == value


@given(st.text(st.sampled_from(list("ab:-?[]{}&*!|>'\"%@#, \n\t<~1.")) | st.characters(codec="utf-8"), max_size=60))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    faults: list[Fault] = []
    node = read_tree(text, "f.yaml", faults)
    assert node is not None or faults
