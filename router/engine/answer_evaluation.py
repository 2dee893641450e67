"""Evaluation of one answer: what its checks, the signals in it and around it, and the judge are to say of it.

What is found says one of four things, and every row has an id that follows from what it is about, so that an answer
examined twice, or a turn that a client sends again, counts once:

- checks speak of the answer they were run on;
- a signal in an answer speaks of that answer;
- a signal in a user's turn, or in the task that it came to, speaks of the conversation so far;
- a user who comes back to a task speaks of the conversation before.

Of tasks only those count that a turn was sure of, not those of a shortlist, nor what lies above them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar

from router.core.decision import Decision
from router.core.errors import Degraded
from router.core.learning import Compliance, Feedback, Source
from router.core.policy import ROOT, CueValue, Judge, Policy, Signal
from router.core.ports import Wire
from router.core.store_ports import FeedbackSubject
from router.engine.guarding import FaultHandler
from router.engine.prepare import PreparedRequest

log = logging.getLogger("router.engine")

P = ParamSpec("P")
R = TypeVar("R")

POLICIES_KEPT = 32
"""Policies whose compiled patterns are remembered; conversations stay on up to eight earlier revisions of each."""

SIGNAL = "signal "
"""How the comment of a signal's row begins; its name follows."""


class Answered(NamedTuple):
    """An answer as it was sent, with all that was decided about its request.

    `pieces` are the bytes of a body or of a stream, in order, `size` how many they are, and `whole` whether that is all
    of them. `decision` is the id of the decision, `model` the model that answered.
    """

    wire: Wire
    prepared: PreparedRequest
    tenant: str
    decision: str
    model: str
    at_ms: int
    pieces: Sequence[bytes]
    size: int
    stream: bool
    whole: bool = True
    status: int = 200


class AnswerRules(Protocol):
    """All that is looked for under one policy. Deterministic."""

    @property
    def again(self) -> Sequence[Signal]:
        """The signals that ask whether a user has come back to a task."""
        ...

    def examine(
        self, decision: Decision, cues: Mapping[str, CueValue], text: str, *, model: str = "", whole: bool = True
    ) -> tuple[float | None, Sequence[Compliance]]:
        """Return the share of an answer's checks that held, and what each of them told."""
        ...

    def in_turn(self, text: str, paths: Iterable[str], before: Iterable[str]) -> Sequence[Signal]:
        """Return what a user's turn, and the tasks that it came to, say of the answers before."""
        ...

    def in_answer(self, text: str) -> Sequence[Signal]:
        """Return what an answer says of itself."""
        ...

    def judges(self, conversation: str) -> bool:
        """Say whether the judge is asked about the answers of a conversation."""
        ...

    def prompt(self, question: str, answer: str, secret: str) -> bytes:
        """Return the body for `/chat/completions` that asks the judge."""
        ...

    def verdict(self, reply: str) -> float | None:
        """Return the value of the judge's metric by its reply; None where there is none in it."""
        ...


RulesOf: TypeAlias = Callable[[Policy], AnswerRules]


class _Earlier(Protocol):
    """Finds the newest other conversation of a user that came to a task since then. Raises Degraded."""

    def __call__(
        self, *, tenant: str, policy: str, unit: str, task: str, conversation: str, since_ms: int
    ) -> FeedbackSubject | None:
        """Return it with its decision at the task, or None. `conversation` is the one it must not be."""
        ...


def never_before(
    *, tenant: str, policy: str, unit: str, task: str, conversation: str, since_ms: int
) -> FeedbackSubject | None:
    """Find nothing: where no store remembers who came before."""
    return None


class JudgeCall(NamedTuple):
    """A call to the judge, and the row that its verdict makes whole."""

    row: Feedback
    model: str
    body: bytes
    rules: AnswerRules


@dataclass(slots=True)
class _Findings:
    """What was found in an answer: rows of feedback, counts of checks, and a call to the judge."""

    rows: list[Feedback] = field(default_factory=list)
    counts: Sequence[Compliance] = ()
    judging: JudgeCall | None = None


class AnswerEvaluator:
    """Looks at answers, one at a time. Called from one thread at a time.

    `rules_of` compiles the rules of a policy. `salt` keys the ids of rows, so that nobody can send one of them first.
    `now_ms` is the clock by which feedback is received.
    """

    def __init__(
        self,
        rules_of: RulesOf,
        fault_handler: FaultHandler,
        *,
        earlier: _Earlier = never_before,
        salt: bytes = b"",
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._rules_of = rules_of
        self.fault_handler = fault_handler
        self._earlier = earlier
        self._key = blake2b(salt, digest_size=32).digest()
        self.now_ms = now_ms
        self._kept: dict[tuple[str, str], AnswerRules] = {}

    def look_at(self, answered: Answered, text: str) -> _Findings:
        """Return what there is to say of an answer with these words. Raises Degraded."""
        prepared = answered.prepared
        decision, policy = prepared.decision, prepared.snapshot.policy
        found = _Findings()
        if decision.outcome == "skipped":  # a machine's own call is part of nobody's conversation
            return found
        rules = self._rules(policy)
        self._check(answered, rules, text, found)
        for signal in rules.in_answer(text):
            about = ("answer", answered.decision, signal.metric)
            found.rows.append(self._said(answered.tenant, _here(answered, answered.decision), signal, about))
        if len(prepared.decisions) > 1:
            found.rows += self._hear_turn(answered, rules)
        *before, now = (_came_to(prepared, turn)[:1] for turn in range(len(prepared.decisions)))
        if now not in ((), (ROOT,), *before):
            found.rows += self._look_back(answered, rules, *now)
        if text and policy.judge and rules.judges(prepared.identity.conversation):
            found.judging = self._ask(answered, policy.judge, rules, text)
        return found

    def _rules(self, policy: Policy) -> AnswerRules:
        key = policy.name, policy.revision
        found = self._kept.pop(key, None)
        if found is None:
            found = self._rules_of(policy)
            if len(self._kept) >= POLICIES_KEPT:
                del self._kept[next(iter(self._kept))]
        self._kept[key] = found  # the one used last goes last
        return found

    def _check(self, answered: Answered, rules: AnswerRules, text: str, found: _Findings) -> None:
        """Run the checks of the instructions on an answer."""
        prepared = answered.prepared
        share, found.counts = rules.examine(
            prepared.decision, prepared.evidence.cues, text, model=answered.model, whole=answered.whole
        )
        for metric in prepared.snapshot.policy.metrics.values():
            if metric.kind == "checks" and share is not None:
                about = ("checks", answered.decision, metric.name)
                here = _here(answered, answered.decision)
                found.rows.append(self._row(answered.tenant, here, metric.name, share, about))

    def _hear_turn(self, answered: Answered, rules: AnswerRules) -> Iterator[Feedback]:
        """Yield what the newest user turn says of the conversation before it."""
        prepared = answered.prepared
        turn = len(prepared.decisions) - 1
        before, now = _came_to(prepared, turn - 1), _came_to(prepared, turn)
        for signal in rules.in_turn(_question(prepared), now, before):
            # A conversation's name may be used again for a later one, hence the time at which it began.
            about = ("turn", prepared.identity.conversation, repr(prepared.pin.began_s), str(turn), signal.metric)
            yield self._said(answered.tenant, _here(answered), signal, about)

    def _look_back(self, answered: Answered, rules: AnswerRules, task: str) -> Iterator[Feedback]:
        """Yield what a user says of the conversation before who has come back to its task."""
        identity, policy = answered.prepared.identity, answered.prepared.snapshot.policy.name
        if identity.unit == identity.conversation:  # nobody knows who this is
            return
        for signal in rules.again:
            before = attempt(
                self.fault_handler,
                "earlier_failed",
                self._earlier,
                tenant=answered.tenant,
                policy=policy,
                unit=identity.unit,
                task=task,
                conversation=identity.conversation,
                since_ms=answered.at_ms - round(1000 * signal.again_within_s),
            )
            if before is not None:
                about = ("again", before.conversation, before.decision, task, signal.metric)
                yield self._said(answered.tenant, before, signal, about)

    def _ask(self, answered: Answered, judge: Judge, rules: AnswerRules, text: str) -> JudgeCall:
        about = ("judge", answered.decision, judge.metric)
        here = _here(answered, answered.decision)
        row = self._row(answered.tenant, here, judge.metric, 0.0, about, source="judge")
        body = rules.prompt(_question(answered.prepared), text, answered.decision)
        return JudgeCall(row, judge.model, body, rules)

    def _said(self, tenant: str, of: FeedbackSubject, signal: Signal, about: tuple[str, ...]) -> Feedback:
        return self._row(tenant, of, signal.metric, signal.value, about, comment=f"{SIGNAL}{signal.name}")

    def _row(
        self,
        tenant: str,
        of: FeedbackSubject,
        metric: str,
        value: float,
        about: tuple[str, ...],
        *,
        source: Source = "system",
        comment: str = "",
    ) -> Feedback:
        """Return a row whose id follows from what it is about."""
        name = blake2b(repr((of.policy, *about)).encode(), key=self._key, digest_size=12).hexdigest()
        return Feedback(
            id=f"{source}-{name}",
            at_ms=self.now_ms(),
            tenant=tenant,
            policy=of.policy,
            conversation=of.conversation,
            unit=of.unit,
            decision=of.decision,
            metric=metric,
            value=value,
            source=source,
            comment=comment,
        )


def attempt(
    fault_handler: FaultHandler, code: str, function: Callable[P, R], /, *given: P.args, **named: P.kwargs
) -> R | None:
    """Return what a function returns; None where it fails, which is counted and logged."""
    try:
        return fault_handler.run(code, function, *given, **named)
    except Degraded as fault:
        if fault.code != code:  # that one the guard has counted and logged itself
            fault_handler.note(fault.code)
            log.warning("%s: %s", code, fault)
        return None


def _came_to(prepared: PreparedRequest, turn: int) -> tuple[str, ...]:
    """Return the tasks that a user turn was sure of, most certain first."""
    least = prepared.observed.turns[turn].evidence.thresholds.at
    return tuple(path for path, mass, _ in prepared.decisions[turn].paths if path == ROOT or mass >= least(path))


def _here(answered: Answered, decision: str = "") -> FeedbackSubject:
    """Return the answer's conversation as feedback names it, or one decision in it."""
    prepared = answered.prepared
    return FeedbackSubject(
        prepared.snapshot.policy.name, prepared.identity.conversation, prepared.identity.unit, decision, answered.at_ms
    )


def _question(prepared: PreparedRequest) -> str:
    """Return the newest user turn; empty where the backend keeps it."""
    return next((turn.text for turn in reversed(prepared.request.conversation.turns) if turn.role == "user"), "")
