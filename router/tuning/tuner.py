"""What happens next: from policy, state, evidence and clock to the events to be appended to the log. A pure function.

    refresh(policy, state, tests, arms, now_ms) -> events

The rules, each in force whoever looks and however often:

* A challenger is the level beside the one in force. More text is a trial `up` and must be better; less text is a trial
  `down` and must not be worse by more than MARGIN.
* The k-th challenger of a dial steps at evidence 1 / alpha_k, alpha_k = ALPHA / (k (k + 1)); these add up to ALPHA, so
  a dial makes a wrong step with at most that chance in all its life. k never goes back, not by a reset or a new text.
* Also needed: MATURED conversations with a reward, DAYS_LEAST full days, and no alarm.
* Mode `auto` steps at once. Mode `suggest` proposes and goes on; a person accepts or rejects. Mode `observe` draws
  nothing: trials end, and a holdback only waits for what was drawn before.
* Harm, an alarm, a new text and a person's rejection end a trial; so do CONVERSATIONS_MOST conversations or DAYS_MOST
  days without a certificate, and the allocation's giving it up as HOPELESS. The challenger then has a cooldown, unless
  it was the text that changed.
* After a step HOLDBACK_SHARE of the units stay on the old level for HOLDBACK_DAYS. If that turns out better (evidence
  ROLLBACK_AT; for a cheaper level: better by more than MARGIN), or the new one worse on a guardrail, the step is
  taken back, in every mode.
* A task's trial moves all tasks below it that have no dial of their own. A task may have its own trial only when the
  one above has nothing left to try; never are there two on one lineage. So a rare task moves with its parent.
* What is frozen does not move at all. A rejection still ends a trial.

The guarantee is per dial. What is assumed of outcomes is said in `sequential_test`; that the evidence handed in is that
of the trials in the state is the caller's part (`level_state.advance_tests`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from router.core.learning import DialKey, EventKind, ExperimentEvent
from router.core.policy import Policy
from router.tuning.allocation import LEAST_SHARE, ArmKey, ArmStatistics, Candidate, share_of
from router.tuning.candidates import DAY_MS, DAYS_MOST, MATURED, Candidates
from router.tuning.level_state import LevelState, RunningTrial, fold
from router.tuning.sequential_test import HARM_ALARM, MARGIN, SequentialTest
from router.tuning.words import tell

ALPHA = 0.05
"""The chance, over a dial's whole life, of a step that was wrong."""

DAYS_LEAST = 7
"""A week, because weekdays differ."""
CONVERSATIONS_MOST = 8_000
HOLDBACK_SHARE = LEAST_SHARE
HOLDBACK_DAYS = 30
ROLLBACK_AT = 10.0
COOLDOWN_DAYS = 90
"""So long a challenger that was tried is left alone."""
COOLDOWN_DAYS_DOUBT = 7
"""So long where the trial itself was in doubt, not the level: draws or answers were lost, or the arms not alike."""

HOPELESS, HOPELESS_N = 0.05, 100
"""From so many matured conversations of the challenger on, a trial ends when the allocation gives it no more than this
chance: it would bar the way to another for weeks. A trial may stop for any reason without harm to the guarantee. In
simulation (40 tasks, 5 domains, 36,000 conversations in 60 days, 30 worlds) regret fell from .65 to .58 of static."""

RESHARE = 0.075
"""A share that would change by less stays as it is: every change is a line in the log."""

DOUBTS = ("sample ratio", "silence")


def alpha_of(k: int) -> float:
    """Return the error allowed to a dial's k-th challenger, from 1 on. Over all k it sums to ALPHA.

    >>> alpha_of(1), round(1 / alpha_of(2))
    (0.025, 120)
    """
    return ALPHA / (k * (k + 1))


def refresh(
    policy: Policy,
    state: LevelState,
    tests: Mapping[str, SequentialTest],
    arms: Mapping[ArmKey, ArmStatistics],
    now_ms: int,
) -> list[ExperimentEvent]:
    """Return what is to be appended to the log now, in order; nothing where all may go on as it is.

    `tests` are those of the running trials by id (`level_state.advance_tests`), `arms` the statistics of all matured
    outcomes, drawn or not (`allocation.count_outcomes`). Called again with the state that results, it returns nothing.
    """
    refreshing = _Refresh(policy, state, arms, now_ms)
    for key, running in sorted(state.running.items()):
        refreshing.tend(key, running, tests.get(running.id, running.opening))
    refreshing.begin()
    return refreshing.events


class _Refresh:
    """One refresh under way: the state as it stands after the events so far."""

    def __init__(self, policy: Policy, state: LevelState, arms: Mapping[ArmKey, ArmStatistics], now_ms: int) -> None:
        self.policy = policy
        self.arms = arms
        self.now_ms = now_ms
        self.state = state
        self.candidates = Candidates(policy, state, arms, now_ms)
        self.events: list[ExperimentEvent] = []

    def tend(self, key: DialKey, running: RunningTrial, test: SequentialTest) -> None:
        """Decide about one running trial."""
        # The order is the rule. First what makes the evidence mean something else, then a person's no, then a freeze,
        # which holds even alarms back since nobody is drawn; then harm before success, so that no step is taken on the
        # day a guardrail alarms, not even one that a person accepted.
        mode = self.policy.settings.tuning
        if self.policy.texts.get(key.task) != running.text:
            self.stop(key, running, test, "voided", cooldown_days=0)
        elif self._metric() != running.metric:
            self.stop(key, running, test, "metric", cooldown_days=0)
        elif running.rejected:
            self.stop(key, running, test, "rejected", by=running.rejected)
        elif self.state.held(key) is not None:
            return
        elif running.kind == "holdback":
            self._hold_back(key, running, test)
        elif mode == "observe":
            self.stop(key, running, test, "observe", cooldown_days=0)
        elif test.alarms:
            doubt = any(alarm in DOUBTS for alarm in test.alarms)
            self.stop(key, running, test, "alarm", cooldown_days=COOLDOWN_DAYS_DOUBT if doubt else COOLDOWN_DAYS)
        elif test.evidence_against >= HARM_ALARM:
            self.stop(key, running, test, "harm")
        elif running.accepted and running.proposed_ms is not None:
            self.step(key, running, test, by=running.accepted)
        elif self._certified(running, test):
            if mode == "auto":
                self.step(key, running, test)
            elif running.proposed_ms is None:
                self.write("proposed", key, self._found(running, test))
        elif self._futile(running, test) and (running.proposed_ms is None or mode == "auto"):
            self.stop(key, running, test, "futile")
        else:
            self._share(key, running, test)

    def begin(self) -> None:
        """Start the trials that may start, from the top of the tree down."""
        for model, arms in self.candidates.models.items():
            for task in arms.tasks:
                key = DialKey(task, model)
                if self.candidates.wait(key) is None:
                    found, _ = self.candidates.neighbours(key)
                    self._start(found[0])

    def stop(
        self,
        key: DialKey,
        running: RunningTrial,
        test: SequentialTest,
        why: str,
        cooldown_days: int = COOLDOWN_DAYS,
        by: str = "",
    ) -> None:
        """End a trial without a step."""
        facts = self._found(running, test) | {"why": why, "alarms": list(test.alarms)}
        self.write("stopped", key, facts | self._cooldown(running, cooldown_days), by)

    def step(self, key: DialKey, running: RunningTrial, test: SequentialTest, by: str = "") -> None:
        """Make the challenger the level in force, and hold some units back on the old one."""
        old, new = running.incumbent, running.challenger
        self.write("stepped", key, self._found(running, test) | {"from": old.word, "to": new.word}, by)
        self.write(
            "started",
            key,
            {
                "trial": self._trial(key, running.k, "holdback"),
                "kind": "holdback",
                "incumbent": new.word,
                "challenger": old.word,
                "share": HOLDBACK_SHARE,
                "alpha": 1.0 / ROLLBACK_AT,
                "margin": -running.margin if running.margin else 0.0,
                "text": running.text,
                "metric": running.metric,
                "k": running.k,
                "days_needed": HOLDBACK_DAYS,
            },
        )

    def write(self, kind: EventKind, key: DialKey, facts: Mapping[str, Any], by: str = "") -> None:
        """Add an event, with its words, and let the state follow."""
        said = tell(kind, key, facts, by)
        event = ExperimentEvent(
            self.now_ms, self.policy.name, kind, key, MappingProxyType(dict(facts)), said, by or "tuner"
        )
        self.events.append(event)
        self.state = fold([event], self.state)
        self.candidates = self.candidates.with_state(self.state)

    def _hold_back(self, key: DialKey, running: RunningTrial, test: SequentialTest) -> None:
        guards = [alarm for alarm in test.alarms if alarm not in DOUBTS]
        if guards or test.evidence_for >= ROLLBACK_AT:
            facts = self._found(running, test) | {"from": running.incumbent.word, "to": running.challenger.word}
            facts |= {"why": "alarm" if guards else "worse", "alarms": guards}
            self.write("rolled_back", key, facts | self._cooldown(running, COOLDOWN_DAYS))
        elif test.alarms:
            self.stop(key, running, test, "alarm", cooldown_days=0)
        elif self._days(running) >= HOLDBACK_DAYS:
            self.stop(key, running, test, "kept", cooldown_days=0)
        else:
            share = 0.0 if self.policy.settings.tuning == "observe" else HOLDBACK_SHARE
            if share != running.share:
                self.write("shared", key, self._found(running, test) | {"share": share, "was": running.share})

    def _share(self, key: DialKey, running: RunningTrial, test: SequentialTest) -> None:
        candidate = self.candidates.candidate(key, running.incumbent, running.challenger)
        better = candidate.better if candidate else 0.0
        if test.reward.challenger_n >= HOPELESS_N and better <= HOPELESS and running.proposed_ms is None:
            self.stop(key, running, test, "futile")
            return
        high = self.candidates.high_stakes(key)
        share = share_of(better, running.kind, test.reward.challenger_n, high_stakes=high)
        if abs(share - running.share) >= RESHARE:
            facts = self._found(running, test) | {"share": share, "was": running.share, "better": round(better, 4)}
            self.write("shared", key, facts)

    def _start(self, candidate: Candidate) -> None:
        key, k = candidate.key, self.state.dial(candidate.key).k + 1
        high = self.candidates.high_stakes(key)
        facts = {
            "trial": self._trial(key, k, candidate.kind),
            "kind": candidate.kind,
            "incumbent": candidate.incumbent.word,
            "challenger": candidate.challenger.word,
            "share": share_of(candidate.better, candidate.kind, 0, high_stakes=high),
            "alpha": alpha_of(k),
            "margin": MARGIN if candidate.kind == "down" else 0.0,
            "text": self.policy.texts[key.task],
            "metric": self._metric(),
            "k": k,
            "n": self.candidates.record(key).n,
            "followers": len(self.candidates.followers(key)) - 1,
            "expected": round(candidate.difference.mean, 4),
            "better": round(candidate.better, 4),
        }
        self.write("started", key, facts)

    def _certified(self, running: RunningTrial, test: SequentialTest) -> bool:
        enough = test.reward.n >= MATURED and self._days(running) >= DAYS_LEAST
        return enough and test.evidence_for >= 1.0 / running.alpha

    def _futile(self, running: RunningTrial, test: SequentialTest) -> bool:
        return test.outcomes >= CONVERSATIONS_MOST or self._days(running) >= DAYS_MOST

    def _metric(self) -> str:
        return self.policy.primary.name if self.policy.primary else ""

    def _days(self, running: RunningTrial) -> float:
        return (self.now_ms - running.started_ms) / DAY_MS

    def _found(self, running: RunningTrial, test: SequentialTest) -> dict[str, Any]:
        """Return what a trial has found so far, as the facts of an event."""
        reward = test.reward
        return {
            "trial": running.id,
            "kind": running.kind,
            "incumbent": running.incumbent.word,
            "challenger": running.challenger.word,
            "text": running.text,
            "k": running.k,
            "metric": running.metric,
            "alpha": running.alpha,
            "margin": running.margin,
            "n": reward.n,
            "challenger_n": reward.challenger_n,
            "challenger_mean": _rounded(reward.challenger_mean),
            "incumbent_mean": _rounded(reward.incumbent_mean),
            "evidence": float(f"{test.evidence_for:.6g}"),
            "needed": 1.0 / running.alpha,
            "harm": float(f"{test.evidence_against:.6g}"),
            "days": round(self._days(running), 2),
        }

    def _cooldown(self, running: RunningTrial, days: int) -> dict[str, Any]:
        return {"rests_until_ms": self.now_ms + days * DAY_MS if days else 0}

    def _trial(self, key: DialKey, k: int, kind: str) -> str:
        """Return the id of a trial, spelt as in older logs. k never goes back, so it is used once."""
        return f"{self.policy.name}:{key.task}::{key.model}:{k}:{kind}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
