"""Routes that are passed through: `/completions`, `/embeddings`, `/moderations`. Checked like every body, never woven.

They have no turns, hence no decisions; of a weaving only the backend's model name counts. Nothing is asked for besides:
what the client gets is what it gets directly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.ports import Weaving
from router.wire.openai_format import STREAM_OPTIONS, OpenAIFormat, gives_usage, read_model
from router.wire.splice import Edit, apply_edits, find_span
from router.wire.strict_json import check_names, names, read

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SILENCE = Conversation("", ())


class PlainRequest(msgspec.Struct, frozen=True, gc=False):
    """A parsed body, as far as passing it on needs it."""

    body: bytes
    model: str
    stream: bool
    tells_usage: bool
    user: str
    raw_model: msgspec.Raw
    metadata: Mapping[str, Any] = _NOTHING
    conversation: Conversation = _SILENCE


class _Body(msgspec.Struct, gc=False):
    model: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    stream_options: msgspec.Raw = msgspec.Raw()
    user: str | None = None


_NAMES = names(*_Body.__struct_fields__, stream_options=STREAM_OPTIONS)
_BODY = msgspec.json.Decoder(_Body)


class Plain(OpenAIFormat):
    """The wire of one route that is passed through. `default` is the model where a body may name none."""

    def __init__(self, name: str, path: str, default: str = "") -> None:
        self.name = name
        self.path = path
        self._default = default

    def parse(self, body: bytes) -> PlainRequest:
        """Return the parsed body. Raises RequestError (400)."""
        top = read(body, _BODY)
        check_names(body, _NAMES)
        model = read_model(top.model, self._default)
        stream = top.stream is True
        told = not stream or gives_usage(top.stream_options)
        return PlainRequest(body, model, stream, told, top.user or "", top.model)

    def weave(self, request: PlainRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body with the backend's model name; `request.body` itself when that, or none, is the client's."""
        if not weaving.model or weaving.model == request.model or not memoryview(request.raw_model).nbytes:
            return request.body
        return apply_edits(
            request.body, [Edit(*find_span(request.body, request.raw_model), msgspec.json.encode(weaving.model))]
        )


COMPLETIONS = Plain("completions", "/completions")
EMBEDDINGS = Plain("embeddings", "/embeddings")
MODERATIONS = Plain("moderations", "/moderations", default="omni-moderation-latest")
"""The default is that of https://platform.openai.com/docs/api-reference/moderations; it only finds the backend."""
