"""Numbers and promises in words, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from router.classify.fit.certify import DELTA
from router.core.evidence import Certificate
from router.evaluate.measures import Latency
from router.evaluate.reach import Budget, Reach
from router.evaluate.summary import Summary
from router.packs.lint.languages import LANGUAGE_ROWS

NOTHING = "–"

MEANINGS = {
    "reach": "its task's instructions are in what is sent, plainly or as a case, of the messages in scope",
    "reach, at least": f"the same for traffic like this, with a probability of {100 * (1 - DELTA):g} %",
    "error": "text of a wrong task, or a shortlist without the right one, of the messages in scope",
    "unconditional": "of these: wrong text said plainly, of the messages in scope",
    "tokens": "of what all tasks' text would take in every message, on average over the messages in scope",
    "general only": "nothing but what holds for every message, of the messages in scope",
    "exposure": "text of any task, of the messages out of scope",
    "task accuracy": "the most probable task is the right one, of the messages in scope",
    "domain accuracy": "the heaviest first-level branch is the right one, of the messages in scope",
    "macro F1": "mean F1 of the tasks, each counting the same",
    "calibration error": "mean distance between how sure recognition is and how often it is right",
    "out-of-scope AUROC": "chance that a message in scope weighs more than one out of scope",
    "one step": "processor time to recognise one message: median and 99th percentile",
}
"""The figures of a summary, and what each says."""


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return NOTHING if value is None else f"{100 * value:.{digits}f} %"


def number(value: float | None) -> str:
    """Return a number with three digits behind the point."""
    return NOTHING if value is None else f"{value:.3f}"


def times(latency: Latency) -> str:
    """Return the median and the 99th percentile of a latency."""
    if latency.p50 is None or latency.p99 is None:
        return NOTHING
    return f"{latency.p50:,.0f} / {latency.p99:,.0f} µs"


def figures(summary: Summary, latency: Latency) -> dict[str, str]:
    """Return the figures of what was measured, under the keys of MEANINGS."""
    sent = summary.reach
    values = (
        percent(sent.reach),
        percent(sent.least_reach),
        percent(sent.error),
        percent(sent.unconditional),
        percent(sent.tokens),
        percent(sent.general),
        percent(sent.exposure),
        percent(summary.accuracy_task),
        percent(summary.accuracy_domain),
        number(summary.macro_f1),
        number(summary.calibration.ece),
        number(summary.oos_auroc),
        times(latency),
    )
    return dict(zip(MEANINGS, values, strict=True))


def in_words(name: str, sent: Reach) -> list[str]:
    """Return what reaches the model, of the turns of one source, in sentences."""
    lines = []
    if sent.in_scope:
        nothing = "nothing but what holds for every message"
        lines += [
            f"Of {plural(sent.in_scope, 'message')} that a task answers ({name}), {percent(sent.reach, 0)} get its"
            f" instructions, {percent(sent.error)} text that does not apply, {percent(sent.general)} {nothing}.",
            f"Of all traffic like them at least {percent(sent.least_reach, 0)} get theirs, with a probability of"
            f" {100 * (1 - DELTA):g} %.",
        ]
    if sent.out_of_scope:
        lines.append(
            f"Of {plural(sent.out_of_scope, 'message')} that no task answers, {percent(sent.exposure, 0)} get some"
            " task's text."
        )
    return lines


def thresholds_in_force(told: Certificate) -> str:
    """Return the thresholds of a certificate in words."""
    own = told.thresholds
    if own.shortlist > 1.0:
        return "nothing is said of any task: at no threshold are the accepted rates kept"
    high = ", ".join(f"{value:.4f}" for value in sorted({*own.by_task.values()} - {own.sure}))
    stakes = f" (of high stakes: {high})" if high else ""
    together = f", where all tasks together have {own.known:.4f} or more" if own.known else ""
    return f"one task alone from {own.sure:.4f} on{stakes}, a shortlist from {own.shortlist:.4f} on{together}"


TOO_FEW = "too few examples"


class Grid(NamedTuple):
    """A table of words. A heading that ends in "#" is of a column of numbers; row number `bold` stands out."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    bold: int = -1


def trade(budgets: Sequence[Budget], given: Sequence[Reach | None]) -> Grid:
    """Return what each budget gives; what is in force stands out."""
    rows = []
    for budget, sent in zip(budgets, given, strict=True):
        accepted, at = budget.accepted, budget.thresholds
        row = ("->" if budget.here else "", rate(accepted.error), rate(accepted.unconditional))
        if at is None or sent is None:
            rows.append((*row, *[NOTHING] * 3, TOO_FEW, *[NOTHING] * 4))
            continue
        shares = (sent.reach, sent.error, sent.unconditional, sent.tokens, sent.exposure)
        masses = (f"{mass:.4f}" if 0.0 < mass <= 1.0 else NOTHING for mass in (at.sure, at.shortlist, at.known))
        rows.append((*row, *masses, *map(percent, shares)))
    named = "accepted# plainly# alone# list# together# reach# error# plainly# tokens# exposure#"
    headings = ("", *named.split())
    here = next((at for at, budget in enumerate(budgets) if budget.here), -1)
    return Grid("What other budgets give", headings, rows, here)


def languages(summary: Summary) -> Grid:
    """Return what is sent by language."""
    words = {True: "certified", False: "not certified", None: f"too few: {LANGUAGE_ROWS} in scope are needed"}
    rows = []
    for one in summary.languages:
        sent = one.reach
        shares = map(percent, (sent.reach, sent.error, sent.unconditional, sent.general))
        rows.append((one.language or "not clear", f"{sent.in_scope:,}", *shares, words[one.certified]))
    headings = ("language", "messages#", "reach#", "error#", "plainly#", "general only#", "the rates by themselves")
    return Grid("By language", headings, rows)


def rate(value: float) -> str:
    """Return an accepted rate as it is written.

    >>> rate(0.05), rate(0.006)
    ('5 %', '0.6 %')
    """
    return f"{100 * value:.4g} %"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "example"), plural(1200, "example")
    ('1 example', '1,200 examples')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
