"""What the scripted backend says, whatever the format: the same request always gets the same answer.

    a tool that must be called  a call of it, with arguments that fit its schema
    an output schema            JSON that fits it
    tools                       two calls in parallel; once their results are in, one more; then a text with all results
    anything else               a fixed text

How a request asks, and how an answer is written, is the affair of the three `speak_*` modules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

TEXT = "Your parcel is on its way – it should be with you on Thursday. 📦"
"""Has characters of two, three and four bytes."""

WORDS = tuple(re.findall(r"\S+\s?", TEXT))
PROMPT_TOKENS, CACHED_TOKENS, COMPLETION_TOKENS = 42, 7, 25
ORDERS = ("4711", "4712")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as the script cares. `results` are the tool results since the last user words, by round."""

    model: str
    stream: bool
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forced: str = ""
    schema: Mapping[str, Any] | None = None
    results: Sequence[Sequence[str]] = ()
    wants_usage: bool = True


@dataclass(frozen=True, slots=True)
class CallOf:
    """A call of a tool. `arguments` are JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: words, or calls of tools."""

    words: Sequence[str] = ()
    calls: Sequence[CallOf] = ()

    @property
    def text(self) -> str:
        """All words."""
        return "".join(self.words)


class Speaker(Protocol):
    """One wire format, from the provider's side."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        """Return what a request asks."""
        ...

    def whole(self, asked: Asked, said: Said) -> dict[str, Any]:
        """Return the whole answer."""
        ...

    def events(self, asked: Asked, said: Said) -> list[bytes]:
        """Return the events of a streamed answer; the last one ends it."""
        ...

    def error(self, status: int) -> dict[str, Any]:
        """Return the body of an error."""
        ...

    def late_error(self) -> bytes:
        """Return an error as an event of a stream."""
        ...


def answer_to(asked: Asked) -> Said:
    """Return what the script says to a request."""
    if asked.forced:
        name = asked.forced if asked.forced in asked.tools else next(iter(asked.tools))
        return Said(calls=[_call(1, name, sample(asked.tools[name]))])
    if asked.schema is not None:
        return _in_pieces(json.dumps(sample(asked.schema)))
    if asked.tools:
        names = list(asked.tools)
        if not asked.results:
            return Said(calls=[_call(n, names[0], _about(asked.tools[names[0]], ORDERS[n - 1])) for n in (1, 2)])
        if len(asked.results) == 1:
            return Said(calls=[_call(3, names[-1], _about(asked.tools[names[-1]], ORDERS[0]))])
        return _in_pieces("Seen: " + "; ".join(result for round_ in asked.results for result in round_))
    return Said(WORDS)


def sample(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """Return a value that fits a JSON schema of the plain kind that SDKs write."""
    root = root or schema
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        return sample(target, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return sample(schema[word][0], root)
    match schema.get("type"):
        case "object":
            return {name: sample(part, root) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema.get("items", {}), root)]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "fits – 📦"


def _about(schema: Mapping[str, Any], order: str) -> dict[str, Any]:
    """Return arguments about an order: every text is its number."""
    fitting = sample(schema)
    return {name: order if isinstance(value, str) else value for name, value in fitting.items()}


def _call(number: int, name: str, arguments: Mapping[str, Any]) -> CallOf:
    return CallOf(f"call_{number}", name, json.dumps(arguments, ensure_ascii=False))


def _in_pieces(text: str, size: int = 9) -> Said:
    return Said([text[at : at + size] for at in range(0, len(text), size)])
