"""A small value that fits a JSON Schema: what the echo answers with where a tool call or a shape is demanded.

Understood: type (also as a list), const, enum, default, required properties, items and prefixItems with minItems,
lengths of strings, bounds and steps of numbers, common formats, local $ref, allOf, anyOf, oneOf. Not understood:
pattern, if/then, not, dependencies, uniqueItems; a schema that leans on these may get a value that does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

_MOST_VALUES = 10_000  # in one example: a schema comes from a client, and may refer to itself ten times over
_DEEPEST = 32
_MOST_ITEMS = 1000  # of an array, or characters of a string

_FORMATS = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "echo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example_of(schema: Any) -> Any:
    """Return a value that fits `schema`.

    >>> example_of({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]})
    {'id': 1}
    """
    return _Examples(schema).make(schema, 0)


class _Examples:
    """Makes values for the parts of one schema, up to a number of them."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MOST_VALUES

    def make(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > _DEEPEST or self._left < 0:
            return None
        if isinstance(ref := schema.get("$ref"), str):
            return self.make(self._resolve(ref), depth + 1)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        if isinstance(choices := schema.get("enum"), list) and choices:
            return choices[0]
        for key in ("anyOf", "oneOf"):
            if isinstance(options := schema.get(key), list) and options:
                return self.make(_first_real(options), depth + 1)
        if isinstance(parts := schema.get("allOf"), list) and parts:
            return self.make(self._merge(schema, parts), depth + 1)
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return _string(schema)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        return False if kind == "boolean" else None

    def _resolve(self, ref: str) -> Any:
        """Follow a JSON pointer (RFC 6901) within the schema; nothing is ever fetched."""
        if not ref.startswith("#"):
            return None
        found = self._root
        for step in ref[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def _merge(self, schema: Mapping[str, Any], parts: list[Any]) -> dict[str, Any]:
        """Return allOf and what stands beside it as one schema."""
        whole: dict[str, Any] = {}
        for part in [*parts, {key: value for key, value in schema.items() if key != "allOf"}]:
            if isinstance(part, Mapping) and isinstance(part.get("$ref"), str):
                part = self._resolve(part["$ref"])
            for key, value in part.items() if isinstance(part, Mapping) else ():
                known = whole.get(key)
                if key == "properties" and isinstance(known, dict) and isinstance(value, dict):
                    value = known | value
                elif key == "required" and isinstance(known, list) and isinstance(value, list):
                    value = known + value
                whole[key] = value
        return whole

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties"), schema.get("required")
        known = properties if isinstance(properties, Mapping) else {}
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        return {name: self.make(known.get(name, {}), depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        prefix = schema.get("prefixItems")
        kinds = prefix[:_MOST_ITEMS] if isinstance(prefix, list) else []
        missing = _count(schema.get("minItems")) - len(kinds)
        return [self.make(kind, depth + 1) for kind in [*kinds, *[schema.get("items", {})] * missing]]


def _kind(schema: Mapping[str, Any]) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "null")
    if kind is None:
        if "properties" in schema or "required" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"
    return kind


def _first_real(options: list[Any]) -> Any:
    return next((each for each in options if not (isinstance(each, Mapping) and each.get("type") == "null")), None)


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "echo")
    text += "." * (_count(schema.get("minLength")) - len(text))
    return text[: _count(schema["maxLength"])] if "maxLength" in schema else text


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """Return the first number that fits, trying the plainest first."""
    low = _bound(schema, ("minimum", "exclusiveMinimum"), -math.inf, max)
    high = _bound(schema, ("maximum", "exclusiveMaximum"), math.inf, min)
    step = _finite(schema.get("multipleOf")) or (1.0 if whole else 0.0)
    open_ends = {_finite(schema.get("exclusiveMinimum")), _finite(schema.get("exclusiveMaximum"))}
    for value in _tries(low, high, step):
        if low <= value <= high and value not in open_ends and not (whole and value % 1):
            return int(value) if value % 1 == 0 else value
    return 1


def _tries(low: float, high: float, step: float) -> Iterator[float]:
    plain = [1.0, 0.0, low, high, low + 1, high - 1, (low + high) / 2]
    for value in filter(math.isfinite, plain):
        if step > 0:
            steps = value / step
            yield from (math.ceil(steps) * step, math.floor(steps) * step, (math.floor(steps) + 1) * step)
        else:
            yield value


def _bound(schema: Mapping[str, Any], keys: tuple[str, str], default: float, tighter: Any) -> float:
    given = [bound for key in keys if (bound := _finite(schema.get(key))) is not None]
    return float(tighter(given)) if given else default


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _count(value: Any) -> int:
    number = _finite(value)
    return 0 if number is None else max(0, min(int(number), _MOST_ITEMS))
