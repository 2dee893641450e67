"""Errors in OpenAI's shape, and the status of every error.

    {"error": {"message": "...", "type": "...", "param": null, "code": "..."}}

The client's own errors and the provider's speak for themselves. The operator's and ours are told in one fixed sentence:
their text may name files and settings. The SDKs choose their exception class by the status alone; the type names are
those of https://platform.openai.com/docs/guides/error-codes and its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from router.core.errors import BackendError, Degraded, PolicyError, RequestError, RouterError, SettingsError


class _Shape(NamedTuple):
    status: int
    kind: str
    code: str
    told: str  # what the client reads where the error's own text is not for it


_INTERNAL = "The router cannot serve this request because of a fault on its side."
_MISSING = "A part of the router that this request needs is not available. Try again later."

SHAPES: Mapping[type[RouterError], _Shape] = MappingProxyType(
    {
        RequestError: _Shape(400, "invalid_request_error", "invalid_request", ""),
        BackendError: _Shape(502, "server_error", "backend_error", ""),
        Degraded: _Shape(503, "server_error", "degraded", _MISSING),
        PolicyError: _Shape(500, "server_error", "policy_error", _INTERNAL),
        SettingsError: _Shape(500, "server_error", "settings_error", _INTERNAL),
        RouterError: _Shape(500, "server_error", "router_error", _INTERNAL),
    }
)
"""The one table from error class to status and type. A subclass has the row of its nearest ancestor."""

_KINDS: Mapping[int, str] = MappingProxyType(
    {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        429: "rate_limit_error",
        504: "timeout_error",
    }
)

_OBJECT = msgspec.json.Decoder(dict[str, Any])
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def status_of(error: RouterError) -> int:
    """Return the HTTP status for an error: its own if it is one of an error (400 to 599), else that of its class."""
    own = getattr(error, "status", 0)
    return own if 400 <= own <= 599 else _shape(error).status


def error_body(error: RouterError) -> bytes:
    """Return the error as a JSON body. A provider's own JSON body is relayed as it came."""
    if isinstance(error, BackendError) and _fields(error.body) is not None:
        return error.body
    return msgspec.json.encode({"error": describe(error)})


def error_event(error: RouterError) -> bytes:
    """Return the error as an event of a stream that has begun. Nothing may follow it, least of all `[DONE]`.

    The official SDKs raise on an event with a true `error` in it and on nothing else, so a provider's body without one
    is told in our words.
    """
    if isinstance(error, BackendError):
        fields = _fields(error.body)
        if fields is not None and bytes(fields.get("error", b"null")) not in (b"null", b"false", b'""', b"{}"):
            return b"data: " + msgspec.json.format(error.body, indent=-1) + b"\n\n"  # an event's JSON is one line
    return b"data: " + msgspec.json.encode({"error": describe(error)}) + b"\n\n"


def error_of(body: bytes) -> Mapping[str, Any]:
    """Return the error object in a provider's own body; empty where there is none."""
    fields = _fields(body)
    try:
        return _OBJECT.decode(fields["error"]) if fields and "error" in fields else {}
    except (ValueError, RecursionError):
        return {}


def _shape(error: RouterError) -> _Shape:
    return next(SHAPES[kind] for kind in type(error).__mro__ if kind in SHAPES)


def describe(error: RouterError) -> dict[str, Any]:
    """Return message, type, param and code of an error."""
    shape = _shape(error)
    kind, param = shape.kind, None
    if isinstance(error, RequestError):
        kind, param = error.kind, error.param
    elif isinstance(error, BackendError):
        status = status_of(error)
        kind = _KINDS.get(status, "invalid_request_error" if status < 500 else shape.kind)
    message = shape.told or str(error) or "The request failed."
    return {
        "message": message.encode("utf-8", "replace").decode(),  # a provider's words may hold half a surrogate pair
        "type": kind,
        "param": param,
        "code": getattr(error, "code", "") or shape.code,
    }


def _fields(body: bytes) -> dict[str, msgspec.Raw] | None:
    """Return the fields of a JSON object, or None when the body is none."""
    try:
        body.decode()
        return _RAW_OBJECT.decode(body)
    except (ValueError, RecursionError):  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
        return None
