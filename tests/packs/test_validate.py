"""A form with a mistake gives a fault at the line of the mistake, with the way out."""

from __future__ import annotations

from textwrap import dedent

import pytest

from router.core.errors import Fault
from router.packs.forms import PackForm, TaskForm
from router.packs.reading import read_tree
from router.packs.validate import read_form
from router.packs.words import ClosedModel

CASES = [
    # what is written, line, part of the message, part of the hint
    ("a: 1", 1, 'unknown key "a"', "known: about"),
    ("about: x\nbreif: y", 2, 'unknown key "breif"', 'did you mean "brief"?'),
    ("tasks:\n  x:\n    settings: {}", 3, 'unknown key "settings"', "the root of a pack, and stands 2 levels too deep"),
    (
        "tasks:\n  breakfast:\n    brief: x\n    pets:\n      brief: y",
        4,
        'unknown key "pets"',
        'if it is one of its own, move it out to the column of "breakfast"; if it belongs below "breakfast", put it',
    ),
    ("tasks:\n  x:\n    setings: {}", 3, 'unknown key "setings"', 'did you mean "settings"? only the root file'),
    ("settings:\n  budget: 5", 2, 'unknown key "budget"', 'did you mean "budget_tokens"?'),
    ("settings:\n  levels:\n    simpel: brief", 3, 'unknown key "simpel"', 'did you mean "simple"?'),
    ("cues:\n  tier:\n    form: {}\n    values: [a]", 3, 'unknown key "form"', 'did you mean "from"?'),
    ("cues:\n  a: {type: number, from: {query: x}}", 2, 'unknown key "query"', "header, metadata"),
    ("examples:\n- where is it\n- note: it is late", 3, 'unknown key "note"', "put the text in quotes"),
    ("examples: [{text: a, file: b}]", 1, 'unknown key "text"', "does not go together"),
    ("guided:\n- text: a\n  wen: {}", 3, 'unknown key "wen"', 'did you mean "when"?'),
    ("model: {temprature: 1}", 1, 'unknown key "temprature"', 'did you mean "temperature"?'),
    ("model: {api_base: http://elsewhere}", 1, 'unknown key "api_base"', ""),
    ("- a", 1, "the file must be a mapping, not a list", ""),
    ("just a text", 1, "the file must be a mapping, not the text", "key: value"),
    ("about: 5", 1, "about must be a text, not the number 5", "put it in quotes"),
    ("brief: {text: x}", 1, "brief must be a text, not a mapping", "stands in a list"),
    ("brief:\n- a\n- 7", 3, "brief.2 must be a text, not the number 7", "put it in quotes"),
    ("examples: none", 1, "examples must be a list, not the text", "dash"),
    ("examples:\n- true", 2, "examples.1 must be a text, not true", "put it in quotes"),
    ("about: x\nbrief:", 2, "there is no value here", "remove the key"),
    ("brief:\n- a\n-", 3, "there is no value here", "the dash"),
    ("brief: '  '", 1, "brief is empty", ""),
    ("off: yes", 1, 'off must be true or false, not the text "yes"', "only true and false"),
    ("settings: {level: guidedd}", 1, "must be one of 'off', 'brief'", 'did you mean "guided"?'),
    ("settings: {max_tasks: 6}", 1, "settings.max_tasks: the value must be less than or equal to 5", ""),
    ("settings: {max_tasks: 2.5}", 1, "settings.max_tasks must be a whole number", ""),
    ("settings: {pin_idle: 60}", 1, "settings.pin_idle must be a text", ""),
    ("settings: {pin_idle: 1.5h}", 1, '"1.5h" is not a duration', "45s, 60m, 72h"),
    ("settings: {error: {task: 0}}", 1, "0 cannot be promised", "0.05 is 5 in 100"),
    ("settings: {error: 0}", 1, "0 cannot be promised by any number of examples", "0.05 is 5 in 100"),
    ("settings: {error: -0.1}", 1, "-0.1 cannot be promised", ""),
    ("settings: {error: 1.5}", 1, "1.5 is no share of messages", "1.5 in 100 is 0.015"),
    ("settings: {error: 5}", 1, "5 is no share of messages", "5 in 100 is 0.05"),
    ("settings: {error: 1}", 1, "1 is no share of messages", "0.05 is 5 in 100"),
    ("settings: {error: little}", 1, 'settings.error must be a number, not the text "little"', ""),
    ("settings: {error: true}", 1, "settings.error must be a number, not true", ""),
    ("settings: {error: [0.05]}", 1, "settings.error must be a number, not a list", ""),
    ("settings: {error: {all: 0.1}}", 1, 'unknown key "all"', "total"),
    (
        "settings:\n  error:\n    total: 0.05\n    task: 0.03",
        2,
        "total does not go together with the older task",
        "remove",
    ),
    ("settings: {error: {domain: 0.1, unconditional: 0.1}}", 1, "unconditional does not go together", "remove domain"),
    ("settings:\n  error:\n    total: 0.05\n    unconditional: 1.5", 4, "1.5 is no share of messages", "0.015"),
    ("settings: {exposure: 0}", 1, "0 cannot be promised", ""),
    ("settings: {exposure: 10}", 1, "10 is no share of messages", "10 in 100 is 0.1"),
    ("settings:\n  level: brief\n  shortlist: 0", 3, "a shortlist has 2 to 5 tasks, not 0", "no choice"),
    ("settings: {shortlist: 1}", 1, "a shortlist has 2 to 5 tasks, not 1", "3 is usual"),
    ("settings: {shortlist: 9}", 1, "a shortlist has 2 to 5 tasks, not 9", "loses its way"),
    ("settings: {shortlist: 2.5}", 1, "settings.shortlist must be a whole number", ""),
    ("settings: {thresholds: {sure: 0.9, task: 0.9}}", 1, "sure does not go together with the older task", "remove"),
    (
        "tasks:\n  a:\n    when_asked: " + "word " * 500,
        3,
        "when_asked has 500 words",
        "at most 40 words and 300 letters",
    ),
    ("tasks: {a: {when_asked: " + "x" * 301 + "}}", 1, "1 words and 301 letters", "goes under brief:"),
    ("tasks: {a: {when_asked: 5}}", 1, "when_asked must be a text", "quotes"),
    ("examples: [{text: a, generated: 1}]", 1, "examples.1.generated must be true or false", ""),
    (
        "examples: [{file: a.txt, generated: yes}]",
        1,
        "examples.1.generated must be true or false",
        "only true and false",
    ),
    ("tests: [{ask: a, expect: {shortlist: /a}}]", 1, "shortlist must be a list", "dash"),
    ("tests: [{ask: a, expect: {shortlist: [/a]}}]", 1, "2 to 5 different tasks, not 1 task", "write reach:"),
    ("tests: [{ask: a, expect: {shortlist: [/a, /a]}}]", 1, "2 to 5 different tasks, not 1 task", "write reach:"),
    ("tests: [{ask: a, expect: {shortlist: [/a, /b, /c, /d, /e, /f]}}]", 1, "not 6 tasks", ""),
    ("tests: [{ask: a, expect: {reach: a}}]", 1, '"a" is no path of a task', ""),
    ("complexity: simple", 1, "complexity must be one of 'core', 'standard' or 'complex'", ""),
    ("tasks: {Refund: {}}", 1, 'the name "Refund"', 'for example "refund"'),
    ("cues: {a: {values: [x], type: number}}", 1, "exactly one of values, type, text, detect", "keep one"),
    ("cues: {a: {default: x}}", 1, "exactly one of values, type, text, detect", "add one"),
    ("cues: {a: {values: []}}", 1, "cues.a.values is empty", ""),
    ("cues: {a: {values: [x, x]}}", 1, '"x" is listed twice', ""),
    ("cues: {a: {values: [Pro, pro]}}", 1, '"pro" is listed twice', "upper and lower case"),
    ("cues: {a: {type: date, required: true}}", 1, "a required cue needs a source", "add from"),
    ("cues: {a: {type: date, from: {}, required: true}}", 1, "a required cue needs a source", "add from"),
    ("cues: {a: {detect: language, from: {header: b}}}", 1, "a detected cue comes from the user's words", ""),
    ("cues: {a: {values: [x, 2]}}", 1, "cues.a.values.2 must be a text", "put it in quotes"),
    (f"cues: {{a: {{values: [{', '.join(f'v{i}' for i in range(1_001))}]}}}}", 1, "more than 1,000 entries", ""),
    ("cues: {a: {text: 501}}", 1, "cues.a.text: the value must be less than or equal to 500", ""),
    ("cues: {a: {detect: mood}}", 1, "must be one of 'language', 'complexity' or 'follow_up'", ""),
    ("cues: {a: {type: number, say: it is so}}", 1, "say does not hold {value}", ""),
    ("cues: {a: {type: number, required: true, default: 1}}", 1, "a required cue has no default", ""),
    ("cues: {a: {type: number, from: {header: 'x y'}}}", 1, '"x y" is no header name', ""),
    ("metrics: {a: {type: boolean, range: [0, 1]}}", 1, "has no range", ""),
    ("metrics: {a: {type: number}}", 1, "a number needs a range", ""),
    ("metrics: {a: {type: rating, range: [5, 1]}}", 1, "the range does not rise", ""),
    ("metrics: {a: {type: checks, default: 1}}", 1, "type checks has no default", "remove it"),
    ("metrics: {a: {type: boolean, default: 'yes'}}", 1, "a number, true or false", "without quotes"),
    ("metrics: {a: {type: boolean, better: lower}}", 1, "must be one of 'high' or 'low'", 'did you mean "low"?'),
    ("metrics: {a: {type: boolean, guardrial: true}}", 1, 'unknown key "guardrial"', 'did you mean "guardrail"?'),
    (
        "signals:\n  a: {user_says: x, tasks: [/b], says: {c: 1}}",
        2,
        "exactly one of user_says, answer_says",
        "keep one",
    ),
    ("signals:\n  a: {says: {c: 1}}", 2, "exactly one of user_says, answer_says, tasks, again_within", "add one"),
    ("signals:\n  a: {user_says: x}", 2, 'the key "says" is missing', "signals.a"),
    ("signals:\n  a:\n    user_sais: x\n    says: {c: 1}", 3, 'unknown key "user_sais"', 'did you mean "user_says"?'),
    ("signals:\n  a: {user_says: [], says: {c: 1}}", 2, "signals.a.user_says is empty", ""),
    ("signals:\n  a:\n    user_says:\n    - fine\n    - '('\n    says: {c: 1}", 5, "RE2 refuses the pattern", ""),
    ("signals:\n  a: {user_says: x, says: {}}", 2, "signals.a.says is empty", ""),
    ("signals:\n  a: {user_says: x, says: {c: [1]}}", 2, "the value of a metric is a number", ""),
    ("signals:\n  a: {tasks: [b], says: {c: 1}}", 2, '"b" is no path of a task', ""),
    ("signals:\n  a: {again_within: soon, says: {c: 1}}", 2, '"soon" is not a duration', ""),
    ("judge: {model: m, metric: c}", 1, 'the key "rubric" is missing', "judge"),
    ("judge: {model: m n, metric: c, rubric: r}", 1, '"m n" is no model alias', ""),
    ("judge: {model: m, metric: c, rubric: r, rate: 0}", 1, "judge.rate: the value must be greater than 0", ""),
    ("judge: {model: m, metric: c, rubric: r, audit: 1.5}", 1, "judge.audit", ""),
    ("settings: {tuning: automatic}", 1, "must be one of 'observe', 'suggest' or 'auto'", 'did you mean "auto"?'),
    ("settings: {holdout: 0.6}", 1, "settings.holdout", ""),
    ("level: guidedd", 1, "must be one of 'off', 'brief'", 'did you mean "guided"?'),
    ("level: {simpel: brief}", 1, 'unknown key "simpel"', 'did you mean "simple"?'),
    ("level: 2", 1, "level must be one of 'off', 'brief'", ""),
    ("metrics: {a: {}}", 1, 'the key "type" is missing', "metrics.a"),
    ("brief: [{text: x, check: {}}]", 1, "check needs exactly one of", ""),
    ("brief: [{text: x, check: {json: true, max_words: 5}}]", 1, "has max_words and json", ""),
    ("brief: [{text: x, check: {json: false}}]", 1, "must be one of True", ""),
    ("brief: [{text: x, check: {matches: '(?=a)'}}]", 1, "RE2 refuses the pattern", "look-around"),
    ("brief: [{text: x, check: {matches: '(a)\\1'}}]", 1, "RE2 refuses the pattern", ""),
    ("brief: [{text: x, check: {language: de-AT}}]", 1, "no language code", 'did you mean "de"?'),
    ("boilerplate: [fine, '(']", 1, "RE2 refuses the pattern", ""),
    ("user_words: ['<ask>', '(']", 1, "RE2 refuses the pattern", ""),
    ("user_words: ['asked: .*']", 1, "the pattern must have one group", "(?s)Question: (.*)"),
    ("user_words: ['(a)(b)']", 1, "the pattern must have one group", ""),
    ("brief: [{text: x, id: 'a b'}]", 1, 'the id "a b" cannot be used', ""),
    ("brief: [{text: x, id: soft}]", 1, 'the id "soft" cannot be used', ""),
    ("brief: [{text: x, when: {}}]", 1, "brief.1.when is empty", ""),
    ("brief: [{text: x, when: {tier: []}}]", 1, "brief.1.when.tier is empty", ""),
    ("brief: [{text: x, when: {tier: {present: 1}}}]", 1, "present must be true or false", ""),
    ("auxiliary: [{name: all}]", 1, "the rule matches every request", ""),
    ("model: {use: a b}", 1, '"a b" is no model alias', ""),
    ("model: {seed: true}", 1, "model.seed must be a whole number, not true", ""),
    ("tests: [{ask: a}]", 1, 'the key "expect" is missing', "tests.1"),
    ("tests: [{ask: a, expect: {}}]", 1, "expect names nothing", ""),
    ("tests: [{ask: a, talk: [b], expect: {task: /}}]", 1, "a test needs exactly one of ask, talk", ""),
    ("tests: [{talk: [a, b], expect: {task: /}}]", 1, "talk ends with the assistant", ""),
    ("tests: [{ask: a, expect: {task: refund}}]", 1, '"refund" is no path of a task', "/billing/refund"),
    ("tests: [{ask: a, with: {x: [1]}, expect: {task: /}}]", 1, "a value must be a text, a number", ""),
    ("dialogues: {user: a}", 1, "dialogues must be a list, not a mapping", "dash"),
    ("dialogues:\n- user: a\n  task: /x", 2, "a dialogue is a list of turns, and this is one turn", "one more dash"),
    ("dialogues:\n- []", 2, "dialogues.1 is empty", ""),
    ("dialogues:\n- - hello", 2, 'dialogues.1.1 must be a mapping, not the text "hello"', "key: value"),
    ("dialogues:\n- - user: a\n    tsak: /x", 3, 'unknown key "tsak"', 'did you mean "task"?'),
    ("dialogues:\n- - {user: a, assistant: b}", 2, "a turn needs exactly one of user, assistant", "keep one"),
    ("dialogues:\n- - {task: /x}", 2, "a turn needs exactly one of user, assistant", "add one"),
    ("dialogues:\n- - assistant: a\n    task: /x", 2, "a turn of the assistant has no task", "beside what the user"),
    ("dialogues:\n- - {user: a, task: x}", 2, '"x" is no path of a task', "/billing/refund"),
    ("dialogues:\n- - {user: '  '}", 2, "dialogues.1.1.user is empty", ""),
    ("dialogues:\n- fiel: x", 2, 'unknown key "fiel"', 'did you mean "file"?'),
]


def faults_in(text: str, form: type[ClosedModel] = PackForm) -> list[Fault]:
    faults: list[Fault] = []
    node = read_tree(dedent(text), "f.yaml", faults)
    assert node is not None
    assert (read_form(node, form, faults) is None) is bool(faults)
    return faults


@pytest.mark.parametrize(("text", "line", "message", "hint"), CASES, ids=[case[0][:50] for case in CASES])
def test_a_mistake_gives_one_fault_at_its_line(text: str, line: int, message: str, hint: str) -> None:
    (fault,) = faults_in(text)
    assert (fault.file, fault.line) == ("f.yaml", line)
    assert message in fault.message
    assert hint in fault.hint


def test_all_mistakes_of_a_file_are_reported_at_once() -> None:
    faults = faults_in("abuot: x\nbrief:\nguided: 5\nsettings: {level: of}")
    assert sorted(fault.line for fault in faults) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "key",
    "name settings cues metrics signals judge auxiliary boilerplate user_words unrelated dialogues extends".split(),
)
def test_keys_of_the_root_are_refused_in_files_of_tasks(key: str) -> None:
    (fault,) = faults_in(f"{key}: x", TaskForm)
    assert fault.hint == "only the root file of a pack holds it"
