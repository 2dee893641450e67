"""No key does nothing: whatever can be written in a pack, turning it changes something that can be seen.

The rows are the keys of the models that read packs: a key without a row fails, and so does one that nobody reads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from router.packs import load_pack
from router.packs.reference import SECTIONS
from tests.support.observing import observed

Keys = Mapping[str, Any]

NOTHING: Keys = MappingProxyType({})
TIER = {"values": ["free", "pro"], "from": {"metadata": "tier"}}
CUES = {
    "tier": TIER,
    "complexity": {"detect": "complexity"},
    "known": {"type": "boolean", "from": {"metadata": "known"}},
}
BOOLEAN = {"type": "boolean", "primary": True}
JUDGE = {"model": "careful", "metric": "m", "rubric": "It is right."}
ASK = {"ask": "where is my parcel", "expect": {"task": "/delivery"}}
MORE = "desk.examples.de.yaml"


def pack(task: Keys = NOTHING, /, **root: Any) -> dict[str, Any]:
    """The files of a small desk: `task` are keys of the task of parcels, `root` those of the root."""
    refund = {"brief": "Help with the refund.", "guided": ["Ask for the number."], "examples": ["a refund"]}
    parcel = {"brief": "Look.", "guided": ["Say where it is."], "detailed": ["Say when it comes."]}
    tasks = {
        "billing": {"brief": "Money.", "tasks": {"refund": refund}},
        "delivery": {**parcel, "examples": ["my parcel"], **task},
        "thanks": {"brief": "Thank.", "examples": ["thanks"]},
    }
    return {"desk.yaml": {"brief": "Be polite.", "cues": CUES, "tasks": tasks, **root}}


def instruction(keys: Keys) -> dict[str, Any]:
    said = keys if "snippet" in keys else {"text": "Say {tier}.", **keys}
    named = {"one": "Say one.", "two": "Say two."}
    return pack({"guided": [dict(said)]}, metrics={"c": {"type": "checks", "primary": True}}, snippets=named)


def settings(key: str) -> Callable[[Keys], dict[str, Any]]:
    return lambda keys: pack(settings={key: keys})


def cue(keys: Keys) -> dict[str, Any]:
    line = {"text": "Always.", "when": {"c": {"present": True}}}
    return pack({"brief": [line]}, cues={**CUES, "c": dict(keys)})


def metric(keys: Keys) -> dict[str, Any]:
    return pack({"brief": [{"text": "Look.", "check": {"max_words": 2}}]}, metrics={"m": dict(keys)})


def signal(keys: Keys) -> dict[str, Any]:
    return pack(metrics={"m": BOOLEAN, "n": BOOLEAN | {"primary": False}}, signals={"s": dict(keys)})


def beside(keys: Keys) -> dict[str, Any]:
    return {**pack(), MORE: dict(keys)}


FRAMES: dict[str, Callable[[Keys], dict[str, Any]]] = {
    "PackForm": lambda keys: {
        **pack(**{"metrics": {"m": BOOLEAN}, **keys}),
        "base.yaml": {"required": "From the base."},
    },
    "TaskForm": pack,
    "ExampleText": lambda keys: pack({"examples": [dict(keys)]}),
    "ExampleFile": lambda keys: {**pack({"examples": [dict(keys)]}), "a.txt": "one\n", "b.txt": "two\nthree\n"},
    "ExamplesForm": beside,
    "InstructionForm": instruction,
    "PresenceForm": lambda keys: instruction({"when": {"tier": dict(keys)}}),
    "CheckForm": lambda keys: instruction({"check": dict(keys)} if keys else {}),
    "ModelForm": lambda keys: pack({"model": dict(keys)}),
    "TrialForm": lambda keys: pack({"guided": [{"text": "Say {tier}."}], "tests": [dict(keys)]}),
    "ExpectForm": lambda keys: pack({"tests": [{**ASK, "expect": dict(keys)}]}),
    "SettingsForm": lambda keys: pack(metrics={"m": BOOLEAN}, settings=dict(keys)),
    "LevelsForm": settings("levels"),
    "ErrorForm": settings("error"),
    "ThresholdForm": settings("thresholds"),
    "CascadeForm": settings("cascade"),
    "CueForm": cue,
    "SourceForm": lambda keys: cue({"values": ["free", "pro"], "from": dict(keys)}),
    "MetricForm": metric,
    "SignalForm": signal,
    "JudgeForm": lambda keys: pack(metrics={"m": BOOLEAN, "n": {"type": "rating"}}, judge=dict(keys)),
    "AuxiliaryForm": lambda keys: pack({"required": "Never."}, auxiliary=[dict(keys)]),
    "TurnForm": lambda keys: pack(dialogues=[[{"user": "one", "task": "/delivery"}, dict(keys)]]),
    "DialogueForm": lambda keys: {**pack(dialogues=[{"file": "a.jsonl"}]), "a.jsonl": json.dumps(dict(keys))},
    "DialogueFile": lambda keys: {
        **pack(dialogues=[dict(keys)]),
        **{f"{name}.jsonl": json.dumps([{"user": name, "task": "/delivery"}]) for name in "ab"},
    },
}
"""By form: a pack with some keys of it."""

GIVEN: dict[str, Keys] = {
    "TrialForm": ASK,
    "MetricForm": BOOLEAN,
    "JudgeForm": JUDGE,
    "AuxiliaryForm": {"name": "title"},
}
"""By form: the keys that stand beside the one that is turned, unless the row says otherwise."""

AUX = {"name": "title", "user_contains": "title"}

ROWS: dict[str, dict[str, tuple[Any, Any] | tuple[Any, Any, Keys]]] = {
    "PackForm": {
        "name": (None, "other"),
        "extends": (None, "base"),
        "settings": (None, {"budget_tokens": 0}),
        "cues": (CUES, {**CUES, "d": TIER | {"say": "Tier: {value}"}}),
        "snippets": ({"a": "One."}, {"a": "Two."}, {"guided": [{"snippet": "a"}]}),
        "metrics": ({"m": BOOLEAN}, {}),
        "signals": (None, {"s": {"user_says": "thanks", "says": {"m": True}}}),
        "judge": (None, JUDGE),
        "auxiliary": (None, [AUX]),
        "boilerplate": (None, ["Sent from my phone"]),
        "user_words": (None, ["<question>"]),
        "unrelated": (None, ["the weather"]),
        "dialogues": (None, [[{"user": "x", "task": "/delivery"}]]),
    },
    "TaskForm": {
        "about": (None, "Parcels that are late."),
        "when_asked": (None, "The customer asks where a parcel is"),
        "complexity": (None, "complex"),
        "level": (None, "brief"),
        "stakes": ("normal", "high"),
        "courtesy": (False, True),
        "examples": (["a"], ["b"]),
        "brief": ("A.", "B."),
        "guided": ("A.", "B."),
        "detailed": ("A.", "B.", {"level": "detailed"}),
        "required": ("A.", "B."),
        "model": (None, {"use": "careful"}),
        "tests": (None, [ASK]),
        "off": (None, True),
        "tasks": (None, {"late": {"brief": "x"}}),
    },
    "ExampleText": {"text": ("a", "b"), "generated": (False, True, {"text": "a"})},
    "ExampleFile": {"file": ("a.txt", "b.txt"), "generated": (False, True, {"file": "a.txt"})},
    "ExamplesForm": {
        "language": (None, "de", {"examples": {"/delivery": ["Wo?"]}}),
        "generated": (False, True, {"examples": {"/delivery": ["Wo?"]}}),
        "examples": ({"/delivery": ["Wo?"]}, {"/thanks": ["Wo?"]}),
        "unrelated": (None, ["Wetter?"]),
    },
    "InstructionForm": {
        "text": ("A.", "B."),
        "snippet": ("one", "two"),
        "when": (None, {"tier": "free"}),
        "unless": (None, {"tier": "pro"}),
        "check": (None, {"max_words": 2}),
        "id": (None, "mine"),
    },
    "PresenceForm": {"present": (True, False)},
    "CheckForm": {
        "mentions_any": (["days"], ["weeks"]),
        "mentions_all": (["days"], ["weeks"]),
        "mentions_none": (["days"], ["weeks"]),
        "matches": ("\\d+ days", "\\d+ weeks"),
        "max_words": (2, 200),
        "max_sentences": (1, 20),
        "language": ("en", "de"),
        "json": (None, True),
        "ends_with_question": (True, False),
    },
    "ModelForm": {
        "use": (None, "careful"),
        "temperature": (0.1, 0.2),
        "top_p": (0.1, 0.2),
        "top_k": (1, 2),
        "min_p": (0.1, 0.2),
        "max_tokens": (1, 2),
        "max_completion_tokens": (1, 2),
        "presence_penalty": (0.1, 0.2),
        "frequency_penalty": (0.1, 0.2),
        "repetition_penalty": (0.1, 0.2),
        "seed": (1, 2),
        "stop": ("a", ["b"]),
        "reasoning_effort": ("low", "high"),
        "verbosity": ("low", "high"),
    },
    "TrialForm": {
        "name": (None, "mine"),
        "ask": ("where is my parcel", "a refund"),
        "talk": (["hello"], ["a parcel", "Which?", "yes"], {"ask": None}),
        "with": (None, {"tier": "pro"}, {"expect": {"says": "pro"}}),
        "expect": ({"task": "/delivery"}, {"task": "/thanks"}),
        "todo": (False, True),
    },
    "ExpectForm": {
        "task": ("/delivery", "/thanks"),
        "tasks": (["/delivery"], ["/thanks"]),
        "reach": ("/delivery", "/thanks"),
        "shortlist": (None, ["/delivery", "/thanks"], {"task": "/delivery"}),
        "level": ("guided", "detailed"),
        "says": ("Look", "weeks"),
        "not_says": ("Look", "weeks"),
        "tokens_max": (1, 400),
        "outcome": ("classified", "unclassified"),
    },
    "SettingsForm": {
        "level": ("brief", "detailed"),
        "levels": (None, {"simple": "brief", "complex": "detailed"}),
        "budget_tokens": (0, 500),
        "max_tasks": (1, 2),
        "shortlist": (2, 3),
        "error": (0.05, 0.2),
        "exposure": (0.1, 0.2),
        "thresholds": (None, {"sure": 0.9}),
        "place": ("after", "before"),
        "on_switch": ("tail", "head"),
        "pin_idle": ("1h", "10h"),
        "tuning": ("observe", "suggest"),
        "holdout": (0.0, 0.5),
        "encoder": ("static", "lexical"),
        "cascade": (None, {"encoder": "litellm:a"}),
    },
    "LevelsForm": {
        "simple": ("brief", "detailed"),
        "standard": ("brief", "detailed"),
        "complex": ("brief", "detailed"),
    },
    "ErrorForm": {"total": (0.05, 0.2), "unconditional": (0.01, 0.02), "domain": (0.1, 0.2), "task": (0.1, 0.2)},
    "ThresholdForm": {"sure": (0.9, 0.8), "shortlist": (0.9, 0.8), "domain": (None, 0.9), "task": (0.9, 0.8)},
    "CascadeForm": {
        "encoder": ("litellm:a", "litellm:b"),
        "share": (0.1, 0.2, {"encoder": "litellm:a"}),
        "budget_ms": (10, 20, {"encoder": "litellm:a"}),
    },
    "CueForm": {
        "values": (["free"], ["free", "pro"], {"from": {"metadata": "tier"}}),
        "type": ("number", "boolean", {"from": {"metadata": "known"}}),
        "text": (1, 40, {"from": {"metadata": "name"}, "say": "Name: {value}"}),
        "detect": ("language", "follow_up"),
        "from": (None, {"metadata": "tier"}, {"values": ["free", "pro"]}),
        "default": (None, "pro", {"values": ["free", "pro"]}),
        "say": (None, "Tier: {value}", TIER),
        "required": (False, True, TIER),
        "volatile": (False, True, {**TIER, "say": "Tier: {value}"}),
    },
    "SourceForm": {"header": (None, "customer-tier"), "metadata": (None, "tier")},
    "MetricForm": {
        "type": ("boolean", "checks"),
        "range": ([0, 10], [0, 100], {"type": "number"}),
        "primary": (False, True),
        "horizon": ("1h", "9h"),
        "default": (None, True),
        "better": ("high", "low"),
        "guardrail": (False, True),
    },
    "SignalForm": {
        "user_says": ("thanks", "danke", {"says": {"m": True}}),
        "answer_says": ("cannot", "can not", {"says": {"m": True}}),
        "tasks": (["/delivery"], ["/thanks"], {"says": {"m": True}}),
        "again_within": ("1h", "9h", {"says": {"m": True}}),
        "says": ({"m": True}, {"n": False}, {"user_says": "thanks"}),
    },
    "JudgeForm": {
        "model": ("a", "b", {"rate": 1}),
        "metric": ("m", "n", {"rate": 1}),
        "rubric": ("a", "b", {"rate": 1}),
        "rate": (0.001, 1),
        "audit": (None, 0.1),
    },
    "AuxiliaryForm": {
        "name": ("title", "other", {"user_contains": "title"}),
        "system_contains": ("write titles", "x"),
        "user_starts": ("Generate", "x"),
        "user_contains": ("title", "x"),
        "max_tokens_below": (5, 50, {"user_contains": "title"}),
        "stream": (True, False, {"user_contains": "title"}),
    },
    "TurnForm": {
        "user": ("a", "b"),
        "assistant": ("a", "b"),
        "task": ("/delivery", "/thanks", {"user": "a"}),
    },
    "DialogueForm": {"turns": ([{"user": "a", "task": "/delivery"}], [{"user": "b", "task": "/delivery"}])},
    "DialogueFile": {"file": ("a.jsonl", "b.jsonl")},
}
"""By form and key: the key before and after (None: left out), and what else stands beside it."""

KEYS = {
    (part.form.__name__, field.alias or name): part.form
    for parts in SECTIONS.values()
    for part in parts
    for name, field in part.form.model_fields.items()
    if part.form.__name__ != "PackForm" or name in part.form.__annotations__
}


def test_every_key_has_a_row_and_every_row_a_key() -> None:
    assert {(form, key) for form, rows in ROWS.items() for key in rows} == set(KEYS)


@cache
def seen(folder: Path, text: str) -> Any:
    """Return what can be seen of a pack, given as the JSON of its files. Findings name the folder: it is always one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in json.loads(text).items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return observed(load_pack(folder / "desk.yaml"))


def test_nothing_that_is_seen_changes_by_itself(tmp_path: Path) -> None:
    text = json.dumps(FRAMES["PackForm"]({}))
    again = [
        seen(tmp_path / "every-key", text + " " * number) for number in range(5)
    ]  # spaces: so it is looked at anew
    assert all(each == again[0] for each in again)


@pytest.mark.parametrize(("form", "key"), KEYS, ids=[f"{form}.{key}" for form, key in KEYS])
def test_turning_a_key_changes_something(tmp_path_factory: pytest.TempPathFactory, form: str, key: str) -> None:
    before, after, *more = ROWS[form][key]
    found = []
    for value in (before, after):
        keys = {**GIVEN.get(form, {}), **(more[0] if more else {}), key: value}
        files = FRAMES[form]({name: each for name, each in keys.items() if each is not None})
        text = json.dumps(files)
        found.append(seen(tmp_path_factory.getbasetemp() / "every-key", text))
    assert found[0] != found[1]
