"""The backend for everything that speaks the client's own format, OpenAI's or Anthropic's: bytes out, bytes back.

Nothing is parsed on the way, so unknown fields survive in both directions. What goes up with the body comes from the
operator's configuration: address, key and headers. Which of the client's headers go up, and which of the answer's come
down, is listed here: lists of what passes, never of what does not, which would always be one name short.

Only what HTTP itself shows is judged here: a status outside 2xx, and an answer whose framing says that it was cut. That
a *stream* has ended as its format demands is for the wire's guard to say.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from router.backends.bridged import PeekedStream
from router.backends.http.exchange import Exchange
from router.backends.http.limits import Headers, Limits, Timeouts, failed
from router.backends.http.pool import ConnectionPool
from router.backends.token_file import TokenFile
from router.core.errors import BackendError, SettingsError
from router.core.ports import BackendAnswer, BackendRequest

FORWARDED_HEADERS = frozenset(
    {
        "anthropic-beta",
        "anthropic-version",
        "idempotency-key",
        "openai-beta",
        "traceparent",
        "tracestate",
        "x-client-request-id",
    }
)
"""Client headers that go up. Not `openai-organization` and `openai-project`, which would choose who is billed, and not
`anthropic-dangerous-direct-browser-access`, by which a browser asks the provider itself for access."""

RELAYED_HEADERS = re.compile(
    r"content-type|openai-.*|x-ratelimit-.*|anthropic-(?:ratelimit|priority)-.*|retry-after|retry-after-ms"
    r"|x-should-retry|x-request-id|request-id"
)
"""Headers of the answer that go down to the client. Not `anthropic-organization-id`: no SDK reads it, and whose account
pays is no client's business. Source: the pages "Rate limits" and "Errors" of both providers' API documentation."""

_NEVER = re.compile(
    r"authorization|proxy-.*|cookie2?|(x-)?(goog-)?api-key|host|forwarded|x-forwarded-.*|x-real-ip|via|connection"
    r"|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|accept-encoding"
)
"""What no setting may let through: secrets meant for us, our own hop, and the framing."""

_OURS = re.compile(r"host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|accept-encoding")
_SECRET = re.compile(r"authorization|cookie|.*(key|token|secret|password).*")
_MAYBE_JSON = re.compile(rb"(?:[^;]*json|text/plain)?(?:$|[\s;])", re.IGNORECASE)
"""Content types under which a whole answer may come, none among them; lines of JSON (`x-ndjson`) are no stream."""
_RETRYABLE = frozenset({408, 409, 429})  # and 5xx, Anthropic's 529 among them: what both SDKs retry
_VERSION = ("anthropic-version", "2023-06-01")
"""Anthropic refuses a request without a version. There has been one since 2023 (its API documentation, "Versions")."""
_ERROR_BODY_BYTES = 64 * 1024
_SECRET_LENGTH = 8  # shorter words would be struck out of innocent text
_REMEMBERED_NAMES = 256


class PassThroughBackend:
    """Implements `core.ports.Backend` over one base URL, such as `https://api.openai.com/v1`.

    `auth` says how `api_key` is shown: as a bearer token, in `api-key` as Azure wants it, or, as Anthropic's API and
    those like it want it, in `x-api-key`; then `anthropic-version` is sent too where the client sent none. Servers that
    want a key elsewhere get it in `headers`. A `token` is shown as a bearer token in place of a key, and read again
    where it has expired. `path_of` says where a request is asked if not at its own path. `forward` names the client
    headers to pass on instead of FORWARDED_HEADERS. `proxy` and `ca_file` are as for `ConnectionPool`. Raises
    SettingsError for whatever of it cannot be used.

    A status other than 2xx becomes a BackendError (`backend_status`, or `redirect`) with the provider's status, its
    body where that is a JSON object, and the headers of RELAYED_HEADERS; other failures have the codes of
    `http.limits.FAILURES`.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        api_key: str = "",
        auth: Literal["bearer", "x-api-key", "api-key"] = "bearer",
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        forward: Iterable[str] = FORWARDED_HEADERS,
        ssl_context: ssl.SSLContext | None = None,
        token: TokenFile | None = None,
        path_of: Callable[[BackendRequest], str] | None = None,
        proxy: str = "",
        ca_file: Path | None = None,
    ) -> None:
        self.name = name
        self._token = token
        self._path_of = path_of
        self._proxied = bool(proxy)
        fixed = _fixed_headers(name, api_key, auth, headers or {})
        ours = {field for field, _ in fixed}
        self._forward = forwarded_names(name, forward) - ours
        self._version = [_VERSION] if auth == "x-api-key" and _VERSION[0] not in ours else []
        self._secrets = [word.encode() for word in _secret_words(api_key, headers or {}) if len(word) >= _SECRET_LENGTH]
        try:
            self._pool = ConnectionPool(
                base_url,
                headers=fixed,
                timeouts=timeouts,
                limits=limits,
                ssl_context=ssl_context,
                proxy=proxy,
                ca_file=ca_file,
            )
        except SettingsError as error:
            raise SettingsError(f'backend "{name}": {error}') from None

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        """Send, and return as soon as the status and, for a stream, the headers are there. Raises BackendError."""
        headers: Headers = outgoing.headers
        if headers:
            headers = [(field, value) for field, value in headers if field.lower() in self._forward]
        if self._version and not any(field.lower() == _VERSION[0] for field, _ in headers):
            headers = [*headers, *self._version]
        response = await self._send(outgoing, headers)
        if not 200 <= response.status < 300:
            raise await self._refusal(response)
        first = b""
        if response.streaming:
            chunks: AsyncIterator[bytes] = response
            if _MAYBE_JSON.match(response.content_type):
                # Asked for a stream, some send a whole answer; others send a stream under a wrong name.
                while not first.strip() and (piece := await anext(response, b"")):
                    first = piece  # what was white space alone says nothing
                chunks = PeekedStream(first, response)
            if not first.lstrip().startswith(b"{"):
                headers = _relayed(response.headers)
                return BackendAnswer(response.status, headers, chunks=chunks, until_close=response.until_close)
        body = first + await response.read()
        if response.until_close and b"json" in response.content_type.lower() and not _is_json(body):
            # With neither a length nor a last chunk, only the text itself can tell that it was cut.
            raise failed("truncated", f"{self.name} closed the connection in the middle of its answer")
        return BackendAnswer(response.status, _relayed(response.headers), body)

    async def _send(self, outgoing: BackendRequest, headers: Headers) -> Exchange:
        path = outgoing.path if self._path_of is None else self._path_of(outgoing)
        token = "" if self._token is None else await self._token.read()
        while True:
            response = await self._pool.send(
                outgoing.method,
                path,
                outgoing.body,
                [*headers, ("authorization", f"Bearer {token}")] if token else headers,
                stream=outgoing.stream,
                content_type=outgoing.content_type,
                upload=outgoing.upload,
            )
            if response.status != 401 or self._token is None or outgoing.upload is not None:
                return response
            expired, token = token, await self._token.read_again()
            if token == expired:
                return response
            await response.aclose()

    async def aclose(self) -> None:
        """Close pooled connections."""
        await self._pool.aclose()

    async def _refusal(self, response: Exchange) -> BackendError:
        status = response.status
        try:
            body = await response.read()
        except BackendError:
            body = b""  # the status says enough
        if len(body) > _ERROR_BODY_BYTES or not body.lstrip().startswith(b"{") or not _is_json(body):
            body = b""  # a gateway's HTML page is no error that a client could read
        held = [self._token.held.encode()] if self._token is not None else []
        for secret in (*self._secrets, *held):
            body = body.replace(secret, b"[hidden]")
        headers = _relayed(response.headers)
        if 300 <= status < 400:
            message = f"{self.name} answered with a redirect ({status}), which is never followed: correct its base_url"
            return BackendError(message, code="redirect", headers=headers)
        if status == 407 and self._proxied:
            message = f"the proxy before {self.name} wants a user name and a password"
            return BackendError(message, code="connect_failed", retryable=False)
        advice = dict(headers).get("x-should-retry", "")
        return BackendError(
            f"{self.name} answered with status {status}",
            status=status if status < 600 else 502,
            code="backend_status",
            body=body,
            headers=headers,
            retryable=advice == "true" or (advice != "false" and (status in _RETRYABLE or status >= 500)),
        )


def _relayed(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple([(text, value.decode("latin-1")) for name, value in headers if (text := _relayed_name(name))])


@lru_cache(_REMEMBERED_NAMES)
def _relayed_name(name: bytes) -> str:
    """Return the name of a header as text if it is relayed, else the empty string."""
    text = name.decode("latin-1")
    return text if RELAYED_HEADERS.fullmatch(text) else ""


def forwarded_names(backend: str, names: Iterable[str]) -> frozenset[str]:
    """Return the operator's choice of client headers to pass on, lower case. Raises SettingsError.

    >>> sorted(forwarded_names("main", ["Traceparent", "X-Team"]))
    ['traceparent', 'x-team']
    """
    chosen = frozenset(name.lower() for name in names)
    never = sorted(name for name in chosen if _NEVER.fullmatch(name))
    if never:
        raise SettingsError(f'backend "{backend}": a client\'s {", ".join(never)} must never go up; leave it out')
    return chosen


def _fixed_headers(name: str, api_key: str, auth: str, configured: Mapping[str, str]) -> list[tuple[str, str]]:
    fixed = {"accept": "application/json", "user-agent": "prompt-router"}
    if api_key and auth != "bearer":
        fixed[auth] = api_key
    elif api_key:
        fixed["authorization"] = f"Bearer {api_key}"
    for field, value in configured.items():
        if _OURS.fullmatch(field.lower()):
            raise SettingsError(f'backend "{name}": header "{field}" is set by the router itself; leave it out')
        fixed[field.lower()] = value
    return list(fixed.items())


def _secret_words(api_key: str, configured: Mapping[str, str]) -> list[str]:
    """Return what must not be shown to a client even if the provider repeats it in an error."""
    values = [value for field, value in configured.items() if _SECRET.fullmatch(field.lower())]
    return [api_key, *(word for value in values for word in value.split())]


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)  # which takes the NaN and the halved characters that Python's servers write
    except (ValueError, RecursionError):
        return False
    return True
