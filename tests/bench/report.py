"""How benchmarks print: the conditions first, then tables that a person and a diff can read."""

from __future__ import annotations

import io
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from tests.support.serving import ROOT


class Both(io.TextIOBase):
    """Writes to several files at once."""

    def __init__(self, *files: TextIO) -> None:
        self._files = files

    def write(self, text: str) -> int:
        """Write to all."""
        for file in self._files:
            file.write(text)
            file.flush()
        return len(text)


def print_conditions(title: str, **more: object) -> None:
    """Print a heading and under it the machine, the versions and whatever else the figures depend on."""
    print(f"\n# {title}\n")
    conditions = {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": revision(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        **{name.replace("_", " "): value for name, value in more.items()},
    }
    for name, value in conditions.items():
        print(f"- {name}: {value}")
    print(flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table, its first column to the left, the others to the right."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        return f"| {' | '.join([row[0].ljust(widths[0]), *padded[1:]])} |"

    print(line(cells[0]))
    print("|" + "|".join("-" * (width + 1) + (":" if at else "-") for at, width in enumerate(widths)) + "|")
    print("\n".join(map(line, cells[1:])), flush=True)


def quantiles_ms(seconds: Sequence[float] | NDArray[np.float64], *levels: float) -> list[str]:
    """Return quantiles of durations, in milliseconds with two significant decimals."""
    return [milliseconds(float(value)) for value in np.quantile(seconds, levels)]


def milliseconds(seconds: float) -> str:
    """Return a duration in milliseconds.

    >>> milliseconds(0.000123), milliseconds(0.0456)
    ('0.123', '45.6')
    """
    value = seconds * 1000
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def revision() -> str:
    """Return the commit that is measured, with a mark where the tree differs from it."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()


def processor() -> str:
    """Return the processor's name, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
