"""A backend that speaks some of the wire formats, with a bridge for those that it does not.

Every path goes to the native backend unless that is known, or learnt, not to speak it. Only what starts an answer can
be bridged (BRIDGED): embeddings, moderations, models and the look-up of a kept answer are the native backend's alone.

Learning is careful in both directions, since a slip would be remembered until the next start. A path is taken for
unknown only by an answer that says so: 405 and 501 do by themselves, a 404 only in the words of a router (below), never
when it names a model or another thing that is missing. The bridge is remembered only after it gave an answer; and a
path that has worked natively once is never bridged, so that a gateway which loses a route for a minute changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import msgspec

from router.core.errors import BackendError, SettingsError, did_you_mean
from router.core.ports import Backend, BackendAnswer, BackendRequest

BRIDGED = frozenset({"/chat/completions", "/responses", "/messages", "/messages/count_tokens"})
"""The paths that can be bridged."""

_NO_ROUTE = re.compile(
    r"(?:404:? )?(?:page |file |url |path |route |endpoint |resource )?not[ _]found\.?"  # FastAPI, llama.cpp, Go, Azure
    r"|(?:invalid|unknown|unrecognized) (?:request )?url\b.*"  # OpenAI; Groq
    r"|unexpected endpoint\b.*"  # LM Studio
    r"|no route\b.*|no matching route\b.*|cannot post /.*|(?:unknown|unsupported|invalid) (?:path|route|endpoint)\b.*"
    r"|(?:path|route|endpoint|url) [^ ]*/[^ ]* (?:was )?not found\.?|not found: (?:post )?/.*|method not allowed\.?",
    re.IGNORECASE | re.DOTALL,
)
"""What servers say of a path that they do not know, as a whole message. "The model `x` does not exist", "model: x" and
"Conversation with id 'x' not found" are none of these."""

_MISSING_THING = re.compile(r"(?!unknown_url)\w*(?:model|deployment)\w*", re.IGNORECASE)
"""Codes and types that speak of a model, such as `model_not_found` and `DeploymentNotFound`."""

_NOT_AN_ANSWER = re.compile(rb'\s*\{\s*"error"\s*:\s*"Unexpected endpoint')
"""LM Studio says this with status 200 (lmstudio-ai/lmstudio-bug-tracker, issue 618)."""


class BridgedBackend:
    """Implements `core.ports.Backend`: sends to `native` what that speaks, and to `bridge` the rest of BRIDGED.

    `speaks` names the paths of BRIDGED that `native` serves; None finds it out. `over` is the path by which the bridge
    asks the same server: where that one is unknown nothing can be bridged, and the address is at fault. Raises
    SettingsError for other paths.
    """

    def __init__(
        self, native: Backend, bridge: Backend, speaks: Iterable[str] | None = None, over: str | None = None
    ) -> None:
        self.name = native.name
        self._over = over
        self._answered: set[str] = set()
        self._native = native
        self._bridge = bridge
        self._speaks = set(speaks or ())
        for path in sorted(self._speaks - BRIDGED):
            raise SettingsError(f'backend "{self.name}": speaks: no path "{path}"; {did_you_mean(path, BRIDGED)}')
        self._bridged = set() if speaks is None else set(BRIDGED - self._speaks)

    @property
    def bridged(self) -> frozenset[str]:
        """The paths that go to the bridge, as far as it is known."""
        return frozenset(self._bridged)

    async def prepare(self) -> None:
        """Make the bridge ready if it is known to be needed. Raises BackendError."""
        prepare = getattr(self._bridge, "prepare", None)
        if self._bridged and prepare is not None:
            await prepare()

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        """Send to whom it belongs. Raises BackendError."""
        path = outgoing.path
        if path in self._bridged and outgoing.method == "POST":
            return await self._bridge.send(outgoing)
        if path in self._answered or path not in BRIDGED or outgoing.method != "POST":
            return await self._native.send(outgoing)
        try:
            answer = await self._native.send(outgoing)
        except BackendError as error:
            if not is_unknown_route(error) or path in self._answered:
                raise
            if path == self._over:
                raise self._misplaced(error, path) from error
            if path in self._speaks:
                raise
        else:
            seen = await _looked_at(answer)
            if seen is not None:
                self._speaks.add(path)
                self._answered.add(path)
                return seen
            if path == self._over:
                raise self._misplaced(None, path)
        try:
            answer = await self._bridge.send(outgoing)
        except BackendError as error:
            if self._over and self._over not in self._answered and _is_no_route(error):
                raise self._misplaced(error, self._over) from error
            raise
        if path not in self._speaks:  # another request may have succeeded natively in the meantime
            self._bridged.add(path)
        return answer

    def _misplaced(self, error: BackendError | None, path: str) -> BackendError:
        """Return the error for a server that does not even know the path over which all else is bridged."""
        status = error.status if error else 200
        message = (
            f'backend "{self.name}" answered {status} at {path}, as if it did not know it: does base_url lack /v1?'
            " `router doctor` finds out"
        )
        return BackendError(message, status=404, code="unknown_path", retryable=False)

    async def aclose(self) -> None:
        """Close the connections of both."""
        await self._native.aclose()
        await self._bridge.aclose()


def is_unknown_route(error: BackendError) -> bool:
    """Return whether an error of a backend says that it does not know the path at all."""
    if error.code != "backend_status":
        return False
    if error.status in (405, 501):
        return True
    return error.status == 404 and (not error.body or _says_no_route(error.body))


def _is_no_route(error: BackendError) -> bool:
    """Return whether litellm was told that a path is not there, not a model: it words the body anew."""
    return error.status == 404 and "model" not in str(error).partition("404")[2].lower()


def _says_no_route(raw: bytes) -> bool:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return True  # no API: a web server's own page
    if not isinstance(body, dict):
        return False
    error = body.get("error", body)
    if not isinstance(error, dict):
        error = {"message": error}
    if error.get("code") == "unknown_url":
        return True
    if any(_MISSING_THING.fullmatch(str(error.get(field) or "")) for field in ("code", "type", "param")):
        return False
    message: Any = error.get("message") or error.get("detail") or error.get("error") or ""
    # An empty object says as little as an empty body.
    return not body or (isinstance(message, str) and _NO_ROUTE.fullmatch(message.strip()) is not None)


async def _looked_at(answer: BackendAnswer) -> BackendAnswer | None:
    """Return an answer as it came, or None for one that, in spite of its status, says that the path is unknown."""
    if answer.chunks is None:
        return None if _NOT_AN_ANSWER.match(answer.body) else answer
    if dict(answer.headers).get("content-type", "").lower().startswith("text/event-stream"):
        return answer
    try:
        first = await anext(answer.chunks, b"")
    except BaseException:
        await answer.aclose()
        raise
    if not _NOT_AN_ANSWER.match(first):
        return replace(answer, chunks=PeekedStream(first, answer.chunks))
    await answer.aclose()
    return None


class PeekedStream:
    """A stream whose first chunk has been looked at, to see what it is: gives it again, then the rest."""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> PeekedStream:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Close the stream itself."""
        self._first = b""
        close = getattr(self._rest, "aclose", None)
        if close is not None:
            await close()
