"""What a provider's refusal says: how long to wait, that a good status was none, and what of ours it does not take.

Nothing that only we put into a request may be what breaks it: the usage that is asked of a stream, cache marks, a
policy's parameters, roles. A refusal that names one of them is looked at by weaving again without it: where that makes
another body, it was ours, and the other body is worth a second call (`lesser`). Servers word this as they like, so it
is read generously; a word too many costs one call.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from router.core.errors import BackendError
from router.core.ports import BackendAnswer, BackendRequest, Capability

BACKOFF_S = (0.25, 1.0)
"""Pauses before the first and every later retry, where the provider names none, or none that makes sense."""

NAMING = frozenset({400, 422, 500})
"""The statuses of a refusal that may name what it does not take; llama.cpp fails in a template with 500."""

_RETRYABLE = frozenset({408, 409, 429})
_USAGE = re.compile(r"stream_?options|include_?usage", re.IGNORECASE)
_MARKS = re.compile(r"cache_control|prompt_cache_breakpoint")
_TEMPLATE = re.compile(r"template|jinja|roles? must|raise_exception", re.IGNORECASE)
_ROLES = re.compile(r"\broles?\b|\bdeveloper\b|\bsystem[ _](?:message|prompt|role|instruction)", re.IGNORECASE)
_FOREIGN = re.compile(r"signature|thinking|encrypted|reasoning|\bitems?\b|\b(?:rs|msg|fc)_\w", re.IGNORECASE)
_APPS = frozenset({"system", "developer"})
_WORD = re.compile(r"\w+")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()
_CONTENTS = frozenset({"choices", "content", "output", "data", "results"})
"""Where a whole answer of some format has its contents."""

_OBJECTS = frozenset({"/chat/completions", "/responses", "/messages", "/completions", "/embeddings"})
_OTHER_JSON = re.compile(rb"\s*(?:null|true|false|[\[\"]|-?\d)")
_PAGE = re.compile(rb"\s*<(?:!doctype|html|head|body)", re.IGNORECASE)

_STATUSES = (
    (429, re.compile(r"rate.?limit|too_many_requests|quota|resource_exhausted", re.IGNORECASE)),
    (529, re.compile(r"overloaded", re.IGNORECASE)),
    (401, re.compile(r"auth|api_?key", re.IGNORECASE)),
    (403, re.compile(r"permission|forbidden", re.IGNORECASE)),
    (404, re.compile(r"not_found", re.IGNORECASE)),
    (400, re.compile(r"invalid_request|context_length|bad_request", re.IGNORECASE)),
    (504, re.compile(r"timeout", re.IGNORECASE)),
)
"""The status that an error would have had, by its code or type; others had 502."""


def pause_of(error: BackendError, calls: int, now: Callable[[], float] = time.time) -> float:
    """Return how many seconds to wait before the next call: what the provider asks for, and never less than our own.

    A date counts from `now`, the wall clock. What is no time, or lies in the past, is not heeded.
    """
    for name, value in error.headers:
        scale = {"retry-after-ms": 0.001, "retry-after": 1.0}.get(name.lower())
        if scale is not None:
            told = _seconds(value, now) * scale
            if told > 0 and not math.isnan(told):
                return max(told, BACKOFF_S[0])
    return BACKOFF_S[min(calls - 1, len(BACKOFF_S) - 1)]


def _seconds(value: str, now: Callable[[], float]) -> float:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(value).timestamp() - now()
    except (ValueError, OverflowError):
        return math.nan


# ---------------------------------------------------------------------------------------- errors under a good status


def refused_within(answer: BackendAnswer, said: bytes, path: str) -> BackendError | None:
    """Return the error that an answer with status 2xx tells instead of an answer; None for an answer.

    `said` is a whole body or the first piece of a stream, of which the first event counts. The error has the status
    that it tells, else that of its kind, else 502. A web page is no answer either, nor is a whole one without JSON.
    """
    stream = answer.chunks is not None
    if _PAGE.match(said) or (_OTHER_JSON.match(said) if stream else path in _OBJECTS and said.lstrip()[:1] != b"{"):
        message = "The backend answered with something that is not a JSON object."
        return BackendError(message, code="backend_garbage", retryable=False)
    if b'"error"' not in said:
        return None
    data = _first_data(said) if stream and not said.lstrip().startswith(b"{") else said
    try:
        fields: Any = _ANY.decode(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    if stream and fields.get("type") == "response.failed" and isinstance(fields.get("response"), dict):
        fields = fields["response"]
    error = fields.get("error")
    if not error and "error" in (fields.get("type"), fields.get("object")):
        error = fields
    # One that has an answer beside it failed on its way; a response that says itself that it failed is an answer.
    answered = any(fields.get(name) for name in _CONTENTS) and not (stream or _ended_by_error(fields))
    if not error or answered or (fields.get("object") == "response" and not stream):
        return None
    status = _status_of(error, fields)
    return BackendError(
        f"The backend told of an error under status {answer.status}.",
        status=status,
        code="backend_status",
        body=data,
        headers=answer.headers,
        retryable=status in _RETRYABLE or status >= 500,
    )


def _ended_by_error(fields: dict[str, Any]) -> bool:
    choices = fields.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and first.get("finish_reason") == "error"


def _first_data(piece: bytes) -> bytes:
    """Return the data of the first event in the first piece of a stream; comments are none."""
    for event in re.split(rb"\r?\n\r?\n", piece):
        data = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
        if data:
            return b"\n".join(data)
    return b""


def _status_of(error: Any, fields: dict[str, Any]) -> int:
    told = error if isinstance(error, dict) else {}
    for owner, name in ((told, "code"), (told, "status"), (told, "status_code"), (fields, "code"), (fields, "status")):
        value = owner.get(name)
        number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        if isinstance(number, int) and 400 <= number < 600:
            return number
    words = " ".join(str(told.get(name)) for name in ("code", "type", "status"))
    return next((status for status, kind in _STATUSES if kind.search(words)), 502)


# ------------------------------------------------------------------------------------------------- what only we put in


def lesser(
    request: BackendRequest, takes: Capability, error: BackendError, make: Callable[[dict[str, Any]], BackendRequest]
) -> Iterator[tuple[dict[str, Any], BackendRequest]]:
    """Yield what to take back of a capability, and the request without it, by what a refusal names: fields, then roles.

    `make` weaves the request again with such changes. Only what makes another body is yielded.
    """
    said = text_of(error)
    if error.status == 500 and not _TEMPLATE.search(said):
        return  # a server that is in trouble, whatever it says of roles
    fields: dict[str, Any] = {}
    if _USAGE.search(said):
        fields["usage_in_streams"] = False
    if _MARKS.search(said):
        fields["cache_marks"] = "off"
    named = _parameters_in(said, request, takes, make) if request.parameters else frozenset()
    if named:
        fields["refuses"] = takes.refuses | named
    steps = [fields] if fields else []
    if _ROLES.search(said):
        steps += [{"mid_conversation": "user_block"}, {"mid_conversation": "user_block", "roles": takes.roles - _APPS}]
    for changes in steps:
        again = make(changes)
        if again.body != request.body:
            yield changes, again


def is_foreign(error: BackendError) -> bool:
    """Say whether a refusal may be about what another model wrote: signed thinking, or ids of items."""
    return error.status in (400, 404, 422) and _FOREIGN.search(text_of(error)) is not None


def text_of(error: BackendError) -> str:
    """Return what the provider said, else our words for it."""
    return error.body.decode("utf-8", "replace") if error.body else error.message


def _parameters_in(
    said: str, request: BackendRequest, takes: Capability, make: Callable[[dict[str, Any]], BackendRequest]
) -> frozenset[str]:
    """Return the policy's parameters that a refusal names, under whatever name the format has for them."""
    words = set(_WORD.findall(said))
    before = _members(request.body)
    named = set()
    for name in request.parameters:
        after = _members(make({"refuses": takes.refuses | {name}}).body)
        if any(member in words and after.get(member) != value for member, value in before.items()):
            named.add(name)
    return frozenset(named)


def _members(body: bytes) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in _OBJECT.decode(body).items()}
