"""What a pack accepts, and what lint says of promises and shortlists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import indent

import pytest

from router.classify.fit.certify import DELTA, allowed
from router.core.compose import CASES
from router.core.errors import Fault
from router.core.policy import HEADING_WORDS, PolicySettings, Task
from router.packs import Finding, Pack, check
from router.packs.lint import promises
from router.packs.lint.promises import rows_needed

Load = Callable[[Mapping[str, str]], Pack]
Faults = Callable[[Mapping[str, str]], tuple[Fault, ...]]


def settings_of(load: Load, written: str, base: str = "") -> PolicySettings:
    files = {"pack.yaml": f"{'extends: base' if base else ''}\nsettings: {{{written}}}"}
    return load(files | ({"base.yaml": f"settings: {{{base}}}"} if base else {})).policy.settings


def of(pack: Pack, *codes: str) -> list[Finding]:
    return [finding for finding in check(pack) if finding.code in codes]


# ------------------------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    ("written", "error", "unconditional"),
    [
        ("level: guided", 0.05, 0.03),
        ("error: 0.05", 0.05, 0.03),
        ("error: 0.2", 0.2, 0.03),
        ("error: 0.01", 0.01, 0.01),
        ("error: {total: 0.02}", 0.02, 0.02),
        ("error: {unconditional: 0.02}", 0.05, 0.02),
        ("error: {total: 0.08, unconditional: 0.08}", 0.08, 0.08),
        ("error: {domain: 0.03, task: 0.05}", 0.05, 0.03),
        ("error: {domain: 0.02}", 0.02, 0.02),
    ],
)
def test_one_number_is_the_total(load: Load, written: str, error: float, unconditional: float) -> None:
    settings = settings_of(load, written)
    assert (settings.error, settings.unconditional) == (error, unconditional)


@pytest.mark.parametrize(
    ("base", "over", "error", "unconditional"),
    [
        ("error: 0.04", "error: {unconditional: 0.01}", 0.04, 0.01),
        ("error: {total: 0.1, unconditional: 0.01}", "error: 0.2", 0.2, 0.01),
        ("error: 0.02", "error: {total: 0.1}", 0.1, 0.03),
        ("error: {domain: 0.2, task: 0.3}", "error: 0.04", 0.04, 0.03),
        ("error: 0.04", "error: {task: 0.2}", 0.2, 0.03),
        ("error: {domain: 0.2}", "level: brief", 0.2, 0.03),
    ],
)
def test_whoever_extends_has_the_last_word_whichever_words_are_used(
    load: Load, base: str, over: str, error: float, unconditional: float
) -> None:
    settings = settings_of(load, over, base)
    assert (settings.error, settings.unconditional) == (error, unconditional)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"pack.yaml": "brief: x\nsettings:\n  error:\n    total: 0.02\n    unconditional: 0.04"}, ("pack.yaml", 5)),
        ({"pack.yaml": "settings:\n  level: off\n  error: {unconditional: 0.06}"}, ("pack.yaml", 3)),
        (
            {
                "base.yaml": "settings: {error: {total: 0.05, unconditional: 0.02}}",
                "pack.yaml": "extends: base\nsettings:\n  level: brief\n  error: 0.01",
            },
            ("pack.yaml", 4),
        ),
        (
            {
                "base.yaml": "settings: {error: {total: 0.05, unconditional: 0.02}}",
                "pack.yaml": "extends: base\nsettings:\n  error:\n    domain: 0.01",
            },
            ("pack.yaml", 3),
        ),
    ],
)
def test_a_part_that_is_more_than_the_whole_is_a_fault(
    faults_of: Faults, files: dict[str, str], place: tuple[str, int]
) -> None:
    (fault,) = faults_of(files)
    assert (fault.file, fault.line) == place
    assert "is more than all of it" in fault.message
    assert "error: {total: " in fault.hint


def test_older_keys_are_told_with_what_to_write(load: Load) -> None:
    text = "settings:\n  error:\n    domain: 0.01\n    task: 0.04\n  thresholds: {domain: 0.5, task: 0.8}"
    pack = load({"pack.yaml": text})
    assert [(f.line, f.severity, f.fix) for f in of(pack, "older_key")] == [
        (2, "warning", "write error: 0.04"),
        (5, "warning", "write thresholds: {sure: 0.8}"),
    ]
    settings = pack.policy.settings
    assert (settings.threshold_sure, settings.threshold_shortlist) == (0.8, None)


def test_a_threshold_of_domains_alone_changes_nothing(load: Load) -> None:
    pack = load({"pack.yaml": "settings: {thresholds: {domain: 0.5}}"})
    assert pack.policy.settings == PolicySettings()
    assert [finding.message for finding in of(pack, "older_key")] == ["a threshold of domains changes nothing any more"]
    assert not of(pack, "threshold_by_hand")


def test_older_keys_of_a_pack_that_is_extended_are_told_where_they_stand(load: Load) -> None:
    pack = load({"base.yaml": "settings: {error: {task: 0.1}}", "pack.yaml": "extends: base\nbrief: x"})
    assert [finding.file.endswith("base.yaml") for finding in of(pack, "older_key")] == [True]


# ------------------------------------------------------------------------------------------------- enough to certify

TWO = """
    tasks:
      refund:
        examples: [{refund}]
      swap:
        examples: [{swap}]
    """


def two(refund: int, swap: int, generated: int = 0) -> str:
    written = [f"x{n} y" for n in range(refund)] + [f"{{text: g{n} y, generated: true}}" for n in range(generated)]
    return TWO.replace("{refund}", ", ".join(written)).replace("{swap}", ", ".join(f"z{n} y" for n in range(swap)))


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.05, 0.1, 0.5])
def test_rows_needed_are_the_fewest_that_can_be_certified(rate: float) -> None:
    assert promises.DELTA == DELTA
    number = rows_needed(rate)
    assert allowed(number, rate, DELTA) == 0 and allowed(number - 1, rate, DELTA) == -1


@pytest.mark.parametrize(
    ("refund", "swap", "fix"),
    [
        (8, 9, "add 82 more: 42 for /refund, 41 for /swap"),
        (60, 6, "add 33 more: 33 for /swap"),
        (30, 16, "add 53 more: 20 for /refund, 34 for /swap"),
        (97, 1, "add 1 more: 1 for /swap"),
    ],
)
def test_lint_says_how_many_examples_are_missing_and_where(load: Load, refund: int, swap: int, fix: str) -> None:
    (finding,) = of(load({"pack.yaml": two(refund, swap)}), "few_to_certify")
    assert finding.severity == "hint" and finding.message.startswith(f"{refund + swap} examples")
    assert sorted(finding.fix.replace(":", ",").split(", ")) == sorted(fix.replace(":", ",").split(", "))


def test_of_many_tasks_lint_names_those_with_fewest(load: Load) -> None:
    tasks = "".join(f"\n  t{n:02}: {{examples: [a{n} b, c{n} d]}}" for n in range(20))
    (finding,) = of(load({"pack.yaml": f"tasks:{tasks}"}), "few_to_certify")
    named = ", ".join(f"3 for /t0{n}" for n in range(5))
    assert finding.fix == f"add 59 more: {named}, and some for 15 other tasks"


def test_with_enough_examples_lint_is_silent(load: Load) -> None:
    assert not of(load({"pack.yaml": two(50, 49)}), "few_to_certify", "all_generated")
    assert of(load({"pack.yaml": two(49, 49)}), "few_to_certify")


def test_what_is_generated_does_not_count(load: Load) -> None:
    (finding,) = of(load({"pack.yaml": two(10, 10, generated=100)}), "few_to_certify")
    assert finding.message.startswith("20 examples")


def test_where_all_is_generated_nothing_can_be_certified(load: Load) -> None:
    (finding,) = of(load({"pack.yaml": two(0, 0, generated=100)}), "few_to_certify", "all_generated")
    assert (finding.code, finding.severity) == ("all_generated", "warning")
    assert finding.fix.startswith("add 99 that customers wrote")


def test_lower_rates_need_more_and_thresholds_by_hand_need_none(load: Load) -> None:
    lower = load({"pack.yaml": f"settings: {{error: 0.01}}\n{indent(two(38, 38), '')}".replace("\n    ", "\n")})
    assert "299 are the least" in of(lower, "few_to_certify")[0].message
    by_hand = "settings: {thresholds: {shortlist: 0.9}}\n" + two(3, 3).replace("\n    ", "\n")
    (finding,) = of(load({"pack.yaml": by_hand}), "few_to_certify", "threshold_by_hand")
    assert finding.code == "threshold_by_hand" and "error and exposure promise nothing" in finding.message


def test_turns_of_dialogues_that_open_a_task_count(load: Load) -> None:
    talk = "[{user: a, task: /refund}, {user: b}, {assistant: c}, {user: d, task: /swap}, {user: e, task: /}]"
    (finding,) = of(load({"pack.yaml": f"dialogues: [{talk}]\n" + two(3, 3).replace("\n    ", "\n")}), "few_to_certify")
    assert finding.message.startswith("8 examples")


# ------------------------------------------------------------------------------------------------- headings


@pytest.mark.parametrize(
    ("about", "when_asked", "heading"),
    [
        ("", "", "late fee"),
        ("Fees for late payment. Others are /fee.", "", "Fees for late payment"),
        ("Fees for\n  late payment.\nOthers", "", "Fees for late payment"),
        ("Fees", "The customer asks for a late fee back", "The customer asks for a late fee back"),
        ("word " * (HEADING_WORDS + 1), "", "late fee"),
        ("w" * 301 + ". More.", "", "late fee"),
    ],
)
def test_a_case_is_headed_by_what_the_customer_wants(about: str, when_asked: str, heading: str) -> None:
    assert Task("/billing/late_fee", about, when_asked=when_asked).case == heading


def test_a_heading_is_one_line(load: Load) -> None:
    text = "tasks:\n  a:\n    when_asked: |\n      The customer\n\n      wants   it\n"
    assert load({"pack.yaml": text}).policy.tasks["/a"].when_asked == "The customer wants it"


def test_whoever_extends_may_word_the_heading_anew(load: Load) -> None:
    files = {"base.yaml": "tasks: {a: {when_asked: one}, b: {when_asked: two}}"}
    tasks = load(files | {"pack.yaml": "extends: base\ntasks: {a: {when_asked: three}}"}).policy.tasks
    assert (tasks["/a"].case, tasks["/b"].case) == ("three", "two")


@pytest.mark.parametrize(
    ("one", "other", "codes"),
    [
        ("about: Money", "about: Swaps", []),
        ("about: Money", "brief: x", ["bare_heading"]),
        ("about: Money. Back", "about: money. Later", ["same_heading"]),
        ("when_asked: swap", "brief: x", ["bare_heading", "same_heading"]),
        ("about: Money", "about: Money\n        when_asked: Swaps", []),
        ("about: Money", f"about: {'word ' * 41}", ["bare_heading"]),
    ],
)
def test_headings_must_tell_tasks_apart(load: Load, one: str, other: str, codes: list[str]) -> None:
    text = (
        two(2, 2)
        .replace("examples: [x", f"{one}\n        examples: [x")
        .replace("examples: [z", f"{other}\n        examples: [z")
    )
    assert [finding.code for finding in of(load({"pack.yaml": text}), "bare_heading", "same_heading")] == codes


def test_what_is_never_listed_needs_no_heading(load: Load) -> None:
    text = "tasks: {billing: {tasks: {refund: {about: Money, examples: [a]}}}}"
    assert not of(load({"pack.yaml": text}), "bare_heading")


def test_headings_are_searched_for_secrets(load: Load) -> None:
    (finding,) = of(load({"pack.yaml": "tasks:\n  a:\n    when_asked: uses sk-abcdefghijklmnop1234"}), "secret")
    assert finding.line == 2


# ------------------------------------------------------------------------------------------------- lists and budgets


def lists(load: Load, budget: int, shortlist: int = 3) -> list[tuple[str, str]]:
    """Return the findings of a pack of four tasks that say 20 tokens briefly and 20 more at level guided."""
    text = f"settings: {{budget_tokens: {budget}, shortlist: {shortlist}}}\nbrief: {'Word ' * 20}\ntasks:\n"
    for name in "abcd":
        text += f"  {name}: {{about: {name}, examples: [{name}], brief: {'word ' * 19}, guided: {'words ' * 19}}}\n"
    return [(f.severity, f.message) for f in of(load({"pack.yaml": text}), "shortlist_over_budget")]


def test_shortlists_are_held_against_the_budget(load: Load) -> None:
    around = len(CASES.split()) + 25
    assert lists(load, 1000) == []
    ((severity, message),) = lists(load, around + 3 * 30)
    assert severity == "hint" and "a usual shortlist of 3 takes" in message
    ((severity, message),) = lists(load, around + 2 * 24)
    assert severity == "warning" and "a shortlist of /a, /b, /c takes" in message and "a case is left out" in message
    assert lists(load, around + 3 * 30, shortlist=2) != lists(load, around + 3 * 30)


def test_without_two_tasks_there_is_no_list(load: Load) -> None:
    text = f"settings: {{budget_tokens: 10}}\ntasks: {{a: {{examples: [a], brief: {'word ' * 19}}}}}"
    assert not of(load({"pack.yaml": text}), "shortlist_over_budget")


def in_german(*lines: str, generated: bool = False) -> str:
    return f"language: de\ngenerated: {str(generated).lower()}\nexamples: {{/refund: [{', '.join(lines)}]}}"


def test_what_a_language_lacks_is_told(load: Load) -> None:
    files = {"pack.yaml": two(50, 50), "pack.examples.de.yaml": in_german("Geld", "Geld her")}
    lacking, few = of(load(files), "few_in_language", "few_to_certify_language")
    assert "in de, 1 of 2 tasks have no examples" in lacking.message and "--languages de" in lacking.fix
    assert "customers wrote 2 examples" in few.message and few.fix == "add 98 more that customers wrote"
    assert lacking.file.endswith("pack.examples.de.yaml") and lacking.severity == few.severity == "hint"


def test_a_language_that_machines_wrote_promises_nothing_and_is_not_told_of(load: Load) -> None:
    files = {"pack.yaml": two(50, 50), "pack.examples.de.yaml": in_german("Geld", generated=True)}
    assert [finding.code for finding in of(load(files), "few_in_language", "few_to_certify_language")] == [
        "few_in_language"
    ]
