"""What the rules share: findings and their places, tasks on one lineage, and which instructions can be said together.

A cue's domain is all that it can be: its values where they can be listed, else the values that the pack mentions and
one that stands for all others; and absence, where the cue has no default and is not required. Over these sets `when`
and `unless` can be decided exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from typing import Literal, TypeAlias

from router.core.errors import Fault
from router.core.policy import ROOT, Condition, Cue, CueValue, Instruction, Policy, count_tokens
from router.packs.cues import closed_values
from router.packs.load import Pack

Severity: TypeAlias = Literal["error", "warning", "hint"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be looked at, where it stands, and what to do. `code` is stable, for programs.

    An error is wrong whatever was meant; a warning is wrong most of the time; a hint says what would be better.
    """

    code: str
    severity: Severity
    file: str
    line: int
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.message} [{self.code}] ({self.fix})"

    def as_json(self) -> dict[str, str | int]:
        """Return the finding as JSON-ready data."""
        return asdict(self)


def as_finding(code: str, fault: Fault, severity: Severity = "error") -> Finding:
    """Return a fault as a finding."""
    return Finding(code, severity, fault.file, fault.line, fault.message, fault.hint)


def notes(pack: Pack) -> Iterator[Finding]:
    """Return what was noted while the pack was read: older keys, examples given twice, split instructions."""
    return (as_finding(code, fault, "warning") for code, fault in pack.notes)


def found(pack: Pack, place: str, code: str, severity: Severity, message: str, fix: str) -> Finding:
    """Return a finding at a named place of the pack."""
    file, line = pack.places[place]
    return Finding(code, severity, file, line, message, fix)


def where(pack: Pack, place: str) -> str:
    """Return a named place as file:line, for messages that mention a second one."""
    file, line = pack.places[place]
    return f"{file}:{line}"


def leaves(policy: Policy) -> tuple[str, ...]:
    """Return the paths of the tasks that have none below them; the root is none of them."""
    return tuple(path for path, task in policy.tasks.items() if path != ROOT and not task.children)


def said_tokens(cue: Cue) -> int:
    """Return the tokens of the line that states a cue, its value left out."""
    return count_tokens(cue.say) + 1 if cue.say else 0


def pairs_on_lineages(policy: Policy) -> Iterator[tuple[Instruction, Instruction]]:
    """Yield all pairs of instructions that can meet in one mix of one task: the more general first, each pair once."""
    for path, task in policy.tasks.items():
        above = [i for ancestor in policy.lineages[path][:-1] for i in policy.tasks[ancestor].instructions]
        for at, instruction in enumerate(task.instructions):
            for other in [*above, *task.instructions[:at]]:
                yield other, instruction


_ABSENT = ("absent",)
_OTHER = ("other",)
_Values: TypeAlias = frozenset[object]

_MAX_COMBINATIONS = 2_000
"""Combinations of cue values that are tried on one lineage; beyond, all instructions count as said together."""


def _key(value: CueValue) -> object:
    return (type(value) is bool, value)  # true is not 1


class CueDomains:
    """The values that the cues of a policy can have."""

    def __init__(self, policy: Policy) -> None:
        mentioned: dict[str, set[CueValue]] = {name: set() for name in policy.cues}
        for task in policy.tasks.values():
            for instruction in task.instructions:
                for clause in instruction.when + instruction.unless:
                    mentioned[clause.cue].update(clause.values)
        self._values = {name: _domain(cue, mentioned[name]) for name, cue in policy.cues.items()}

    def can_be_said(self, *instructions: Instruction) -> bool:
        """Say whether there are cues under which all of these instructions are said."""
        allowed = dict(self._values)
        for instruction in instructions:
            for clause in instruction.when:
                allowed[clause.cue] &= self._holding(clause)
            for cue in instruction.cues:  # a text with a placeholder needs its cue
                allowed[cue] -= {_ABSENT}
        if not all(allowed.values()):
            return False
        return not any(
            i.unless and all(allowed[clause.cue] <= self._holding(clause) for clause in i.unless) for i in instructions
        )

    def _holding(self, clause: Condition) -> _Values:
        every = self._values[clause.cue]
        if clause.present is not None:
            return every - {_ABSENT} if clause.present else every & {_ABSENT}
        return every & {_key(value) for value in clause.values}

    def most_said(self, instructions: Iterable[Instruction]) -> tuple[int, int]:
        """Return how many of these instructions can be said at once at most, and their tokens at most."""
        number = tokens = 0
        for group in _sharing_cues(instructions):
            names = sorted(cues_of(group[0]).union(*map(cues_of, group)))
            if not names or prod(len(self._values[name]) for name in names) > _MAX_COMBINATIONS:
                said = [group]
            else:
                said = [self._said(group, dict(zip(names, values, strict=True))) for values in self._product(names)]
            number += max(map(len, said))
            tokens += max(sum(instruction.tokens for instruction in some) for some in said)
        return number, tokens

    def _product(self, names: list[str]) -> Iterator[tuple[object, ...]]:
        return product(*(self._values[name] for name in names))

    def _said(self, group: list[Instruction], values: Mapping[str, object]) -> list[Instruction]:
        def holds(clause: Condition) -> bool:
            return values[clause.cue] in self._holding(clause)

        return [
            i
            for i in group
            if all(map(holds, i.when))
            and not (i.unless and all(map(holds, i.unless)))
            and all(values[cue] != _ABSENT for cue in i.cues)
        ]


def _domain(cue: Cue, mentioned: set[CueValue]) -> _Values:
    closed = closed_values(cue)
    values = {_key(value) for value in (mentioned if closed is None else closed)}
    if closed is None:
        values.add(_OTHER)
    if cue.default is None and not cue.required:
        values.add(_ABSENT)
    return frozenset(values)


def cues_of(instruction: Instruction) -> set[str]:
    """Return the cues that an instruction depends on."""
    return {clause.cue for clause in instruction.when + instruction.unless}.union(instruction.cues)


def _sharing_cues(instructions: Iterable[Instruction]) -> list[list[Instruction]]:
    """Group instructions so that no cue matters to two groups; what depends on no cue stands alone."""
    groups: list[tuple[set[str], list[Instruction]]] = []
    for instruction in instructions:
        names = cues_of(instruction)
        merged: tuple[set[str], list[Instruction]] = (names, [instruction])
        apart = []
        for group in groups:
            if group[0] & names:
                merged = (merged[0] | group[0], group[1] + merged[1])
            else:
                apart.append(group)
        groups = [*apart, merged]
    return [members for _, members in groups]
