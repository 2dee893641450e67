"""What litellm raises, as a BackendError.

litellm's errors carry the provider's status, but also use 500 for a provider that could not be reached and 408 for its
own patience; so what lies beneath is looked at first. Classes are known by name, since litellm is not imported here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from router.backends.allowlist import RELAYED_HEADERS
from router.backends.http.transport import failed
from router.core.errors import BackendError

_CODES = {
    "MidStreamFallbackError": "truncated",
    "IncompleteRead": "truncated",
    "RemoteProtocolError": "reset",
    "ReadError": "reset",
    "Timeout": "timeout_first_byte",
    "APITimeoutError": "timeout_first_byte",
    "ReadTimeout": "timeout_first_byte",
    "ConnectTimeout": "timeout_connect",
    "ConnectError": "connect_failed",
    "ClientConnectorError": "connect_failed",
    "ConnectionRefusedError": "connect_failed",
}
_SAID = {
    "truncated": "the provider closed the connection in the middle of its answer",
    "reset": "the provider closed the connection without an answer",
    "timeout_first_byte": "the provider sent nothing in time",
    "timeout_connect": "the provider could not be reached in time",
    "connect_failed": "the provider could not be reached",
}
_RETRYABLE = frozenset({408, 409, 429})
_LONGEST_MESSAGE = 1000


def translated(backend: str, error: BaseException, secrets: Iterable[str]) -> BackendError:
    """Return the BackendError for whatever litellm raised, with every one of `secrets` struck out."""
    for beneath in _causes(error):
        for kind in type(beneath).__mro__:
            if code := _CODES.get(kind.__name__):
                return failed(code, f"{backend}: {_SAID[code]}")
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 400 <= status < 600:
        # A stack of somebody else's frames helps no client, and may show addresses and keys.
        message = f"{backend}: litellm failed with {type(error).__name__}"
        return BackendError(message, code="backend_error")
    return BackendError(
        f"{backend}: {_said(error, secrets)}",
        status=status,
        code="backend_status",
        headers=_headers(error),
        retryable=status in _RETRYABLE or status >= 500,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(error: BaseException, secrets: Iterable[str]) -> str:
    message = str(getattr(error, "message", "") or error)
    message = message.removeprefix(f"litellm.{type(error).__name__}: ").partition("\nTraceback")[0]
    for secret in secrets:
        message = message.replace(secret, "[hidden]")
    return message[:_LONGEST_MESSAGE]


def _headers(error: BaseException) -> list[tuple[str, str]]:
    headers = getattr(error, "litellm_response_headers", None) or {}
    pairs = [(str(name).lower(), str(value)) for name, value in headers.items()]
    return [(name, value) for name, value in pairs if name != "content-type" and RELAYED_HEADERS.fullmatch(name)]
