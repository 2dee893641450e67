"""Prompt Router: recognises what each LLM request asks for and adds the right mix of instructions to it.

The public face. Everything is imported on first use, so that `import router` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.client import FeedbackError, send_feedback
    from router.core.decision import Decision
    from router.core.errors import BackendError, PolicyError, RequestError, RouterError, SettingsError
    from router.library import Router, Wrapped

__version__ = "0.1.0"

_HOMES = {
    "BackendError": "router.core.errors",
    "Decision": "router.core.decision",
    "FeedbackError": "router.client",
    "PolicyError": "router.core.errors",
    "RequestError": "router.core.errors",
    "Router": "router.library",
    "RouterError": "router.core.errors",
    "SettingsError": "router.core.errors",
    "Wrapped": "router.library",
    "send_feedback": "router.client",
}

__all__ = [
    "BackendError",
    "Decision",
    "FeedbackError",
    "PolicyError",
    "RequestError",
    "Router",
    "RouterError",
    "SettingsError",
    "Wrapped",
    "__version__",
    "send_feedback",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
