"""What is sent, on packs so small that reach, error, tokens and exposure can be counted by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from router.classify.belief import Tree
from router.classify.fit.certify import DELTA, LEAST_SHORTLIST, Acceptance, allowed, certificate
from router.classify.fit.turning import HeldOutRows
from router.core.decide import decide
from router.core.evidence import Belief, Evidence, Likely, Thresholds, Tolerance
from router.core.policy import ROOT, Instruction, Level, Policy, Task, count_tokens
from router.evaluate.outcomes import Judged, judged
from router.evaluate.reach import (
    Reach,
    Sending,
    along_known,
    along_path,
    budgets,
    by_language,
)
from router.evaluate.wording import thresholds_in_force, trade
from router.packs.lint.languages import LANGUAGE_ROWS

LEAVES = ("/money/refund", "/money/invoice", "/parcel")
WORDS = {ROOT: "Be polite.", "/money": "Money.", "/parcel": "Say where it is."} | {
    path: f"Help with the {path.rpartition('/')[2]}." for path in LEAVES[:2]
}
CHILDREN = {ROOT: ("/money", "/parcel"), "/money": ("/money/refund", "/money/invoice")}
POLICY = Policy(
    "by-hand",
    "r1",
    {
        path: Task(
            path,
            instructions=(Instruction(f"{path}:1", path, Level.BRIEF, text, count_tokens(text) + 1),),
            children=CHILDREN.get(path, ()),
        )
        for path, text in (
            (path, WORDS[path]) for path in (ROOT, "/money", "/money/refund", "/money/invoice", "/parcel")
        )
    },
)
AT = Thresholds(sure=0.9, shortlist=0.7)


def belief(**own: float) -> Belief:
    """Return a belief from the masses of the leaves by their names."""
    mass = {path: own[name] for path in LEAVES if (name := path.rpartition("/")[2]) in own}
    heaviest = tuple(Likely(*one) for one in sorted(mass.items(), key=lambda one: -one[1]))
    money = sum(value for path, value in mass.items() if path.startswith("/money"))
    known = round(sum(mass.values()), 4)
    return Belief(mass | ({"/money": round(money, 4)} if money else {}), heaviest, known=known)


SURE = belief(refund=0.97)
LISTED = belief(refund=0.4, parcel=0.35)
LISTED_BELOW = belief(refund=0.5, invoice=0.35)  # /money holds .85: both lie below it
DOMAIN = belief(refund=0.5, invoice=0.42, parcel=0.01)  # /money passes by itself, and so does the list
UNSURE = belief(refund=0.3, parcel=0.3)


def turns(*rows: tuple[str | tuple[str, ...], Belief]) -> list[Judged]:
    given = [
        (f"text {at}", (truth,) if isinstance(truth, str) and truth else tuple(truth), belief)
        for at, (truth, belief) in enumerate(rows)
    ]
    return judged(given, POLICY.tasks, LEAVES)


def reach_of(*rows: tuple[str | tuple[str, ...], Belief], at: Thresholds = AT) -> Reach:
    sending = Sending(POLICY)
    return sending.reach(sending.sent(turns(*rows), at))


def test_every_figure_by_hand() -> None:
    found = reach_of(
        ("/money/refund", SURE),  # reached, alone
        ("/money/invoice", SURE),  # wrong text, plainly
        ("/parcel", LISTED),  # reached, as a case
        ("/money/invoice", LISTED),  # a shortlist without it: an error, but not plainly
        ("/money/invoice", LISTED_BELOW),  # reached, as a case
        ("/parcel", DOMAIN),  # /money is said plainly, and that is wrong; so is the list
        ("/money/refund", UNSURE),  # general text only
        ("/parcel", Belief({})),  # the same
        ("", SURE),  # out of scope: exposed
        ("", LISTED),  # the same
        ("", UNSURE),  # not exposed
        ("", Belief({})),
    )
    assert (found.in_scope, found.out_of_scope) == (8, 4)
    assert found.reach == 3 / 8
    assert found.error == 3 / 8 and found.unconditional == 2 / 8
    assert found.general == 2 / 8
    assert (found.sure, found.listed) == (2 / 8, 4 / 8)
    assert found.exposure == 2 / 4
    assert found.least_reach is not None and 0.1 < found.least_reach < 3 / 8


def test_only_messages_in_scope_count_as_errors() -> None:
    alone = reach_of(("/money/refund", SURE))
    among_strangers = reach_of(("/money/refund", SURE), *[("", SURE)] * 9)
    assert (among_strangers.error, among_strangers.unconditional) == (0.0, 0.0)
    assert (among_strangers.reach, among_strangers.tokens) == (alone.reach, alone.tokens)
    assert among_strangers.exposure == 1.0 and alone.exposure is None


def test_tokens_are_those_of_the_decision_against_all_tasks_text() -> None:
    everything = sum(line.tokens for task in POLICY.tasks.values() for line in task.instructions)
    assert Sending(POLICY).everything == everything
    sent = sum(decide(POLICY, Evidence(each, thresholds=AT)).tokens for each in (SURE, LISTED, UNSURE))
    found = reach_of(("/money/refund", SURE), ("/parcel", LISTED), ("/parcel", UNSURE), ("", SURE))
    assert found.tokens == round(sent / 3 / everything, 4)


@pytest.mark.parametrize(
    ("truth", "believed", "reached", "error"),
    [
        (("/money/refund", "/parcel"), SURE, 0.0, 0.0),  # one of two is not all, and nothing wrong was said
        (("/money/refund", "/parcel"), LISTED, 1.0, 0.0),
        ("/money", LISTED_BELOW, 1.0, 0.0),  # the label says no more, and what is said plainly applies
        ("/money", SURE, 1.0, 1.0),  # text of /money/refund was said, and the label vouches for /money alone
    ],
)
def test_labels_of_several_tasks_and_of_inner_ones(
    truth: str | tuple[str, ...], believed: Belief, reached: float, error: float
) -> None:
    found = reach_of((truth, believed))
    assert (found.reach, found.error) == (reached, error)


def test_a_second_request_without_the_truth_is_an_error() -> None:
    doubtful = Belief({**SURE.mass}, SURE.likeliest, (belief(invoice=0.5, parcel=0.45),))
    found = reach_of(("/money/refund", doubtful))
    assert (found.reach, found.sure, found.listed, found.error, found.unconditional) == (1.0, 1.0, 1.0, 1.0, 0.0)
    assert reach_of((("/money/refund", "/parcel"), doubtful)).error == 0.0


def test_what_cannot_be_said_is_none() -> None:
    nothing = reach_of()
    assert nothing.reach is nothing.least_reach is nothing.error is nothing.tokens is nothing.exposure is None
    assert along_path([], Sending(POLICY), AT) == ()


def rows_of(rights: int, wrongs: Mapping[float, int]) -> tuple[HeldOutRows, Tree]:
    """Return rows of one of five tasks: so many surely right, and so many with these masses on three others."""
    probabilities = [(0.97, 0.0, 0.0, 0.0, 0.0)] * rights
    for mass, count in wrongs.items():
        probabilities += [(0.0, 0.8 * mass, 0.1 * mass, 0.1 * mass, 0.0)] * count
    names = ("/a", "/b", "/c", "/d", "/e")
    return HeldOutRows(np.array(probabilities), ("/a",) * len(probabilities)), Tree((ROOT, *names), names)


def test_a_larger_budget_never_asks_for_more() -> None:
    rows, tree = rows_of(900, {0.99: 4, 0.95: 10, 0.9: 15, 0.8: 20, 0.65: 20})
    told = certificate(rows, tree, Acceptance())
    trade = budgets(told, rows, tree, Acceptance())
    assert [budget.accepted.error for budget in trade] == [0.01, 0.02, 0.03, 0.05, 0.08]
    assert [budget.here for budget in trade] == [False, False, False, True, False]
    assert all(budget.accepted.unconditional == pytest.approx(0.6 * budget.accepted.error) for budget in trade)
    sure, listed = zip(
        *((budget.thresholds.sure, budget.thresholds.shortlist) for budget in trade if budget.thresholds), strict=True
    )
    assert list(sure) == sorted(sure, reverse=True) and list(listed) == sorted(listed, reverse=True)
    assert len(set(listed)) >= 4
    assert trade[3].thresholds == told.thresholds


def test_a_pack_with_rates_of_its_own_stands_among_the_others() -> None:
    rows, tree = rows_of(100, {})
    asked = Acceptance(Tolerance(error=0.04, unconditional=0.04))
    trade = budgets(certificate(rows, tree, asked), rows, tree, asked)
    assert [(budget.accepted.error, budget.here) for budget in trade if budget.here] == [(0.04, True)]
    assert len(trade) == 6
    assert trade[0].thresholds is None, "100 rows cannot certify 0.6 %"


def test_thresholds_by_hand_are_in_force_and_the_others_are_certified_all_the_same() -> None:
    rows, tree = rows_of(900, {0.9: 60})
    asked = Acceptance(threshold_sure=0.3, threshold_shortlist=0.2)
    trade = budgets(certificate(rows, tree, asked), rows, tree, asked)
    assert [budget.thresholds.shortlist for budget in trade if budget.thresholds and budget.here] == [0.2]
    assert all(
        budget.thresholds and budget.thresholds.shortlist >= LEAST_SHORTLIST for budget in trade if not budget.here
    )


def test_where_no_threshold_keeps_the_rates_nothing_is_said_and_the_words_say_so() -> None:
    rows, tree = rows_of(10, {1.0: 300})
    told = certificate(rows, tree, Acceptance())
    (here,) = [budget for budget in budgets(told, rows, tree, Acceptance()) if budget.here]
    assert here.thresholds is not None and here.thresholds.shortlist > 1.0
    assert "nothing is said of any task" in thresholds_in_force(told)
    sending = Sending(POLICY)
    silent = sending.reach(sending.sent(turns(("/money/refund", SURE)), here.thresholds))
    assert (silent.reach, silent.general) == (0.0, 1.0)
    assert trade([here], [silent]).rows[0][:9] == ("->", "5 %", "3 %", "–", "–", "–", "0.0 %", "0.0 %", "0.0 %")


def spoken(text: str, rows: int, wrong: int, believed: Belief = SURE) -> list[Judged]:
    truths = ["/money/invoice"] * wrong + ["/money/refund"] * (rows - wrong)
    return judged([(text, (truth,), believed) for truth in truths], POLICY.tasks, LEAVES)


def test_each_language_is_told_by_itself_and_certified_where_its_rows_bear_it_out() -> None:
    few, enough = allowed(200, 0.03, DELTA), LANGUAGE_ROWS - 1
    every = [
        *spoken("where is the money that you owe me", 200, few),
        *spoken("wo ist das Geld, das ich von dir bekomme", 200, few + 1),
        *spoken("je veux mon argent pour la commande", enough, 0),
        *spoken("12345", 150, 0),
        *judged([("quiero mi dinero por favor", (), SURE)], POLICY.tasks, LEAVES),
    ]
    sending = Sending(POLICY)
    rows, tree = rows_of(100, {})
    told = certificate(rows, tree, Acceptance())
    found = by_language(every, sending.sent(every, AT), sending, told)
    assert [(one.language, one.reach.in_scope, one.certified) for one in found] == [
        ("de", 200, False),
        ("en", 200, True),
        ("fr", enough, None),
        ("", 150, True),
    ]
    assert found[0].reach.error == round((few + 1) / 200, 4) and found[1].reach.reach == 1 - found[1].reach.error


def test_what_a_file_says_of_its_language_counts_before_what_the_words_show() -> None:
    every = [turn._replace(language="la") for turn in spoken("where is the money that you owe me", LANGUAGE_ROWS, 0)]
    sending = Sending(POLICY)
    rows, tree = rows_of(100, {})
    told = certificate(rows, tree, Acceptance())
    (found,) = by_language(every, sending.sent(every, AT), sending, told)
    assert (found.language, found.certified) == ("la", True)


def test_going_down_the_path_more_is_said() -> None:
    every = turns(
        ("/money/refund", SURE), ("/parcel", LISTED), ("/money/invoice", SURE), ("/parcel", UNSURE), ("", LISTED)
    )
    path = along_path(every, Sending(POLICY), AT)
    assert [point.threshold for point in path] == sorted((point.threshold for point in path), reverse=True)
    assert (path[0].reach, path[0].error, path[0].exposure) == (0.0, 0.0, 0.0)
    assert (path[-1].reach, path[-1].error, path[-1].exposure) == (0.75, 0.25, 1.0)
    silenced = along_path(every, Sending(POLICY), replace(AT, known=0.9))
    assert (silenced[-1].reach, silenced[-1].exposure) == (0.25, 0.0), "where all tasks weigh little, none speaks"


def test_the_less_all_tasks_together_must_weigh_the_more_is_said() -> None:
    every = turns(("/money/refund", SURE), ("/parcel", LISTED), ("", LISTED))
    path = along_known(every, Sending(POLICY), AT)
    reached = {point.threshold: (point.reach, point.exposure) for point in path}
    assert {at for threshold, at in reached.items() if threshold > 0.97} == {(0.0, 0.0)}
    assert {at for threshold, at in reached.items() if 0.75 < threshold <= 0.97} == {(0.5, 0.0)}
    assert {at for threshold, at in reached.items() if threshold <= 0.75} == {(1.0, 1.0)}
