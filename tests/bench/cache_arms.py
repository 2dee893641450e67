"""The ways to send a dialogue that the cache benchmark compares, and what the model tells of each request.

Dialogues are replayed as in production, several under way at once: the first turn of each, the second of each, and so
on; a dialogue that is over makes room for the next. Each keeps to a slot of its own, which the next one inherits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import httpx

from router import Router
from tests.bench.cache_pack import Dialogue
from tests.support.local_model import MODEL

TIMEOUT_S = 300.0


class Spent(NamedTuple):
    """What one request cost the model: tokens of the prompt, of them from its cache, and the time to read the rest.

    `prompt_ms` is the model's own figure, which only chat completions tell.
    """

    prompt: int
    cached: int
    prompt_ms: float | None


class Format(NamedTuple):
    """One wire format: its path, its body for (system text, messages), and how it tells prompt and cached tokens."""

    path: str
    body: Callable[[str, Sequence[Mapping[str, str]]], dict[str, Any]]
    tokens: Callable[[Mapping[str, Any]], tuple[int, int]]


FORMATS: Mapping[str, Format] = {
    "chat": Format(
        "/v1/chat/completions",
        lambda system, said: {"messages": [{"role": "system", "content": system}, *said], "max_tokens": 1},
        lambda usage: (usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]),
    ),
    "responses": Format(
        "/v1/responses",
        lambda system, said: {
            "instructions": system,
            "input": [{"type": "message", **each} for each in said],  # llama.cpp wants the type of assistant's messages
            "max_output_tokens": 1,
        },
        lambda usage: (usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]),
    ),
    # Anthropic's `input_tokens` are those that were not read from the cache.
    "messages": Format(
        "/v1/messages",
        lambda system, said: {"system": system, "messages": list(said), "max_tokens": 1},
        lambda usage: (usage["input_tokens"] + usage["cache_read_input_tokens"], usage["cache_read_input_tokens"]),
    ),
}
TAKES_SLOT = frozenset({"chat", "responses"})
"""Formats whose translation inside llama.cpp keeps `id_slot`. In the others, dialogues follow one another."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to send: where to, and how the app's system text is changed on the way there."""

    name: str
    url: str
    system: Callable[[str, Sequence[Mapping[str, str]]], str] = lambda app, said: app


def decorated(router: Router, *, front: bool) -> Callable[[str, Sequence[Mapping[str, str]]], str]:
    """Return what a prompt decorator does: the instructions of the newest turn in the system text, on every turn.

    The decisions are the router's own, so that nothing differs but the place.
    """

    def change(app: str, said: Sequence[Mapping[str, str]]) -> str:
        messages = [{"role": "system", "content": app}, *said]
        text = router.wrap({"model": MODEL, "messages": messages}).decision.text
        return f"{text}\n\n{app}" if front else f"{app}\n\n{text}"

    return change


def warm_up(arm: Arm, wire: str, app: str, dialogue: Dialogue, lanes: int) -> None:
    """Send the opening of a dialogue to each slot: what is measured is an app that has been running for a while."""
    with httpx.Client(base_url=arm.url, timeout=TIMEOUT_S, trust_env=False) as client:
        for lane in range(lanes):
            _ask(client, arm, wire, app, (lane, dialogue, 0))


def replay(arm: Arm, wire: str, app: str, dialogues: Sequence[Dialogue], lanes: int) -> list[Spent]:
    """Send every user turn of every dialogue, and return what each request cost. Raises httpx.HTTPError."""
    with httpx.Client(base_url=arm.url, timeout=TIMEOUT_S, trust_env=False) as client:
        return [_ask(client, arm, wire, app, step) for step in interleaved(dialogues, lanes)]


def _ask(client: httpx.Client, arm: Arm, wire: str, app: str, step: tuple[int, Dialogue, int]) -> Spent:
    lane, dialogue, turn = step
    format_ = FORMATS[wire]
    said = [{"role": role, "content": text} for role, text in dialogue.asked(turn)]
    body = {"model": MODEL, **format_.body(arm.system(app, said), said)}
    if wire in TAKES_SLOT:
        body["id_slot"] = lane
    answer = client.post(format_.path, json=body)
    if answer.is_error:
        raise httpx.HTTPError(f"status {answer.status_code}: {answer.text[:200]}")
    told = json.loads(answer.content)
    prompt, cached = format_.tokens(told["usage"])
    return Spent(prompt, cached, (told.get("timings") or {}).get("prompt_ms"))


def changes(router: Router, dialogues: Sequence[Dialogue]) -> int:
    """Return at how many user turns the instructions are others than at the turn before."""
    found = 0
    for dialogue in dialogues:
        texts = []
        for turn in range(len(dialogue.turns)):
            messages = [{"role": role, "content": text} for role, text in dialogue.asked(turn)]
            texts.append(router.wrap({"model": MODEL, "messages": messages}).decision.text)
        found += sum(before != after for before, after in pairwise(texts))
    return found


def interleaved(dialogues: Sequence[Dialogue], lanes: int) -> Iterator[tuple[int, Dialogue, int]]:
    """Yield (lane, dialogue, user turn) in the order of sending."""
    waiting = list(reversed(dialogues))
    under_way: dict[int, tuple[Dialogue, int]] = {}
    while waiting or under_way:
        for lane in range(lanes):
            if lane not in under_way:
                if not waiting:
                    continue
                under_way[lane] = (waiting.pop(), 0)
            dialogue, turn = under_way.pop(lane)
            yield lane, dialogue, turn
            if turn + 1 < len(dialogue.turns):
                under_way[lane] = (dialogue, turn + 1)
