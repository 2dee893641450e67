"""Fail open: what breaks inside us becomes a fault that is counted, never an answer that is lost.

Errors that speak to the client or the operator (RouterError other than Degraded) pass through unchanged. The steps of
a request catch what breaks themselves and hand it to `degraded`; what is off its way goes through `run`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from router.core.errors import Degraded, RouterError

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("router.engine")


class FaultHandler:
    """Turns failures nobody foresaw into `Degraded`. `note` counts a fault by its code."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self.note = count

    def run(self, code: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `function` returns. Raises Degraded with `code` when it fails in a way nobody foresaw."""
        try:
            return function(*args, **kwargs)
        except RouterError:
            raise
        except Exception as error:
            raise self.degraded(code, error) from error

    def degraded(self, code: str, error: Exception) -> Degraded:
        """Return a failure as a fault: counted and logged, with `code` where it is none of ours yet.

        Raises a RouterError that speaks to the client or the operator as it is.
        """
        if isinstance(error, Degraded):
            return error
        if isinstance(error, RouterError):
            raise error
        self.note(code)
        log.warning("%s: %s: %s", code, type(error).__name__, error)
        return Degraded(code, f"{type(error).__name__}: {error}")
