"""`/v1/feedback`: what is said about answers comes in here. Plain ASGI, since it may come as often as requests do.

Three may send: a holder of a key with the scope `feedback`, about what is their tenant's; a holder of a token that came
with an answer, such as a web page, about that answer alone; and, where no key is configured, programs on this machine.

A single piece is answered with 200, or with its error. A batch is answered with the result of each item in its place:
200 when all are stored, 207 when some are, and where none is, the error's own status, or 400 when they differ. 503 says
that nothing was acknowledged. To send again what was not acknowledged is always safe: an id counts once.

Web pages of the `origins` in the settings may read the answers (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol);
others are refused. Bodies are JSON under any content type: `navigator.sendBeacon` sends text/plain, which spares the
browser a preflight. `/v1/feedback.js` is the script that does so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from router.core.errors import RequestError, RouterError
from router.core.learning import Feedback
from router.core.policy import Metric
from router.core.store_ports import FeedbackStore
from router.engine.feedback_item import FeedbackItem, Receipt
from router.engine.feedback_queue import FeedbackQueue, Result, too_often
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.rate_limiter import RateLimiter
from router.engine.snapshot import PolicyRegistry
from router.packs.words import seconds
from router.server.feedback_forms import FeedbackForm, FeedbackSender, FormReader, item_of, read_form
from router.server.feedback_forms import read_body as read_forms
from router.server.keys import KEY_HEADERS, Caller, FeedbackTokens, Keyring, looks_like_token
from router.server.request_body import read_body
from router.server.routes import FEEDBACK_HEADER, RawHeaders, encoded, read_headers, send_whole
from router.server.settings import LimitSettings, Settings
from router.server.web_pages import PREFLIGHT_S
from router.wire.faults import describe, error_body, status_of

PATH = "/v1/feedback"
SCRIPT_PATH = "/v1/feedback.js"
SCRIPT = Path(__file__).with_name("feedback.js").read_bytes()

_ALLOWED_HEADERS = b"content-type, %b, %b" % (", ".join(KEY_HEADERS).encode(), FEEDBACK_HEADER)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class FeedbackParts:
    """What takes feedback in. `start` and `close` the queue with the application."""

    store: FeedbackStore
    queue: FeedbackQueue
    tokens: FeedbackTokens
    reading: FormReader


def feedback_parts(
    settings: Settings,
    salt: bytes,
    *,
    store: FeedbackStore,
    registry: PolicyRegistry,
    identifier: Identifier,
    fault_handler: FaultHandler,
    flush: Callable[[], None],
    shared: bool,
    count_unstored: Callable[[int], None],
) -> FeedbackParts:
    """Return what takes feedback in. The others are as in `FeedbackQueue`; `identifier` is the one of requests."""
    chosen = settings.feedback
    secrets = [secret.get_secret_value().encode() for secret in chosen.secrets] or [salt]
    tokens = FeedbackTokens(secrets, seconds(chosen.expires))
    return FeedbackParts(
        store=store,
        queue=FeedbackQueue(
            store,
            registry,
            fault_handler,
            flush,
            per_minute=chosen.per_minute,
            shared=shared,
            count_unstored=count_unstored,
        ),
        tokens=tokens,
        reading=FormReader(identifier.conversation_of, tokens.verify, new_feedback_id),
    )


def new_feedback_id() -> str:
    """Return an id for feedback that came without one, in the order of time."""
    return f"fb_{time.time_ns() // 1_000_000:011x}{os.urandom(8).hex()}"


class FeedbackRoute:
    """POST and, for browsers, OPTIONS."""

    def __init__(self, parts: FeedbackParts, keyring: Keyring, settings: Settings, default_policy: str) -> None:
        self._queue = parts.queue
        self._reading = parts.reading
        self._keyring = keyring
        self._limits: LimitSettings = settings.limits
        self._default_policy = default_policy
        listed = (*settings.feedback.origins, *(settings.origins or ()))
        origins = frozenset(origin.lower().encode() for origin in listed)
        self._origins = None if b"*" in origins else origins
        # A token is held by who knows whom: what is over its cap is refused before anything is looked up.
        self._by_token = RateLimiter(settings.feedback.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every error leaves in OpenAI's shape."""
        headers: RawHeaders = []
        try:
            self._add_cors(scope["headers"], headers)
            if scope["method"] == "OPTIONS":
                await send({"type": "http.response.start", "status": 204, "headers": headers + _preflight_headers()})
                await send({"type": "http.response.body", "body": b""})
                return
            if scope["method"] != "POST":
                raise RequestError(
                    "Use POST here.", status=405, code="method_not_allowed", headers={"allow": "POST, OPTIONS"}
                )
            status, answer = await self._take(read_headers(scope["headers"]), scope, receive)
            headers.append((b"content-type", b"application/json"))
            await send_whole(status, headers, _encode(answer), send)
        except RouterError as error:
            if isinstance(error, RequestError):
                headers += encoded(error.headers.items())
            headers.append((b"content-type", b"application/json"))
            await send_whole(status_of(error), headers, error_body(error), send)

    async def _take(self, headers: Mapping[str, str], scope: Scope, receive: Receive) -> tuple[int, Mapping[str, Any]]:
        token = _token_in(headers)
        caller, refusal = self._caller(headers, token)
        if caller is None:
            return await self._read_and_put(None, refusal, token, scope, receive)
        with self._keyring.slot(caller):
            return await self._read_and_put(caller, None, token, scope, receive)

    def _caller(self, headers: Mapping[str, str], token: str | None) -> tuple[Caller | None, RequestError | None]:
        """Return who holds the key, or nobody and why not: a token in the body may still let them in.

        Raises RequestError for a key that is wrong.
        """
        if token is not None:
            return None, None
        try:
            return self._keyring.admit(headers, "feedback"), None
        except RequestError as error:
            if error.status != 401 or any(map(headers.get, KEY_HEADERS)):
                raise
            return None, error

    async def _read_and_put(
        self, caller: Caller | None, refusal: RequestError | None, token: str | None, scope: Scope, receive: Receive
    ) -> tuple[int, Mapping[str, Any]]:
        """Read the body, store what it says, and return status and answer. Raises RequestError."""
        if token is not None:
            self._reading.verify(token)  # before a body is waited for
        body = await read_body(receive, self._limits)
        sender = None if caller is None else FeedbackSender(caller.tenant, self._policies(caller))
        listed, form, of_body = read_forms(body)
        token = of_body if of_body is not None else token
        if form is not None:
            result = (await self._queue.put([self._item(form, sender, refusal, token)]))[0]
            if isinstance(result, RequestError):
                raise result
            return 200, {"object": "feedback", **_told(result)}
        results: list[Result | None] = []
        items: list[FeedbackItem] = []
        for raw in listed:
            try:
                items.append(self._item(read_form(raw), sender, refusal, token))
                results.append(None)
            except RequestError as error:
                results.append(error)
        stored = iter(await self._queue.put(items))
        return _batch_answer([next(stored) if result is None else result for result in results])

    def _item(
        self, form: FeedbackForm, sender: FeedbackSender | None, refusal: RequestError | None, token: str | None
    ) -> FeedbackItem:
        """Return the item of a form. Raises RequestError: 401 without key and token, 429 over a token's cap."""
        own = form.token if form.token is not None else token
        if own is None and refusal is not None:
            raise refusal
        item = item_of(form, self._reading, sender, own)
        if item.granted:
            wait_s = self._by_token.take(item.granted)
            if wait_s:
                raise too_often(self._by_token.per_minute, wait_s)
        return item

    def _policies(self, caller: Caller) -> frozenset[str] | None:
        if caller.policies is None:
            return None
        return caller.policies | {caller.policy or self._default_policy}

    def _add_cors(self, given: RawHeaders, headers: RawHeaders) -> None:
        """Let a web page read the answer, if its origin may. Raises RequestError (403)."""
        origin = next((value for name, value in given if name == b"origin"), None)
        headers.append((b"access-control-expose-headers", b"retry-after"))
        if self._origins is None:
            headers.append((b"access-control-allow-origin", b"*"))
            return
        headers.append((b"vary", b"origin"))
        if origin is None:
            return
        if origin.lower() not in self._origins:
            raise RequestError(
                f'Web pages of "{origin[:100].decode("latin-1")}" may not send feedback. Its operator can allow them'
                " under `feedback: origins:` in router.yaml.",
                status=403,
                code="origin_not_allowed",
                kind="permission_error",
                headers={"x-should-retry": "false"},
            )
        headers.append((b"access-control-allow-origin", origin))


async def script_route(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the script for web pages."""
    headers: RawHeaders = [
        (b"content-type", b"text/javascript; charset=utf-8"),
        (b"cache-control", b"public, max-age=3600"),
        (b"cross-origin-resource-policy", b"cross-origin"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if scope["method"] in ("GET", "HEAD"):
        await send_whole(200, headers, SCRIPT, send)
        return
    error = RequestError("Use GET here.", status=405, code="method_not_allowed")
    headers = [(b"content-type", b"application/json"), (b"allow", b"GET, HEAD")]
    await send_whole(405, headers, error_body(error), send)


def feedback_json(feedback: Feedback, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return feedback as it is shown: booleans as they were sent."""
    metric = metrics.get(feedback.metric)
    value: float | bool = bool(feedback.value) if metric and metric.kind == "boolean" else feedback.value
    return {
        "id": feedback.id,
        "at_ms": feedback.at_ms,
        "about": "decision" if feedback.decision else "conversation",
        "metric": feedback.metric,
        "value": value,
        "source": feedback.source,
        "comment": feedback.comment,
        "said_at_ms": feedback.said_at_ms,
    }


def _token_in(headers: Mapping[str, str]) -> str | None:
    """Return the token that the headers carry, if they carry one."""
    sent = headers.get(FEEDBACK_HEADER.decode())
    if sent is not None:
        return sent.strip()
    sent = headers.get("authorization", "")
    if sent[:7].lower() == "bearer " and looks_like_token(sent[7:].strip()):
        return sent[7:].strip()
    return None


def _told(receipt: Receipt) -> dict[str, Any]:
    located = receipt.located
    told: dict[str, Any] = {
        "id": receipt.id,
        "status": "recorded" if receipt.new else "duplicate",
        "decision": located.decision or None,
        "conversation": located.conversation,
        "policy": located.policy,
    }
    return told


def _batch_answer(results: Sequence[Result]) -> tuple[int, dict[str, Any]]:
    """Return the status of a batch, and the result of each item in its place."""
    told: list[dict[str, Any]] = []
    faults: list[RequestError] = []
    for place, result in enumerate(results):
        if isinstance(result, Receipt):
            told.append(_told(result))
            continue
        faults.append(result)
        inside = f"feedback[{place}]"
        error = describe(result) | {"param": f"{inside}.{result.param}" if result.param else inside}
        told.append({"status": "refused", "http_status": result.status, "error": error})
    answer: dict[str, Any] = {
        "object": "list",
        "recorded": sum(each["status"] == "recorded" for each in told),
        "duplicates": sum(each["status"] == "duplicate" for each in told),
        "refused": len(faults),
        "results": told,
    }
    if not faults:
        return 200, answer
    if len(faults) < len(told):
        return 207, answer
    statuses = {fault.status for fault in faults}
    first = next(each["error"] for each in told)
    summary = first | {"message": f"None of the {len(told)} items was stored. The first: {first['message']}"}
    return statuses.pop() if len(statuses) == 1 else 400, {"error": summary, **answer}


def _preflight_headers() -> RawHeaders:
    return [
        (b"access-control-allow-methods", b"POST, OPTIONS"),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"access-control-max-age", b"%d" % PREFLIGHT_S),
    ]
