"""Checks: tests of an answer that instructions carry, and what they tell about the instructions.

    mentions_any, mentions_all, mentions_none   phrases, anywhere; case, quotes and spaces are alike
    matches                                     a pattern (RE2), found anywhere in the answer as it is
    max_words, max_sentences                    counted in the prose, code left out
    language                                    of the prose; unknown where the detector is not sure
    json                                        the answer is one JSON value and nothing else (RFC 8259)
    ends_with_question                          true: it does; false: it does not

A check holds, or does not, or cannot be told: of an answer of which only the beginning is known, for example. What
cannot be told does not count. An answer without words (the call of a tool) is not examined.

All checks on the settled lineages are run, those of instructions that were not said as well: that tells which
instructions a model would obey anyway. Instructions whose conditions do not hold are left out either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

import msgspec

from router.core.decision import Decision
from router.core.learning import Compliance
from router.core.policy import Check, CueValue, Instruction, Policy
from router.rewards.patterns import compiled
from router.rewards.text import clean, count_sentences, count_words, ends_with_question, folded, prose

Detect: TypeAlias = Callable[[str], str | None]
"""Returns the language of a text (ISO 639-1), or None where it is not clear."""

_FINAL: Mapping[str, bool] = {
    "mentions_any": True,
    "mentions_all": True,
    "mentions_none": False,
    "max_words": False,
    "max_sentences": False,
}
"""What no further text could change, by kind: all that a beginning can tell."""


class Views:
    """A text in the forms in which checks look at it, each made when it is first asked for."""

    __slots__ = ("_folded", "_prose", "text", "whole")

    def __init__(self, text: str, whole: bool) -> None:
        self.text = text
        self.whole = whole
        self._folded: str | None = None
        self._prose: str | None = None

    @property
    def folded(self) -> str:
        """The text as phrases are looked for in it."""
        if self._folded is None:
            self._folded = folded(self.text)
        return self._folded

    @property
    def prose(self) -> str:
        """The text without blocks of code."""
        if self._prose is None:
            self._prose = prose(self.text)
        return self._prose


Tester: TypeAlias = Callable[[Views], bool | None]


class CheckResults(NamedTuple):
    """What the checks told of an answer.

    `share` of the checks of the instructions that were said held, None where none of them told anything. `counts` has
    one line for each check that told something, those of instructions that were not said as well.
    """

    share: float | None
    counts: tuple[Compliance, ...]


NOTHING = CheckResults(None, ())


class Checks:
    """The checks of one policy, compiled. `detect` finds the language of a text."""

    def __init__(self, policy: Policy, detect: Detect) -> None:
        self._policy = policy.name
        self._by_task: dict[str, tuple[tuple[Instruction, Tester, str], ...]] = {}
        for path, task in policy.tasks.items():
            carried = [(line, _tester(line.check, detect), digest(line)) for line in task.instructions if line.check]
            if carried:
                self._by_task[path] = tuple(carried)

    def __bool__(self) -> bool:
        return bool(self._by_task)

    def examine(
        self, decision: Decision, cues: Mapping[str, CueValue], text: str, *, model: str = "", whole: bool = True
    ) -> CheckResults:
        """Return what the checks tell of the answer `text` to what was decided under these cues.

        `whole` says that `text` is the whole answer and not only its beginning. `Compliance.drawn` marks instructions
        of tasks whose level was drawn at random with this very decision.
        """
        if not self._by_task or not text.strip():
            return NOTHING
        text, all_of_it = clean(text)
        views = Views(text, whole and all_of_it)
        said = {piece.id for piece in decision.mix}
        held: list[bool] = []
        counts: list[Compliance] = []
        for path in decision.levels:
            for line, test, name in self._by_task.get(path, ()):
                result = test(views) if line.id in said or fits(line, cues) else None
                if result is None:
                    continue
                if line.id in said:
                    held.append(result)
                drawn = decision.draw is not None and _follows(path, decision.draw.node)
                counts.append(Compliance(self._policy, line.id, name, model, line.id in said, drawn, 1, int(result)))
        return CheckResults(sum(held) / len(held) if held else None, tuple(counts))


def holds(check: Check, text: str, detect: Detect, *, whole: bool = True) -> bool | None:
    """Say whether a check holds of a text; None where that cannot be told.

    >>> holds(Check("mentions_any", ("order number",)), "Your ORDER  number, please?", lambda text: None)
    True
    """
    text, all_of_it = clean(text)
    return _tester(check, detect)(Views(text, whole and all_of_it))


def fits(line: Instruction, cues: Mapping[str, CueValue]) -> bool:
    """Say whether an instruction may be said under these cues: its conditions, and the cues that stand in it."""
    return (
        all(clause.holds(cues) for clause in line.when)
        and not (line.unless and all(clause.holds(cues) for clause in line.unless))
        and all(cue in cues for cue in line.cues)
    )


def digest(line: Instruction) -> str:
    """Name an instruction's text and check: where either changes, what was counted says nothing of the new one."""
    return blake2b(repr((line.text, line.check)).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _follows(path: str, node: str) -> bool:
    """Say whether a task's level is drawn with that of `node`: it is that task, or lies below it."""
    return path == node or path.startswith(f"{node}/")


def _tester(check: Check | None, detect: Detect) -> Tester:
    """Return the function that runs a check."""
    assert check is not None
    run = _whole_tester(check, detect)
    final = _FINAL.get(check.kind)

    def test(views: Views) -> bool | None:
        result = run(views)
        return result if views.whole or result is final or check.kind == "language" else None

    return test


def _whole_tester(check: Check, detect: Detect) -> Tester:
    """Return the function that runs a check on a whole answer."""
    kind, value = check.kind, check.value
    if kind in ("mentions_any", "mentions_all", "mentions_none"):
        phrases = tuple(folded(phrase) for phrase in value)
        if kind == "mentions_any":
            return lambda views: any(phrase in views.folded for phrase in phrases)
        if kind == "mentions_all":
            return lambda views: all(phrase in views.folded for phrase in phrases)
        return lambda views: not any(phrase in views.folded for phrase in phrases)
    if kind == "matches":
        (pattern,) = compiled([value])
        return lambda views: pattern.search(views.text) is not None
    if kind == "max_words":
        return lambda views: count_words(views.prose) <= value
    if kind == "max_sentences":
        return lambda views: count_sentences(views.prose) <= value
    if kind == "language":
        return lambda views: None if (found := detect(views.prose)) is None else found == value
    if kind == "json":
        return lambda views: _is_json(views.text)
    if kind == "ends_with_question":
        return lambda views: ends_with_question(views.prose) is value
    raise ValueError(f"there is no check {kind}")


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return False
    return True
