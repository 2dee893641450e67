"""A pack that starts from another has the last word, task by task and key by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.core.errors import Fault
from router.core.policy import Level
from router.packs import Pack

Load = Callable[[Mapping[str, str]], Pack]
Faults = Callable[[Mapping[str, str]], tuple[Fault, ...]]

BASE = """
    name: base
    about: The base
    brief: Be polite.
    settings: {level: brief, budget_tokens: 100, levels: {simple: brief}, error: {total: 0.05, unconditional: 0.02}}
    cues: {tier: {values: [free, pro]}, known: {type: boolean}}
    metrics: {solved: {type: boolean, primary: true}}
    auxiliary: [{name: ping, user_starts: ping}, {name: title, user_starts: title}]
    boilerplate: [one]
    user_words: [<ask>]
    unrelated: [weather]
    dialogues: [[{user: give it back, task: /billing/refund}], [{user: the bill, task: /billing/invoice}]]
    tasks:
      billing:
        about: Money
        model: {use: careful, temperature: 0.2}
        tasks:
          refund:
            examples: [money back]
            brief: Help.
            guided: [Ask for the number., Name the rule.]
            tests: [{ask: refund, expect: {task: /billing/refund}}]
          invoice: {brief: Help with invoices.}
    """
OVER = """
    extends: base
    about: The child
    settings: {budget_tokens: 200, levels: {complex: detailed}, error: 0.1}
    cues: {tier: {values: [gold]}}
    auxiliary: [{name: ping, user_starts: pong}]
    boilerplate: [two]
    user_words: ['Asked: (.*)']
    unrelated: [football]
    dialogues: [[{user: where is it, task: /delivery}], [{user: give it back, task: /billing/refund}]]
    tasks:
      billing:
        model: {temperature: 1}
        tasks:
          refund: {examples: [reimburse me, money back], guided: Ask nothing.}
          invoice: {off: true}
      delivery: {about: Parcels}
    """


@pytest.fixture
def child(load: Load) -> Pack:
    return load({"base.yaml": BASE, "pack.yaml": OVER})


def test_the_child_has_the_last_word_on_what_it_says(child: Pack) -> None:
    policy = child.policy
    assert (policy.name, policy.about) == ("pack", "The child")
    settings = policy.settings
    assert (settings.level, settings.budget_tokens) == (Level.BRIEF, 200)
    assert settings.levels == {"simple": Level.BRIEF, "complex": Level.DETAILED}
    assert (settings.error, settings.unconditional) == (0.1, 0.02)
    assert policy.cues["tier"].values == ("gold",)
    assert [(rule.name, rule.user_starts) for rule in policy.auxiliary] == [("ping", ("pong",)), ("title", ("title",))]


def test_what_the_child_does_not_say_stays(child: Pack) -> None:
    assert child.policy.tasks["/"].instructions[0].text == "Be polite."
    assert child.policy.tasks["/billing"].about == "Money"
    assert "known" in child.policy.cues and child.policy.metrics["solved"].primary


def test_a_list_of_instructions_replaces_that_of_its_level(child: Pack) -> None:
    refund = child.policy.tasks["/billing/refund"]
    assert [(i.id, i.text) for i in refund.instructions] == [
        ("/billing/refund:brief.1", "Help."),
        ("/billing/refund:guided.1", "Ask nothing."),
    ]


def test_examples_and_patterns_are_added_once(child: Pack) -> None:
    assert child.policy.tasks["/billing/refund"].examples == ("money back", "reimburse me")
    assert child.policy.boilerplate == ("one", "two")
    assert child.policy.user_words == (r"(?is)<ask(?:\s[^<>]*)?>(.*?)</ask\s*>", "Asked: (.*)")
    assert child.policy.unrelated == ("weather", "football")


def test_dialogues_are_added_once_without_those_about_tasks_that_are_off(child: Pack) -> None:
    said = [[(turn.text, turn.task) for turn in dialogue.turns] for dialogue in child.policy.dialogues]
    assert said == [[("give it back", "/billing/refund")], [("where is it", "/delivery")]]


def test_parameters_merge_one_by_one(child: Pack) -> None:
    billing = child.policy.tasks["/billing"]
    assert (billing.model, dict(billing.parameters)) == ("careful", {"temperature": 1})


def test_a_task_that_is_off_goes_with_all_below_it(load: Load) -> None:
    pack = load({"base.yaml": BASE, "pack.yaml": "extends: base\ntasks: {billing: {off: true}}"})
    assert list(pack.policy.tasks) == ["/"] and pack.tests == ()


def test_off_prunes_without_extends_too_and_can_be_taken_back(load: Load) -> None:
    middle = "extends: base\ntasks: {billing: {off: true}}"
    files = {"base.yaml": BASE, "middle.yaml": middle, "pack.yaml": "extends: middle\ntasks: {billing: {off: false}}"}
    assert "/billing/refund" in load(files).policy.tasks
    silent = {**files, "pack.yaml": "extends: middle\ntasks: {billing: {about: Money}}"}
    assert "/billing" not in load(silent).policy.tasks
    assert list(load({"pack.yaml": "tasks: {a: {off: true}, b: {}}"}).policy.tasks) == ["/", "/b"]


def test_metrics_signals_judge_and_levels_merge(load: Load) -> None:
    base = """
        metrics: {solved: {type: boolean, default: true}, sent_on: {type: boolean}}
        signals:
          thanks: {user_says: [thanks], says: {solved: true}}
          handed_over: {tasks: [/person, /billing], says: {sent_on: true}}
          paid: {tasks: [/billing], says: {solved: true}}
        judge: {model: one, metric: solved, rubric: Good?}
        settings: {tuning: observe, holdout: 0.1}
        tasks:
          person: {level: {simple: brief, complex: detailed}}
          billing: {}
          other: {level: {simple: brief}}
        """
    over = """
        extends: base
        metrics: {solved: {type: boolean}}
        signals: {thanks: {user_says: [danke], says: {solved: true}}}
        settings: {tuning: auto}
        tasks: {person: {level: {complex: guided}}, billing: {off: true}, other: {level: guided}}
        """
    policy = load({"base.yaml": base, "pack.yaml": over}).policy
    assert policy.metrics["solved"].default is None and "sent_on" in policy.metrics
    assert [(s.name, s.user_says, s.tasks) for s in policy.signals] == [
        ("handed_over", (), ("/person",)),  # a task that is off meets nothing, and a signal without any goes
        ("thanks", ("danke",), ()),
    ]
    assert policy.judge is not None and policy.judge.model == "one"
    assert (policy.settings.tuning, policy.settings.holdout) == ("auto", 0.1)
    assert policy.tasks["/person"].levels == {"simple": Level.BRIEF, "complex": Level.GUIDED}
    assert policy.tasks["/other"].levels == {"": Level.GUIDED}


def test_a_judge_replaces_the_judge(load: Load) -> None:
    base = "metrics: {a: {type: boolean}}\njudge: {model: one, metric: a, rubric: r, rate: 0.5}"
    over = "extends: base\njudge: {model: two, metric: a, rubric: r}"
    judge = load({"base.yaml": base, "pack.yaml": over}).policy.judge
    assert judge is not None and (judge.model, judge.rate) == ("two", 0.1)


def test_tests_are_inherited_until_the_task_has_its_own(load: Load, child: Pack) -> None:
    assert [test.turns for test in child.tests] == [("refund",)]
    over = "extends: base\ntasks: {billing: {tasks: {refund: {tests: []}}}}"
    assert load({"base.yaml": BASE, "pack.yaml": over}).tests == ()


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({"base.yaml": "about: it"}, "base"),
        ({"base.yml": "about: it"}, "base.yml"),
        ({"base/policy.yaml": "about: it"}, "base"),
        ({"base/policy.yaml": "about: it"}, "./base"),
        ({"deep/base.yaml": "about: it"}, "deep/base.yaml"),
    ],
)
def test_a_pack_is_found_by_name_and_by_path(load: Load, files: dict[str, str], word: str) -> None:
    assert load({**files, "pack.yaml": f"extends: {word}"}).policy.about == "it"


def test_a_path_is_relative_to_the_pack_folder(load: Load) -> None:
    assert load({"base.yaml": "about: it", "pack/policy.yaml": "extends: ../base.yaml"}).policy.about == "it"


def test_folder_and_file_extend_each_other_alike(load: Load) -> None:
    folder = load({"base.yaml": BASE, "pack/policy.yaml": "extends: base", "pack/billing/refund.yaml": "about: x"})
    files = {"base.yaml": BASE, "pack.yaml": "extends: base\ntasks: {billing: {tasks: {refund: {about: x}}}}"}
    assert folder.policy.tasks["/billing/refund"].about == "x"
    assert folder.policy.tasks["/billing/invoice"].instructions
    revision = folder.policy.revision
    for path in sorted(folder.files, reverse=True):
        if "pack" in path.parts:
            path.unlink() if path.is_file() else path.rmdir()
    assert load(files).policy.revision == revision


def test_places_lead_to_the_file_that_says_it(child: Pack, tmp_path: Path) -> None:
    assert child.places["/billing/refund:brief.1"] == (str(tmp_path / "base.yaml"), 20)
    assert child.places["/billing/refund:guided.1"] == (str(tmp_path / "pack.yaml"), 15)
    assert {path.name for path in child.files if path.is_file()} == {"base.yaml", "pack.yaml"}


@pytest.mark.parametrize(
    ("files", "file", "message", "hint"),
    [
        ({"pack.yaml": "extends: bose", "base.yaml": ""}, "pack.yaml", 'no pack "bose"', 'did you mean "base"?'),
        ({"pack.yaml": "extends: pack"}, "pack.yaml", "in a circle: pack.yaml -> pack.yaml", ""),
        (
            {"pack.yaml": "extends: a", "a.yaml": "extends: b", "b.yaml": "extends: a"},
            "b.yaml",
            "in a circle: a.yaml -> b.yaml -> a.yaml",
            "",
        ),
        (
            {"pack/policy.yaml": "extends: ../a", "a/policy.yaml": "extends: ../pack"},
            "a/policy.yaml",
            "in a circle: pack -> a -> pack",
            "",
        ),
        ({"pack.yaml": "extends: ../elsewhere"}, "pack.yaml", 'no pack "../elsewhere"', ""),
        ({"pack.yaml": "extends: .."}, "pack.yaml", "lies outside of", "in the folder that holds this pack"),
        ({"pack.yaml": "extends: empty", "empty/x.txt": ""}, "empty", "there is no policy.yaml", ""),
        ({"pack.yaml": "extends: a", "a.yaml": "breif: x"}, "a.yaml", 'unknown key "breif"', "brief"),
        ({"pack.yaml": "off: true"}, "pack.yaml", "the root cannot be off", "level: off"),
        (
            {"pack.yaml": "auxiliary: [{name: a, user_starts: a}, {name: a, user_starts: b}]"},
            "pack.yaml",
            'two rules with the name "a"',
            "",
        ),
    ],
)
def test_what_cannot_be_extended_is_a_fault(
    faults_of: Faults, files: dict[str, str], file: str, message: str, hint: str
) -> None:
    (fault,) = faults_of(files)
    assert fault.file == file
    assert message in fault.message
    assert hint in fault.hint
