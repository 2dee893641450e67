"""Lint: one tiny pack for each finding, and a clean one that has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.packs import Finding, Pack, check, load_pack
from router.packs.lint.texts import overlaps, secret_in

Load = Callable[[Mapping[str, str]], Pack]

CLEAN = """
brief: Be polite.
cues: {tier: {values: [free, pro], from: &m {metadata: x}}, known: {type: boolean, from: *m, default: false}}
metrics: {solved: {type: boolean, primary: true, default: true}}
tasks:
  refund:
    examples: [a b, c d, e f, g h, i j, k l, m n, o p]
    guided:
    - {text: Offer store credit., when: {tier: pro}}
    - {text: Ask for the order number., unless: {known: true}}
    tests: [{ask: money back, expect: {task: /refund}}]
    when_asked: The customer wants money back
    brief: Help with it.
"""
ENOUGH = CLEAN.replace("o p]", f"o p, {', '.join(f'x{n} y' for n in range(91))}]")
"""The same with as many examples as a certificate takes at the usual rates."""


def findings(load: Load, text: str) -> tuple[Finding, ...]:
    return check(load({"pack.yaml": text}))


@pytest.mark.parametrize("told", ["stream: false", "max_tokens_below: 9", "system_contains: You write titles"])
def test_a_rule_that_an_app_s_word_meets_is_no_finding(load: Load, told: str) -> None:
    assert findings(load, ENOUGH + f"auxiliary: [{{name: title, user_starts: Title, {told}}}]\n") == ()


def test_a_clean_pack_has_no_findings(load: Load) -> None:
    assert findings(load, ENOUGH) == ()


CASES = [
    # code, severity, line, what replaces what in the clean pack, part of the message
    ("no_examples", "error", 6, "    examples: [a b, c d, e f, g h, i j, k l, m n, o p]\n", "", "never recognised"),
    ("few_examples", "warning", 6, "m n, o p", "m n", "has 7 examples"),
    ("root_examples", "warning", 2, "brief: Be", "examples: [q]\nbrief: Be", "none of the tasks"),
    ("untested_task", "hint", 6, "{task: /refund}", "{level: guided}", "no test expects /refund"),
    ("unknown_task", "error", 11, "expect: {task: /refund}", "expect: {tasks: [/refund, /refunds]}", "/refunds"),
    ("unknown_task", "error", 11, "expect: {task: /refund}", "expect: {reach: /refund/late}", "/refund/late"),
    ("unknown_task", "error", 11, "expect: {task: /refund}", "expect: {shortlist: [/refund, /swap]}", "/swap"),
    (
        "long_shortlist",
        "error",
        11,
        "expect: {task: /refund}",
        "expect: {shortlist: [/refund, /a, /b, /c]}",
        "a shortlist of 4, and none has more than 3",
    ),
    ("few_to_certify", "hint", 2, "m n", "m n", "8 examples that customers wrote promise nothing: 99 are the least"),
    ("bare_heading", "hint", 6, "    when_asked: The customer wants money back\n", "", 'is headed "refund": there is'),
    ("dead_cue", "warning", 3, "tier: {values", "day: {type: date, from: {header: day}}, tier: {values", "the cue day"),
    (
        "cue_without_levels",
        "hint",
        3,
        "known: {type",
        "complexity: {detect: complexity}, known: {type",
        "neither settings.levels nor the level of a task",
    ),
    ("dead_cue", "warning", 3, "known: {type", "language: {detect: language}, known: {type", "the cue language"),
    ("cue_without_source", "warning", 3, "from: *m, ", "", "the cue known"),
    ("levels_without_cue", "warning", 5, "tasks:", "settings: {levels: {simple: brief}}\ntasks:", "complexity"),
    ("threshold_by_hand", "warning", 5, "tasks:", "settings: {thresholds: {sure: 0.5}}\ntasks:", "error and exposure"),
    ("levels_without_cue", "warning", 6, "    guided:", "    level: {simple: brief}\n    guided:", "level of /refund"),
    ("typed_rule", "warning", 5, "tasks:", "auxiliary: [{name: title, user_starts: Title}]\ntasks:", "people can type"),
    ("no_primary_metric", "warning", 4, ", primary: true", "", "no metric is primary"),
    (
        "no_primary_metric",
        "warning",
        4,
        "metrics: {solved: {type: boolean, primary: true, default: true}}",
        "settings: {tuning: auto}",
        "no metric is primary",
    ),
    ("no_default", "warning", 4, ", default: true", "", "thumbs alone mislead"),
    (
        "no_default",
        "warning",
        4,
        "metrics: {",
        "metrics: {bad: {type: boolean, guardrail: true}, ",
        "bad is a guardrail",
    ),
    ("no_checks", "error", 4, "boolean, primary: true, default: true", "checks, primary: true", "never has a value"),
    (
        "signal_not_heard",
        "warning",
        6,
        "tasks:\n",
        "judge: {model: m, metric: solved, rubric: r}\n"
        "signals: {thanks: {user_says: thanks, says: {solved: true}}}\ntasks:\n",
        "solved is judged",
    ),
    (
        "older_key",
        "warning",
        5,
        "tasks:\n",
        "judge: {model: m, metric: solved, rubric: r, audit: 0.1}\ntasks:\n",
        "judge.audit changes nothing",
    ),
    (
        "signal_too_late",
        "hint",
        5,
        "tasks:\n",
        "signals: {again: {again_within: 4d, says: {solved: false}}}\ntasks:\n",
        "the horizon of solved",
    ),
    (
        "two_primary_metrics",
        "error",
        4,
        "metrics: {",
        "metrics: {a: {type: boolean, primary: true}, ",
        "solved and a are both primary",
    ),
    ("silent_task", "warning", 6, "  refund:", "  silent:\n    {EXAMPLES}\n  refund:", "/silent says nothing"),
    ("no_brief", "hint", 6, "    brief: Help with it.\n", "", "at level brief, /refund says nothing"),
    (
        "repeated_example",
        "warning",
        8,
        "o p]",
        "o p,\n      E F]",
        "pack.yaml:7)",
    ),
    (
        "split_instruction",
        "warning",
        11,
        "    tests:",
        "    detailed: [If they are not pleased, escalate to the manager.]\n    tests:",
        '"escalate to the manager." is an instruction of its own',
    ),
    (
        "cut_instruction",
        "warning",
        12,
        "    tests:",
        "    required:\n    - Never ask for the invoice # or name a sum.\n    tests:",
        '"Never ask for the invoice" ends before a #',
    ),
    (
        "cut_instruction",
        "warning",
        12,
        "    tests:",
        "    required:\n    - Never ask for a password.\n      - Never name a sum.\n    tests:",
        "takes in the next line",
    ),
    ("silent_task", "hint", 2, "brief: Be polite.\n", "", "the root says nothing"),
    ("duplicate_instruction", "warning", 9, "Offer store credit.", "be polite", "/ says the same"),
    (
        "duplicate_instruction",
        "warning",
        11,
        "    tests:",
        "    - ASK for the order number!\n    tests:",
        "/refund says",
    ),
    ("contradiction", "warning", 9, "Be polite.", "Never offer credit.", "/ ("),
    (
        "contradiction",
        "warning",
        2,
        "brief: Be polite.",
        "brief: Always offer credit and a rebate on everything.\nrequired: Never offer rebate, refund or credit.",
        "/ (",
    ),
    ("contradiction", "warning", 11, "    tests:", "    - Never ask for the order number.\n    tests:", "/refund ("),
    (
        "conflicting_checks",
        "warning",
        11,
        "Ask for the order number.,",
        "Ask for the order number., check: {max_words: 5}, id: x}\n    - {text: Be brief., check: {max_words: 9},",
        "max_words: 5 and 9",
    ),
    (
        "conflicting_checks",
        "warning",
        12,
        "    tests:",
        "    - {text: A, check: {mentions_all: [x, Y]}}\n    - {text: B, check: {mentions_none: [y]}}\n    tests:",
        'ask for "Y" and forbid it',
    ),
    ("unreachable", "error", 9, "when: {tier: pro}", "when: {tier: pro}, unless: {tier: [pro, free]}", "tier"),
    ("unreachable", "error", 9, "when: {tier: pro}", "when: {tier: pro}, unless: {tier: {present: true}}", "tier"),
    ("unreachable", "error", 10, "unless: {known: true}", "when: {known: {present: false}}", "known"),
    ("unreachable", "error", 10, "unless: {known: true}", "unless: {known: [true, false]}", "known"),
    (
        "unreachable",
        "error",
        10,
        "Ask for the order number., unless: {known: true}",
        '"For {tier} only", unless: {known: true, tier: [pro, free]}, when: {known: true}',
        "known, tier",
    ),
    ("many_directives", "warning", 6, "    tests:", "{MANY}    tests:", "up to 23 instructions"),
    ("over_budget", "warning", 6, "    tests:", "    detailed: {LONG}\n    tests:", "at level detailed, /refund takes"),
    ("brief_over_budget", "error", 6, "    tests:", "    required: {LONG}\n    tests:", "brief and required text"),
    ("secret", "error", 2, "Be polite.", "Use sk-abcdefghijklmnop1234 for it.", "an API key"),
    ("secret", "error", 7, "a b, c d", "AKIAIOSFODNN7EXAMPLE, c d", "an AWS access key"),
    ("secret", "error", 11, "ask: money back", "ask: my card is 4111-1111-1111-1111", "a card number"),
    ("secret", "error", 3, "default: false}", "default: false, say: 'xoxb-1234567890-abc {value}'}", "a Slack token"),
]
FILLED = {
    "{EXAMPLES}": "examples: [ab, cd, ef, gh, ij, kl, mn, op]\n    tests: [{ask: x, expect: {task: /silent}}]",
    "{MANY}": "".join(f"    - {chr(97 + i) * 4} thing\n" for i in range(19)),
    "{LONG}": "word " * 600,
}


@pytest.mark.parametrize(
    ("code", "severity", "line", "old", "new", "message"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES]
)
def test_each_finding_has_its_pack(
    load: Load, tmp_path: Path, code: str, severity: str, line: int, old: str, new: str, message: str
) -> None:
    assert old in CLEAN
    for word, text in FILLED.items():
        new = new.replace(word, text)
    found = [finding for finding in findings(load, CLEAN.replace(old, new, 1)) if finding.code == code]
    assert [(f.severity, f.file, f.line) for f in found] == [(severity, str(tmp_path / "pack.yaml"), line)]
    assert message in found[0].message and found[0].fix
    assert str(found[0]).startswith(f"{tmp_path}/pack.yaml:{line}: {severity}: ")
    assert found[0].as_json()["code"] == code


def test_the_cue_complexity_is_not_called_dead(load: Load) -> None:
    declared = ENOUGH.replace("known: {type", "complexity: {detect: complexity}, known: {type")
    assert [finding.code for finding in findings(load, declared)] == ["cue_without_levels"]
    assert findings(load, declared.replace("tasks:", "settings: {levels: {simple: brief}}\ntasks:")) == ()
    assert findings(load, declared.replace("    guided:", "    level: {complex: detailed}\n    guided:")) == ()


@pytest.mark.parametrize(
    "lines",
    [
        "guided:\n- If they are not pleased, escalate to the manager.",
        "guided: [Ask for the number., say when it comes.]",
        "guided: [Ask for the number, Say when it comes]",
        "guided: ['Ask for the number', 'say when it comes']",
        "guided: [Ask for the number, {text: say when it comes}]",
        "guided: ['If not pleased, escalate.']",
        "examples: [where is it, and when will it come]",
    ],
)
def test_no_instruction_is_called_split_that_is_not(load: Load, lines: str) -> None:
    assert "split_instruction" not in {finding.code for finding in findings(load, lines)}


@pytest.mark.parametrize("key", ["brief", "guided", "detailed", "required"])
def test_a_comma_that_splits_an_instruction_is_found_at_each_level(load: Load, key: str) -> None:
    text = f"brief: x\ntasks:\n  a:\n    {key}: [\n      Say the price,\n      the day, and how to pay.]"
    assert lines_of(load, text, "split_instruction") == [6, 6]


@pytest.mark.parametrize("key", ["brief", "guided", "detailed", "required"])
def test_a_text_that_yaml_cuts_short_is_found_wherever_instructions_stand(load: Load, key: str) -> None:
    text = f"{key}: Äsk # 1\ntasks:\n  a:\n    {key}:\n    - {{text: Say # 2\n      }}\n    - Ask\n\n      - why\n"
    assert lines_of(load, text + "snippets:\n  sum: Name the # now\n", "cut_instruction") == [1, 5, 7, 11]


@pytest.mark.parametrize(
    "lines",
    [
        "- Ask for the number  # two spaces",
        "- Ask for the number. # a sentence has ended",
        "- 'Ask for the number' # in quotes",
        "- 'Ask for the invoice # first'",
        "- Ask for invoice#7",
        "# a comment\n- Ask for the number\n# another",
        "- |\n  Ask for # and\n  - say why",
        "- Ask for the number and\n  say - if need be -\n  -why",
    ],
)
def test_no_text_is_called_cut_that_is_not(load: Load, lines: str) -> None:
    assert lines_of(load, f"guided:\n{lines}", "cut_instruction") == []


def lines_of(load: Load, text: str, code: str) -> list[int]:
    return [finding.line for finding in findings(load, text) if finding.code == code]


@pytest.mark.parametrize(
    "text",
    [
        "cues: {t: {values: [a, b]}}\nbrief: [{text: Ask why., when: {t: a}}, {text: Never ask why., when: {t: b}}]",
        "cues: {t: {values: [a, b]}}\nbrief: [{text: Ask why., when: {t: a}}, {text: Ask why., unless: {t: a}}]",
        "brief: [Promise a refund only after checking the order., Never ask for a password.]",
        "brief: [Never ask for a password., Never promise a refund.]",
        "tasks: {a: {brief: Ask for the order number.}, b: {brief: Never ask for the order number.}}",
    ],
    ids=["never together", "never together by unless", "other words", "both forbid", "no common lineage"],
)
def test_no_contradiction_is_seen_where_there_is_none(load: Load, text: str) -> None:
    assert not {f.code for f in findings(load, text)} & {"contradiction", "duplicate_instruction"}


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        ("where is my order 123", "Where is my order 456?", "same_example"),
        ("please cancel my big order now", "cancel my big order now please", "alike_examples"),
        ("cancel my whole big order now please", "cancel my whole order now please", "alike_examples"),
        ("cancel my order now please", "cancel my parcel now please", None),
        ("???", "???", "same_example"),
        ("???", "!!!", None),
    ],
)
def test_examples_of_two_tasks_are_compared(load: Load, one: str, other: str, code: str | None) -> None:
    text = f"tasks:\n  a:\n    examples:\n    - '{one}'\n  b:\n    examples:\n    - x\n    - '{other}'"
    found = list(overlaps(load({"pack.yaml": text})))
    assert [(finding.code, finding.line) for finding in found] == ([(code, 8)] if code else [])
    assert all(":4)" in finding.message for finding in found)


def test_examples_on_one_lineage_may_be_the_same_and_those_of_none_may_not(load: Load) -> None:
    text = "unrelated: [x y]\ntasks: {a: {examples: [v w], tasks: {b: {examples: [v w, x y]}}}}"
    assert [finding.code for finding in overlaps(load({"pack.yaml": text}))] == ["same_example"]


def test_what_the_judge_says_needs_no_default(load: Load) -> None:
    text = ENOUGH.replace(", default: true", "") + "judge: {model: m, metric: solved, rubric: r}"
    assert findings(load, text) == ()


def test_overlaps_are_the_pairs_that_comparing_all_would_find(support_pack: Path) -> None:
    """The prefix filter must lose nothing; compared with the plain double loop on a looser threshold."""
    from router.packs.lint import texts

    every = list(texts._examples(load_pack(support_pack)))[:400]
    alike = {
        (a.place, b.place)
        for i, b in enumerate(every)
        for a in every[:i]
        if len(a.bag & b.bag) >= texts._ALIKE * len(a.bag | b.bag)
    }
    assert alike <= {(a.place, b.place) for a, b in texts._candidates(every)}


def test_only_what_can_be_said_together_counts_towards_the_budget(load: Load) -> None:
    long = "word " * 60
    text = "cues: {t: {values: [a, b, c]}}\nsettings: {budget_tokens: 150}\nbrief: x\ntasks:\n  k:\n    brief:\n"
    text += "".join(f"    - {{text: {long}, when: {{t: {value}}}}}\n" for value in "abc")
    assert not lines_of(load, text, "brief_over_budget")
    assert lines_of(load, text + f"    - {long}{long}", "brief_over_budget")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sk-proj-abcDEF0123456789abcd", "an API key"),
        ("token ghp_0123456789abcdefghijABCDEFGHIJ012345", "a GitHub token"),
        ("xoxp-1234567890-abcdef", "a Slack token"),
        ("AIza" + "a1B" * 11 + "cd", "a Google API key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.x", "a JSON Web Token"),
        ("key: q8Zr4LmX0pVt7KbWc2NdYh5J", "a random token"),
        ("my card 5555 5555 5555 4444 was charged", "a card number"),
        ("378282246310005", "a card number"),
        ("5555 5555 5555 4445", ""),
        ("order 1234567890123", ""),
        ("order 9123456789016", ""),
        ("tracking 00340434161094042557", ""),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", ""),
        ("https://shop.example/Help/Returns2026/HowToSendAnItemBack", ""),
        ("a-very-long-word-with-many-hyphens-in-it", ""),
        ("ask for the risk-free-trial-of-the-year offer", ""),
    ],
)
def test_secrets_are_known_by_their_shape(text: str, kind: str) -> None:
    assert secret_in(text) == kind


def test_no_finding_repeats_a_secret(load: Load) -> None:
    secret = "sk-abcdefghijklmnop1234"
    assert all(secret not in str(finding) for finding in findings(load, f"brief: use {secret}"))


@pytest.mark.parametrize("name", ["customer_support", "assistant", "starter.yaml"])
def test_the_shipped_packs_have_no_errors(project: Path, name: str) -> None:
    assert [str(f) for f in check(load_pack(project / "policies" / name)) if f.severity == "error"] == []
