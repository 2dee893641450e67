"""What all of OpenAI's formats share: how an answer ends, how an error looks, what a `model` may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from router.core.errors import RequestError, RouterError
from router.core.ports import StreamGuard, Told
from router.wire import chunks, faults
from router.wire.strict_json import EVERY, names, wrong_type

_NAME = msgspec.json.Decoder(str)


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: Any = None


STREAM_OPTIONS = names("include_usage")
"""What is read of `stream_options`."""

METADATA = names(EVERY, "conversation_id", "session_id", "user_id")
"""What is read of `metadata`, in every format: who speaks, in which conversation, and what packs declare as cues."""

_STREAM_OPTIONS = msgspec.json.Decoder(_StreamOptions | None)


class OpenAIFormat:
    """The half of a wire that looks at answers. The other half, requests, differs by route."""

    chains = False

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return the parts of a body that a provider caches: none where nothing is woven."""
        return ()

    def guard(self, hide_usage: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer."""
        return chunks.ChunkGuard(hide_usage)

    def read_answer(self, body: bytes) -> Told:
        """Return id and usage of a whole answer. Raises BackendError when it is no JSON object."""
        return chunks.read_answer(body)

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return the words of an answer: none where nothing is woven, since nothing is asked of them."""
        return ""

    def error_body(self, error: RouterError) -> bytes:
        """Return the error in OpenAI's shape, a provider's own as it came."""
        return faults.error_body(error)


def gives_usage(stream_options: msgspec.Raw) -> bool:
    """Say whether a stream with these options tells its usage.

    Options that make no sense count as asked: they are for the provider to refuse, not for us to put right.
    """
    if not memoryview(stream_options).nbytes:
        return False
    try:
        options = _STREAM_OPTIONS.decode(stream_options)
    except msgspec.ValidationError:
        return True
    asked = None if options is None else options.include_usage
    return asked is not None and asked is not False


def read_model(value: msgspec.Raw, default: str = "") -> str:
    """Return the model's name from its raw value, empty when the key is missing. Raises RequestError (400).

    `default` is the name where the route can do without.
    """
    if not memoryview(value).nbytes:
        if default:
            return default
        raise RequestError("model: missing; name the model to use.", code="missing_model", param="model")
    try:
        name = _NAME.decode(value)
    except msgspec.ValidationError as error:
        raise wrong_type(error, inside="model") from None
    if not name:
        raise RequestError("model: the name is empty.", code="missing_model", param="model")
    return name
