"""What to do: advice that is followed does what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify import CrossValidation, fit_policy
from router.classify.belief import Tree
from router.classify.fit.certify import DELTA, allowed, certificate
from router.classify.fit.training import Material
from router.classify.fit.turning import HeldOutRows
from router.core.evidence import Tolerance
from router.evaluate import Evaluation, evaluate
from router.evaluate.advice import Adviser
from router.evaluate.outcomes import judged
from router.evaluate.reach import Budget, Sending
from router.evaluate.suggestions import LearningCurve, _TaskGain
from router.packs import Pack, load_pack
from router.packs.lint.promises import rows_needed, shared_out
from tests.evaluate.conftest import policy_of

NEEDED = rows_needed(0.03)


@given(st.floats(0.001, 0.5))
def test_as_many_rows_as_are_needed_can_certify_a_rate_and_one_less_cannot(rate: float) -> None:
    assert allowed(rows_needed(rate), rate, DELTA) >= 0 > allowed(rows_needed(rate) - 1, rate, DELTA)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(0, 30), min_size=1), st.integers(1, 60))
def test_those_with_the_fewest_are_filled_up_to_one_level(counts: dict[str, int], missing: int) -> None:
    more = shared_out(counts, missing)
    then = {task: count + more.get(task, 0) for task, count in counts.items()}
    assert missing <= sum(more.values()) < missing + len(counts) and all(more.values())
    assert {then[task] for task in more} == {min(then.values())}


def run(pack: Pack, **more: Any) -> Evaluation:
    return evaluate(pack, progress=lambda done: None, **more)


TAKEN = ("/returns/exchange", "/delivery/track_parcel", "/payments/payment_failed", "/orders/place_order")


@pytest.fixture(scope="module")
def written(support_pack: Path) -> dict[str, list[str]]:
    """Examples of four tasks of the shipped pack, as people wrote them."""
    policy = load_pack(support_pack).policy
    return {
        path.rpartition("/")[2]: [text for text in policy.tasks[path].examples if (path, text) not in policy.generated]
        for path in TAKEN
    }


def test_too_few_examples_says_how_many_more_make_a_certificate(
    make_pack: Callable[..., Pack], written: dict[str, list[str]]
) -> None:
    has = dict(zip(written, (4, 4, 6, 14), strict=True))
    found = run(make_pack({name: texts[: has[name]] for name, texts in written.items()}))
    (missing,) = found.advice
    assert found.certificate.basis == "default" and missing.kind == "missing"
    more = {task[1:]: count for task, count in missing.examples.items()}
    assert {has[name] + more[name] for name in has} == {-(-NEEDED // 4)}, "all to one level"
    assert "21 more for each of /exchange, /track_parcel; 19 more for /payment_failed; 11 more for" in missing.text
    assert "then a certificate is possible, with about" in missing.text
    assert missing.text.endswith(
        f"(it takes {NEEDED} examples, of which 28 are there; the next 10 alone do not buy it)"
    )
    assert missing.then is not None and missing.then > 0.5

    followed = {name: texts[: has[name] + more[name]] for name, texts in written.items()}
    then = run(make_pack(followed), quick=True)
    assert then.certificate.rows >= NEEDED and then.certificate.basis == "certified"
    assert then.certificate.reach == pytest.approx(missing.then, abs=0.2)
    followed["exchange"] = followed["exchange"][: NEEDED - 1 - sum(map(len, followed.values()))]
    (still,) = run(make_pack(followed), quick=True).advice
    assert still.text.startswith("1 more for /exchange: then a certificate is possible, with about")
    assert still.text.endswith(f"(it takes {NEEDED} examples, of which {NEEDED - 1} are there; the next 10 buy it)")
    assert still.then is not None and still.examples == {"/exchange": 1}


def test_what_is_generated_counts_for_nothing_and_tasks_without_examples_need_some(
    make_pack: Callable[..., Pack], written: dict[str, list[str]]
) -> None:
    pack = make_pack({"parcels": written["track_parcel"], "later": []})
    made = replace(pack.policy, generated=frozenset(("/parcels", text) for text in written["track_parcel"]))
    found = run(replace(pack, policy=made), quick=True)
    (missing,) = found.advice
    assert missing.examples == {"/parcels": 50, "/later": 50}
    assert "27 rows are marked as generated" in " ".join(found.notes)
    assert found.own.summary.reach.in_scope == 0


def test_a_pack_without_tasks_below_the_root_is_told_nothing_to_do(make_pack: Callable[..., Pack]) -> None:
    assert run(make_pack({}), quick=True).advice == ()


NAMES = ("/a", "/b", "/c", "/d", "/e", "/f")


def adviser(
    reached: Mapping[float, float],
    missed: Mapping[str, int],
    gains: Sequence[_TaskGain] = (),
    curve: bool = True,
) -> Adviser:
    """Return an adviser of a pack with 100 rows a task: what each budget reaches, and how many rows are not reached."""
    policy = policy_of(*NAMES)
    truths = [name for name in NAMES for _ in range(100)]
    sure = [at >= missed.get(name, 0) for name in NAMES for at in range(100)]
    rows = np.array(
        [
            [(0.99 if known else 0.1) if name == truth else 0.0 for name in NAMES]
            for truth, known in zip(truths, sure, strict=True)
        ]
    )
    held_out = HeldOutRows(rows, tuple(truths))
    tree = Tree(tuple(policy.tasks), NAMES)
    told = certificate(held_out, tree, Material.of(policy).asked)
    found = CrossValidation(
        replace(fit_policy(policy), paths=tuple(policy.tasks), classes=NAMES, certificate=told), held_out=held_out
    )
    turns = judged(
        [(f"text {at}", (truth,), tree.belief(rows[at])) for at, truth in enumerate(truths)], policy.tasks, NAMES
    )
    sending = Sending(policy)
    at_all = sending.reach(sending.sent(turns, told.thresholds))
    trade = [
        (Budget(Tolerance(error, 0.6 * error), told.thresholds, here=error == 0.05), replace(at_all, reach=reach))
        for error, reach in reached.items()
    ]
    grown = LearningCurve(((4.0, 0.8), (8.0, 0.9)), 1.0, tuple(gains))
    return Adviser(found, policy, turns, sending, trade, grown if curve else None)


FAIR = {"/a": 18, "/b": 12, "/c": 6, "/d": 3, "/e": 3}  # 42 of 600 are not reached: 93 % are


EIGHT, TWO = "error: {total: 0.08, unconditional: 0.048}", "error: {total: 0.02, unconditional: 0.012}"


def test_the_next_budget_that_matters_is_named_and_the_stricter_one_that_costs_least() -> None:
    found = adviser({0.01: 0.921, 0.02: 0.925, 0.03: 0.922, 0.05: 0.93, 0.08: 0.96}, FAIR).advice()
    assert [(one.kind, one.text, one.now, one.then) for one in found[:2]] == [
        ("error", f"with 8 % error instead of 5 % ({EIGHT}) you would reach 96 instead of 93 %", 0.93, 0.96),
        (
            "error",
            f"2 % error instead of 5 % ({TWO}) costs hardly any reach: you would reach 92 instead of 93 %",
            0.93,
            0.925,
        ),
    ]
    same, _ = adviser({0.02: 0.93, 0.03: 0.93, 0.05: 0.93}, FAIR).advice()
    assert same.text == f"2 % error instead of 5 % ({TWO}) costs no reach: you would reach 93 % all the same"
    (examples,) = adviser({0.01: 0.6, 0.05: 0.93, 0.08: 0.935}, FAIR).advice()
    assert examples.kind == "examples", "half a point is not worth a word"


def test_ten_more_examples_are_for_the_tasks_where_they_buy_most() -> None:
    # With a power of 1 ten more examples beside ten halve what is not reached.
    gains = [_TaskGain(name, 10, 0.8, 0.9, 1.0) for name in NAMES]
    (found,) = adviser({0.05: 0.93}, FAIR, gains).advice()
    assert found.text == "10 more examples for each of /a, /b, /c, /d buy about 3 points of reach"
    assert found.then == round(0.93 + (18 + 12 + 6 + 3) / 2 / 600, 4)
    assert found.examples == dict.fromkeys(("/a", "/b", "/c", "/d"), 10)
    flat = [replace(gain, power=0.0) for gain in gains]
    (nothing,) = adviser({0.05: 0.93}, FAIR, flat).advice()
    assert nothing.text == "10 more examples for every task buy less than a point of reach", "they never helped"
    assert (nothing.now, nothing.then, nothing.examples) == (0.93, 0.93, {})
    (usual,) = adviser({0.05: 0.5}, dict.fromkeys(NAMES, 50), curve=False).advice()
    assert usual.text.startswith("10 more examples for each of /a,") and usual.text.endswith(
        "by the usual learning curve"
    )
    few = dict.fromkeys(NAMES, 2)
    (found,) = adviser({0.05: 0.98}, few, gains).advice()
    assert found.text.endswith("and 1 other buy about 1 point of reach") and len(found.examples) == 6


def test_where_exposure_holds_reach_down_it_says_what_more_would_give(support_pack: Path) -> None:
    pack = load_pack(support_pack)

    def with_exposure(exposure: float) -> Evaluation:
        settings = replace(pack.policy.settings, exposure=exposure)
        return run(replace(pack, policy=replace(pack.policy, settings=settings)), quick=True)

    exposure = 0.4
    strict = with_exposure(exposure)
    (told,) = [one for one in strict.advice if one.kind == "exposure"]
    then = with_exposure(round(1.5 * exposure, 4)).certificate.reach
    assert told.then == then >= strict.certificate.reach + 0.01
    assert f"with {150 * exposure:g} % exposure instead of {100 * exposure:g} %" in told.text
