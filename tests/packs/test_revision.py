"""Law 9: the revision is independent of form, order, comments and white space, and different for any change of meaning."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.policy import Policy
from router.packs import Pack, load_pack
from router.packs.load import revision_of

# ------------------------------------------------------------------------------------------------- random policies


class Said(str):
    """A text around which white space has no meaning."""


texts = st.text(st.sampled_from("abc é:#-{}'\"!,%&*\\"), min_size=1, max_size=12).map(str.strip).filter(bool).map(Said)
names = st.sampled_from(["billing", "refund", "orders", "a-b", "a_b", "7"])
level_words = st.sampled_from(["off", "brief", "guided", "detailed"])
clauses = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(["pro", ["pro", "free"], {"present": True}]),
        "known": st.booleans() | st.just({"present": False}),
        "queue": st.integers(0, 3) | st.sampled_from([[1, 2.5]]),
    },
).filter(bool)
checks = st.sampled_from([{"max_words": 5}, {"mentions_any": ["a", "b"]}, {"json": True}, {"matches": "\\d+"}])
items = texts.filter(lambda text: "{" not in text) | st.fixed_dictionaries(
    {"text": st.sampled_from([Said("plain"), Said("for {tier}")])},
    optional={"when": clauses, "unless": clauses, "check": checks},
)
said = texts.filter(lambda text: "{" not in text) | st.lists(items, max_size=3)
examples = texts | st.fixed_dictionaries({"text": texts}, optional={"generated": st.booleans()})
task_keys: dict[str, st.SearchStrategy[Any]] = {
    "about": texts,
    "when_asked": texts,
    "complexity": st.sampled_from(["core", "standard", "complex"]),
    "stakes": st.just("high"),
    "level": level_words | st.fixed_dictionaries({}, optional={"simple": level_words, "standard": level_words}),
    "examples": st.lists(examples, max_size=3, unique_by=str),
    "brief": said,
    "guided": said,
    "detailed": said,
    "required": said,
    "model": st.fixed_dictionaries({}, optional={"use": st.just("careful"), "temperature": st.sampled_from([0.5, 1])}),
    "tests": st.just([{"ask": "x", "expect": {"task": "/"}}]),
}
CUES = {
    "tier": {"values": ["free", "pro"], "from": {"header": "x-tier", "metadata": "tier"}, "default": "free"},
    "known": {"type": "boolean"},
    "queue": {"type": "number", "volatile": True, "say": "Waiting: {value}"},
}
METRICS = {
    "solved": {"type": "boolean", "primary": True, "horizon": "72h", "default": True},
    "csat": {"type": "rating", "better": "low", "guardrail": True, "default": 2.5},
}
SIGNALS = {
    "thanks": st.just({"user_says": ["x", "y"], "says": {"solved": True, "csat": 5}}),
    "refused": st.just({"answer_says": "no", "says": {"solved": False}}),
    "again": st.just({"again_within": "3h", "says": {"solved": False}}),
}
settings_keys = {
    "level": level_words,
    "levels": st.fixed_dictionaries({}, optional={"simple": level_words, "complex": level_words}),
    "budget_tokens": st.integers(0, 900),
    "shortlist": st.integers(2, 5),
    "error": st.just(0.2)
    | st.fixed_dictionaries({}, optional={"total": st.just(0.2), "unconditional": st.just(0.01)})
    | st.fixed_dictionaries({}, optional={"domain": st.just(0.02), "task": st.just(0.2)}),
    "exposure": st.just(0.3),
    "thresholds": st.just({"sure": 0.9}) | st.just({"task": 0.9, "domain": 0.5}),
    "pin_idle": st.sampled_from(["45s", "3h"]),
    "tuning": st.sampled_from(["observe", "suggest", "auto"]),
    "holdout": st.sampled_from([0, 0.1]),
}


turns = st.fixed_dictionaries({"user": texts}, optional={"task": st.just("/")}) | st.fixed_dictionaries(
    {"assistant": texts}
)


def with_opening(some: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"user": "where is it", "task": "/"}, *some]


def tasks(below: st.SearchStrategy[Any] | None) -> st.SearchStrategy[dict[str, Any]]:
    deeper = {"tasks": st.dictionaries(names, below, max_size=3)} if below is not None else {}
    return st.fixed_dictionaries({}, optional={**task_keys, **deeper})


policies = st.fixed_dictionaries(
    {
        "cues": st.just(CUES),
        "metrics": st.just(METRICS),
        "tasks": st.dictionaries(names, tasks(tasks(tasks(None))), max_size=3),
    },
    optional={
        **task_keys,
        "name": st.just("shop"),
        "settings": st.fixed_dictionaries({}, optional=settings_keys),
        "unrelated": st.lists(examples, max_size=2, unique_by=str),
        "dialogues": st.lists(st.lists(turns, min_size=1, max_size=3).map(with_opening), max_size=2),
        "boilerplate": st.just(["^>.*$"]),
        "user_words": st.just(["<ask>"]),
        "auxiliary": st.just([{"name": "ping", "user_starts": ["ping"], "max_tokens_below": 9}]),
        "signals": st.fixed_dictionaries({}, optional=SIGNALS),
        "judge": st.just({"model": "m", "metric": "csat", "rubric": Said("Is it kind?"), "audit": 0.5}),
    },
)

# ------------------------------------------------------------------------- one policy, written down in any way at all


class Scribe:
    """Writes data as YAML: keys in any order, any style of text, comments and white space wherever they may stand."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def folder(self, policy: dict[str, Any], folder: Path) -> None:
        """Write a policy as a folder; any task may as well stay in the file of its parent."""
        folder.mkdir(parents=True)
        (folder / "README.md").write_text("not part of it")
        self._folder(policy, folder, folder / "policy.yaml")

    def _folder(self, task: dict[str, Any], folder: Path, own: Path) -> None:
        inside = {}
        for name, child in self._shuffled(task.get("tasks", {})):
            match self.random.randrange(3):
                case 0:
                    inside[name] = child
                case 1:
                    self._folder(child, folder / name, folder / f"{name}.yml")
                case _:
                    (folder / name).mkdir(parents=True)
                    self._folder(child, folder / name, folder / name / "policy.yaml")
        task = {**task, "tasks": inside}
        kinds = {isinstance(text, dict) and text.get("generated", False) for text in task.get("examples", ())}
        if len(kinds) == 1 and self.random.random() < 0.5:
            own.parent.mkdir(parents=True, exist_ok=True)
            texts = [text["text"] if isinstance(text, dict) else text for text in task["examples"]]
            (own.parent / f"{own.stem}.txt").write_text("".join(f"{text}  \n\n" for text in texts), encoding="utf-8")
            task["examples"] = [{"file": f"{own.stem}.txt", "generated": kinds.pop()}]
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(self.text(task), encoding="utf-8")

    def text(self, value: dict[str, Any]) -> str:
        return "\n".join(self._block(value, "")) + "\n" * self.random.randrange(3)

    def _shuffled(self, mapping: Mapping[str, Any]) -> list[tuple[str, Any]]:
        pairs = list(mapping.items())
        self.random.shuffle(pairs)
        return pairs

    def _block(self, value: Any, indent: str) -> list[str]:
        """Return the lines of a mapping or list in block style."""
        lines = []
        pairs = self._shuffled(value) if isinstance(value, dict) else [(None, part) for part in value]
        for key, part in pairs:
            if self.random.random() < 0.2:
                lines.append(self.random.choice(["", f"{indent}# a comment: - 'x", "   ", "# &a *b"]))
            head = f"{indent}-" if key is None else f"{indent}{self.random.choice([key, json.dumps(key)])}:"
            if isinstance(part, dict | list) and part and self.random.random() < 0.7:
                lines += [head, *self._block(part, indent + " " * self.random.randint(1, 3))]
            elif isinstance(part, Said) and self.random.random() < 0.3:
                lines += [f"{head} {self.random.choice(['|', '>-', '|+'])}", f"{indent}    {part}", ""]
            else:
                lines.append(f"{head}  {self._flow(part)}{self.random.choice(['', ' # so'])}")
        return lines or [f"{indent}{{}}"]

    def _flow(self, value: Any) -> str:
        if isinstance(value, dict):
            return (
                "{" + ", ".join(f"{json.dumps(key)}: {self._flow(part)}" for key, part in self._shuffled(value)) + "}"
            )
        if isinstance(value, list):
            return "[ " + ",  ".join(self._flow(part) for part in value) + "]"
        if isinstance(value, Said):
            value = self.random.choice(["", " ", "\n"]) + value + self.random.choice(["", "  ", " \n"])
        return json.dumps(value, ensure_ascii=False)


@given(policies, st.randoms(use_true_random=False))
def test_however_it_is_written_it_is_the_same_policy(policy: dict[str, Any], random: Random) -> None:
    scribe = Scribe(random)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "one.yaml").write_text(scribe.text(policy), encoding="utf-8")
        (here / "two.yaml").write_text(json.dumps(policy), encoding="utf-8")
        scribe.folder(policy, here / "three")
        loaded = [load_pack(here / name).policy for name in ("one.yaml", "two.yaml", "three")]
    first, *others = [dataclasses.replace(found, name="") for found in loaded]
    for other in others:
        assert other == first
        assert list(other.tasks) == list(first.tasks)
        assert list(other.cues) == list(first.cues)
    if "name" in policy:
        assert {found.name for found in loaded} == {"shop"}


# ------------------------------------------------------------------------------------------- changes, one by one

RICH = """
name: shop
about: all
cues:
  tier: {values: [free, pro], from: {header: x-tier}, default: free, say: "Tier: {value}"}
  day: {type: date}
  queue: {type: number}
settings: {level: brief, error: {total: 0.1}}
metrics: {solved: {type: boolean}, csat: {type: rating, default: 3}}
signals: {thanks: {user_says: [danke, merci], says: {solved: true}}}
judge: {model: fine, metric: csat, rubric: Good?, rate: 0.5}
auxiliary: [{name: ping, user_starts: ping}]
boilerplate: [one]
unrelated: [weather]
dialogues:
  - [{user: give it back, task: /refund}, {assistant: Which one?}, {user: the red one}]
  - [{user: fine weather, task: /}, {user: money, task: /refund}]
brief: Be polite.
tasks:
  more: {model: {temperature: 1, top_p: 0.9}}
  refund:
    about: money
    examples: [back, money]
    complexity: core
    model: {use: careful, temperature: 0.5}
    guided:
      - {text: one, when: {tier: pro}, check: {max_words: 5}}
      - two
      - {text: three, unless: {queue: 2}}
    tests: [{ask: x, expect: {task: /refund}}]
"""

MEANINGFUL = [
    ("name: shop", "name: store"),
    ("about: all", "about: everything"),
    ("about: money", "about: Money"),
    ("values: [free, pro]", "values: [free, pro, gold]"),
    ("header: x-tier", "metadata: x-tier"),
    ("default: free", "default: pro"),
    ("Tier: {value}", "Plan: {value}"),
    ("type: date", "type: number"),
    ("type: date", "type: date, volatile: true"),
    ("day:", "date:"),
    ("level: brief", "level: off"),
    ("total: 0.1", "total: 0.2"),
    ("total: 0.1", "total: 0.1, unconditional: 0.02"),
    ("total: 0.1}", "total: 0.1}, shortlist: 4"),
    ("total: 0.1}", "total: 0.1}, exposure: 0.2"),
    ("total: 0.1}", "total: 0.1}, thresholds: {sure: 0.9}"),
    ("total: 0.1}", "total: 0.1}, thresholds: {shortlist: 0.9}"),
    ("total: 0.1}", "total: 0.1}, place: before"),
    ("about: money", "about: money\n    when_asked: The customer wants money back"),
    ("[back, money]", "[back, {text: money, generated: true}]"),
    ("[back, money]", "[{text: back, generated: true}, {text: money, generated: true}]"),
    ("[weather]", "[{text: weather, generated: true}]"),
    ("type: boolean", "type: boolean, primary: true"),
    ("type: boolean", "type: boolean, better: low"),
    ("type: boolean", "type: boolean, guardrail: true"),
    ("type: boolean", "type: boolean, default: false"),
    ("default: 3", "default: 4"),
    ("merci", "merci beaucoup"),
    ("says: {solved: true}", "says: {solved: false}"),
    ("says: {solved: true}", "says: {solved: true, csat: 5}"),
    ("user_says: [danke", "answer_says: [danke"),
    ("thanks:", "thanked:"),
    ("model: fine", "model: finer"),
    ("metric: csat", "metric: solved"),
    ("Good?", "Bad?"),
    ("level: brief, error", "level: brief, tuning: auto, error"),
    ("level: brief, error", "level: brief, holdout: 0, error"),
    ("complexity: core", "complexity: core\n    level: brief"),
    ("complexity: core", "complexity: core\n    level: {complex: guided}"),
    ("user_starts: ping", "user_contains: ping"),
    ("[one]", "[two]"),
    ("[weather]", "[weather, football]"),
    ("brief: Be polite.", "brief: Be polite"),
    ("brief: Be polite.", "brief: [Be polite.]"),
    ("brief: Be polite.", "guided: Be polite."),
    ("brief: Be polite.", "required: Be polite."),
    ("  more:", "  mores:"),
    ("[back, money]", "[back]"),
    ("[back, money]", "[money, back]"),
    ("complexity: core", "complexity: standard"),
    ("complexity: core", "stakes: high"),
    ("use: careful", "use: fast"),
    ("temperature: 0.5", "temperature: 0.6"),
    ("temperature: 0.5", "top_p: 0.5"),
    ("queue: 2", "queue: 3"),
    ("when:", "unless:"),
    ("{tier: pro}", "{tier: free}"),
    ("{tier: pro}", "{tier: {present: true}}"),
    ("max_words: 5", "max_words: 6"),
    ("max_words: 5", "max_sentences: 5"),
    ("text: one,", "text: one, id: i,"),
    ("      - two\n", ""),
    ("Which one?", "Which?"),
    ("{user: the red one}", "{user: the red one, task: /}"),
    ("{user: fine weather, task: /}", "{user: fine weather, task: /refund}"),
    (", {user: the red one}", ""),
    ("about: money", "about: money\n    off: true"),
    ("about: money", "about: money\n    tasks: {less: {}}"),
]
MEANINGLESS = [
    ("ask: x", "ask: y"),
    ("{user: the red one}", "{user: the red one, task: /refund}"),
    ("{assistant: Which one?}", "{assistant: '  Which one? '}"),
    ("about: all", "about: '  all '  # everything"),
    ("name: shop\nabout: all", "about: all\nname: shop"),
    ("level: brief, error: {total: 0.1}", "error: {total: 0.1}, level: brief"),
    ("[back, money]", "[back, money, back]"),
    ("[back, money]", "[{text: back, generated: true}, money, back]"),
    ("[back, money]", "[back, money, {text: back, generated: true}]"),
    ("[back, money]", "[back, {text: money, generated: false}]"),
    ("{total: 0.1}", "0.1"),
    ("{total: 0.1}", "{total: 0.1, unconditional: 0.03}"),
    ("{total: 0.1}", "{domain: 0.1}"),
    ("{total: 0.1}", "{domain: 0.01, task: 0.1}"),
    ("{total: 0.1}", "0.1, exposure: 0.10, shortlist: 3, thresholds: {}"),
    ("{total: 0.1}", "0.1, thresholds: {domain: 0.5}"),
    ("      - two", "      - {text: two}"),
    ("level: brief", "level: brief, budget_tokens: 500"),
    ("level: brief, error", "level: brief, tuning: suggest, holdout: 0.02, error"),
    ("type: boolean", "type: boolean, better: high, guardrail: false, horizon: 3d"),
    ("default: 3}", "default: 3.0, range: [1, 5]}"),
    ("rate: 0.5", "audit: 0.1, rate: 0.5"),
    ("rate: 0.5", "rate: 0.5, audit: 0"),  # of earlier releases
    ("complexity: core", "complexity: core\n    stakes: normal"),
    ("temperature: 0.5", "temperature: 5e-1"),
    ("when: {tier: pro}", "when: {tier: [pro]}"),
    ("queue: 2", "queue: 2.0"),
    ("temperature: 1,", "temperature: 1.0,"),
]


@pytest.fixture
def revision(load: Callable[[Mapping[str, str]], Pack]) -> Callable[[str], str]:
    return lambda text: load({"pack.yaml": text}).policy.revision


@pytest.mark.parametrize(("old", "new"), MEANINGFUL)
def test_a_change_of_meaning_changes_the_revision(revision: Callable[[str], str], old: str, new: str) -> None:
    assert old in RICH
    assert revision(RICH.replace(old, new, 1)) != revision(RICH)


@pytest.mark.parametrize(("old", "new"), MEANINGLESS)
def test_a_change_without_meaning_does_not(revision: Callable[[str], str], old: str, new: str) -> None:
    assert old in RICH
    assert revision(RICH.replace(old, new, 1)) == revision(RICH)


def test_which_texts_are_generated_counts_one_by_one(revision: Callable[[str], str]) -> None:
    ways = ["one", "{text: one, generated: true}"], ["two", "{text: two, generated: true}"]
    found = {revision(f"tasks: {{a: {{examples: [{first}, {second}]}}}}") for first in ways[0] for second in ways[1]}
    assert len(found) == 4


def test_older_keys_and_those_of_today_are_one_revision(revision: Callable[[str], str]) -> None:
    older = "settings: {error: {domain: 0.02, task: 0.04}, thresholds: {domain: 0.5, task: 0.8}}"
    assert revision(older) == revision("settings: {error: 0.04, thresholds: {sure: 0.8}}")


def test_a_revision_is_twelve_hexadecimal_digits(revision: Callable[[str], str]) -> None:
    assert re.fullmatch("[0-9a-f]{12}", revision("brief: Be polite."))


def test_the_order_of_mappings_does_not_count(load: Callable[[Mapping[str, str]], Pack]) -> None:
    policy = load({"pack.yaml": "settings: {levels: {simple: brief, complex: guided}}"}).policy
    turned = dict(reversed(policy.settings.levels.items()))
    other = dataclasses.replace(policy, settings=dataclasses.replace(policy.settings, levels=turned))
    assert revision_of(other, None) == policy.revision


def test_every_field_of_a_policy_counts(load: Callable[[Mapping[str, str]], Pack]) -> None:
    """A field that is added to the policy later must not be forgotten: the revision reads them all."""
    policy = load({"pack.yaml": RICH}).policy
    for field in dataclasses.fields(Policy):
        if field.name not in ("name", "revision"):
            changed = dataclasses.replace(policy, **{field.name: "changed"})
            assert revision_of(changed, "shop") != policy.revision, field.name
