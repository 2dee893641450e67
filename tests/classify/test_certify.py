"""Certified thresholds: the promises by simulation, each row's way down the path against `settle`, and the rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from router.classify.belief import FEW, Tree
from router.classify.fit.certify import (
    DELTA,
    LEAST_SHORTLIST,
    Acceptance,
    allowed,
    certificate,
    least_share,
    thresholds_for,
)
from router.classify.fit.turning import HeldOutRows, Turning, sure_at, turning
from router.core.decide import settle
from router.core.decision import Settlement
from router.core.evidence import MASS_DIGITS, Belief, Thresholds, Tolerance
from router.core.policy import ROOT, Task, lineage

TREE = Tree(("/", "/a", "/a/x", "/a/y", "/b", "/b/z"), ("/a/x", "/a/y", "/b/z"))
DEEP = Tree(
    ("/", "/a", "/a/x", "/a/x/p", "/a/x/q", "/a/y", "/b", "/b/z", "/c"),
    ("/a/x", "/a/x/p", "/a/x/q", "/a/y", "/b/z", "/c"),
)
FIVE = Tolerance(0.05, 0.05, 0.10)


def tasks_of(tree: Tree) -> dict[str, Task]:
    paths = (ROOT, *tree.nodes)
    return {path: Task(path, children=tuple(tree.nodes[at] for at in tree.children.get(path, ()))) for path in paths}


def judged(*rows: tuple[list[float], str, int]) -> HeldOutRows:
    probabilities = [row for row, _, times in rows for _ in range(times)]
    return HeldOutRows(np.array(probabilities), tuple(truth for _, truth, times in rows for _ in range(times)))


def rate(turned: np.ndarray, rows: Turning, thresholds: Thresholds) -> float:
    return float(((turned >= thresholds.shortlist) & (rows.known >= thresholds.known)).mean())


@given(st.integers(0, 3_000), st.sampled_from([0.001, 0.01, 0.03, 0.2, 0.5]), st.sampled_from([0.05, 0.1]))
def test_so_many_wrong_rows_are_allowed_as_the_binomial_says(rows: int, alpha: float, delta: float) -> None:
    most = allowed(rows, alpha, delta)
    assert most == -1 or binom.cdf(most, rows, alpha) <= delta * (1 + 1e-9)
    assert most >= rows or binom.cdf(most + 1, rows, alpha) > delta * (1 - 1e-9)


@given(st.integers(1, 2_000), st.floats(0, 1))
def test_the_least_share_is_that_of_clopper_and_pearson(rows: int, share: float) -> None:
    hits = round(rows * share)
    expected = beta.ppf(DELTA, hits, rows - hits + 1) if hits else 0.0
    assert least_share(rows, hits, DELTA) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rows", [200, 500, 1_500])
def test_the_promises_are_kept(rows: int) -> None:
    """A thousand draws from a population where every fifth message is one that no task answers."""
    draw = np.random.default_rng(rows)
    scores = draw.normal(0, 1, (60_000, 7)) + 4 * draw.random((60_000, 1)) * np.eye(7)[draw.integers(0, 7, 60_000)]
    odds = np.exp(1.3 * scores)
    probabilities = odds[:, :6] / odds.sum(axis=1, keepdims=True)
    cuts = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).cumsum(axis=1)  # the truth is less sure
    names = (*DEEP.classes, ROOT)
    truths = tuple(names[min(at, 6)] for at in (cuts < draw.random((60_000, 1))).sum(axis=1).tolist())
    population = turning(HeldOutRows(probabilities, truths), DEEP, 3)
    inside = np.array([truth != ROOT for truth in truths])
    ours, foreign = population.some(inside), population.some(~inside)
    accepted, wrong, exposed, told = Tolerance(0.20, 0.08, 0.30), 0, 0, []
    for _ in range(1_000):
        found = thresholds_for(
            ours.some(draw.integers(0, len(ours.wrong), rows)),
            foreign.some(draw.integers(0, len(foreign.wrong), rows // 3)),
            accepted,
        )
        assert found is not None and found[1]
        error, plainly = (rate(each, ours, found[0]) for each in (ours.wrong, ours.plainly))
        wrong += error > accepted.error or plainly > accepted.unconditional
        exposed += rate(foreign.acted, foreign, found[0]) > accepted.exposure
        told.append(rate(ours.acted, ours, found[0]))
    for broken in (wrong, exposed):
        assert broken <= binom.ppf(0.999, 1_000, DELTA)  # what a thousand draws at exactly delta may show
    assert np.mean(told) > 0.1, "a promise that is kept by silence proves nothing"


@st.composite
def beliefs(draw: st.DrawFn, tree: Tree) -> np.ndarray:
    parts = np.array(draw(st.lists(st.integers(0, 40), min_size=7, max_size=7).filter(any)), float)
    sharp = parts ** draw(st.sampled_from([1, 3]))
    return np.asarray((sharp / sharp.sum())[: len(tree.classes)])


@given(st.data(), st.sampled_from([TREE, DEEP]), st.integers(2, 5), st.floats(LEAST_SHORTLIST, 1.0))
def test_what_settle_says_wrongly_has_turned(data: st.DataObject, tree: Tree, longest: int, shortlist: float) -> None:
    """And what has not turned is not told anything."""
    probabilities = data.draw(beliefs(tree))
    truth = data.draw(st.sampled_from([ROOT, *tree.classes]))
    sentences = np.array(data.draw(st.sampled_from([0, 2, 4])) * [data.draw(beliefs(tree))])
    if len(sentences):
        sentences[-1] = data.draw(beliefs(tree))
    rows = HeldOutRows(
        probabilities[None],
        (truth,),
        sentences.reshape(-1, len(tree.classes)),
        np.zeros(len(sentences), np.int64),
    )
    turned = turning(rows, tree, longest)
    thresholds = Thresholds(sure_at(shortlist), shortlist)
    clear = [row for row in sentences if is_clear(tree, row, thresholds)]
    enough = len({int(row.argmax()) for row in clear}) >= (2 if len(sentences) <= FEW else 1)
    heard = tuple(tree.belief(row) for row in sentences if enough or not is_clear(tree, row, thresholds))
    found = settle(tasks_of(tree), replace(tree.belief(probabilities), sentences=heard), thresholds, 2, longest)
    plainly, wrong = broken(found, truth)
    if truth == ROOT:
        alone = settle(tasks_of(tree), tree.belief(probabilities), thresholds, 1, longest)
        assert not (alone.shortlist or alone.paths[0].path != ROOT) or turned.acted[0] >= shortlist - 1e-4
    else:
        assert not plainly or turned.plainly[0] >= shortlist - 1e-4
        assert not wrong or turned.wrong[0] >= shortlist - 1e-4
    if turned.acted[0] < shortlist - 1e-4:
        assert settle(tasks_of(tree), tree.belief(probabilities), thresholds, 2, longest) == Settlement(
            (found.paths[0]._replace(path=ROOT, confidence=1.0, threshold=0.0),)
        )


def is_clear(tree: Tree, row: np.ndarray, thresholds: Thresholds) -> bool:
    belief = tree.belief(row)
    return belief.mass.get(belief.likeliest[0].path, 0.0) >= thresholds.sure


def broken(found: Settlement, truth: str) -> tuple[bool, bool]:
    plainly = any(path not in lineage(truth) for path, _, _ in found.paths)
    missed = bool(found.shortlist) and not any(truth in lineage(path) for path, _ in found.shortlist)
    return plainly, plainly or missed


@given(st.integers(0, 2**32), st.integers(100, 400), st.sampled_from([1, 4, 50]))
def test_no_more_rows_turn_than_allowed_whatever_the_ties(seed: int, rows: int, values: int) -> None:
    masses = np.random.default_rng(seed).integers(0, values + 1, (4, rows)) / values
    turned = Turning(*np.round(masses, MASS_DIGITS))
    found = thresholds_for(turned, turned, Tolerance(0.1, 0.05, 0.2))
    assert found is not None
    thresholds, bounds_exposure = found
    assert bounds_exposure and LEAST_SHORTLIST <= thresholds.shortlist <= thresholds.sure
    for each, bound in ((turned.wrong, 0.1), (turned.plainly, 0.05)):
        assert (each >= thresholds.shortlist).sum() <= allowed(len(each), bound, DELTA)
    told = (turned.acted >= thresholds.shortlist) & (turned.known >= thresholds.known)
    assert told.sum() <= allowed(len(told), 0.2, DELTA)


def test_a_list_may_say_what_a_task_alone_may_not() -> None:
    rows = judged(([0.9, 0.08, 0.0], "/a/x", 700), ([0.8, 0.15, 0.0], "/a/y", 300))
    told = certificate(rows, TREE, Acceptance(FIVE))
    assert (told.basis, told.reach, told.error, told.sure) == ("certified", 1.0, 0.0, 0.0)
    assert settle(tasks_of(TREE), TREE.belief(rows.probabilities[0]), told.thresholds).shortlist


def test_a_list_without_the_right_task_counts_as_wrong_text_does() -> None:
    rows = judged(([0.9, 0.08, 0.0], "/a/x", 900), ([0.5, 0.35, 0.1], "/b/z", 100))
    two = certificate(rows, TREE, Acceptance(FIVE, longest=2))
    assert two.thresholds.shortlist > 0.85 and two.error == 0.0
    three = certificate(rows, TREE, Acceptance(FIVE, longest=3))
    assert three.thresholds.shortlist == LEAST_SHORTLIST and three.reach == 1.0


def test_what_lies_above_all_of_a_list_is_said_plainly_and_counts_so() -> None:
    rows = judged(([0.9, 0.08, 0.0], "/a/x", 900), ([0.5, 0.35, 0.0], "/b/z", 40))
    lax = certificate(rows, TREE, Acceptance(Tolerance(0.10, 0.10, 0.10), longest=2))
    assert lax.thresholds.shortlist < 0.85 and lax.unconditional == lax.error > 0.0
    strict = certificate(rows, TREE, Acceptance(Tolerance(0.10, 0.01, 0.10), longest=2))
    assert strict.thresholds.shortlist > 0.85 and strict.unconditional == 0.0


def test_texts_that_no_task_answers_bound_the_exposure_and_nothing_else() -> None:
    ours = ([0.9, 0.08, 0.0], "/a/x", 900)
    without = certificate(judged(ours), TREE, Acceptance(FIVE))
    assert not without.bounds_exposure and without.thresholds.shortlist == LEAST_SHORTLIST
    told = certificate(judged(ours, ([0.7, 0.1, 0.0], ROOT, 200)), TREE, Acceptance(FIVE))
    assert told.bounds_exposure and 0.8 < told.thresholds.known < 0.98
    assert told.thresholds.shortlist == LEAST_SHORTLIST and told.reach == 1.0
    assert (told.rows, told.foreign, told.exposed, told.error) == (900, 200, 0.0, 0.0)
    few = certificate(judged(ours, ([0.7, 0.1, 0.0], ROOT, 58)), TREE, Acceptance(FIVE))
    assert not few.bounds_exposure and few.thresholds == without.thresholds
    shipped = replace(judged(ours, ([0.7, 0.1, 0.0], ROOT, 200)), ours=False)
    guessed = certificate(shipped, TREE, Acceptance(FIVE))
    assert not guessed.bounds_exposure and guessed.thresholds == told.thresholds
    few_shipped = judged(ours, ([0.7, 0.1, 0.0], ROOT, 2), ([0.2, 0.1, 0.0], ROOT, 20))
    lax = certificate(replace(few_shipped, ours=False), TREE, Acceptance(FIVE))
    assert lax.thresholds == without.thresholds and lax.exposed == pytest.approx(2 / 22, abs=1e-4)


def test_text_of_a_task_with_tasks_below_it_is_reached_by_any_of_these() -> None:
    row = [0.0, 0.5, 0.4, 0.0, 0.0, 0.05]  # /a/x/p or /a/x/q, and the customer meant /a/x
    told = certificate(judged((row, "/a/x", 500)), DEEP, Acceptance(FIVE))
    assert (told.reach, told.error) == (1.0, 0.0)


def test_with_too_few_rows_little_is_said() -> None:
    """Ninety-nine rows without a mistake are the fewest that speak against three mistakes in a hundred."""
    for rows, basis in ((0, "default"), (98, "default"), (99, "certified")):
        told = (
            certificate(judged(([0.93, 0.05, 0.0], "/a/x", rows)), TREE, Acceptance())
            if rows
            else certificate(HeldOutRows(np.zeros((0, 3)), ()), TREE, Acceptance())
        )
        assert told.basis == basis
    few = certificate(judged(([0.93, 0.05, 0.0], "/a/x", 98)), TREE, Acceptance())
    assert few.thresholds == Thresholds() and few.thresholds.sure > 0.95
    assert (
        few.thresholds.shortlist
        >= certificate(judged(([0.93, 0.05, 0.0], "/a/x", 99)), TREE, Acceptance()).thresholds.shortlist
    )


@pytest.mark.parametrize("rows", [5, 500])
def test_the_only_task_of_a_pack_is_settled_on_where_it_is_much_likelier_than_none(rows: int) -> None:
    only = Tree(("/", "/a"), ("/a",))
    told = certificate(judged(([0.85], "/a", rows), ([0.6], ROOT, rows)), only, Acceptance())
    assert (told.reach, told.error, told.exposed) == (1.0, 0.0, 0.0)


def test_what_is_set_by_hand_is_taken_and_nothing_promised() -> None:
    rows = judged(([0.9, 0.0, 0.0], "/b/z", 2_000))
    told = certificate(rows, TREE, Acceptance(threshold_sure=0.8, high_stakes=("/a/x",)))
    assert told.basis == "hand" and told.thresholds.sure == told.thresholds.at("/a/x") == 0.8
    assert (told.error, told.unconditional) == (1.0, 1.0)
    lists = certificate(rows, TREE, Acceptance(longest=2, threshold_shortlist=0.95))
    assert lists.basis == "hand" and lists.thresholds.shortlist == 0.95 and lists.thresholds.sure > 0.99


def test_high_stakes_are_stricter_never_laxer() -> None:
    rows = judged(([0.99, 0.0, 0.0], "/a/x", 900), ([0.98, 0.01, 0.0], "/a/y", 15))
    told = certificate(rows, TREE, Acceptance(FIVE, high_stakes=("/a/x", "/a"))).thresholds
    assert told.at("/a/x") > told.at("/a/y") and told.at("/a") >= told.at("/b")
    without_rows = certificate(HeldOutRows(np.zeros((0, 3)), ()), TREE, Acceptance(high_stakes=("/a/x",))).thresholds
    assert without_rows.at("/a/x") > without_rows.at("/a/y")


def test_an_alarm_has_something_stricter_to_move_to() -> None:
    draw = np.random.default_rng(0)
    sure = draw.random(2_000)
    truths = tuple("/a/x" if right else "/b/z" for right in draw.random(2_000) < 0.5 + sure / 2)
    rows = HeldOutRows(np.column_stack([np.round(sure, 4), np.zeros((2_000, 2))]), truths)
    easy = judged(([0.9, 0.0, 0.0], "/a/x", 2_000))
    few = judged(([0.9, 0.0, 0.0], "/a/x", 5))
    for each in (rows, easy, few):
        told = certificate(each, TREE, Acceptance(Tolerance(0.04, 0.04, 0.1), longest=2))
        assert told.thresholds.sure < told.stricter.sure <= 1.001
        assert told.thresholds.shortlist < told.stricter.shortlist <= 1.001
    half = certificate(rows, TREE, Acceptance(Tolerance(0.02, 0.02, 0.1), longest=2)).thresholds
    assert certificate(rows, TREE, Acceptance(Tolerance(0.04, 0.04, 0.1), longest=2)).stricter == half


def test_sentences_count_where_two_of_them_ask_for_different_tasks() -> None:
    alone = HeldOutRows(
        probabilities=np.full((1_000, 3), 0.05),
        truths=("/a/x",) * 1_000,
        part_beliefs=np.array([[0.99, 0.0, 0.0], [0.0, 0.0, 0.98]] * 100),
        part_rows=np.repeat(np.arange(100), 2),
    )
    assert certificate(alone, TREE, Acceptance(FIVE)).thresholds.sure > 0.98
    agreed = replace(alone, part_beliefs=np.tile([0.0, 0.0, 0.98], (200, 1)))
    assert certificate(agreed, TREE, Acceptance(FIVE)).thresholds.shortlist == LEAST_SHORTLIST


def test_a_doubtful_second_request_counts_where_the_first_is_settled() -> None:
    probabilities = np.tile([0.0, 0.0, 0.999], (1_000, 1))
    doubtful = np.tile([0.5, 0.49, 0.0], (200, 1))
    rows = HeldOutRows(probabilities, ("/b/z",) * 1_000, doubtful, np.repeat(np.arange(200), 1))
    assert certificate(rows, TREE, Acceptance(FIVE)).thresholds.sure > 0.98
    unsettled = replace(rows, probabilities=np.tile([0.0, 0.0, 0.7], (1_000, 1)))
    assert certificate(unsettled, TREE, Acceptance(FIVE)).thresholds.shortlist == LEAST_SHORTLIST


def test_beliefs_without_classes_tell_nothing() -> None:
    empty = Tree(("/", "/a"), ())
    told = certificate(HeldOutRows(np.zeros((0, 0)), ()), empty, Acceptance())
    assert (told.basis, told.rows, told.reach, told.least_reach) == ("default", 0, 0.0, 0.0)
    assert empty.belief(np.zeros(0)) == Belief({}, (), known=0.0)
