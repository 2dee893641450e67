"""The answers that the echo keeps, so that a client can read them again, go on from them, or delete them.

As with OpenAI, an answer is kept unless its request says `store: false`, and going on from one brings back what was
said before it, without its instructions. Unlike there, only the newest are kept, in memory, up to a number and a size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

from router.backends.echo.formats import refusal
from router.backends.echo.readable import response_blocks
from tests.support.echo.demands import response_stream

MOST_KEPT = 512
MOST_BYTES = 16 * 1024 * 1024
_MOST_LISTED = 100  # as the OpenAI API
_LISTED = 20
_SHORT = 200

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, the items that it was asked with, and everything said up to it, as blocks."""

    answer: Payload
    given: tuple[Payload, ...]
    blocks: tuple[str, ...]
    size: int


class KeptResponses:
    """Bounded memory of answers by id; the oldest leave first."""

    def __init__(self, most: int = MOST_KEPT, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0

    def before(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the blocks of what came before a request. Raises BackendError (400) if that is not kept."""
        previous = body.get("previous_response_id")
        if previous is None:
            return ()
        found = self._kept.get(previous) if isinstance(previous, str) else None
        if found is None:
            message = f"Previous response with id '{str(previous)[:64]}' not found."
            raise refusal(400, message, code="previous_response_not_found", param="previous_response_id")
        return found.blocks

    def keep(self, body: Mapping[str, Any], answer: Payload, before: tuple[str, ...], size: int) -> None:
        """Keep an answer to a body of `size` bytes, unless its request says otherwise."""
        if body.get("store") is False or size > self._most_bytes:
            return
        own = response_blocks({"input": body.get("input")})
        blocks = (*before, *own, *map(_remembered, answer["output"]))
        self._kept[answer["id"]] = _Kept(answer, tuple(_given(answer["id"], body.get("input"))), blocks, size)
        self._bytes += size
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].size

    def serve(self, method: str, target: str) -> Payload | Iterator[bytes]:
        """Return what is asked of a kept answer: itself, whole or as events, its input, or word of its deletion.

        Raises BackendError (404 for what is not kept).
        """
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        response_id, _, rest = url.path.removeprefix("/responses/").partition("/")
        kept = self._kept.get(response_id)
        if kept is None:
            raise refusal(404, f"Response with id '{response_id[:64]}' not found.")
        match method, rest:
            case "GET", "":
                return _again(kept.answer, query) if query.get("stream") == "true" else kept.answer
            case "GET", "input_items":
                return _page(kept.given, query)
            case "DELETE", "":
                self._bytes -= self._kept.pop(response_id).size
                return {"id": response_id, "object": "response", "deleted": True}
            case "POST", "cancel":
                raise refusal(400, "Cannot cancel a synchronous response.")
        _nothing_there(method, url.path)


def _remembered(item: Payload) -> str:
    """Return an item that the echo itself said as one short block: shown whole, answers would double turn by turn."""
    (block,) = response_blocks({"input": [item]})
    heading, _, text = block.partition("\n")
    return f"{heading}\n{text if len(text) <= _SHORT else f'{text[:_SHORT]}… ({len(text)} characters)'}"


def _again(answer: Payload, query: Mapping[str, str]) -> Iterator[bytes]:
    after = query.get("starting_after", "-1")
    if not after.lstrip("-").isdecimal():
        raise refusal(400, "starting_after must be a whole number", param="starting_after")
    return (event for number, event in enumerate(response_stream(answer)) if number > int(after))


def _given(response_id: str, given: Any) -> Iterator[Payload]:
    """Yield the input as items that have an id each."""
    items = given if isinstance(given, list) else [{"role": "user", "content": given}]
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            continue
        named: Payload = {"id": f"item_{response_id.removeprefix('resp_')}_{number}", "type": "message"} | item
        if named["type"] == "message" and isinstance(named.get("content"), str):
            kind = "output_text" if named.get("role") == "assistant" else "input_text"
            named |= {"status": "completed", "content": [{"type": kind, "text": named["content"]}]}
        yield named


def _page(given: tuple[Payload, ...], query: Mapping[str, str]) -> Payload:
    """Return a page of items, the newest first unless `order` says otherwise."""
    wanted = query.get("limit", str(_LISTED))
    if not wanted.isdecimal() or not 1 <= int(wanted) <= _MOST_LISTED:
        raise refusal(400, f"limit must be a whole number from 1 to {_MOST_LISTED}", param="limit")
    items = list(given if query.get("order") == "asc" else reversed(given))
    if after := query.get("after"):
        ids = [item["id"] for item in items]
        items = items[ids.index(after) + 1 :] if after in ids else []
    page = items[: int(wanted)]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }


def _nothing_there(method: str, path: str) -> NoReturn:
    raise refusal(404, f"Invalid URL ({method} /v1{path[:128]})", code="unknown_url")
