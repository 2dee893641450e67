"""Which instructions can be said, and which can be said together: conditions as sets of values.

A cue's domain is all that it can be: its values where they can be listed, else the values that the pack mentions and
one that stands for all others; and absence, where the cue has no default and is not required. Over these sets `when`
and `unless` can be decided exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from typing import TypeAlias

from router.core.policy import Condition, Cue, CueValue, Instruction, Policy
from router.core.tokens import count_tokens
from router.packs.cues import closed_values
from router.packs.lint.finding import Finding, found, leaves
from router.packs.load import Pack

_ABSENT = ("absent",)
_OTHER = ("other",)
_Values: TypeAlias = frozenset[object]

_MAX_COMBINATIONS = 2_000
"""Combinations of cue values that are tried on one lineage; beyond, all instructions count as said together."""


def _key(value: CueValue) -> object:
    return (type(value) is bool, value)  # true is not 1


class Domains:
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
            names = sorted(_cues_of(group[0]).union(*map(_cues_of, group)))
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


def _cues_of(instruction: Instruction) -> set[str]:
    return {clause.cue for clause in instruction.when + instruction.unless}.union(instruction.cues)


def _sharing_cues(instructions: Iterable[Instruction]) -> list[list[Instruction]]:
    """Group instructions so that no cue matters to two groups; what depends on no cue stands alone."""
    groups: list[tuple[set[str], list[Instruction]]] = []
    for instruction in instructions:
        names = _cues_of(instruction)
        merged: tuple[set[str], list[Instruction]] = (names, [instruction])
        apart = []
        for group in groups:
            if group[0] & names:
                merged = (merged[0] | group[0], group[1] + merged[1])
            else:
                apart.append(group)
        groups = [*apart, merged]
    return [members for _, members in groups]


def unreachable(pack: Pack) -> Iterator[Finding]:
    """Find instructions that no request can ever get."""
    domains = Domains(pack.policy)
    for task in pack.policy.tasks.values():
        for instruction in task.instructions:
            if not domains.can_be_said(instruction):
                names = ", ".join(sorted(_cues_of(instruction)))
                message = f"no request can get this instruction: its conditions on {names} can never hold together"
                fix = "see when, unless, and the cue's default"
                yield found(pack, instruction.id, "unreachable", "error", message, fix)


def dead_cues(pack: Pack) -> Iterator[Finding]:
    """Find cues that change nothing, and settings that wait for a cue which nobody declared."""
    policy = pack.policy
    used = {name for task in policy.tasks.values() for i in task.instructions for name in _cues_of(i)}
    used |= {name for name, cue in policy.cues.items() if cue.say}
    by_cue = {path: f"the level of {path}" for path, task in policy.tasks.items() if task.levels.keys() - {""}}
    if policy.settings.levels:
        by_cue["pack:settings"] = "settings.levels"
    if by_cue:
        used.add("complexity")
    for place, what in by_cue.items():
        if "complexity" not in policy.cues:
            message = f"{what} asks for the cue complexity, which is not declared"
            fix = "add complexity: {detect: complexity} under cues:"
            yield found(pack, place, "levels_without_cue", "warning", message, fix)
    for name, cue in policy.cues.items():
        if cue.kind != "detect" and not cue.sources:
            message = f"no request can give the cue {name} a value: it has no source"
            fix = "add from: {header: ...} or from: {metadata: ...}"
            yield found(pack, f"cue:{name}", "cue_without_source", "warning", message, fix)
        if name not in used and not cue.required:
            message = f"the cue {name} is declared but used nowhere"
            fix = "use it in when, unless, a text or say:, or remove it"
            yield found(pack, f"cue:{name}", "dead_cue", "warning", message, fix)


_MOST_DIRECTIVES = 20
"""Models follow fewer rules the more they get: at 20, a model that follows each with .95 follows all with .36."""


def weight(pack: Pack) -> Iterator[Finding]:
    """Find lineages that say too much: too many directives, or more tokens than the budget."""
    policy = pack.policy
    domains = Domains(policy)
    budget = policy.settings.budget_tokens
    lines = sum(_said_tokens(cue) for cue in policy.cues.values())
    for path in leaves(policy) or ("/",):
        said = [i for ancestor in policy.lineages[path] for i in policy.tasks[ancestor].instructions]
        number, tokens = domains.most_said(said)
        _, least = domains.most_said(i for i in said if i.level.word == "brief")
        if number > _MOST_DIRECTIVES:
            message = f"up to {number} instructions are said for {path}; models follow few of more than 20"
            fix = "merge or cut some on the way from / to this task"
            yield found(pack, path, "many_directives", "warning", message, fix)
        if least + lines > budget:
            message = f"brief and required text for {path} take {least + lines} tokens, the budget is {budget}"
            fix = "shorten them, or raise settings.budget_tokens"
            yield found(pack, path, "brief_over_budget", "error", message, fix)
        elif tokens + lines > budget:
            message = f"at level detailed, {path} takes up to {tokens + lines} tokens; the budget is {budget}"
            fix = "shorten it, or raise settings.budget_tokens; otherwise detailed text of / goes first"
            yield found(pack, path, "over_budget", "warning", message, fix)


def _said_tokens(cue: Cue) -> int:
    return count_tokens(cue.say) + 1 if cue.say else 0
