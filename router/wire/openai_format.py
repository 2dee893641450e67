"""What all of OpenAI's formats share: how an answer ends, how an error looks, what a `model` may be."""

from __future__ import annotations

import msgspec

from router.core.errors import RequestError, RouterError
from router.core.ports import StreamGuard, Told
from router.wire import chunks, faults
from router.wire.strict_json import wrong_type

_NAME = msgspec.json.Decoder(str)


class OpenAIFormat:
    """The half of a wire that looks at answers. The other half, requests, differs by route."""

    chains = False

    def guard(self, hide_usage: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer."""
        return chunks.ChunkGuard(hide_usage)

    def read_answer(self, body: bytes) -> Told:
        """Return id and usage of a whole answer. Raises BackendError when it is no JSON object."""
        return chunks.read_answer(body)

    def error_body(self, error: RouterError) -> bytes:
        """Return the error in OpenAI's shape, a provider's own as it came."""
        return faults.error_body(error)

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the last event of a stream that has begun."""
        return faults.error_event(error)


def read_model(value: msgspec.Raw) -> str:
    """Return the model's name from its raw value, empty when the key is missing. Raises RequestError (400)."""
    if not memoryview(value).nbytes:
        raise RequestError("model: missing; name the model to use.", code="missing_model", param="model")
    try:
        name = _NAME.decode(value)
    except msgspec.ValidationError as error:
        raise wrong_type(error, inside="model") from None
    if not name:
        raise RequestError("model: the name is empty.", code="missing_model", param="model")
    return name
