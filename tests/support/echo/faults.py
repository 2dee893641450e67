"""What goes wrong in the echo when the model's name asks for it; the table is in `double`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from router.backends.echo.formats import refusal

_NAME = re.compile(r"echo(?:-(?:fail-[45]\d\d|(?:stall|slow)-\d{1,6}m?s|cut-\d{1,6}|garbage))*")
_STEP = re.compile(r"-(fail|stall|slow|cut|garbage)(?:-(\d+)(ms|s)?)?")
_LONGEST_S = 600.0


@dataclass(frozen=True, slots=True)
class Faults:
    """What shall go wrong. `fail` is a status or 0; `cut` a number of chunks, or None."""

    any: bool = False
    fail: int = 0
    stall_s: float = 0.0
    slow_s: float = 0.0
    cut: int | None = None
    garbage: bool = False

    @property
    def broken(self) -> bool:
        """Whether the answer will not be a whole one."""
        return self.garbage or self.cut is not None


NONE = Faults()


def faults_of(model: Any) -> Faults:
    """Return the faults that a model's name asks for. Raises BackendError (404) for an unknown `echo-` name.

    >>> faults_of("echo-slow-50ms-cut-3")
    Faults(any=True, fail=0, stall_s=0.0, slow_s=0.05, cut=3, garbage=False)
    """
    if not isinstance(model, str) or not model.startswith("echo-"):
        return NONE
    if not _NAME.fullmatch(model):
        known = "echo-fail-503, echo-stall-2s, echo-slow-50ms, echo-cut-3, echo-garbage"
        raise refusal(404, f'no model "{model[:64]}"; known: echo, {known}', code="model_not_found", param="model")
    found: dict[str, Any] = {"any": True}
    for step, number, unit in _STEP.findall(model):
        if step in ("stall", "slow"):
            found[f"{step}_s"] = min(_LONGEST_S, int(number) / (1000 if unit == "ms" else 1))
        else:
            found[step] = int(number) if number else True
    return Faults(**found)
