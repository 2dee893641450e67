"""What was decided about one user turn, and why. Immutable, printable, storable."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from router.core.evidence import Likely
from router.core.levels import Draw
from router.core.policy import ROOT, Level, Piece, lineage

TASK_GAP = "\n\n"
"""Stands between the texts of two tasks."""

Outcome = Literal["classified", "shortlisted", "unclassified", "skipped", "unavailable", "bypassed", "blocked"]


class Reason(NamedTuple):
    """One coded line: why, or why not. `code` is stable; `text` is for people."""

    code: str
    text: str


class Settled(NamedTuple):
    """A path that is safe to act on, the mass behind it, and the threshold it passed."""

    path: str
    confidence: float
    threshold: float


_PATH = attrgetter("path")


class Settlement(NamedTuple):
    """What is safe to act on: settled paths, most certain first and never empty, and a shortlist, mostly empty."""

    paths: tuple[Settled, ...]
    shortlist: tuple[Likely, ...] = ()


class Dropped(NamedTuple):
    """An instruction of the lineage that is not said, and the code of the reason.

    `lifted` are the words that take it back where it was said at an earlier turn.
    """

    id: str
    reason: str
    lifted: str = ""


class Breach(NamedTuple):
    """How what was sent does not apply: text said plainly that does not (`plainly`), that or a list without the truth.

    Both are False where all is well; `wrong` wherever `plainly` is.
    """

    plainly: bool
    wrong: bool


def breach(settled: Iterable[str], listed: Collection[str], truth: Collection[str]) -> Breach:
    """Return how settled paths and a shortlist do not apply to a message about some tasks, or about none of them.

    Text applies to a task that lies at its path or below; a shortlist to what it names, and to what lies above that.
    """
    right = {ROOT}.union(*map(lineage, truth))
    plainly = not right.issuperset(settled)
    cases = {above for path in listed for above in lineage(path)}
    return Breach(plainly, plainly or (bool(listed) and cases.isdisjoint(truth)))


@dataclass(frozen=True, slots=True)
class Decision:
    """Path, level, mix and reasons for one user turn.

    `paths` are the settled paths, most certain first, and never empty: `/` alone when nothing is safe. `shortlist` are
    tasks of which the message probably asks for one, heaviest first; their text is said as cases. `levels` gives the
    level of every task that speaks. `mix` is in the order in which it is said. `draw` is the draw of a trial, where
    this decision made one. `moves` are what tuning adds to the levels at which the tasks start (`Chosen`): what the
    conversation keeps. They are in no trace, since the levels follow from them.
    """

    revision: str
    outcome: Outcome
    paths: tuple[Settled, ...]
    shortlist: tuple[Likely, ...] = ()
    levels: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))
    mix: tuple[Piece, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    reasons: tuple[Reason, ...] = ()
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    draw: Draw | None = None
    moves: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    @property
    def task(self) -> str:
        """The path of the most certain task."""
        return self.paths[0].path

    @property
    def tasks(self) -> tuple[str, ...]:
        """All settled paths."""
        return tuple(map(_PATH, self.paths))

    @property
    def listed(self) -> tuple[str, ...]:
        """All tasks of the shortlist."""
        return tuple(likely.path for likely in self.shortlist)

    @property
    def reached(self) -> frozenset[str]:
        """The tasks whose instructions are in what is sent: those settled or said as a case, with all above them."""
        return frozenset(path for task in (*self.tasks, *self.listed) for path in lineage(task))

    @property
    def confidence(self) -> float:
        """The mass behind `task`."""
        return self.paths[0].confidence

    @property
    def level(self) -> Level:
        """The level of `task`."""
        return self.levels.get(self.paths[0].path, Level.OFF)

    @property
    def tokens(self) -> int:
        """Tokens that the mix adds, by estimate."""
        return sum(piece.tokens for piece in self.mix)

    @property
    def text(self) -> str:
        """The mix as one text, as it would stand in a conversation of one turn."""
        return say(self.mix)


def nothing(revision: str, outcome: Outcome, *reasons: Reason) -> Decision:
    """Return the decision that adds nothing."""
    return Decision(revision=revision, outcome=outcome, paths=(Settled(ROOT, 1.0, 0.0),), reasons=reasons)


def say(mix: tuple[Piece, ...]) -> str:
    """Join pieces into a text: one a line, a blank line between tasks and cases. Equal mixes are equal bytes."""
    lines: list[str] = []
    before: Piece | None = None
    for piece in mix:
        if before is not None:
            apart = piece.case != before.case if piece.case or before.case else piece.task != before.task
            lines.append(TASK_GAP if apart else "\n")
        lines.append(piece.text)
        before = piece
    return "".join(lines)
