"""What the echo says, before it takes the shape of a wire format; and what each format must tell of a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from router.backends.echo.example import example_of
from router.backends.echo.faults import refusal

Body = Mapping[str, Any]

ANY_TOOL = ""
"""A choice that forces a tool, whichever."""

_CHUNK = re.compile(r".{1,24}(?:\s+|$)|.{1,24}", re.DOTALL)
"""A chunk of a stream is a few words, as a fast model sends them."""

_ENCODER = msgspec.json.Encoder()


class Call(NamedTuple):
    """A call of a tool; `arguments` is JSON text."""

    name: str
    arguments: str


class Shape(NamedTuple):
    """A demand for JSON: whatever fits `schema`, or, without one, any object."""

    schema: Any = None


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `number` is unique; the ids of the answer and its parts are made of it."""

    number: str
    created: int
    model: Any
    content: str
    call: Call | None
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Format:
    """How the echo reads the requests of one wire format, and answers in it.

    `blocks` are what was said, `hidden` the fields that they have shown. `call` and `shape` say what the request
    demands. `whole` and `events` are the answer; they raise BackendError before the first event.
    """

    blocks: Callable[[Body], list[str]]
    hidden: frozenset[str]
    call: Callable[[Body], Call | None]
    shape: Callable[[Body], Shape | None]
    whole: Callable[[Said, Body], dict[str, Any]]
    events: Callable[[Said, Body], Iterator[bytes]]


def no_call(_: Body) -> None:
    """Return None: a format without tools."""


def no_shape(_: Body) -> None:
    """Return None: a format that cannot demand a shape."""


def forced_call(wanted: str, tools: Iterable[tuple[Any, Any]]) -> Call:
    """Return a call of the first of `tools` (name and schema) that is `wanted`. Raises BackendError (400)."""
    for name, schema in tools:
        if wanted in (ANY_TOOL, name):
            return Call(str(name), _ENCODER.encode(example_of(schema) or {}).decode())
    raise refusal(400, "tool_choice forces a tool that is not among the tools", param="tool_choice")


def shaped(shape: Shape, text: str) -> str:
    """Return JSON text of the demanded shape; where any object will do, one that holds `text`."""
    return _ENCODER.encode({"echo": text} if shape.schema is None else example_of(shape.schema)).decode()


def pieces(text: str) -> list[str]:
    """Return a text as the pieces of a stream."""
    return _CHUNK.findall(text)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is an object, else an empty one.

    >>> mapping([1])
    {}
    """
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
