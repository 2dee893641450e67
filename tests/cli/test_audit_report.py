"""`router audit status` in words: what is known of a promise, how sure that is, what happens next."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from router.commands.audit_report import labels_to_notice, status_view, wrong_until_alarm
from router.core.audit import Audit, AuditWatch, name_of, numbers, watch
from tests.support.parts import PROMISED

OWN = numbers(PROMISED.thresholds)


def watched(*rows: tuple[int, int], plainly: bool = False) -> AuditWatch:
    """Return the watch after so many right decisions and so many wrong ones, in turn."""
    made = []
    for right, wrong in rows:
        for bad in [False] * right + [True] * wrong:
            settled = ("/billing/refund",) if plainly or not bad else ("/",)
            listed = ("/billing/refund", "/greeting") if bad and not plainly else ()
            label = ("/delivery",) if bad else ("/billing/refund",)
            made.append(Audit(f"d{len(made)}", "desk", name_of(PROMISED), OWN, settled, label, "ann", 0, listed))
    return watch(PROMISED, made)


def said(over: AuditWatch) -> str:
    console = Console(file=StringIO(), width=400)
    console.print(status_view("desk", over))
    return console.file.getvalue()


def test_without_labels_it_says_what_to_do() -> None:
    shown = said(watched())
    assert (
        "error: no label yet of messages that a task answers, so nothing is known; promised are at most 5 %." in shown
    )
    assert "Were 15 % wrong, it would take about " in shown and "router audit draw > to_label.jsonl" in shown


def test_little_is_told_as_little() -> None:
    shown = said(watched((7, 1)))
    assert (
        "error: 1 of 8 messages that a task answers got text of a wrong one, or a shortlist without it (12.5 %)"
        in shown
    )
    assert "No sign that it is broken: chance shows as much easily." in shown
    assert "evidence" not in shown and "router audit draw" in shown


def test_what_is_kept_needs_nothing_more() -> None:
    over = watched((400, 4))
    shown = said(over)
    assert "error: 4 of 404 messages" in shown and "fewer than promised" in shown
    assert "these labels would most likely have shown it" in shown and "router audit draw" not in shown


def test_what_may_be_broken_says_how_near_the_alarm_is() -> None:
    over = watched((20, 5))
    shown = said(over)
    assert "It may be broken: while it is kept, chance shows as much in at most 1 of " in shown
    more = wrong_until_alarm(over, "error")
    assert more is not None and f"{more} more wrong in a row and the thresholds go up by themselves" in shown
    assert not watched((20, 5 + more - 1)).alarms and watched((20, 5 + more)).alarms


def test_after_alarms_it_says_what_they_did() -> None:
    over = watched((0, 20), plainly=True)
    assert over.step == 1 and "An alarm has raised the thresholds" in said(over)


def test_the_labels_that_it_takes_are_those_of_the_test() -> None:
    (error, _) = watched().bets
    number = labels_to_notice(error)
    assert number is not None and 40 < number < 80
    wrong = round(3 * error.accepted * number)
    assert watched((number - wrong, wrong)).alarms and not watched((number - wrong, wrong - 1)).alarms
