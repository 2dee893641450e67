"""The machine under the benchmarks: which core does what, and what a process holds in memory. Linux; elsewhere nothing
is pinned and no memory is told."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the program under test has to itself, and which the rest shares."""

    tested: int | None
    rest: int | None

    def pin_tested(self) -> list[str]:
        """Return what goes before a command to pin it to the core of the program under test."""
        return _taskset(self.tested)

    def pin_rest(self) -> list[str]:
        """Return what goes before a command to pin it to the other core."""
        return _taskset(self.rest)

    def take_rest(self) -> None:
        """Pin this very process to the other core."""
        if self.rest is not None:
            os.sched_setaffinity(0, {self.rest})

    def take_tested(self) -> None:
        """Pin this very process to the core of the program under test."""
        if self.tested is not None:
            os.sched_setaffinity(0, {self.tested})

    def __str__(self) -> str:
        if self.tested is None:
            return "not pinned"
        return f"program under test on core {self.tested}, upstream and client on core {self.rest}"


def cores() -> Cores:
    """Return the cores to use: the first two of this process, or those that BENCH_CORES names, as in `2,3`."""
    named = [int(core) for core in os.environ.get("BENCH_CORES", "").split(",") if core]
    able = hasattr(os, "sched_getaffinity") and shutil.which("taskset")
    usable = named or (sorted(os.sched_getaffinity(0)) if able else [])
    return Cores(usable[0], usable[1]) if able and len(usable) > 1 else Cores(None, None)


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process and of all below it, in MiB; 0 where the system does not tell."""
    pages = 0
    for member in _family(pid):
        try:
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except OSError:
            continue  # it has just ended
    return pages * PAGE_BYTES / 2**20


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and all below it have used; 0 where the system does not tell."""
    fields = (_stat(Path(f"/proc/{member}")) for member in _family(pid))
    # utime, stime and, of children that have ended, cutime and cstime: fields 14 to 17 of proc(5).
    return sum(sum(map(int, field[11:15])) for field in fields if field) / TICKS_PER_S


def _family(pid: int) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*"):
        fields = _stat(entry)
        if fields:
            children[int(fields[1])].append(int(entry.name))
    family = [pid]
    for member in family:
        family += children[member]
    return family


def _stat(process: Path) -> list[str]:
    """Return the fields of a process from the third on (the second, its name, may hold anything); none if it ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _taskset(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]
