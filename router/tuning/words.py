"""What the tuner does, in one or two plain sentences: for the log, the command line and the page.

Made from an event's facts alone, so that a stored event can be told again. The reader runs a support team and has
never heard of martingales: figures are percentages, and evidence is how seldom chance alone shows as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.core.learning import DialKey, EventKind

ANY = "*"
"""In the key of a person's word: every model."""

LEAST_TOLD, MOST_TOLD = 2.0, 10_000
"""Less evidence than what chance shows every other time is none; more than the most is told as that."""

STOPPED = {
    "harm": "{challenger} does worse than {incumbent}, so the trial ends",
    "futile": "it was not shown that {challenger} does {asked} {incumbent}, so the trial ends",
    "voided": "the text has changed, so what was learned of {challenger} against {incumbent} says nothing any more",
    "metric": "the policy's primary metric is another now, so the trial of {challenger} against {incumbent} ends",
    "rejected": "{by} rejected {challenger} instead of {incumbent}",
    "observe": "tuning is set to observe, so the trial of {challenger} against {incumbent} ends",
    "kept": "the step to {incumbent} is kept: {challenger} did not turn out better",
    "alarm": "the trial of {challenger} against {incumbent} ends, because {alarms}",
}

ALARMS = {
    "sample ratio": "users did not come to the two levels in the shares that were drawn: conversations are being lost",
    "silence": "one level hears from its users more often than the other, so the two cannot be compared "
    "(give the metric a default value)",
    "failures": "more answers failed",
    "slow": "answers took too long",
    "tokens": "conversations became too long",
}


def place(key: DialKey) -> str:
    """Return a dial in words.

    >>> place(DialKey("/billing", "gpt-5-mini"))
    '/billing, requests to gpt-5-mini'
    """
    task = "all tasks" if key.task == "/" else key.task
    return task if key.model in ("", ANY) else f"{task}, requests to {key.model}"


def percent(share: float) -> str:
    """Return a share in words.

    >>> percent(0.814), percent(0.025)
    ('81 %', '2.5 %')
    """
    value = 100.0 * share
    short = f"{value:.0f}" if abs(value) >= 10.0 or abs(value - round(value)) < 0.05 else f"{value:.1f}"
    return f"{short} %"


def times(count: float, one: str, many: str = "") -> str:
    """Return a number of things in words.

    >>> times(1, "day"), times(1200, "conversation")
    ('1 day', '1,200 conversations')
    """
    number = round(count)
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def tell(kind: EventKind, key: DialKey, facts: Mapping[str, Any], by: str = "") -> str:
    """Return an event in words."""
    return f"{place(key)}: {_told(kind, key, facts, by)}"


def alarm(name: str) -> str:
    """Return an alarm in words."""
    return ALARMS.get(name, f"{name} got worse")


def record(facts: Mapping[str, Any]) -> str:
    """Return what a trial has found: how many conversations, and the means."""
    n, left, right = facts["n"], facts["challenger_mean"], facts["incumbent_mean"]
    if not n or left is None or right is None:
        return "No two conversations could be compared yet."
    means = f"{percent(left)} with {facts['challenger']} against {percent(right)} with {facts['incumbent']}"
    return f"{times(n, 'conversation')} in {times(facts['days'], 'day')}: {facts['metric']} {means}"


def sureness(evidence: float, needed: float) -> str:
    """Return what evidence says, and what is asked of it. It reaches x by chance alone once in x trials at most.

    >>> sureness(47.2, 40.0)
    'proven: chance alone shows as much in at most 1 of 47 such trials'
    >>> sureness(14.2, 40.0)
    'not proven: chance alone shows as much in at most 1 of 14 such trials; proof is 1 of 40'
    """
    if evidence < LEAST_TOLD:
        return "nothing is shown yet"
    if evidence < needed:
        return f"not proven: {_by_chance(evidence)}; proof is 1 of {needed:,.0f}"
    return f"proven: {_by_chance(evidence)}"


def _by_chance(evidence: float) -> str:
    return f"chance alone shows as much in at most 1 of {int(min(evidence, MOST_TOLD)):,} such trials"


def _told(kind: EventKind, key: DialKey, facts: Mapping[str, Any], by: str) -> str:
    if kind == "started":
        return _started(facts)
    if kind == "shared":
        return _shared(facts)
    if kind == "proposed":
        return f"{_swap(facts)} is proposed and waits for a person's word. {_proof(facts)}"
    if kind == "stepped":
        accepted = f", accepted by {by}" if by else ""
        return f"{facts['to']} instead of {facts['from']} from now on{accepted}. {_proof(facts)}"
    if kind == "rolled_back":
        why = _alarms(facts) if facts["why"] == "alarm" else f"{facts['to']} turned out better after all"
        return f"back to {facts['to']} from {facts['from']}, because {why}. {_numbers(facts)}"
    if kind == "stopped":
        return _stopped(facts, by)
    return _said(kind, key, facts, by)


def _said(kind: EventKind, key: DialKey, facts: Mapping[str, Any], by: str) -> str:
    """Return a person's word in words."""
    who = by or "somebody"
    if kind in ("accepted", "rejected"):
        return f"{who} {kind} {_swap(facts)}." if "challenger" in facts else f"{who} {kind} what was proposed."
    if kind == "frozen":
        return f"{who} froze it. Nothing moves here until it is thawed; feedback is still collected."
    if kind == "thawed":
        return f"{who} thawed it. Trials go on."
    return f"{who} reset it. It starts again where the pack says; what was tried before still counts as tried."


def _started(facts: Mapping[str, Any]) -> str:
    share = percent(facts["share"])
    if facts["kind"] == "holdback":
        undone = "If they turn out to do better, the step is taken back."
        return f"{share} of users stay with {facts['challenger']} for {facts['days_needed']} days. {undone}"
    asks = (
        f"must not do worse by more than {_points(facts['margin'])}, and saves tokens"
        if facts["kind"] == "down"
        else "must do better"
    )
    below = facts.get("followers", 0)
    moves = f" {times(below, 'task')} below {'moves' if below == 1 else 'move'} with it." if below else ""
    begins = f"a trial of {_swap(facts)} begins with {share} of users; it {asks}.{moves}"
    return f"{begins} A step takes proof: {_error(facts)}."


def _shared(facts: Mapping[str, Any]) -> str:
    moved = f"{facts['challenger']} now goes to {percent(facts['share'])} of users, after {percent(facts['was'])}"
    if "better" not in facts:
        return f"{moved}."
    enough = "as good as needed" if facts["kind"] == "down" else "better"
    return f"{moved}: the chance that it is {enough} is put at {percent(facts['better'])}."


def _stopped(facts: Mapping[str, Any], by: str) -> str:
    said = STOPPED[facts["why"]].format(
        challenger=facts["challenger"],
        incumbent=facts["incumbent"],
        asked="as well as" if facts["kind"] == "down" else "better than",
        by=by or "somebody",
        alarms=_alarms(facts),
    )
    if facts["why"] in ("voided", "metric"):
        return f"{said}. Evidence starts again."
    if facts["kind"] == "holdback" and facts["why"] == "alarm":
        said += f". {facts['incumbent']} stays"
    if facts["why"] == "harm":
        return f"{said}. {record(facts).rstrip('.')}; {_by_chance(facts['harm'])}."
    return f"{said}. {_numbers(facts)}"


def _swap(facts: Mapping[str, Any]) -> str:
    return f"{facts['challenger']} instead of {facts['incumbent']}"


def _alarms(facts: Mapping[str, Any]) -> str:
    return " and ".join(alarm(name) for name in facts.get("alarms", ()))


def _numbers(facts: Mapping[str, Any]) -> str:
    found = record(facts)
    return found if found.endswith(".") else f"{found}; {sureness(facts['evidence'], facts['needed'])}."


def _proof(facts: Mapping[str, Any]) -> str:
    return f"{record(facts).rstrip('.')}. That is proof: {_error(facts)}."


def _error(facts: Mapping[str, Any]) -> str:
    return f"wrong in at most {percent(facts['alpha'])} of such cases"


def _points(margin: float) -> str:
    return times(100.0 * margin, "point")
