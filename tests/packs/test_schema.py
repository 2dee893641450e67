"""The JSON Schema that editors read: up to date, sound, and of one mind with the loader."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from router.packs.example_files import is_examples
from router.packs.reading import plain, read_tree
from router.packs.schema import SCHEMAS, json_schema, schema_text
from router.packs.validate import read_form

POLICIES = Path(__file__).parents[2] / "policies"
SHIPPED = sorted(file for file in POLICIES.rglob("*.yaml"))


@cache
def validator(schema: str) -> Draft202012Validator:
    found = json_schema(schema)
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_shipped_schemas_are_up_to_date(schema: str) -> None:
    written = (POLICIES / schema).read_text(encoding="utf-8")
    assert written == schema_text(schema), "run: python -m router.packs.schema policies"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_schemas_have_a_neutral_header_and_no_null(schema: str) -> None:
    assert "$id" not in json_schema(schema)
    assert '"null"' not in schema_text(schema)


@pytest.mark.parametrize("file", SHIPPED, ids=[str(file.relative_to(POLICIES)) for file in SHIPPED])
def test_shipped_files_hold_to_their_schema(file: Path) -> None:
    node = read_tree(file.read_text(encoding="utf-8"), str(file), [])
    assert node is not None
    schema = "examples.schema.json" if is_examples(file.stem) else "schema.json"
    assert [error.message for error in validator(schema).iter_errors(plain(node))] == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_key_is_described_for_editors(schema: str) -> None:
    forms = [json_schema(schema), *json_schema(schema)["$defs"].values()]
    bare = [key for form in forms for key, value in form.get("properties", {}).items() if "description" not in value]
    assert bare == []


@pytest.mark.parametrize(
    "text",
    [
        "brief: x",
        "breif: x",
        "brief: [a, {text: b, when: {c: [1, true, x], d: {present: false}}}]",
        "brief: [{text: b, when: {c: []}}]",
        "brief: [{text: b, when: {c: {prezent: true}}}]",
        "brief: [{text: b, check: {json: true}}]",
        "brief: [{text: b, check: {json: true, max_words: 3}}]",
        "brief: [{text: b, check: {}}]",
        "brief: [{text: b, id: 'x y'}]",
        "brief: []",
        "snippets: {a: x}\nbrief: [{snippet: a, when: {c: 1}}]",
        "snippets: {a: [x]}",
        "snippets: {A: x}",
        "brief: [{snippet: a, text: b}]",
        "brief: [{when: {c: 1}}]",
        "examples: [a, {text: b}, {file: c}]",
        "examples: [{text: b, file: c}]",
        "cues: {a: {values: [x]}}",
        "cues: {a: {values: [x], text: 5}}",
        "cues: {a: {}}",
        "cues: {A: {type: date}}",
        "cues: {a: {type: date, from: {header: x-a}, say: 'it is {value}', default: '2026-01-01'}}",
        "cues: {a: {type: date, say: it is}}",
        "settings: {level: off, levels: {simple: brief}, pin_idle: 60m, max_tasks: 5}",
        "settings: {pin_idle: 60}",
        "settings: {max_tasks: 6}",
        "settings: {level: none}",
        "settings: {error: 0.05, exposure: 0.1, shortlist: 5}",
        "settings: {error: {total: 0.05, unconditional: 0.03}}",
        "settings: {error: {domain: 0.01, task: 0.03}, thresholds: {task: 0.9}}",
        "settings: {error: {}}",
        "settings: {error: 0}",
        "settings: {error: 1}",
        "settings: {error: [0.1]}",
        "settings: {error: '0.1'}",
        "settings: {error: true}",
        "settings: {error: {total: 1.5}}",
        "settings: {error: {total: 0.1, domain: 0.1}}",
        "settings: {error: {unconditional: 0.1, task: 0.1}}",
        "settings: {exposure: 1}",
        "settings: {shortlist: 1}",
        "settings: {shortlist: 6}",
        "settings: {thresholds: {sure: 0.9, shortlist: 0}}",
        "settings: {thresholds: {sure: 0.9, domain: 0.9}}",
        "settings: {thresholds: {sure: 1.1}}",
        "when_asked: The customer wants their money back",
        "when_asked: ''",
        "when_asked: " + "word " * 40,
        "when_asked: " + "word " * 41,
        "when_asked: " + "w" * 301,
        "examples: [{text: b, generated: true}, {file: c, generated: false}]",
        "examples: [{text: b, generated: 1}]",
        "examples: [{generated: true}]",
        "settings: {encoder: lexical, cascade: {encoder: 'onnx:m', share: 0.2, budget_ms: 30}}",
        "settings: {encoder: 'litellm:openai/small'}",
        "settings: {encoder: minilm}",
        "settings: {encoder: 'onnx:'}",
        "settings: {cascade: {encoder: static}}",
        "settings: {cascade: {share: 1.5}}",
        "metrics: {a: {type: rating, range: [1, 5]}}",
        "metrics: {a: {type: rating, range: [1]}}",
        "metrics: {a: {type: boolean, default: true, better: low, guardrail: true}}",
        "metrics: {a: {type: rating, default: 3.5}}",
        "metrics: {a: {type: rating, default: high}}",
        "metrics: {a: {type: rating, better: none}}",
        "signals: {a: {user_says: x, says: {b: true}}, b: {answer_says: [x], says: {b: 1}}}",
        "signals: {a: {tasks: [/x/y], says: {b: 0.5}}, b: {again_within: 72h, says: {b: 1, c: 2}}}",
        "signals: {a: {user_says: x, tasks: [/x], says: {b: true}}}",
        "signals: {a: {user_says: x}}",
        "signals: {a: {user_says: [], says: {b: true}}}",
        "signals: {a: {user_says: x, says: {}}}",
        "signals: {a: {user_says: x, says: {b: yes}}}",
        "judge: {model: m, metric: a, rubric: good, rate: 0.2, audit: 0}",
        "judge: {model: m, metric: a}",
        "judge: {model: m, metric: a, rubric: good, rate: 0}",
        "settings: {tuning: auto, holdout: 0}",
        "settings: {tuning: on}",
        "settings: {holdout: 0.7}",
        "level: brief",
        "level: {simple: brief, complex: detailed}",
        "level: {easy: brief}",
        "level: none",
        "tasks: {a: {level: off}}",
        "model: {use: careful, temperature: 0, stop: [a]}",
        "model: {temperature: 3}",
        "model: {api_base: x}",
        "tasks: {a: {tasks: {b: {off: true}}}}",
        "tasks: {A: {}}",
        "tasks: {a: {settings: {}}}",
        "tests: [{ask: a, with: {x: 1}, expect: {task: /a/b, says: [x], tokens_max: 3}}]",
        "tests: [{ask: a, expect: {}}]",
        "tests: [{ask: a, expect: {reach: /a, shortlist: [/a, /b/c]}}]",
        "tests: [{ask: a, expect: {shortlist: [/a]}}]",
        "tests: [{ask: a, expect: {shortlist: [/a, /a]}}]",
        "tests: [{ask: a, expect: {shortlist: [/a, b]}}]",
        "tests: [{ask: a, expect: {reach: [/a]}}]",
        "tests: [{ask: a, talk: [b], expect: {task: /}}]",
        "tests: [{ask: a, expect: {task: a}}]",
        "tests: [{expect: {task: /}}]",
        "auxiliary: [{name: x, user_starts: a}]",
        "dialogues: [[{user: a, task: /}, {assistant: b}, {user: c}], {file: d.jsonl}]",
        "dialogues: [{user: a}]",
        "dialogues: [[]]",
        "dialogues: [[{user: a, assistant: b}]]",
        "dialogues: [[{assistant: a, task: /}]]",
        "dialogues: [[{task: /}]]",
        "off: yes",
    ],
)
def test_editor_and_loader_agree_about_policies(text: str) -> None:
    assert_agreed("schema.json", text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{language: de, generated: true, examples: {/a/b: [x, {text: y}, {file: z}], /: []}, unrelated: [w]}",
        "language: German",
        "generated: 1",
        "examples: [x]",
        "examples: {a/b: [x]}",
        "examples: {/a: x}",
        "examples: {/a: [{text: x, file: y}]}",
        "examples: {/a: ['']}",
        "unrelated: [{text: x, generated: true}]",
        "brief: x",
    ],
)
def test_editor_and_loader_agree_about_files_of_examples(text: str) -> None:
    assert_agreed("examples.schema.json", text)


def assert_agreed(schema: str, text: str) -> None:
    node = read_tree(text, "f.yaml", [])
    assert node is not None
    accepted = read_form(node, SCHEMAS[schema][0], []) is not None
    assert validator(schema).is_valid(json.loads(json.dumps(plain(node)))) is accepted
