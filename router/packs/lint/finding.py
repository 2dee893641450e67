"""A finding: something about a pack that loads but should be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from router.core.policy import ROOT, Instruction, Policy
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


def pairs_on_lineages(policy: Policy) -> Iterator[tuple[Instruction, Instruction]]:
    """Yield all pairs of instructions that can meet in one mix of one task: the more general first, each pair once."""
    for path, task in policy.tasks.items():
        above = [i for ancestor in policy.lineages[path][:-1] for i in policy.tasks[ancestor].instructions]
        for at, instruction in enumerate(task.instructions):
            for other in [*above, *task.instructions[:at]]:
                yield other, instruction
