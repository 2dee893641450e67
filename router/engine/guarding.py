"""Fail open: what breaks inside us becomes a fault that is counted, never an answer that is lost.

This is the one place of the engine where every exception is caught. Errors that speak to the client or the operator
(RouterError other than Degraded) pass through unchanged.
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
    """Runs a function and turns its failure into `Degraded`. `note` counts a fault by its code."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self.note = count

    def run(self, code: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what `function` returns. Raises Degraded with `code` when it fails in a way nobody foresaw."""
        try:
            return function(*args, **kwargs)
        except RouterError:
            raise
        except Exception as error:
            self.note(code)
            log.warning("%s: %s: %s", code, type(error).__name__, error)
            raise Degraded(code, f"{type(error).__name__}: {error}") from error
