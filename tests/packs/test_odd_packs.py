"""Packs as nobody should write them, and some do: each loads or says why not, is fitted, and decides safely."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router import Router
from router.assembly import snapshot_of
from router.core.decide import decide
from router.core.decision import Decision
from router.core.evidence import Belief, Certificate, Evidence, Likely
from router.core.policy import ROOT
from router.engine.guarding import FaultHandler
from router.packs import Pack, check

Load = Callable[[Mapping[str, str]], Pack]

MONEY = ["I want my money back", "refund please", "give me a refund", "can I be refunded", "money back now"]
PARCELS = ["where is my parcel", "track my parcel", "my parcel is late", "has the parcel left", "no parcel came"]
ASKED = ["I want a refund", "where is my parcel", "my parcel, and a refund", "what is the weather", "???"]


def decided(pack: Pack, text: str) -> Decision:
    return Router(pack).wrap({"model": "m", "messages": [{"role": "user", "content": text}]}).decision


def certificate_of(pack: Pack) -> Certificate:
    recogniser = snapshot_of(pack, None, FaultHandler(lambda code: None)).recogniser
    assert recogniser is not None
    return recogniser.certificate


def listed(texts: list[str], generated: bool = False) -> str:
    return json.dumps([{"text": text, "generated": True} if generated else text for text in texts])


@pytest.mark.parametrize("shortlist", [2, 5])
def test_a_pack_of_one_task_never_lists(load: Load, shortlist: int) -> None:
    settings = f"{{shortlist: {shortlist}, thresholds: {{sure: 0.6, shortlist: 0}}}}"
    pack = load({"pack.yaml": f"settings: {settings}\ntasks: {{a: {{examples: {listed(MONEY)}}}}}"})
    router = Router(pack)
    for text in ASKED:
        decision = router.wrap({"model": "m", "messages": [{"role": "user", "content": text}]}).decision
        assert decision.shortlist == () and decision.task in (ROOT, "/a")
    assert decided(pack, "refund please").task == "/a"


def test_a_pack_without_any_example_says_what_holds_for_all(load: Load) -> None:
    pack = load({"pack.yaml": "brief: Be polite.\ntasks: {a: {when_asked: one, brief: x}, b: {brief: y}}"})
    decision = decided(pack, "anything")
    assert (decision.task, decision.shortlist, decision.text) == (ROOT, (), "Be polite.")
    assert {f.code for f in check(pack)} >= {"no_examples"} and not {f.code for f in check(pack)} & {"few_to_certify"}


def test_a_task_without_examples_is_in_no_list(load: Load) -> None:
    text = f"brief: x\ntasks: {{a: {{examples: {listed(MONEY)}}}, b: {{examples: {listed(PARCELS)}}}, c: {{brief: y}}}}"
    pack = load({"pack.yaml": text})
    router = Router(pack)
    for asked in ASKED:
        assert (
            "/c" not in router.wrap({"model": "m", "messages": [{"role": "user", "content": asked}]}).decision.reached
        )
    assert [f.message for f in check(pack) if f.code == "no_examples"] == ["/c has no examples and is never recognised"]


@pytest.mark.parametrize("in_file", [False, True])
def test_where_all_examples_are_generated_nothing_is_certified(load: Load, in_file: bool) -> None:
    money, parcels = ([f"{text} {n}" for text in texts for n in range(20)] for texts in (MONEY, PARCELS))
    files = {"money.txt": "\n".join(money), "parcels.txt": "\n".join(parcels)}

    def pack(generated: bool) -> Pack:
        if in_file:
            a, b = (f"[{{file: {name}, generated: {str(generated).lower()}}}]" for name in files)
        else:
            a, b = listed(money, generated), listed(parcels, generated)
        return load(files | {"pack.yaml": f"tasks: {{a: {{examples: {a}}}, b: {{examples: {b}}}}}"})

    written, made = certificate_of(pack(False)), certificate_of(pack(True))
    assert (written.basis, written.rows) == ("certified", 200)
    assert (made.basis, made.rows) == ("default", 0)
    assert made.thresholds.sure > written.thresholds.sure
    assert [f.severity for f in check(pack(True)) if f.code == "all_generated"] == ["warning"]
    assert decided(pack(True), "refund please").task == "/a"


def test_generated_examples_of_a_pack_that_is_extended_train_and_certify_nothing(load: Load) -> None:
    base = f"tasks: {{a: {{examples: {listed(MONEY, True)}}}, b: {{examples: {listed(PARCELS)}}}}}"
    over = "extends: base\ntasks: {a: {examples: [refund please, reimburse me]}}"
    pack = load({"base.yaml": base, "pack.yaml": over})
    assert pack.policy.tasks["/a"].examples == (*MONEY, "reimburse me")
    assert pack.policy.generated == {("/a", text) for text in MONEY if text != "refund please"}
    assert certificate_of(pack).rows == len(PARCELS) + 2


def test_a_text_that_no_task_answers_may_be_generated_too(load: Load) -> None:
    text = "examples: [hello, bye]\nunrelated: [{text: hello, generated: true}, {text: weather, generated: true}, rain]"
    assert load({"pack.yaml": text}).policy.generated == {(ROOT, "weather")}


def test_a_thousand_tasks_load_and_decide(load: Load, tmp_path: Path) -> None:
    """Fitting them takes half a minute, too long for a test."""
    files = {"pack/policy.yaml": "brief: Be polite.\nguided: Be exact."}
    for domain in range(20):
        tasks = (
            f"  t{n}: {{when_asked: 'wants {domain} {n}', examples: [{chr(97 + domain)}{chr(97 + n // 26)}{chr(97 + n % 26)}], brief: Say {n}.}}"
            for n in range(50)
        )
        files[f"pack/d{domain:02}.yaml"] = "brief: Ask first.\ntasks:\n" + "\n".join(tasks)
    pack = load(files)
    assert len(pack.policy.tasks) == 1021
    assert {f.code for f in check(pack)} == {"few_examples", "untested_task"}
    likely = tuple(Likely(path, 0.33) for path in ("/d00/t0", "/d07/t9", "/d19/t49"))
    decision = decide(pack.policy, Evidence(Belief({path: mass for path, mass in likely}, likely)))
    assert decision.listed == tuple(path for path, _ in likely)
    assert all(f"Case: wants {case}" in decision.text for case in ("0 0", "7 9", "19 49"))
