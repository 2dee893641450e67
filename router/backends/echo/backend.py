"""The double that ships: answers with the request it got, made readable (see `readable`). Needs no model and no key.

It serves chat completions, Responses and Anthropic Messages, each whole or as a stream in the format's own events
(`formats`), and beside them /messages/count_tokens, /responses/input_tokens and /models. It keeps nothing, so a request
that goes on from a kept answer (`previous_response_id`) is refused as from any server that does not have it.

Usage is estimated with `count_tokens`, block by block. `max_tokens`, `stop`, tools and schemas change nothing: the
point is to see the request.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from router.backends.echo.formats import FORMATS, EchoFormat, EchoReply, refusal
from router.backends.echo.readable import parameters_line
from router.core.policy import count_tokens
from router.core.ports import BackendAnswer, BackendRequest

COUNTED = MappingProxyType({"/messages/count_tokens": "/messages", "/responses/input_tokens": "/responses"})
"""Where tokens are counted, and the path of the format."""

_ENCODER = msgspec.json.Encoder()
_JSON = (("content-type", "application/json"),)
_EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)
_MODELS = {"object": "list", "data": [{"id": "echo", "object": "model", "created": 0, "owned_by": "prompt-router"}]}

_REMEMBERED_BLOCKS = 1024
_LONGEST_REMEMBERED = 4096
"""Instructions come again and again, and estimating their tokens costs more than the rest of an answer: 0.6 us a token.
So the counts of this many blocks of up to this many characters are kept, in memory only."""

_LONGEST_COUNTED = 64 * 1024
_CHARACTERS_PER_TOKEN = 4  # beyond, counting would hold up the event loop; this is the usual rule of thumb


class EchoBackend:
    """Implements `core.ports.Backend`. `nonce` makes ids unique among processes, `clock` gives seconds since 1970."""

    def __init__(self, *, name: str = "echo", nonce: str = "0", clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._nonce = nonce
        self._clock = clock
        self._numbers = itertools.count(1)
        self._remembered_tokens = lru_cache(_REMEMBERED_BLOCKS)(count_tokens)

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        """Answer. Raises BackendError for what the API would refuse."""
        path, method = outgoing.path, outgoing.method
        if (method, path) == ("GET", "/models"):
            return json_answer(_MODELS)
        if method != "POST" or (path not in FORMATS and path not in COUNTED):
            raise refusal(404, f"the echo does not serve {method} {path[:128]}", code="unknown_path")
        body = decoded(outgoing.body)
        if path in COUNTED:
            named = {"object": "response.input_tokens"} if path.startswith("/responses") else {}
            return json_answer(named | {"input_tokens": self._all_tokens(FORMATS[COUNTED[path]].blocks(body))})
        if path == "/responses" and body.get("previous_response_id") is not None:
            message = f"Previous response with id '{str(body['previous_response_id'])[:64]}' not found."
            raise refusal(400, message, code="previous_response_not_found", param="previous_response_id")
        form = FORMATS[path]
        reply = self._reply(form, body, form.blocks(body))
        if body.get("stream") is True:
            return stream_answer(form.events(reply, body))
        return json_answer(form.whole(reply, body))

    async def aclose(self) -> None:
        """Nothing is held."""

    def _reply(self, form: EchoFormat, body: Mapping[str, Any], blocks: list[str]) -> EchoReply:
        last = parameters_line(body, form.hidden)
        tokens = self._all_tokens(blocks)
        return EchoReply(
            number=self._number(),
            created=int(self._clock()),
            model=body.get("model"),
            content="\n\n".join([*blocks, last]),
            prompt_tokens=tokens,
            completion_tokens=tokens + self._tokens(last),
        )

    def _number(self) -> str:
        return f"{self._nonce}-{next(self._numbers)}"

    def _all_tokens(self, blocks: Iterable[str]) -> int:
        return sum(map(self._tokens, blocks))

    def _tokens(self, block: str) -> int:
        if len(block) <= _LONGEST_REMEMBERED:
            return self._remembered_tokens(block)
        return count_tokens(block) if len(block) <= _LONGEST_COUNTED else len(block) // _CHARACTERS_PER_TOKEN


def json_answer(payload: Mapping[str, Any]) -> BackendAnswer:
    """Return a whole answer."""
    return BackendAnswer(200, _JSON, _ENCODER.encode(payload))


def stream_answer(events: Iterable[bytes]) -> BackendAnswer:
    """Return an answer of events."""
    return BackendAnswer(200, _EVENTS, chunks=_each(events))


async def _each(events: Iterable[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


def decoded(raw: bytes) -> dict[str, Any]:
    """Return the body of a request. Raises BackendError (400)."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise refusal(400, "the body is not a JSON object")
    return body
