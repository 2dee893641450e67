"""All that is looked for under one policy, compiled once: its checks, its signals and its judge.

A signal is what the way a conversation goes on tells about the answers before. Nobody is asked anything: a rule of the
pack looks at the user's next turn, at the answer itself, at the task that the conversation comes to, or at whether the
same user comes back to a task; when it is met it says a value of a metric.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from router.core.decision import Decision
from router.core.policy import CueValue, Policy, Signal
from router.rewards.checks import CheckResults, Checks, Detect
from router.rewards.judge import prompt_for, read_score
from router.rewards.reward import drawn_for_judge, goodness, value_at
from router.rewards.text import clean, compiled


class PolicyAnswerRules:
    """Evaluates answers and turns by one policy. Implements `router.engine.answer_evaluation.AnswerRules`.

    `detect` finds the language of a text; `salt` keys the draw of the conversations that are judged.
    """

    def __init__(self, policy: Policy, detect: Detect, salt: bytes = b"") -> None:
        self._policy = policy
        self._checks = Checks(policy, detect)
        self._signals = Signals(policy)
        self._salt = salt
        self.again = self._signals.again

    def examine(
        self, decision: Decision, cues: Mapping[str, CueValue], text: str, *, model: str = "", whole: bool = True
    ) -> CheckResults:
        """Return what the checks of the instructions tell of an answer (`Checks.examine`)."""
        return self._checks.examine(decision, cues, text, model=model, whole=whole)

    def in_turn(self, text: str, paths: Iterable[str], before: Iterable[str]) -> tuple[Signal, ...]:
        """Return what a user's turn, and the tasks that it came to, say of the answers before: one word a metric."""
        return self._signals.one_word((*self._signals.in_user_turn(text), *self._signals.in_tasks(paths, before)))

    def in_answer(self, text: str) -> tuple[Signal, ...]:
        """Return what an answer says of itself: one word a metric."""
        return self._signals.one_word(self._signals.in_answer(text))

    def judges(self, conversation: str) -> bool:
        """Say whether the judge is asked about the answers of a conversation."""
        judge = self._policy.judge
        return judge is not None and drawn_for_judge(conversation, judge.rate, self._salt)

    def prompt(self, question: str, answer: str, secret: str) -> bytes:
        """Return the body for `/chat/completions` that asks the judge. The policy has one."""
        assert self._policy.judge is not None
        return prompt_for(self._policy.judge, question, answer, secret)

    def verdict(self, reply: str) -> float | None:
        """Return the judge's metric's value by its reply; None where the reply gives no score."""
        judge = self._policy.judge
        score = read_score(reply)
        return None if judge is None or score is None else value_at(self._policy.metrics[judge.metric], score)


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
