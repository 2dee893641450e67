"""All that is looked for under one policy, compiled once: its checks, its signals and its judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from router.core.decision import Decision
from router.core.policy import CueValue, Policy, Signal
from router.rewards.checks import CheckResults, Checks, Detect
from router.rewards.judge import prompt_for, read_score
from router.rewards.reward import drawn_for_judge, value_at
from router.rewards.signals import Signals


class Appraiser:
    """Appraises answers and turns under one policy. Implements `router.engine.answer_evaluation.AnswerRules`.

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
