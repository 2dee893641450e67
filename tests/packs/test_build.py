"""What the written words mean: instructions, conditions, cues, settings, metrics, tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from router.core.errors import Fault
from router.core.policy import AuxiliaryRule, Check, Condition, Cue, Level, Metric, PolicySettings, count_tokens
from router.packs import Expected, Pack

Load = Callable[[Mapping[str, str]], Pack]
Faults = Callable[[Mapping[str, str]], tuple[Fault, ...]]

CUES = """
cues:
  tier: {values: [free, pro], from: {metadata: plan, header: X-Tier}, default: free}
  known: {type: boolean}
  queue: {type: number, volatile: true, say: "Waiting: {value}"}
  day: {type: date, from: {header: day}, required: true}
  name: {text: 60, say: "Name: {value}"}
  language: {detect: language}
  complexity: {detect: complexity}
  again: {detect: follow_up}
"""


def only(pack: Pack, path: str = "/") -> Any:
    (instruction,) = pack.policy.tasks[path].instructions
    return instruction


def test_instructions_stand_in_the_order_in_which_they_are_said(load: Load) -> None:
    text = """
        tasks:
          refund:
            detailed: [six]
            guided: [four, {text: five, id: my.id}]
            brief: two
            required: [one]
        guided: seven
        required: zero
        """
    tasks = load({"pack.yaml": text}).policy.tasks
    said = [(i.id, i.level, i.required, i.text) for path in ("/", "/refund") for i in tasks[path].instructions]
    assert said == [
        ("/:required.1", Level.BRIEF, True, "zero"),
        ("/:guided.1", Level.GUIDED, False, "seven"),
        ("/refund:required.1", Level.BRIEF, True, "- one"),
        ("/refund:brief.1", Level.BRIEF, False, "two"),
        ("/refund:guided.1", Level.GUIDED, False, "- four"),
        ("my.id", Level.GUIDED, False, "- five"),
        ("/refund:detailed.1", Level.DETAILED, False, "- six"),
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('"  ends stripped  "', "ends stripped"),
        ("|\n  one\n   two\n\n", "one\n two"),
        (">-\n  one\n  two", "one two"),
        ("['  a  ']", "- a"),
        ("[{text: ' a '}]", "- a"),
        ("['a {\"json\": 1} and { tier } b']", '- a {"json": 1} and { tier } b'),
    ],
)
def test_text_is_said_as_written_without_white_space_around_it(load: Load, written: str, said: str) -> None:
    instruction = only(load({"pack.yaml": f"brief: {written}"}))
    assert instruction.text == said
    assert instruction.tokens == count_tokens(said) + 1


def test_cues_are_declared_by_name_with_the_header_asked_first(load: Load) -> None:
    assert dict(load({"pack.yaml": CUES}).policy.cues) == {
        "again": Cue("again", "detect", detector="follow_up"),
        "complexity": Cue("complexity", "detect", detector="complexity"),
        "day": Cue("day", "date", sources=(("header", "day"),), required=True),
        "known": Cue("known", "boolean"),
        "language": Cue("language", "detect", detector="language"),
        "name": Cue("name", "text", limit=60, say="Name: {value}"),
        "queue": Cue("queue", "number", say="Waiting: {value}", volatile=True),
        "tier": Cue(
            "tier",
            "enum",
            values=("free", "pro"),
            sources=(("header", "x-tier"), ("metadata", "plan")),
            default="free",
        ),
    }


def test_conditions_are_clauses_by_cue(load: Load) -> None:
    item = "brief: [{text: x, when: {tier: [pro, free], known: true}, unless: {queue: 3, name: {present: false}}}]"
    instruction = only(load({"pack.yaml": f"{item}{CUES}"}))
    assert instruction.when == (Condition("known", (True,)), Condition("tier", ("pro", "free")))
    assert instruction.unless == (Condition("name", present=False), Condition("queue", (3,)))


@pytest.mark.parametrize(
    ("item", "cues", "volatile"),
    [
        ("For {tier} and {known}, {tier}", ("tier", "known"), False),
        ("It is {day}", ("day",), False),
        ("{queue} wait", ("queue",), True),
        ("Speak {language}", ("language",), False),
        ("{text: x, when: {queue: 1}}", (), True),
        ("{text: x, unless: {queue: {present: true}}}", (), True),
        ("{text: x, when: {tier: pro}}", (), False),
    ],
)
def test_placeholders_and_volatile_cues_are_known_at_load(
    load: Load, item: str, cues: tuple[str, ...], volatile: bool
) -> None:
    written = item if item.startswith("{text") else f'"{item}"'
    instruction = only(load({"pack.yaml": f"brief: [{written}]{CUES}"}))
    assert (instruction.cues, instruction.volatile) == (cues, volatile)


@pytest.mark.parametrize(
    ("written", "check"),
    [
        ("{mentions_any: [a, b]}", Check("mentions_any", ("a", "b"))),
        ("{mentions_all: [a]}", Check("mentions_all", ("a",))),
        ("{mentions_none: [a]}", Check("mentions_none", ("a",))),
        ("{matches: '\\d+'}", Check("matches", "\\d+")),
        ("{max_words: 9}", Check("max_words", 9)),
        ("{max_sentences: 2}", Check("max_sentences", 2)),
        ("{language: de}", Check("language", "de")),
        ("{json: true}", Check("json", True)),
        ("{ends_with_question: false}", Check("ends_with_question", False)),
    ],
)
def test_checks_keep_the_key_they_were_written_under(load: Load, written: str, check: Check) -> None:
    assert only(load({"pack.yaml": f"brief: [{{text: x, check: {written}}}]"})).check == check


def test_an_empty_file_is_an_empty_policy(load: Load) -> None:
    policy = load({"pack.yaml": "# nothing yet"}).policy
    assert policy.empty and policy.name == "pack" and policy.settings == PolicySettings()


def test_settings_are_understood(load: Load) -> None:
    text = """
        settings:
          level: off
          levels: {simple: brief}
          budget_tokens: 0
          max_tasks: 1
          shortlist: 4
          error: {total: 0.04, unconditional: 0.01}
          exposure: 0.2
          thresholds: {sure: 0.9, shortlist: 0.7}
          place: before
          on_switch: head
          pin_idle: 2h
        """
    assert load({"pack.yaml": text}).policy.settings == PolicySettings(
        Level.OFF,
        {"simple": Level.BRIEF},
        0,
        1,
        4,
        error=0.04,
        unconditional=0.01,
        exposure=0.2,
        threshold_sure=0.9,
        threshold_shortlist=0.7,
        place="before",
        on_switch="head",
        pin_idle_s=7200.0,
    )


def test_metrics_and_rules_are_understood(load: Load) -> None:
    text = """
        metrics:
          b: {type: rating}
          a: {type: boolean, primary: true, horizon: 45s}
          c: {type: number, range: [0, 10]}
        auxiliary:
          - {name: title, system_contains: [Title, title], user_starts: "###", max_tokens_below: 17}
        """
    policy = load({"pack.yaml": text}).policy
    assert list(policy.metrics.values()) == [
        Metric("a", "boolean", primary=True, horizon_s=45.0),
        Metric("b", "rating", 1.0, 5.0),
        Metric("c", "number", 0.0, 10.0),
    ]
    assert policy.auxiliary == (AuxiliaryRule("title", ("Title", "title"), ("###",), (), 17),)


def test_task_keys_are_understood(load: Load) -> None:
    text = "tasks: {a: {complexity: core, stakes: high, model: {use: careful, stop: [x], top_p: 1}}}"
    task = load({"pack.yaml": text}).policy.tasks["/a"]
    assert not task.levels
    assert (task.complexity, task.stakes, task.model) == ("core", "high", "careful")
    assert dict(task.parameters) == {"stop": ["x"], "top_p": 1}


def test_tests_are_understood(load: Load) -> None:
    text = """
        tests:
          - ask: hello
            with: {tier: pro}
            expect:
              {task: /a, tasks: [/a, /b], reach: /c, shortlist: [/d, /e], level: off, says: x, not_says: [y],
              tokens_max: 0, outcome: skipped}
          - {name: todo_later, talk: [a, b, c], expect: {task: /}}
          - {ask: d, todo: true, expect: {task: /}}
        """
    first, second, third = load({"pack.yaml": text + CUES.replace("\n", "\n        ")}).tests
    assert first.expected == Expected("/a", ("/a", "/b"), "/c", ("/d", "/e"), Level.OFF, ("x",), ("y",), 0, "skipped")
    assert first.expected.named == ("/a", "/b", "/c", "/d", "/e")
    assert (first.turns, dict(first.cues), first.name, first.task) == (("hello",), {"tier": "pro"}, "hello", "/")
    assert first.place.endswith("pack.yaml:3")
    assert (second.turns, second.todo, third.todo, first.todo) == (("a", "b", "c"), True, True, False)


@pytest.mark.parametrize(
    ("item", "message", "hint"),
    [
        ("{text: x, when: {tire: pro}}", 'there is no cue "tire"', 'did you mean "tier"?'),
        ("{text: x, unless: {teir: pro}}", 'there is no cue "teir"', 'did you mean "tier"?'),
        ("{text: x, when: {tier: por}}", 'tier is never "por"', 'did you mean "pro"?'),
        ("{text: x, when: {tier: [pro, 3]}}", "tier is never 3", "quotes"),
        ("{text: x, when: {known: yes}}", 'known is never "yes"', "true or false"),
        ("{text: x, when: {known: 1}}", "known is never 1", "true or false"),
        ("{text: x, when: {queue: '3'}}", 'queue is a number, not "3"', "without quotes"),
        ("{text: x, when: {queue: true}}", "queue is a number, not true", ""),
        ("{text: x, when: {day: tomorrow}}", 'day is a date, not "tomorrow"', "2026-01-31"),
        ("{text: x, when: {day: '20260131'}}", 'day is a date, not "20260131"', "2026-01-31"),
        ("{text: x, when: {day: '2026-01-31T10:00'}}", "day is a date", "2026-01-31"),
        ("{text: x, when: {language: german}}", 'language is never "german"', "two letters"),
        ("{text: x, when: {complexity: high}}", 'complexity is never "high"', "simple"),
        ("{text: x, when: {again: 'true'}}", 'again is never "true"', "without quotes"),
        (f"{{text: x, when: {{name: {'n' * 61}}}}}", "name has at most 60 characters", ""),
        ("{text: x, when: {name: 5}}", "name is a text, not 5", "quotes"),
        ('"for {teir} only"', 'there is no cue "teir", as in {teir}', 'did you mean "tier"; for literal'),
        ('"dear {name}"', "{name} is free text and may not stand in a sentence", "say:"),
        ('"dear {Name}"', 'there is no cue "Name"', "write { Name }, with spaces"),
    ],
)
def test_a_wrong_cue_or_value_is_a_fault_with_the_nearest_word(
    faults_of: Faults, item: str, message: str, hint: str
) -> None:
    (fault,) = faults_of({"pack.yaml": f"brief:\n- fine\n- {item}{CUES}"})
    assert (fault.file, fault.line) == ("pack.yaml", 3)
    assert message in fault.message
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("cues:\n  a:\n    values: [x]\n    default: y", 4, 'a is never "y"'),
        ("cues:\n  a: {type: number, default: '1'}", 2, "a is a number"),
        ("cues:\n  a: {text: 3, default: long}", 2, "a has at most 3 characters"),
        ("brief:\n- {text: x, id: i}\n- {text: y, id: i}", 3, 'the id "i" is given twice; the other place is'),
        ("tests:\n- ask: a\n  with: {b: 1}\n  expect: {task: /}", 3, 'there is no cue "b"'),
        ("cues: {b: {type: date}}\ntests:\n- ask: a\n  with: {b: 1}\n  expect: {task: /}", 4, "b is a text, not 1"),
    ],
)
def test_other_mistakes_of_meaning(faults_of: Faults, text: str, line: int, message: str) -> None:
    (fault,) = faults_of({"pack.yaml": text})
    assert fault.line == line
    assert message in fault.message and fault.hint


def test_places_name_every_part(load: Load, tmp_path: Any) -> None:
    text = "unrelated: [a]\nboilerplate: [b]\nsettings: {}\ncues: {c: {type: date}}\nmetrics: {d: {type: boolean}}\n"
    text += "signals: {k: {user_says: l, says: {d: true}}}\njudge: {model: m, metric: d, rubric: n}\n"
    text += "tasks:\n  e:\n    examples: [f]\n    brief:\n    - {text: g, id: h}\n    guided: i"
    places = load({"pack.yaml": text}).places
    assert {name: line for name, (_, line) in places.items()} == {
        "/": 1,
        "pack:unrelated.1": 1,
        "pack:boilerplate.1": 2,
        "pack:settings": 3,
        "cue:c": 4,
        "metric:d": 5,
        "signal:k": 6,
        "pack:judge": 7,
        "/e": 9,
        "/e:example.1": 10,
        "h": 12,
        "/e:guided.1": 13,
    }
    assert {file for file, _ in places.values()} == {str(tmp_path / "pack.yaml")}
