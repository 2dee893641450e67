from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.echo.example import example_of

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "children"],
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "echo"),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "null"}, None),
        ({"type": "boolean"}, False),
        ({"type": "string", "minLength": 6}, "echo.."),
        ({"type": "string", "maxLength": 2}, "ec"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": -5}, -5),
        ({"type": "integer", "exclusiveMinimum": 1}, 2),
        ({"type": "number", "minimum": 0.25, "maximum": 0.5}, 0.25),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "minimum": 10, "multipleOf": 7}, 14),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}]}, ["echo", None]),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"type": "integer", "default": 9}, 9),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"oneOf": [{"type": "boolean"}]}, False),
        ({"properties": {"a": {}, "b": {}}, "required": ["a"]}, {"a": "echo"}),
        (
            {"allOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}], "properties": {}, "required": []},
            {"a": None},
        ),
        (TREE, {"name": "echo", "children": []}),
        ({}, "echo"),
    ],
)
def test_examples_are_plain_and_fit(schema, value):
    assert example_of(schema) == value
    jsonschema.validate(value, schema)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        [],
        {"type": "nonsense"},
        {"$ref": "https://elsewhere.example/schema"},
        {"$ref": "#/missing/place"},
        {"$ref": "#"},
        {"type": "object", "required": "id", "properties": []},
        {"type": "array", "minItems": 10**12},
        {"type": "string", "minLength": 10**12},
        {"type": "array", "minItems": "2", "items": 3},
        {"anyOf": []},
        {"allOf": [1, {"$ref": "#/x"}]},
        {"type": "integer", "minimum": 10**400, "maximum": "a", "multipleOf": 0},
        {
            "type": "object",
            "required": [str(n) for n in range(10)],
            "properties": {str(n): {"$ref": "#"} for n in range(10)},
        },
    ],
)
def test_a_schema_that_makes_no_sense_does_no_harm(schema):
    example_of(schema)


leaves: Any = st.one_of(
    st.builds(
        lambda low, n: {"type": "integer", "minimum": low, "maximum": low + n}, st.integers(-99, 99), st.integers(0, 9)
    ),
    st.builds(
        lambda low, n: {"type": "string", "minLength": low, "maxLength": low + n}, st.integers(0, 9), st.integers(0, 9)
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": [3, "a"]}, {"type": ["string", "null"]}]),
)


def grown(schemas: Any) -> Any:
    return st.one_of(
        st.dictionaries(st.text(max_size=3), schemas, max_size=3).map(
            lambda found: {
                "type": "object",
                "properties": found,
                "required": list(found),
                "additionalProperties": False,
            }
        ),
        st.builds(lambda items, n: {"type": "array", "items": items, "minItems": n}, schemas, st.integers(0, 3)),
        st.lists(schemas, min_size=1, max_size=2).map(lambda options: {"anyOf": options}),
    )


@given(st.recursive(leaves, grown, max_leaves=8))
def test_examples_fit_the_schemas_that_tools_have(schema):
    jsonschema.validate(example_of(schema), schema)
