"""The form of feedback: what a body may hold, key by key, and how it becomes items. Pure.

A body is one object, a list of them, or `{"feedback": [...]}`. In a batch each item stands for itself: one that is
wrong keeps no other from being stored. Whether a value fits its metric is not known here but in
`router.engine.feedback_item`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from router.core.errors import RequestError, did_you_mean
from router.core.learning import SOURCES, Source
from router.core.store_ports import FeedbackTarget
from router.engine.feedback_item import SHOWN_CHARS, FeedbackItem, outside_token
from router.server.keys import Grant
from router.wire.strict_json import check, decode, wrong_type

BATCH_MOST = 1000
NAME_CHARS = 200
CONVERSATION_CHARS = 2000
"""A client's own name of a conversation is only hashed; the longest seen are URLs."""

COMMENT_CHARS = 2000
LATEST_S = 253_402_300_799  # 9999-12-31T23:59:59Z, where RFC 3339 ends
MILLISECONDS_FROM = 100_000_000_000  # as seconds the year 5138; as milliseconds 1973

_TARGETS = ("decision", "response_id", "conversation")
_HASH = re.compile(r"[0-9a-f]{24}")
_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"  # marks that turn the direction of what people read
    "\U000e0000-\U000e007f]+"  # tags, which hide text from people
)


class FeedbackForm(msgspec.Struct, forbid_unknown_fields=True):
    """One piece of feedback as clients write it."""

    id: str | None = None
    decision: str | None = None
    response_id: str | None = None
    conversation: str | None = None
    metric: str | None = None
    value: Any = None
    source: str | None = None
    comment: str | None = None
    at: Any = None
    token: str | None = None


class _FeedbackBody(FeedbackForm, forbid_unknown_fields=True):
    """A single piece, or a batch; a `token` beside `feedback` is for all items that have none."""

    feedback: list[msgspec.Raw] | None = None


_body = msgspec.json.Decoder(_FeedbackBody)
_items = msgspec.json.Decoder(list[msgspec.Raw])
_form = msgspec.json.Decoder(FeedbackForm)
_moment = msgspec.json.Decoder(datetime)


@dataclass(frozen=True, slots=True)
class FeedbackSender:
    """Who sends, by key: tenant and policies that the key is for, None for all."""

    tenant: str
    policies: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class FormReader:
    """What forms are read with. `conversation_of` hashes a tenant's own name of a conversation."""

    conversation_of: Callable[[str, str], str]
    verify: Callable[[str], Grant]
    new_id: Callable[[], str]


def read_body(body: bytes) -> tuple[Sequence[msgspec.Raw], FeedbackForm | None, str | None]:
    """Return the items of a batch, or the one form of a body that is none; and the token of the whole body.

    Raises RequestError (400).
    """
    check(body)
    if body.lstrip()[:1] == b"[":
        items, token = decode(body, _items), None
    else:
        form = read_form(body, _body)
        assert isinstance(form, _FeedbackBody)
        if form.feedback is None:
            return (), form, form.token
        items, token = form.feedback, form.token
        if form != _FeedbackBody(feedback=items, token=token):
            raise _wrong("feedback", "a batch has its items in the list `feedback`, and nothing beside it but a token")
    if not items:
        raise _wrong("feedback", "the list is empty", "empty_batch")
    if len(items) > BATCH_MOST:
        raise _wrong("feedback", f"{len(items)} items; at most {BATCH_MOST} are taken at once", "too_many_items")
    return items, None, token


def read_form(written: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[Any] = _form) -> FeedbackForm:
    """Return one piece of feedback. Raises RequestError (400), with a hint where a key is unknown."""
    try:
        form: FeedbackForm = decoder.decode(written)
    except msgspec.ValidationError as error:
        unknown = _UNKNOWN.search(str(error))
        if unknown is None:
            raise wrong_type(error) from None
        known = _FeedbackBody.__struct_fields__ if decoder is _body else FeedbackForm.__struct_fields__
        key = unknown[1][:SHOWN_CHARS]
        raise RequestError(
            f"{key}: unknown key ({did_you_mean(key, known)}).", code="unknown_field", param=key
        ) from None
    except msgspec.DecodeError:
        form = decode(bytes(written), decoder)  # raises, and says what is wrong with the JSON
    return form


def item_of(form: FeedbackForm, reading: FormReader, sender: FeedbackSender | None, token: str | None) -> FeedbackItem:
    """Return the item that a form makes, checked but for what its policy has to say. Raises RequestError.

    A `token` narrows what the sender may do; without a sender it is what lets them in.
    """
    grant = reading.verify(token) if token is not None else None
    if grant is not None and sender is not None and sender.tenant != grant.tenant:
        raise outside_token()
    tenant = grant.tenant if grant is not None else sender.tenant if sender is not None else ""
    targets, named = _targets(form, reading, tenant, grant)
    source = _source(form.source, grant)
    if form.metric is None:
        raise _missing("metric")
    if form.value is None:
        raise _missing("value")
    if not isinstance(form.value, bool | int | float):
        raise _wrong("value", "expected a number, true or false", "invalid_type")
    return FeedbackItem(
        id=reading.new_id() if form.id is None else _name("id", form.id),
        tenant=tenant,
        targets=targets,
        named=named,
        metric=form.metric,
        value=form.value,
        source=source,
        comment=_comment(form.comment) if form.comment else "",
        said_at_ms=None if form.at is None else _moment_ms(form.at),
        granted=grant.decision if grant is not None else "",
        policies=sender.policies if sender is not None else None,
    )


def _targets(
    form: FeedbackForm, reading: FormReader, tenant: str, grant: Grant | None
) -> tuple[tuple[FeedbackTarget, ...], str]:
    """Return how to find what a form is about, and what the sender calls it."""
    given = [name for name in _TARGETS if getattr(form, name) is not None]
    if not given and grant is not None:
        return (FeedbackTarget("decision", grant.decision),), grant.decision
    if len(given) != 1:
        found = f"it has {' and '.join(given)}" if given else "it has none of them"
        raise RequestError(
            f"Say what the feedback is about by exactly one of {', '.join(_TARGETS)}; {found}.",
            code="ambiguous_target" if given else "missing_target",
            param=given[1] if given else _TARGETS[0],
        )
    if form.decision is not None:
        return (FeedbackTarget("decision", _name("decision", form.decision)),), form.decision
    if form.response_id is not None:
        return (FeedbackTarget("response", _name("response_id", form.response_id)),), form.response_id
    name = form.conversation or ""
    if not name or len(name) > CONVERSATION_CHARS:
        raise _wrong("conversation", f"expected 1 to {CONVERSATION_CHARS} characters", "invalid_value")
    targets: tuple[FeedbackTarget, ...] = (FeedbackTarget("conversation", reading.conversation_of(tenant, name)),)
    if _HASH.fullmatch(name):  # as decisions and receipts show it: many conversations have no other name
        targets += (FeedbackTarget("conversation", name),)
    return targets, name


def _source(given: str | None, grant: Grant | None) -> Source:
    for source in SOURCES:
        if source == (given or "user"):
            if grant is not None and source != "user":
                raise _beyond_token("source", f'a token is for end users; it cannot speak as "{source}"')
            return source
    shown = (given or "")[:SHOWN_CHARS]
    raise _wrong("source", f'there is no source "{shown}" ({did_you_mean(shown, SOURCES)})', "invalid_value")


def _comment(text: str) -> str:
    if len(text) > COMMENT_CHARS:
        raise _wrong("comment", f"{len(text)} characters; at most {COMMENT_CHARS} are kept", "too_long")
    return _HIDDEN.sub(" ", text.replace("\r\n", "\n")).strip()


def _moment_ms(at: Any) -> int:
    """Return when something was said, in milliseconds: of Unix seconds, or of a time in the form of RFC 3339."""
    if isinstance(at, str):
        try:
            moment = _moment.decode(msgspec.json.encode(at))
        except msgspec.ValidationError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise _wrong("at", "expected a time such as 2026-11-22T10:15:00Z, or Unix seconds", "invalid_value")
        seconds: float = moment.timestamp()
    elif isinstance(at, int | float) and not isinstance(at, bool):
        seconds = at
    else:
        raise _wrong("at", "expected a time such as 2026-11-22T10:15:00Z, or Unix seconds", "invalid_type")
    if MILLISECONDS_FROM <= seconds <= LATEST_S * 1000:
        raise _wrong("at", "expected Unix seconds; these look like milliseconds", "invalid_value")
    if not 0 <= seconds <= LATEST_S:
        raise _wrong("at", "expected a time between the years 1970 and 9999", "invalid_value")
    return int(seconds * 1000)


def _name(field: str, name: str) -> str:
    if not 0 < len(name) <= NAME_CHARS or not name.isprintable():
        raise _wrong(field, f"expected 1 to {NAME_CHARS} characters that can be printed", "invalid_value")
    return name


def _beyond_token(field: str, what: str) -> RequestError:
    return RequestError(
        f"{field}: {what}.",
        status=403,
        code=f"{field}_not_allowed",
        param=field,
        kind="permission_error",
        headers={"x-should-retry": "false"},
    )


def _missing(field: str) -> RequestError:
    return _wrong(field, "missing", "missing_field")


def _wrong(field: str, what: str, code: str = "invalid_request") -> RequestError:
    return RequestError(f"{field}: {what}.", code=code, param=field)
