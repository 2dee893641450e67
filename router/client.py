"""Send feedback from Python, with nothing but the standard library.

    from router import send_feedback

    send_feedback("http://127.0.0.1:8080", "resolved", True, decision=answer.headers["x-router-decision"], api_key=KEY)

Each call has an id, so that trying again is safe: whatever became of the first attempt, it counts once.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from router.core.errors import RouterError

TRIED_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
"""A router that wants to be left alone for longer is not waited for."""

_MOST_BYTES = 1 << 20


class FeedbackError(RouterError):
    """Feedback was not stored, as far as is known.

    `status` is the HTTP status, 0 where no answer came; `code` and `param` are the router's words for what is wrong and
    where. With `retryable`, the same call, its `id` included, may succeed later.
    """

    def __init__(
        self, message: str, *, status: int = 0, code: str = "", param: str | None = None, id: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.id = id

    @property
    def retryable(self) -> bool:
        """Whether trying again may help."""
        return self.status == 0 or self.status in TRIED_AGAIN


def send_feedback(
    base_url: str,
    metric: str,
    value: bool | int | float | None = None,
    *,
    decision: str | None = None,
    response_id: str | None = None,
    conversation: str | None = None,
    api_key: str | None = None,
    token: str | None = None,
    source: str = "user",
    id: str | None = None,
    comment: str | None = None,
    at: datetime | float | None = None,
    timeout_s: float = 10.0,
    attempts: int = 3,
) -> dict[str, Any]:
    """Say how an answer was, and return the router's receipt: `id`, `status` (recorded or duplicate), `decision` ...

    `base_url` is the router's address, with or without `/v1`. What it is about is one of `decision` (the header
    x-router-decision), `response_id` (the id in the answer) and `conversation` (the name under which it was sent), or
    the decision of a `token`. `value` fits the metric that the pack declares. `at` is when it was said, as
    Unix seconds or a datetime.

    A call that fails for want of a connection, or that the router asks to repeat, is made up to `attempts` times in
    all. Raises FeedbackError when it cannot be stored.
    """
    given = {
        "id": id or f"py_{uuid.uuid4().hex}",
        "decision": decision,
        "response_id": response_id,
        "conversation": conversation,
        "token": token,
        "metric": metric,
        "value": value,
        "source": source,
        "comment": comment,
        "at": at.timestamp() if isinstance(at, datetime) else at,
    }
    body = json.dumps({name: each for name, each in given.items() if each is not None}, allow_nan=False).encode()
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {api_key}"} if api_key else {})}
    request = urllib.request.Request(_address(base_url), body, headers, method="POST")
    for attempt in range(1, max(1, attempts) + 1):
        try:
            return _answer(request, timeout_s)
        except _Failed as failed:
            pause_s = failed.pause_s if failed.pause_s is not None else FIRST_PAUSE_S * 2 ** (attempt - 1)
            if attempt >= attempts or not failed.error.retryable or pause_s > LONGEST_PAUSE_S:
                failed.error.id = str(given["id"])
                raise failed.error from failed.__cause__
            time.sleep(pause_s)
    raise AssertionError  # never reached: the last attempt returns or raises


class _Failed(Exception):
    """One attempt came to nothing. `pause_s` is how long the router wants to be left alone, None where unsaid."""

    def __init__(self, error: FeedbackError, pause_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause_s = pause_s


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like another: the key must not follow it to whatever host it names."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


def _address(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"base_url must begin with http:// or https:// and name a host, not {base_url[:100]!r}")
    return base_url.rstrip("/").removesuffix("/v1") + "/v1/feedback"


def _answer(request: urllib.request.Request, timeout_s: float) -> dict[str, Any]:
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=timeout_s) as answer:
            told = _object(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as refusal:
        with refusal:
            after = refusal.headers.get("retry-after") or ""
            raise _refused(refusal.code, after, _object(refusal.read(_MOST_BYTES))) from refusal
    except (OSError, http.client.HTTPException) as error:  # urllib's URLError is an OSError
        reason = getattr(error, "reason", error)
        raise _Failed(FeedbackError(f"{request.full_url} cannot be reached: {reason}", code="no_answer")) from error
    if told.get("status") not in ("recorded", "duplicate"):
        raise _Failed(FeedbackError(f"{request.full_url} does not answer like a router", status=200, code="no_receipt"))
    return told


def _refused(status: int, after: str, told: dict[str, Any]) -> _Failed:
    error = told.get("error")
    error = error if isinstance(error, dict) else {}
    message = error.get("message") or f"the router answered with status {status}"
    return _Failed(
        FeedbackError(str(message), status=status, code=str(error.get("code") or ""), param=error.get("param")),
        float(after) if after.isascii() and after.isdigit() else None,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
