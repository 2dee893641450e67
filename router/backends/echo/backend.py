"""The double that ships: answers with the request it got, made readable (see `readable`). Needs no model and no key.

It serves chat completions, Responses and Anthropic Messages, each whole or as a stream in the format's own events
(`chat`, `responses`, `messages`), and beside them /messages/count_tokens, /responses/input_tokens,
/completions, /embeddings (small vectors, equal for equal texts), /moderations and /models. Answers to /responses are
kept for a while (`kept`), to be read, continued by `previous_response_id`, or deleted.

A forced tool call gets arguments, and a demanded JSON Schema an object, that fit simple schemas (see `example`). Usage
is estimated with `count_tokens`, block by block. `max_tokens` and `stop` cut nothing: the point is to see the request.

The model's name steers what goes wrong; steps may be chained, as in `echo-stall-50ms-cut-3`:

| model            | what happens                                                          |
|------------------|-----------------------------------------------------------------------|
| echo             | nothing; so with every name that does not begin with `echo-`          |
| echo-fail-503    | an error with that status (400 to 599)                                |
| echo-stall-2s    | waits before the first byte (s or ms, up to 600 s)                    |
| echo-slow-50ms   | waits before every chunk of a stream                                  |
| echo-cut-3       | ends after 3 chunks, without a finish; a whole answer fails as cut    |
| echo-garbage     | answers with bytes that are neither JSON nor events                   |
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from router.backends.echo.chat import CHAT, TEXT
from router.backends.echo.embeddings import embeddings
from router.backends.echo.faults import Faults, faults_of, refusal
from router.backends.echo.kept import KeptResponses
from router.backends.echo.lists import models, moderations
from router.backends.echo.messages import MESSAGES
from router.backends.echo.readable import parameters_line
from router.backends.echo.reply import Format, Said, shaped
from router.backends.echo.responses import RESPONSES
from router.backends.http.transport import failed
from router.core.ports import Answer, Outgoing
from router.core.tokens import count_tokens

GARBAGE = b"\x1f\x8b\x00 this is not an answer \xff\xfe"

FORMATS = MappingProxyType(
    {"/chat/completions": CHAT, "/completions": TEXT, "/responses": RESPONSES, "/messages": MESSAGES}
)

COUNTED = MappingProxyType({"/messages/count_tokens": MESSAGES, "/responses/input_tokens": RESPONSES})

_ENCODER = msgspec.json.Encoder()
_JSON = (("content-type", "application/json"),)
_EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)

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
        self._kept = KeptResponses()

    async def send(self, outgoing: Outgoing) -> Answer:
        """Answer. Raises BackendError for what the API would refuse, and for what the model's name asks."""
        path = outgoing.path
        if path.startswith("/responses/") and path not in COUNTED:
            found = self._kept.serve(outgoing.method, path)
            if isinstance(found, dict):
                return Answer(200, _JSON, _ENCODER.encode(found))
            return Answer(200, _EVENTS, chunks=_stream(found, Faults()))
        if outgoing.method == "GET":
            return Answer(200, _JSON, _ENCODER.encode(models(path)))
        body = _decoded(outgoing.body)
        faults = faults_of(body.get("model"))
        if faults.any:
            if faults.stall_s:
                await asyncio.sleep(faults.stall_s)
            if faults.fail:
                raise refusal(faults.fail, "the model's name asked for this failure", code="echo_fail")
        form = FORMATS.get(path)
        if form is None:
            return self._whole(self._without_words(path, body), faults)
        before = self._kept.before(body) if form is RESPONSES else ()
        said = self._said(form, body, before)
        if form is RESPONSES and not faults.broken:
            self._kept.keep(body, form.whole(said, body), before, len(outgoing.body))
        if body.get("stream") is True:
            return Answer(200, _EVENTS, chunks=_stream(form.events(said, body), faults))
        return self._whole(form.whole(said, body), faults)

    async def aclose(self) -> None:
        """Nothing is held."""

    def _without_words(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of a path where nothing is said."""
        if path == "/embeddings":
            return embeddings(body, self._tokens)
        if path == "/moderations":
            return moderations(body, self._number())
        if path in COUNTED:
            named = {"object": "response.input_tokens"} if path.startswith("/responses") else {}
            return named | {"input_tokens": self._all_tokens(COUNTED[path].blocks(body))}
        raise refusal(404, f"the echo does not serve {path}", code="unknown_path")

    def _said(self, form: Format, body: dict[str, Any], before: Sequence[str]) -> Said:
        own = form.blocks(body)
        # What is said beside the messages comes first, also before what is remembered.
        blocks = [*own[:1], *before, *own[1:]] if before and body.get("instructions") is not None else [*before, *own]
        tokens = self._all_tokens(blocks)
        call, content = form.call(body), ""
        if call is not None:
            said_tokens = self._tokens(call.arguments)
        else:
            last = parameters_line(body, form.hidden)
            content, said_tokens = "\n\n".join([*blocks, last]), tokens + self._tokens(last)
            if (shape := form.shape(body)) is not None:
                content = shaped(shape, content)
                said_tokens = self._tokens(content)
        return Said(
            number=self._number(),
            created=int(self._clock()),
            model=body.get("model"),
            content=content,
            call=call,
            prompt_tokens=tokens,
            completion_tokens=said_tokens,
        )

    def _number(self) -> str:
        return f"{self._nonce}-{next(self._numbers)}"

    def _all_tokens(self, blocks: Iterable[str]) -> int:
        return sum(map(self._tokens, blocks))

    def _tokens(self, block: str) -> int:
        if len(block) <= _LONGEST_REMEMBERED:
            return self._remembered_tokens(block)
        return count_tokens(block) if len(block) <= _LONGEST_COUNTED else len(block) // _CHARACTERS_PER_TOKEN

    def _whole(self, payload: dict[str, Any], faults: Faults) -> Answer:
        if faults.cut is not None:
            raise failed("truncated", f"{self.name} closed the connection in the middle of its answer")
        return Answer(200, _JSON, GARBAGE if faults.garbage else _ENCODER.encode(payload))


async def _stream(events: Iterable[bytes], faults: Faults) -> AsyncIterator[bytes]:
    if faults.garbage:
        yield GARBAGE
        return
    for event in itertools.islice(events, faults.cut):
        if faults.slow_s:
            await asyncio.sleep(faults.slow_s)
        yield event


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise refusal(400, "the body is not a JSON object")
    return body
