"""Numbers and promises in words, for the terminal and for the page alike."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.evidence import Certificate
from router.evaluate.evaluation import Evaluation, Measured
from router.evaluate.measures import Latency

NOTHING = "–"

MEANINGS = {
    "task accuracy": "the most probable task is the right one, of the messages in scope",
    "domain accuracy": "the heaviest first-level branch is the right one, of the messages in scope",
    "macro F1": "mean F1 of the tasks, each counting the same",
    "settled": "a task's own text would be sent, of the messages in scope",
    "wrong text": "text that does not apply would be sent, of all messages, those out of scope included",
    "calibration error": "mean distance between how sure recognition is and how often it is right",
    "out-of-scope AUROC": "chance that a message in scope weighs more than one out of scope",
    "one step": "time to recognise one message: median and 99th percentile",
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


def figures(measured: Measured) -> dict[str, str]:
    """Return the figures of what was measured, under the keys of MEANINGS."""
    summary = measured.summary
    values = (
        percent(summary.accuracy_task),
        percent(summary.accuracy_domain),
        number(summary.macro_f1),
        percent(summary.coverage),
        percent(summary.wrong),
        number(summary.calibration.ece),
        number(summary.oos_auroc),
        times(measured.latency),
    )
    return dict(zip(MEANINGS, values, strict=True))


def depth_names(certificates: Sequence[Certificate]) -> tuple[str, ...]:
    """Return what the depths of certificates are called: domains, then tasks; tasks alone in a flat pack."""
    return ("tasks",) if len(certificates) == 1 else ("domains", *(["tasks"] * (len(certificates) - 1)))


def promise(certificate: Certificate) -> str:
    """Return what a certificate promises, in a sentence."""
    rate = f"wrong text for at most {percent(certificate.alpha)} of all messages"
    return {
        "certified": f"with probability {percent(1 - certificate.delta, 0)}, {rate}",
        "expected": f"{rate} on average; too few examples to promise it with a probability",
        "default": f"nothing: too few examples to bound the rate (wanted: {rate})",
        "hand": "nothing: this threshold was set by hand",
    }[certificate.basis]


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "example"), plural(1200, "example")
    ('1 example', '1,200 examples')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def origin(found: Evaluation) -> str:
    """Return what an evaluation rests on."""
    parts = [plural(len(found.own.summary.tasks), "task"), plural(found.examples, "example")]
    if found.unrelated:
        parts.append(f"{plural(found.unrelated, 'text')} of no task")
    if found.blocks:
        parts.append(f"encoder {found.encoder} ({' + '.join(found.blocks)})")
    return ", ".join([*parts, f"fitted and cross-validated in {found.fit_s:.1f} s"])
