"""With a pack that says nothing, what passes through the router is what was sent: bytes, order, status, headers."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace

import pytest

from tests.transparency.asking import CANARIES, Got, Stage, all_of, ask, play_of, read
from tests.transparency.exchanges import EXCHANGES, STREAMS, WHOLE, Exchange, events_of
from tests.transparency.playing import ID, Framing, Taken

RELAYED = re.compile(r"content-type|openai-.*|x-ratelimit-.*|anthropic-ratelimit-.*|retry-after(-ms)?|x-should-retry")
OURS = re.compile(
    r"date|server|connection|content-length|transfer-encoding|cache-control|x-accel-buffering|(x-)?request-id|x-router-.*"
)
SENT_BY_US = {"host", "accept", "user-agent", "accept-encoding", "content-type", "content-length", "connection"}
FORWARDED = {ID, "anthropic-version", "anthropic-beta"}
MANNERS: list[tuple[Framing, int]] = [("chunked", 0), ("chunked", 7), ("close", 1000)]


def differences(exchange: Exchange, got: tuple[Got, Taken | None], direct: tuple[Got, Taken | None]) -> list[str]:
    """Return what the client or the backend can tell from there being no router."""
    (mine, arrived), (theirs, _) = got, direct
    if arrived is None:
        return [f"nothing arrived; the client got {mine.status} {mine.body[:300]!r}"]
    checks = {
        f"target {arrived.target}": (arrived.method, arrived.target) == (exchange.method, exchange.target),
        f"sent {arrived.body[:300]!r}": arrived.body == exchange.sent,
        f"status {mine.status}": mine.status == theirs.status == exchange.status,
        f"answer {_first_difference(mine.body, exchange.answer)}": mine.body == theirs.body == exchange.answer,
        "framing": mine.whole and theirs.whole,
        f"headers of the answer {mine.headers}": _relayed(mine) == _relayed(theirs),
        f"headers sent {arrived.headers}": _unexpected(exchange, arrived) == [],
    }
    return [what for what, same in checks.items() if not same]


def _relayed(got: Got) -> list[tuple[str, str]]:
    told = {name: value for name, value in got.headers if not OURS.fullmatch(name)}
    if got.status >= 400:  # an error's body may be told anew, so its kind is always the same
        told["content-type"] = told["content-type"].partition(";")[0]
    return sorted(told.items())


def _unexpected(exchange: Exchange, arrived: Taken) -> list[str]:
    """Return the headers that should not have arrived, and those that should have."""
    names = {name for name, _ in arrived.headers}
    canaries = {value for _, value in arrived.headers} & set(CANARIES.values())
    return [*canaries, *(names - SENT_BY_US - FORWARDED), *(exchange.sending.items() - set(arrived.headers))]


def _first_difference(mine: bytes, theirs: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
    return f"{mine[at - 40 : at + 200]!r} where {theirs[at - 40 : at + 200]!r} should be, at {at}"


UNDER_200 = "an_error_with_status_200"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("exchange", [each for each in WHOLE if not each.name.endswith(UNDER_200)], ids=str)
async def test_a_whole_answer_is_the_backends(exchange: Exchange, framing: Framing, stage: Stage) -> None:
    play = play_of(exchange, framing=framing)
    assert differences(exchange, await stage.through(exchange, play), await stage.direct(exchange, play)) == []


@pytest.mark.parametrize(("framing", "size"), MANNERS)
@pytest.mark.parametrize("exchange", STREAMS, ids=str)
async def test_a_stream_is_the_backends(exchange: Exchange, framing: Framing, size: int, stage: Stage) -> None:
    pieces_at_most = 300
    size = size and max(size, len(exchange.answer) // pieces_at_most)
    play = play_of(exchange, size, framing=framing)
    assert differences(exchange, await stage.through(exchange, play), await stage.direct(exchange, play)) == []


@pytest.mark.parametrize("exchange", STREAMS, ids=str)
async def test_every_event_is_there_before_the_next_is_said(exchange: Exchange, stage: Stage) -> None:
    events = events_of(exchange.answer)
    gate = threading.Semaphore(1)  # the first event may be said
    ends = [len(b"".join(events[: count + 1])) for count in range(len(events))]
    seen = 0

    def see(raw: bytes) -> None:
        nonlocal seen
        body = read(raw).body
        while seen < len(ends) and len(body) >= ends[seen]:
            seen += 1
            gate.release()

    play_id = f"step by step {exchange.name}"
    stage.player.plays[play_id] = replace(play_of(exchange, framing="chunked", gate=gate), pieces=tuple(events))
    got = await ask(stage.router_url, exchange, play_id, see=see)
    assert (got.body, seen) == (exchange.answer, len(events))


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("exchange", [each for each in WHOLE if each.name.endswith(UNDER_200)], ids=str)
async def test_an_error_under_a_good_status_is_an_error(exchange: Exchange, framing: Framing, stage: Stage) -> None:
    got, _ = await stage.through(exchange, play_of(exchange, framing=framing))
    assert (got.status, got.body) == (502, exchange.answer)


@pytest.mark.parametrize("exchange", [each for each in STREAMS if each.name.endswith("/plain")], ids=str)
async def test_an_error_in_place_of_a_stream_is_an_error(exchange: Exchange, stage: Stage) -> None:
    told = {"content-type": "application/json"}
    error = replace(exchange, answer=b'{"error":{"message":"streams are switched off"}}', answer_headers=told)
    got, _ = await stage.through(error, play_of(error))
    assert (got.status, json.loads(got.body)["error"]["message"]) == (502, "streams are switched off")


ADDRESSES = {
    "/p/empty{}": "/p/empty{}",
    "without a version": "{}",
    "a slash behind": "/v1{}/",
    "two slashes": "//v1/{}",
    "a policy, without a version": "/p/empty/{}",
}


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("exchange", [each for each in EXCHANGES if each.name.endswith("/plain")], ids=str)
async def test_every_spelling_of_a_path_is_the_same_exchange(exchange: Exchange, address: str, stage: Stage) -> None:
    target = ADDRESSES[address].format(exchange.target.removeprefix("/v1"))
    play = play_of(exchange, framing="chunked")
    got = await stage.through(exchange, play, target)
    assert differences(exchange, got, await stage.direct(exchange, play)) == []


async def test_many_at_once_do_not_mix(stage: Stage) -> None:
    mixed = [exchange for exchange in EXCHANGES for _ in range(5)]
    answers = await all_of(stage.through(each, play_of(each, framing="chunked")) for each in mixed)
    wrong = [each.name for each, (got, _) in zip(mixed, answers, strict=True) if got.body != each.answer]
    assert wrong == []
