"""Errors in Anthropic's shape (https://docs.claude.com/en/api/errors).

    {"type": "error", "error": {"type": "...", "message": "...", "details": {"error_code": "..."}}}

The type is chosen by the status, as the provider does; the official SDKs choose their exception class by the status and
tell `error_code`, a stable word, beside the message. What an error may tell is `router.wire.faults`.

A provider's own body is relayed as it came if it has this shape. One in another shape (a bridge to a server that speaks
OpenAI's format) is told anew with its own message, which the SDKs would not find there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from router.core.errors import BackendError, RouterError
from router.wire.faults import describe, status_of

_TYPES: Mapping[int, str] = MappingProxyType(
    {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        409: "conflict_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)


class _Said(msgspec.Struct, gc=False):
    type: str
    message: str


class _Own(msgspec.Struct, gc=False):
    type: Literal["error"]
    error: _Said


_OWN = msgspec.json.Decoder(_Own)
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def error_body(error: RouterError) -> bytes:
    """Return the error as a JSON body. A provider's own is relayed as it came if it has the shape."""
    if isinstance(error, BackendError) and _has_shape(error.body):
        return error.body
    return msgspec.json.encode(_shape(error))


def error_event(error: RouterError) -> bytes:
    """Return the error as an event of a stream that has begun. Nothing may follow it."""
    body = msgspec.json.format(error_body(error), indent=-1)  # an event's JSON is one line
    return b"event: error\ndata: " + body + b"\n\n"


def _shape(error: RouterError) -> dict[str, Any]:
    status = status_of(error)
    told = describe(error)
    details = {"error_code": told["code"]}
    if told["param"]:
        details["param"] = told["param"]
    message = told["message"]
    if isinstance(error, BackendError):
        message = _message_in(error.body) or message
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message, "details": details}}


def _has_shape(body: bytes) -> bool:
    try:
        body.decode()  # the decoder does not look at the bytes of what it skips
        _OWN.decode(body)
    except (ValueError, RecursionError):  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
        return False
    return True


def _message_in(body: bytes) -> str:
    """Return what a provider's body in another shape says, or the empty string."""
    try:
        said: Any = _OBJECT.decode(body)
    except (ValueError, RecursionError):
        return ""
    for name in ("error", "message", "detail"):
        inner = said.get(name)
        message = inner.get("message") if isinstance(inner, dict) else inner
        if isinstance(message, str) and message:
            return message
    return ""
