"""Errors, sorted by whose fault they are.

RouterError
├── PolicyError    the operator's: a pack cannot be used; names file, line and the way out
├── SettingsError  the operator's: router.yaml or the environment cannot be used
├── RequestError   the client's: a 4xx answer in the shape of its own wire format
├── BackendError   the provider's: its own status where it sent one
└── Degraded       ours: never reaches the client; becomes a reason on the decision and a counter
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class RouterError(Exception):
    """Root of all errors that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a pack: where it is, what it is, and what to do about it."""

    file: str
    line: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}: {self.message}{hint}"


class PolicyError(RouterError):
    """A pack cannot be used. Carries every fault that was found, not only the first."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class SettingsError(RouterError):
    """Settings (router.yaml, command line or environment) cannot be used."""


class RequestError(RouterError):
    """The client's request cannot be served as it stands.

    `code` is a stable word for programs, `param` the place in the body (`messages[2].content`), `kind` the type name
    of OpenAI's error object (https://platform.openai.com/docs/guides/error-codes).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "invalid_request",
        param: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.kind = kind
        self.headers = dict(headers or {})


class BackendError(RouterError):
    """The backend did not answer, or answered with an error.

    `status` is what the client gets: the provider's own status where it sent one, else 502 (no usable answer) or
    504 (none in time). `body`, when not empty, is the provider's own error body and is relayed as it came.
    `retryable` says whether asking again, or asking the next model, may help. `attempts` counts the calls that were
    made by then.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 502,
        code: str = "backend_error",
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        retryable: bool = True,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.body = body
        self.headers = tuple(headers)
        self.retryable = retryable
        self.attempts = 0


class Degraded(RouterError):
    """Part of us failed; the request goes on without it. `code` becomes a reason and a counter label."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint naming the nearest known word, or the known words themselves when none is near.

    >>> did_you_mean("breif", ["brief", "guided"])
    'did you mean "brief"?'
    """
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return "known: " + ", ".join(words) if words else ""
