"""Routes that are passed through: `/completions`, `/embeddings`, `/moderations`. Checked like every body, never woven.

They have no turns, hence no decisions; of a weaving only the backend's model name counts. Nothing is asked for besides:
what the client gets is what it gets directly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.ports import Weaving
from router.wire import chat_stream
from router.wire.edits import Edit
from router.wire.format import NO_METADATA, STREAM_OPTIONS, ParsedRequest, Read, Top, WireFormat
from router.wire.strict_json import names

_SILENCE = Conversation("", ())


class _Body(Top, gc=False):
    stream_options: msgspec.Raw = msgspec.Raw()
    n: Any = 1
    user: str | None = None


_NAMES = names(*_Body.__struct_fields__, stream_options=STREAM_OPTIONS)


class Plain(WireFormat):
    """The wire of one route that is passed through. `default` is the model where a body may name none.

    `streams` says whether its answers may be streamed.
    """

    body = msgspec.json.Decoder(_Body)
    names = _NAMES

    def __init__(self, name: str, path: str, default: str = "", streams: bool = False) -> None:
        self.name = name
        self.path = path
        self.default_model = default
        self.streams = streams

    def read(self, top: Any) -> Read:
        """Return nothing: there are no turns."""
        return _SILENCE, (), (), 0, ()

    def sender(self, top: Any) -> tuple[str, Mapping[str, Any]]:
        """Return the end user."""
        return top.user or "", NO_METADATA

    def tells_usage(self, top: Any) -> bool:
        """Say whether a stream tells its usage, as with chat completions."""
        return chat_stream.gives_usage(top.stream_options)

    def plan(self, request: ParsedRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
        """Return the edit to the backend's model name."""
        return self.replace_model(request, weaving.model)


COMPLETIONS = Plain("completions", "/completions", streams=True)
EMBEDDINGS = Plain("embeddings", "/embeddings")
MODERATIONS = Plain("moderations", "/moderations", default="omni-moderation-latest")
"""The default is that of https://platform.openai.com/docs/api-reference/moderations; it only finds the backend."""
