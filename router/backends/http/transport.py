"""The seam between a backend and HTTP: what is asked of a transport, and how each failure is called.

A `Transport` speaks to one origin. `pool.PooledTransport` is the one that ships; aiohttp's ClientSession would fit
behind the same two methods. Whatever goes wrong is a BackendError whose code is a key of FAILURES.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from router.core.errors import BackendError

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds.

    `connect_s` covers waiting for a free connection, the look-up, TCP and TLS. `first_byte_s` runs from the request to
    the first byte of the answer's *body*: servers send the headers of a stream long before a slow model's first token.
    600 s is what the OpenAI SDKs wait. `idle_s` is the longest silence between two chunks, `total_s` the longest
    answer. Time in which the reader of a stream is slower than the backend does not count as silence.
    """

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 30.0
    total_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one origin may take.

    `connections` are open at most, `waiting` requests may stand in line for one, `idle` are kept for reuse, each for
    `keep_alive_s`. `head_bytes` bounds status line, headers and trailers, `body_bytes` an answer that is read whole,
    `buffer_bytes` what is held of a stream whose reader is slow.
    """

    connections: int = 1024
    waiting: int = 1024
    idle: int = 128
    keep_alive_s: float = 30.0
    head_bytes: int = 64 * 1024
    body_bytes: int = 64 * 1024 * 1024
    buffer_bytes: int = 256 * 1024


class Response(Protocol):
    """An answer whose head is there. Iterating gives the body as it comes; `read` gives the whole of it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content_type: bytes
    streaming: bool
    until_close: bool

    async def read(self) -> bytes:
        """Return the rest of the body. Raises BackendError."""
        ...

    def __aiter__(self) -> Response: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Close the connection at once unless the answer is complete. Safe to call twice."""
        ...


class Transport(Protocol):
    """Sends requests to one origin. Never retries an answer, never follows a redirect, never decompresses."""

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: Headers = (), *, stream: bool = False
    ) -> Response:
        """Send a request and return its answer: whole, or, for a stream, as soon as its head is there.

        It is a stream when asked for one, or when the answer is `text/event-stream`. Header names are lower case and
        in the order in which they came. Raises BackendError with a code of FAILURES.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection; answers that are still under way fail."""
        ...


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
        "saturated": (503, True),
        "closed": (503, False),
        "invalid_header": (400, False),
        "invalid_path": (400, False),
    }
)
"""Code to status for the client, and whether asking again, or another model, may help."""


def failed(code: str, message: str) -> BackendError:
    """Return the BackendError for a code of FAILURES."""
    status, retryable = FAILURES[code]
    return BackendError(message, status=status, code=code, retryable=retryable)
