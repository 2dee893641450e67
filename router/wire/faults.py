"""Errors in OpenAI's and in Anthropic's shape, and the status of every error.

    {"error": {"message": "...", "type": "...", "param": null, "code": "..."}}

The client's own errors and the provider's speak for themselves. The operator's and ours are told in one fixed sentence:
their text may name files and settings. The SDKs choose their exception class by the status alone; the type names are
those of https://platform.openai.com/docs/guides/error-codes and its neighbours.

Anthropic's shape (https://docs.claude.com/en/api/errors) is

    {"type": "error", "error": {"type": "...", "message": "...", "details": {"error_code": "..."}}}

with the type chosen by the status, as the provider does; its SDKs tell `error_code`, a stable word, beside the message.

A provider's own body is relayed as it came if it has the shape of the format. For Anthropic's, one in another shape (a
bridge to a server that speaks OpenAI's) is told anew with its own message, which the SDKs would not find there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

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


_ANTHROPIC_KINDS: Mapping[int, str] = MappingProxyType(
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


def anthropic_body(error: RouterError) -> bytes:
    """Return the error as a JSON body in Anthropic's shape; a provider's own that has it is relayed as it came."""
    if isinstance(error, BackendError) and _has_shape(error.body):
        return error.body
    return msgspec.json.encode(_in_anthropic(error))


def anthropic_event(error: RouterError) -> bytes:
    """Return the error in Anthropic's shape as an event of a stream that has begun. Nothing may follow it."""
    body = msgspec.json.format(anthropic_body(error), indent=-1)  # an event's JSON is one line
    return b"event: error\ndata: " + body + b"\n\n"


def _in_anthropic(error: RouterError) -> dict[str, Any]:
    status = status_of(error)
    told = describe(error)
    details = {"error_code": told["code"]}
    if told["param"]:
        details["param"] = told["param"]
    message = told["message"]
    if isinstance(error, BackendError):
        message = _message_in(error.body) or message
    kind = _ANTHROPIC_KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
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
