"""How long and how much a connection to a backend may take, and the name of each failure.

Whatever goes wrong between us and a server is a BackendError whose code is a key of FAILURES.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from router.core.errors import BackendError

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds.

    `connect_s` covers waiting for a free connection, the look-up, TCP and TLS. `first_byte_s` runs from the request to
    the first byte of the answer's *body*: servers send the headers of a stream long before a slow model's first token.
    600 s is what the OpenAI SDKs wait. `idle_s` is the longest silence between two chunks, minutes where a model
    thinks after the first; `total_s` is the longest answer. Time in which the reader of a stream is slower than the
    backend does not count as silence.
    """

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 300.0
    total_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one origin may take.

    `connections` are open at most, `waiting` requests may stand in line for one, `idle` are kept for reuse, each for
    `keep_alive_s`. `head_bytes` bounds status line, headers and trailers, `body_bytes` an answer that is read whole,
    `buffer_bytes` what is held of a stream whose reader is slow.
    """

    connections: int = 2048
    waiting: int = 1024
    idle: int = 128
    keep_alive_s: float = 30.0
    head_bytes: int = 64 * 1024
    body_bytes: int = 64 * 1024 * 1024
    buffer_bytes: int = 256 * 1024


FAILURES = MappingProxyType(
    {
        "connect_failed": (502, True),
        "tls_failed": (502, True),
        "timeout_connect": (504, True),
        "timeout_first_byte": (504, True),
        "timeout_idle": (504, True),
        "timeout_total": (504, False),
        "reset": (502, True),
        "protocol_error": (502, True),
        "too_large": (502, False),
        "truncated": (502, True),
        "saturated": (503, False),
        "closed": (503, False),
        "invalid_header": (400, False),
        "invalid_path": (400, False),
    }
)
"""Code to status for the client, and whether we may ask again. Not where a backend is `saturated`: the next model is
asked, or the client told, at once."""


def failed(code: str, message: str) -> BackendError:
    """Return the BackendError for a code of FAILURES."""
    status, retryable = FAILURES[code]
    return BackendError(message, status=status, code=code, retryable=retryable)
