"""Signals: what the way a conversation goes on tells about the answers before, by the rules of the pack.

Nobody is asked anything. A rule looks at the user's next turn, at the answer itself, at the task that the conversation
comes to, or at whether the same user comes back to a task; when it is met it says a value of a metric.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from router.core.policy import Policy, Signal
from router.rewards.patterns import compiled
from router.rewards.reward import goodness
from router.rewards.text import clean


class Signals:
    """The signals of one policy, compiled. `again` are those that ask whether a user came back to a task."""

    def __init__(self, policy: Policy) -> None:
        self._lineages = policy.lineages
        self._metrics = policy.metrics
        self._boilerplate = compiled(policy.boilerplate)
        self._user = [(signal, compiled(signal.user_says)) for signal in policy.signals if signal.user_says]
        self._answer = [(signal, compiled(signal.answer_says)) for signal in policy.signals if signal.answer_says]
        self._tasks = [signal for signal in policy.signals if signal.tasks]
        self.again = tuple(signal for signal in policy.signals if signal.again_within_s > 0)

    def __bool__(self) -> bool:
        return bool(self._user or self._answer or self._tasks or self.again)

    def in_user_turn(self, text: str) -> tuple[Signal, ...]:
        """Return the signals that a user's turn gives about the answers before it.

        What the pack cuts from user turns as boilerplate, such as quoted mail, is not the user's own word here either.
        """
        if not self._user:
            return ()
        text, _ = clean(text)
        for pattern in self._boilerplate:
            text = pattern.sub(" ", text)
        return _met(self._user, text)

    def in_answer(self, text: str) -> tuple[Signal, ...]:
        """Return the signals that an answer gives about itself."""
        return _met(self._answer, clean(text)[0]) if self._answer and text.strip() else ()

    def in_tasks(self, paths: Iterable[str], before: Iterable[str] = ()) -> tuple[Signal, ...]:
        """Return the signals that the settled `paths` of a turn give; those that the turn before gave are no news."""
        if not self._tasks:
            return ()
        here, there = self._spoken(paths), self._spoken(before)
        return tuple(
            signal for signal in self._tasks if not here.isdisjoint(signal.tasks) and there.isdisjoint(signal.tasks)
        )

    def one_word(self, met: Iterable[Signal]) -> tuple[Signal, ...]:
        """Return of the signals that were met at once the one for each metric that says worst.

        People thank out of politeness while they complain, and do not complain out of politeness.
        """
        worst: dict[str, Signal] = {}
        for signal in met:
            metric = self._metrics[signal.metric]
            known = worst.get(signal.metric)
            if known is None or goodness(metric, signal.value) < goodness(metric, known.value):
                worst[signal.metric] = signal
        return tuple(worst.values())

    def _spoken(self, paths: Iterable[str]) -> set[str]:
        return {task for path in paths for task in self._lineages.get(path, ())}


def _met(rules: Iterable[tuple[Signal, tuple[Any, ...]]], text: str) -> tuple[Signal, ...]:
    return tuple(signal for signal, patterns in rules if any(pattern.search(text) for pattern in patterns))
