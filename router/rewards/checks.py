"""Checks: tests of an answer that instructions carry, and which instructions a model obeys.

    mentions_any, mentions_all, mentions_none   phrases, anywhere; case, quotes and spaces are alike
    matches                                     a pattern (RE2), found anywhere in the answer as it is
    max_words, max_sentences                    counted in the prose, code left out
    language                                    of the prose; unknown where the detector is not sure
    json                                        the answer is one JSON value and nothing else (RFC 8259)
    ends_with_question                          true: it does; false: it does not

A check holds, or does not, or cannot be told: of an answer of which only the beginning is known, for example. What
cannot be told does not count. An answer without words (the call of a tool) is not examined.

All checks on the settled lineages are run, those of instructions that were not said as well: that tells which
instructions a model would obey anyway. Instructions whose conditions do not hold are left out either way, and so are
tasks that speak as cases: nobody knows which case an answer followed.

Each instruction is then judged by how often its check holds where it is said, and how often where it is not
(`obedience`). The second comes from conversations at a lower level; those that a trial drew differ in nothing else, so
their counts are preferred where there are enough. Intervals are Wilson's (1927) at 95 %, of a difference Newcombe's
(Statistics in Medicine 1998, method 10).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import sqrt
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from router.core.compose import REPEATED
from router.core.decision import Decision
from router.core.learning import Compliance
from router.core.policy import Check, CueValue, Instruction, Policy, lineage
from router.rewards.text import clean, compiled, count_sentences, count_words, ends_with_question, folded, prose

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

ENOUGH = 30
"""Answers on a side before anything is said of it."""

IGNORED_BELOW = 0.5
"""An instruction that is followed less often than this, for sure, is ignored."""

ANYWAY_WITHIN = 0.1
"""Where saying it helps by less than this, for sure, it would be obeyed anyway, or is as much in vain."""

Z = 1.96

Verdict = Literal["unknown", "obeyed", "ignored", "anyway", "no effect", "helps"]


class _TextViews:
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


Tester: TypeAlias = Callable[[_TextViews], bool | None]


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
        views = _TextViews(text, whole and all_of_it)
        said = {piece.id for piece in decision.mix}
        alike = [each for each in decision.dropped if each.reason.startswith(REPEATED)]
        said |= {each.id for each in alike if each.reason.removeprefix(REPEATED) in said}  # in another's words
        cases = {path for task in decision.listed for path in lineage(task)}
        cases -= {path for task in decision.tasks for path in lineage(task)}
        held: list[bool] = []
        counts: list[Compliance] = []
        for path in decision.levels:
            for line, test, name in self._by_task.get(path, ()) if path not in cases else ():
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
    return _tester(check, detect)(_TextViews(text, whole and all_of_it))


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

    def test(views: _TextViews) -> bool | None:
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


@dataclass(frozen=True, slots=True)
class Obedience:
    """One instruction's record with one model. `drawn` says that both sides come from draws of trials alone.

    `verdict`: `helps` - it is obeyed more where it is said; `obeyed` - it is, and what is without it is not known;
    `anyway` - it is obeyed as much where it is not said; `no effect` - saying it changes nothing, and it is not obeyed
    as a rule; `ignored` - said, and for the most part not obeyed; `unknown` - too few answers.
    """

    instruction: str
    model: str
    said: int
    held_said: int
    unsaid: int
    held_unsaid: int
    drawn: bool
    verdict: Verdict


def obedience(counts: Iterable[Compliance], texts: dict[str, str] | None = None) -> list[Obedience]:
    """Return the record of every instruction and model, by name.

    `texts` are the digests of the instructions as they read now; counts of other texts are left out.
    """
    sums: dict[tuple[str, str], dict[tuple[bool, bool], tuple[int, int]]] = {}
    for row in counts:
        if texts is not None and texts.get(row.instruction) != row.text:
            continue
        cell = sums.setdefault((row.instruction, row.model), {})
        answers, held = cell.get((row.said, row.drawn), (0, 0))
        cell[row.said, row.drawn] = answers + row.answers, held + row.held
    return [_judged(*name, cell) for name, cell in sorted(sums.items())]


def _judged(instruction: str, model: str, cell: dict[tuple[bool, bool], tuple[int, int]]) -> Obedience:
    drawn = all(cell.get((said, True), (0, 0))[0] >= ENOUGH for said in (True, False))
    said, unsaid = (cell.get((side, True), (0, 0)) if drawn else _both(cell, side=side) for side in (True, False))
    return Obedience(instruction, model, *said, *unsaid, drawn, _verdict(*said, *unsaid))


def _both(cell: dict[tuple[bool, bool], tuple[int, int]], *, side: bool) -> tuple[int, int]:
    pairs = [cell.get((side, drawn), (0, 0)) for drawn in (True, False)]
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def _verdict(said: int, held_said: int, unsaid: int, held_unsaid: int) -> Verdict:
    if said < ENOUGH:
        return "unknown"
    low, high = interval(held_said, said)
    if unsaid >= ENOUGH:
        least, most = difference(held_said, said, held_unsaid, unsaid)
        if least > 0:
            return "ignored" if high < IGNORED_BELOW else "helps"
        if most < ANYWAY_WITHIN:
            return "anyway" if low >= IGNORED_BELOW else "no effect"
    if high < IGNORED_BELOW:
        return "ignored"
    return "obeyed" if low >= IGNORED_BELOW else "unknown"


def interval(held: int, answers: int) -> tuple[float, float]:
    """Return Wilson's interval of a share.

    >>> [round(end, 3) for end in interval(8, 10)]
    [0.49, 0.943]
    """
    p, n = held / answers, answers
    middle, spread = p + Z * Z / (2 * n), Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max((middle - spread) / (1 + Z * Z / n), 0.0), min((middle + spread) / (1 + Z * Z / n), 1.0)


def difference(held: int, answers: int, held_other: int, answers_other: int) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two shares, the first less the other."""
    p, q = held / answers, held_other / answers_other
    (low, high), (low_other, high_other) = interval(held, answers), interval(held_other, answers_other)
    least = p - q - sqrt((p - low) ** 2 + (high_other - q) ** 2)
    return least, p - q + sqrt((high - p) ** 2 + (q - low_other) ** 2)
