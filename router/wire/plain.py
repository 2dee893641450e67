"""Routes that are passed through: `/completions` and `/embeddings`. Checked like every body; nothing is woven.

They have no turns, hence no decisions; of a weaving only the backend's model name counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.ports import Weaving
from router.wire.openai_format import OpenAIFormat, read_model
from router.wire.splice import Edit, apply_edits, find_span
from router.wire.strict_json import read

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SILENCE = Conversation("", ())


class PlainRequest(msgspec.Struct, frozen=True, gc=False):
    """A parsed body, as far as passing it on needs it."""

    body: bytes
    model: str
    stream: bool
    user: str
    raw_model: msgspec.Raw
    metadata: Mapping[str, Any] = _NOTHING
    conversation: Conversation = _SILENCE


class _Body(msgspec.Struct, gc=False):
    model: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    user: str | None = None


_BODY = msgspec.json.Decoder(_Body)


class Plain(OpenAIFormat):
    """The wire of one route that is passed through."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path

    def parse(self, body: bytes) -> PlainRequest:
        """Return the parsed body. Raises RequestError (400)."""
        top = read(body, _BODY)
        return PlainRequest(body, read_model(top.model), top.stream is True, top.user or "", top.model)

    def weave(self, request: PlainRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body with the backend's model name; `request.body` itself when that is the client's."""
        if not weaving.model or weaving.model == request.model:
            return request.body
        return apply_edits(
            request.body, [Edit(*find_span(request.body, request.raw_model), msgspec.json.encode(weaving.model))]
        )


COMPLETIONS = Plain("completions", "/completions")
EMBEDDINGS = Plain("embeddings", "/embeddings")
