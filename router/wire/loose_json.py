"""What JSON is taken from a backend: all that its clients take when they ask it themselves.

Python's own reader and writer know NaN, Infinity and halves of surrogate pairs, and so do servers that are written in
it: a log-probability of minus infinity, an emoji that `max_tokens` cut in two. RFC 8259 has none of them, and msgspec
refuses them, also inside values that it only skips. An answer is relayed as it came and only looked into here, so what
its client can read must not look like rubbish.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from router.core.errors import BackendError

T = TypeVar("T")


def read_loosely(answer: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what `decoder` makes of a backend's JSON. Raises ValueError or RecursionError for what is none.

    Raw values in it may be views into a copy of `answer` that was put right.
    """
    try:
        return decoder.decode(answer)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # No fraction is ever looked at: as a text it cannot be out of range.
        said: Any = json.loads(answer, parse_constant=lambda _: None, parse_float=str)
        return decoder.decode(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"))


def read_whole(answer: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what `decoder` makes of a whole answer. Raises BackendError (502) when it is no JSON object."""
    try:
        return read_loosely(answer, decoder)
    except (ValueError, RecursionError):
        raise BackendError(
            "The backend answered with something that is not a JSON object.", code="backend_garbage"
        ) from None
