"""The parts of the recognition benchmark measure what they say, on inputs small enough to check."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from router.classify.belief import Tree
from router.classify.fit.turning import Turning
from router.core.evidence import Thresholds
from tests.bench import recognition, recognition_certificate, recognition_dialogues, recognition_parts
from tests.bench.recognition_contenders import Answer, OurRouter, ScikitLearn
from tests.bench.recognition_metrics import NAN, auroc, calibration_error, leads_to, p50_p99
from tests.bench.recognition_robustness import attacked_shares, spoilt_shares
from tests.bench.recognition_sets import (
    SETS,
    Messages,
    Row,
    data_folder,
    dialogues,
    domain_of,
    draw,
    openings,
    policy_of,
    why_missing,
)
from tests.bench.recognition_summary import SOURCES, Aim, aims
from tests.bench.recognition_table import Ledger, Line, judged, measure, print_lines
from tests.bench.recognition_texts import ATTACKS, ELSEWHERE, SPOILT

WISHES = {
    "/billing/refund": (
        "i want my money back",
        "please refund order {n}",
        "refund me for item {n}",
        "can i be refunded",
    ),
    "/billing/invoice": ("send me the invoice {n}", "i need a bill for {n}", "where is my invoice", "invoice please"),
    "/delivery/track": (
        "where is my parcel {n}",
        "track package {n}",
        "my parcel has not arrived",
        "parcel status {n}",
    ),
    "/delivery/address": ("change my address", "ship it to street {n} instead", "wrong address on {n}", "new address"),
}
ROWS = tuple(Row(form.format(n=n), path) for path, forms in WISHES.items() for form in forms for n in (11, 22))
SMALL = Messages("CLINC150", ROWS, ROWS[::2], ("sing me a song", "who won the match"), ("tell me a joke",))

scores = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def router() -> OurRouter:
    fitted = OurRouter()
    fitted.fit(SMALL.train)
    return fitted


@pytest.fixture
def data() -> Path:
    folder = data_folder()
    missing = why_missing(folder)
    if missing:
        pytest.skip(missing)
    return folder


@given(scores, scores)
def test_auroc_is_scikit_learn_s(inside: list[float], outside: list[float]) -> None:
    expected = roc_auc_score([1] * len(inside) + [0] * len(outside), inside + outside)
    assert auroc(inside, outside) == pytest.approx(expected)


@pytest.mark.parametrize(("inside", "outside"), [([], [1.0]), ([1.0], []), ([NAN], [0.5])])
def test_auroc_is_unknown_without_scores(inside: list[float], outside: list[float]) -> None:
    assert np.isnan(auroc(inside, outside))


def test_the_calibration_error_is_the_distance_between_the_curve_and_the_diagonal() -> None:
    from sklearn.calibration import calibration_curve

    dice = np.random.default_rng(3)
    stated = dice.random(3_000)
    right = dice.random(3_000) < stated**2
    true, said = calibration_curve(right, stated, n_bins=15, strategy="quantile")  # 15 bins of 200
    assert calibration_error(stated, right) == pytest.approx(float(np.abs(true - said).mean()), abs=1e-3)
    assert calibration_error(stated, dice.random(3_000) < stated) < 0.04


def test_a_contender_that_is_always_sure_and_half_right_is_off_by_half() -> None:
    assert calibration_error([1.0] * 30, [True, False] * 15) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("found", "truth", "right"),
    [("/", "/a/b", True), ("/a", "/a/b", True), ("/a/b", "/a/b", True), ("/a", "/ab/c", False), ("/a", "/", False)],
)
def test_what_settles_on_the_lineage_is_right(found: str, truth: str, right: bool) -> None:
    assert leads_to(found, truth) is right


def test_percentiles_are_medians_over_rounds() -> None:
    assert p50_p99([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]]) == (2.0, 2.0)


def test_a_draw_gives_each_task_the_same_number_and_can_be_repeated() -> None:
    drawn = draw(ROWS, 3, seed=5)
    assert [row.path for row in drawn] == sorted(path for path in WISHES for _ in range(3))
    assert drawn == draw(ROWS, 3, seed=5) != draw(ROWS, 3, seed=6)
    assert sorted(draw(ROWS, None, 0)) == sorted(ROWS)


def test_a_pack_of_rows_has_their_tree() -> None:
    policy = policy_of(ROWS, ["tell me a joke"])
    assert list(policy.tasks)[:3] == ["/", "/billing", "/billing/invoice"]
    assert policy.tasks["/delivery"].children == ("/delivery/address", "/delivery/track")
    assert policy.unrelated == ("tell me a joke",)
    assert domain_of("/billing/refund") == "/billing"


def test_the_figures_of_a_line_follow_from_the_answers() -> None:
    messages = Messages("x", ROWS, (Row("a", "/billing/refund"), Row("b", "/delivery/track")), ("c",))
    right = Answer("/billing/refund", "/billing", 0.9, 0.9, 0.9, "/billing/refund")
    wrong = Answer("/delivery/address", "/delivery", 0.5, 0.5, 0.5, "/delivery/address")
    outside = Answer("/billing/refund", "/billing", 0.7, 0.7, 0.1, "/billing")
    found = judged(messages, [right, wrong], [outside])
    assert (found["task"], found["domain"], found["auroc_top"], found["auroc_some"]) == (0.5, 1.0, 0.5, 1.0)
    assert (found["sure"], found["reach"], found["general"]) == (1.0, 0.5, 0.0)
    assert (found["wrong"], found["plainly"], found["outside_acted"]) == (0.5, 0.5, 1.0)
    cases = ("/delivery/track", "/delivery/address")
    found = judged(messages, [right, Answer("/delivery/address", "/delivery", 0.5, 0.5, 0.5, "/delivery", cases)], [])
    assert (found["sure"], found["reach"], found["wrong"]) == (0.5, 1.0, 0.0)


@pytest.mark.parametrize("contender", [OurRouter, ScikitLearn])
def test_a_contender_s_line_is_whole(contender: Any, capsys: pytest.CaptureFixture[str]) -> None:
    line = measure(contender(), "Prompt Router", SMALL, None, seed=0)
    assert line.task > 0.8
    assert line.p50 > 0
    assert line.resident > 10
    print_lines([line])
    assert "| all" in capsys.readouterr().out


def test_what_an_earlier_run_measured_is_not_measured_again(tmp_path: Path) -> None:
    part = recognition_parts.Part(quick=False, data=tmp_path, results=tmp_path)
    assert len(Ledger(part).missing("Prompt Router")) == len(SETS) * (3 * 5 + 1)
    answered = judged(SMALL, [Answer("/billing/refund", "/billing", 0.9, 0.9, 0.9)] * len(SMALL.test), [])
    Ledger(part).add(Line("Prompt Router", "CLINC150", 10, 0, **answered))
    resumed = Ledger(part)
    assert ("CLINC150", 10, 0) not in resumed.missing("Prompt Router")
    assert ("CLINC150", 10, 0) in resumed.missing("scikit-learn")
    assert ("CLINC150", None, 0) in resumed.missing("Prompt Router")


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_message_keeps_its_words_or_nearly(name: str) -> None:
    spoil = SPOILT[name]
    text = "please refund order eleven today"
    spoilt = spoil(text, random.Random(1))
    assert spoilt != text
    assert spoilt == spoil(text, random.Random(1))
    kept = sum(word in spoilt.lower() for word in text.split())
    assert kept >= (3 if "edit" in name else 5)


def test_typos_are_in_a_third_of_the_words() -> None:
    text = "where is the parcel that was ordered last monday"
    spoilt = SPOILT["one random edit in a third of the words"](text, random.Random(2)).split()
    assert sum(one != other for one, other in zip(spoilt, text.split(), strict=True)) == 3


@pytest.mark.parametrize("name", [name for name in SPOILT if name.startswith("20 ")])
def test_twenty_words_are_appended(name: str) -> None:
    assert len(SPOILT[name]("refund", random.Random(2)).split()) == 21


def test_robustness_is_measured_on_every_way_and_suffix(router: OurRouter) -> None:
    spoilt = spoilt_shares(router, SMALL.test)
    assert list(spoilt) == ["as it is", *SPOILT]
    assert spoilt["in capitals"]["task"] == spoilt["as it is"]["task"]
    attacked = attacked_shares(router, SMALL, 10)
    assert set(ATTACKS) < set(attacked)
    assert all(0 <= share <= 1 for one in attacked.values() for share in one.values())
    assert sum(map(len, ELSEWHERE.values())) >= 36


def test_a_dialogue_is_split_into_openings_and_follow_ups(tmp_path: Path) -> None:
    spoken = {
        "turns": [
            {"user": "i want my money back", "task": ["/billing/refund"]},
            {"assistant": "which order?"},
            {"user": "the last one", "task": ["/billing/refund"]},
            {"assistant": "done"},
            {"user": "and where is my parcel", "task": ["/delivery/track"]},
        ]
    }
    (tmp_path / "sgd").mkdir()
    (tmp_path / "sgd" / "dev.jsonl").write_text(json.dumps(spoken) + "\n")
    [turns] = dialogues(tmp_path, "dev")
    assert [turn.reply for turn in turns] == ["", "which order?", "done"]
    assert [sorted(turn.opened) for turn in turns] == [["/billing/refund"], [], ["/delivery/track"]]
    assert [row.text for row in openings([turns], 0)] == ["i want my money back", "and where is my parcel"]


@pytest.mark.parametrize("way", [recognition_dialogues.ALONE, recognition_dialogues.FILTERED])
def test_following_a_dialogue_counts_turns_of_known_tasks(router: OurRouter, way: str) -> None:
    known, unknown = frozenset({"/billing/refund"}), frozenset({"/music/play"})
    turns = [
        recognition_dialogues.Said("", "i want my money back", known, known),
        recognition_dialogues.Said("", "play a song", unknown, unknown),
    ]
    found = recognition_dialogues.follow(router.recogniser, [turns], way)
    assert (found.turns, found.openings) == (1, 1.0)


def test_the_lowest_threshold_keeps_to_alpha_and_no_lower_one_does() -> None:
    wrong = np.array([0.9, 0.8, 0.8, 0.3, *[0.0] * 96])
    threshold = recognition_certificate.lowest(wrong, 0.03)
    assert (wrong >= threshold).mean() <= 0.03
    assert (wrong >= np.nextafter(threshold, 0)).mean() > 0.03
    assert recognition_certificate.lowest(wrong, 0.05) == 0.0


def test_a_population_tells_messages_in_scope_from_others() -> None:
    tree = Tree(("/", "/a", "/a/x", "/a/y", "/b", "/b/z"), ("/a/x", "/a/y", "/b/z"))
    probabilities = np.array([[0.5, 0.3, 0.1], [0.1, 0.2, 0.6], [0.4, 0.1, 0.2]])
    found = recognition_certificate.population("small", tree, probabilities, ("/a/y", "/a/x", "/"))
    assert (len(found.inside.wrong), len(found.outside.wrong)) == (2, 1)
    strict, lax = Thresholds(0.999, 0.99), Thresholds(0.98, 0.69)
    assert found.rates(strict) == (0.0, 0.0, 0.0) and found.told(lax) == 1.0
    assert found.rates(lax) == (0.0, 0.0, 1.0), "lists of all three tasks, which hold every truth"
    assert found.rates(replace(lax, known=0.8)) == (0.0, 0.0, 0.0)


def test_certified_thresholds_keep_their_promise_on_a_made_population() -> None:
    dice = np.random.default_rng(1)
    sure = dice.random(4_000)
    wrong = np.where(dice.random(4_000) < 0.3 * (1 - sure), sure, 0.0)
    turned = Turning(sure, np.where(dice.random(4_000) < 0.5, wrong, 0.0), wrong, np.full(4_000, 1.0))
    foreign = Turning(*[dice.random(1_000) * 0.8] * 4)
    made = recognition_certificate.Population("made", turned, foreign)
    kept = recognition_certificate.keeps(made, made, 500, resamples=200)
    assert kept.certified == 1.0
    assert kept.broken <= 0.15 and kept.broken >= max(kept.broken_error, kept.broken_exposure)
    assert kept.broken_naive > 0.25
    assert 0.3 < kept.of_oracle <= 1.0


@pytest.mark.parametrize(
    ("reached", "more", "verdict"),
    [(0.9, True, "stretch"), (0.82, True, "target"), (0.7, True, "missed by 10.0 %"), (NAN, True, "not measured")],
)
def test_a_verdict_says_how_far_a_figure_got(reached: float, more: bool, verdict: str) -> None:
    assert Aim("accuracy", "%", 0.8, 0.85, reached, more).verdict == verdict


def test_less_is_better_where_it_is() -> None:
    assert Aim("time", "ms", 1e-3, 0.5e-3, 0.7e-3, False).verdict == "target"
    assert Aim("time", "ms", 1e-3, 0.5e-3, 2e-3, False).verdict == "missed by 1 ms"


def test_a_summary_of_nothing_is_empty_and_every_part_has_one() -> None:
    assert aims({}) == []
    assert set(SOURCES) == set(recognition.PARTS)


def test_without_data_the_benchmark_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    for start in (recognition.main, lambda argv: recognition_parts.begin("a part", argv)):
        with pytest.raises(SystemExit, match="BENCH_DATA"):
            start([])
    shutil.rmtree(tmp_path)
    assert "clinc150/domains.json" in why_missing(data_folder())


def test_the_data_sets_are_what_they_are_known_as(data: Path) -> None:
    clinc, banking = (load(data) for load in SETS.values())
    assert (len(clinc.train), len(clinc.test), len(clinc.outside), len(clinc.outside_train)) == (
        15_000,
        4_500,
        1_000,
        200,
    )
    assert (len({row.path for row in clinc.train}), clinc.deep) == (150, True)
    assert (len(banking.train), len(banking.test), len({row.path for row in banking.test})) == (10_003, 3_080, 77)
    assert not banking.deep
