"""Two models, the cheap one first: what both say of a message becomes one set of probabilities.

    first (lexical, static)  ->  sure?  -> its own probabilities
                             ->  unsure -> second (a sentence encoder), within a budget -> both, averaged in logarithms

A message is unsure when the two likeliest classes lie closer together than a bound; the bound is drawn out of fold, so
that a given share of the pack's examples is unsure. With a share of one the second model is asked every time.

The sentences of an unsure message are asked about in the same call, as far as they are unsure too.

The first model is always there. Where the second fails or is late, the first alone decides, with the thresholds that
were certified on it alone, and the `Shortfall` is a fault. An answer that comes too late is kept for the next message
with the same words (`vectors.VectorCache`).

Measured with MiniLM (int8), 10 examples a task, two draws, accuracy on the test messages of Banking77: the first model
79.7 and 80.5 %, the second alone 85.5 and 85.1 %, both averaged in equal parts 85.6 and 85.2 %, with .7 for the second
86.2 and 85.8 %. One model fitted to the blocks of both gives 86.2 and 85.6 %, and the first could not do without it.
The difference of the two likeliest draws a better bound than the likeliest alone: .4 points more at a fifth asked.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from router.classify.encoder import Doubles, Flags, LinearModel, TokenizedText, softmax
from router.classify.text import sentences
from router.classify.vectors import EncoderFailed, VectorScorer
from router.core.evidence import Shortfall, Thresholds

WORKERS = min(4, os.cpu_count() or 1)
"""Questions to a second model at a time. Further ones wait, and are withdrawn when their budget is over."""

FAILURES_BORNE, REST_S = 3, 10.0
"""After so many failures in a row the second model is left alone for so long: a provider that is down must not cost
every unsure message its budget."""

LATE, FAILED = "encoder_late", "encoder_failed"


@dataclass(frozen=True, slots=True)
class ModelAverage:
    """How two models become one. All numbers are drawn out of fold (`joining`).

    `bound` is the least difference of the two likeliest classes at which the first model is sure. `weight` is the
    second model's part of the average of logarithms; `sharpness` and `none_shift` calibrate the average.
    """

    bound: float
    weight: float
    sharpness: float
    none_shift: float

    def unsure(self, first: Doubles) -> Flags:
        """Return which texts the first model is not sure of, by its probabilities; classes on the last axis."""
        flags: Flags = gaps(first) < self.bound
        return flags

    def scores(self, first: Doubles, second: Doubles) -> Doubles:
        """Return the calibrated scores that those of both models come to; their softmax are the probabilities."""
        average = (1.0 - self.weight) * first + self.weight * second
        average[..., -2] += self.none_shift
        return self.sharpness * average


def gaps(probabilities: Doubles) -> Doubles:
    """Return the difference of the two greatest on the last axis, which has two or more."""
    top = np.partition(probabilities, -2, axis=-1)
    difference: Doubles = top[..., -1] - top[..., -2]
    return difference


class _Prediction(NamedTuple):
    """A message's probabilities of all classes, those of its sentences on demand, and what fell short."""

    turn: Doubles | None
    part: Callable[[TokenizedText], Doubles | None]
    shortfall: Shortfall | None = None


Scores: TypeAlias = list[Doubles | None]
"""For each text the calibrated scores of all classes, or None where nothing in it is known."""


class ModelCascade:
    """Asks the first model, and the second where the first is unsure. Safe to call from any thread.

    `budget_s` is how long the second model may take for a message and its sentences. `alone` are the thresholds that
    hold without it. `clock` returns seconds.
    """

    def __init__(
        self,
        first: LinearModel,
        second: LinearModel,
        joint: ModelAverage,
        budget_s: float,
        alone: Thresholds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = first
        self._second = second
        self._joint = joint
        self._budget_s = budget_s
        self._alone = alone
        self._patience = _Patience(clock)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="second-model")
        with contextlib.suppress(EncoderFailed):  # then every question will fail and tell why
            for scorer in self._vector_scorers():
                scorer.open()

    def predict(self, text: str) -> _Prediction:
        """Return the probabilities of a message."""
        turn = self._first.probabilities(text)
        if not self._is_open(turn, text):
            return _Prediction(turn, self._first.probabilities_of)
        parts = {part: self._first.probabilities(part) for part in sentences(text)}
        asked = [text, *(part for part, alone in parts.items() if self._is_open(alone, part))]
        readings = [self._first.read(each) for each in asked]
        second, code = self._second_scores(readings)
        if second is None:
            return _Prediction(turn, lambda part: parts[part.text], Shortfall(code, self._alone))
        both = {reading.text: self._both(reading, scores) for reading, scores in zip(readings, second, strict=True)}
        return _Prediction(both[text], lambda part: both[part.text] if part.text in both else parts[part.text])

    def prepare(self, texts: Sequence[str]) -> None:
        """Ask the second model about many messages at once, however long it takes. Raises EncoderFailed."""
        asked = [text for text in texts if self._is_open(self._first.probabilities(text), text)]
        asked += [
            part for text in asked for part in sentences(text) if self._is_open(self._first.probabilities(part), part)
        ]
        for scorer in self._vector_scorers() if asked else ():
            scorer.prepare(asked)

    def _both(self, reading: TokenizedText, second: Doubles | None) -> Doubles | None:
        first = self._first.scores(reading)
        if first is None or second is None:
            known = second if first is None else first
            return None if known is None else softmax(known)
        return softmax(self._joint.scores(first, second))

    def _is_open(self, answer: Doubles | None, text: str) -> bool:
        """Say whether the second model is to be asked: also of words of which the first knows none."""
        return any(map(str.isalpha, text)) if answer is None else bool(self._joint.unsure(answer))

    def _second_scores(self, readings: list[TokenizedText]) -> tuple[Scores | None, str]:
        """Return the second model's scores in time, or None and the code of the fault."""
        if self._knows(readings):
            return [self._second.scores(reading) for reading in readings], ""
        if self._patience.is_out():
            return None, self._patience.code
        future = self._pool.submit(self._work, readings)
        try:
            found = future.result(self._budget_s)
        except TimeoutError:
            return None, self._give_up(future, LATE)
        except EncoderFailed:
            return None, self._give_up(future, FAILED)
        self._patience.succeeded()
        return found, ""

    def _work(self, readings: list[TokenizedText]) -> Scores:
        texts = [reading.text for reading in readings]
        for scorer in self._vector_scorers():
            scorer.prepare(texts, self._budget_s)
        return [self._second.scores(reading) for reading in readings]

    def _knows(self, readings: list[TokenizedText]) -> bool:
        """Say whether all that takes time is remembered."""
        texts = [reading.text for reading in readings]
        return all(scorer.knows(texts) for scorer in self._vector_scorers())

    def _vector_scorers(self) -> list[VectorScorer]:
        return [scorer for scorer in self._second.scorers if isinstance(scorer, VectorScorer)]

    def _give_up(self, future: Future[Scores], code: str) -> str:
        future.cancel()  # one that waits its turn need not run any more
        self._patience.failed(code)
        return code


class _Patience:
    """Counts failures in a row, and says when to stop asking for a while."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.code = FAILED
        self._clock = clock
        self._failures = 0
        self._until = float("-inf")
        self._lock = threading.Lock()

    def is_out(self) -> bool:
        """Say whether the second model is to be left alone for now."""
        return self._clock() < self._until

    def failed(self, code: str) -> None:
        """Count a failure; from `FAILURES_BORNE` on each begins a rest, so that one question tries again after it."""
        with self._lock:
            self.code = code
            self._failures += 1
            if self._failures >= FAILURES_BORNE:
                self._until = self._clock() + REST_S

    def succeeded(self) -> None:
        """Forget the failures."""
        with self._lock:
            self._failures = 0
            self._until = float("-inf")
