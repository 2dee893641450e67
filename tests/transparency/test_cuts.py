"""Wherever and however a backend breaks off, the client is told; nothing that was cut looks complete.

Four ends after a part of the answer: the framing ends as it should (`whole`), the connection is closed before that
(`broken`), it is reset, or nothing more comes. A client must get the events that came whole, byte for byte, then one
error in the shape of its format; where a cut comes before the first event, an ordinary error.

Where all is said but the last blank line, or, in chat completions whose end HTTP tells, the `[DONE]` (`says_all`),
nothing was cut: some servers send no more than that.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest

from tests.transparency.asking import WAITING_AT_ONCE, Got, Stage, all_of, play_of
from tests.transparency.exchanges import STREAMS, WHOLE, Exchange, events_of, says_the_last_word
from tests.transparency.playing import Ending, Framing, Play

LONGEST = 10_000
CUT = [stream for stream in STREAMS if not stream.tells_its_error and len(stream.answer) < LONGEST]
TELLING = [stream for stream in STREAMS if stream.tells_its_error]
POSTED = [stream for stream in CUT if stream.method == "POST"]  # the others name no model, so no backend either
RANDOM_CUTS = 40
NOTHING = re.compile(rb"\A(?:(?::[^\n]*)?\r?\n)+")
"""Blank lines, and comments in front of an event."""
ENDS_OF_EVENTS = (b"\n\n", b"\r\n\r\n")
ENDS: list[tuple[Framing, Ending]] = [
    ("chunked", "whole"),
    ("close", "whole"),
    ("chunked", "broken"),
    ("length", "broken"),
    ("chunked", "reset"),
]


def cuts_of(exchange: Exchange) -> list[int]:
    """Return where to cut a stream: around the end of every event, and anywhere."""
    ends, at = [], 0
    for event in events_of(exchange.answer):
        at += len(event)
        ends += [at - 1, at, at + 1]
    anywhere = random.Random(exchange.name).sample(range(len(exchange.answer)), RANDOM_CUTS)
    return sorted({cut for cut in (0, 1, *ends, *anywhere) if cut < len(exchange.answer)})


def cut_play(exchange: Exchange, cut: int, framing: Framing, ending: Ending) -> Play:
    return replace(play_of(exchange, framing=framing, ending=ending), pieces=(exchange.answer[:cut],) * (cut > 0))


def says_all(exchange: Exchange, cut: int, framing: Framing) -> bool:
    """Say whether a stream that ends in an orderly way after `cut` bytes has said all that it had to say."""
    said = exchange.answer[:cut].rstrip(b"\r\n")
    if said == exchange.answer[: exchange.end].rstrip(b"\r\n"):
        return True
    if (
        exchange.format != "chat"
        or framing == "close"
        or (said and not exchange.answer[len(said) :].startswith(ENDS_OF_EVENTS))
    ):
        return False
    chunks = [json.loads(data) for data in re.findall(rb"(?m)^data: ?(\{.*\})\r?$", said)]
    choices = [choice for chunk in chunks for choice in chunk.get("choices") or ()]
    finished = {choice["index"] for choice in choices if choice.get("finish_reason")}
    wanted = json.loads(exchange.sent).get("n") or 1
    return len(finished) >= wanted and finished == {choice["index"] for choice in choices}


def is_error(format_: str, told: Any) -> bool:
    """Say whether a JSON value is an error in the shape of a format."""
    error = told.get("error") if isinstance(told, dict) else None
    shaped = isinstance(error, dict) and bool(error.get("type")) and isinstance(error.get("message"), str)
    return shaped and (format_ != "messages" or told.get("type") == "error")


def is_error_event(format_: str, event: bytes) -> bool:
    """Say whether an event is one that makes the official clients of a format raise."""
    name, _, data = event.rstrip(b"\n").rpartition(b"data: ")
    if name != (b"" if format_ == "chat" else b"event: error\n") or not event.endswith(b"\n\n"):
        return False
    told = json.loads(data)
    return is_error(format_, told) and (format_ != "responses" or told["type"] == "error")


def lie(exchange: Exchange, cut: int, got: Got) -> str:
    """Return what is wrong about an answer that broke off after `cut` bytes; empty if nothing is."""
    if not got.whole:
        return "the connection to the client broke, too"
    if got.status != 200:
        return "" if is_error(exchange.format, json.loads(got.body)) and got.status >= 500 else "no error of its format"
    events = [said for event in events_of(got.body) if (said := NOTHING.sub(b"", event))]
    if any(says_the_last_word(exchange.format, event) for event in events):
        return "it looks complete"
    if not events or not is_error_event(exchange.format, events[-1]):
        return "it does not end in an error"
    before = got.body[: got.body.rindex(events[-1])].rstrip(b"\r\n")
    return "" if exchange.answer[:cut].startswith(before) else "what came before the error was changed"


def lies(exchange: Exchange, cuts: list[int], answers: list[tuple[Got, Any]]) -> list[str]:
    """Return what is wrong about the answers to many cuts."""
    found = ((cut, got, lie(exchange, cut, got)) for cut, (got, _) in zip(cuts, answers, strict=True))
    return [f"{why} after {cut}: {got.status} {got.body[-400:]!r}" for cut, got, why in found if why]


@pytest.mark.parametrize(("framing", "ending"), ENDS)
@pytest.mark.parametrize("exchange", CUT, ids=str)
async def test_a_stream_that_is_cut_ends_in_an_error(
    exchange: Exchange, framing: Framing, ending: Ending, stage: Stage
) -> None:
    cuts = [cut for cut in cuts_of(exchange) if cut < exchange.end]
    if ending == "whole":
        cuts = [cut for cut in cuts if not says_all(exchange, cut, framing)]
    answers = await all_of(stage.through(exchange, cut_play(exchange, cut, framing, ending)) for cut in cuts)
    assert lies(exchange, cuts, answers) == []
    if ending == "whole":  # then the very events that came before the cut must be there
        for cut, (got, _) in zip(cuts, answers, strict=True):
            came = [event for event in events_of(exchange.answer[:cut]) if event.endswith((b"\n\n", b"\r\n\r\n"))]
            assert cut == 0 or got.body.startswith(b"".join(came)), cut


@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("exchange", CUT, ids=str)
async def test_a_stream_that_has_said_all_is_whole(exchange: Exchange, framing: Framing, stage: Stage) -> None:
    cuts = [cut for cut in cuts_of(exchange) if cut < exchange.end and says_all(exchange, cut, framing)]
    answers = await all_of(stage.through(exchange, cut_play(exchange, cut, framing, "whole")) for cut in cuts)
    said = [exchange.answer[:cut].rstrip(b"\r\n") for cut in cuts]
    assert cuts and [got.body.rstrip(b"\r\n") for got, _ in answers] == said
    assert all(got.whole and got.body.endswith((b"\n\n", b"\n\r\n")) for got, _ in answers)


@pytest.mark.parametrize(("framing", "ending"), ENDS)
@pytest.mark.parametrize("exchange", CUT, ids=str)
async def test_an_answer_that_is_whole_stays_whole_however_its_connection_ends(
    exchange: Exchange, framing: Framing, ending: Ending, stage: Stage
) -> None:
    play = play_of(exchange, framing=framing, ending=ending)
    got, _ = await stage.through(exchange, play)
    if ending == "reset" and not got.body.startswith(exchange.answer):
        return  # what was on its way may be lost with the connection, and then there is an error to tell
    assert (got.body, got.whole) == (exchange.answer, True)


async def test_a_stream_that_falls_silent_ends_in_an_error(stage: Stage) -> None:
    asked = [(each, cut) for each in POSTED for cut in cuts_of(each)[::3] if cut < each.end]
    answers = await all_of(
        (stage.through(impatient(each), cut_play(each, cut, "chunked", "silence")) for each, cut in asked),
        WAITING_AT_ONCE,
    )
    found = [(each.name, *lies(each, [cut], [answer])) for (each, cut), answer in zip(asked, answers, strict=True)]
    assert [lie for lie in found if len(lie) > 1] == []


async def test_silence_after_the_last_word_adds_nothing(stage: Stage) -> None:
    asked = [*POSTED, *TELLING]
    answers = await all_of(
        (stage.through(impatient(each), play_of(each, framing="chunked", ending="silence")) for each in asked),
        WAITING_AT_ONCE,
    )
    assert [each.name for each, (got, _) in zip(asked, answers, strict=True) if got.body != each.answer] == []


@pytest.mark.parametrize(("framing", "ending"), ENDS)
@pytest.mark.parametrize("exchange", TELLING, ids=str)
async def test_an_error_that_the_backend_told_is_not_told_twice(
    exchange: Exchange, framing: Framing, ending: Ending, stage: Stage
) -> None:
    play = play_of(exchange, framing=framing, ending=ending)
    got, _ = await stage.through(exchange, play)
    if ending == "reset" and not got.body.startswith(exchange.answer):
        return
    assert (got.status, got.body, got.whole) == (200, exchange.answer, True)


@pytest.mark.parametrize(("framing", "ending"), ENDS)
@pytest.mark.parametrize("exchange", [each for each in WHOLE if len(each.answer) < LONGEST], ids=str)
async def test_a_whole_answer_that_is_cut_is_no_answer(
    exchange: Exchange, framing: Framing, ending: Ending, stage: Stage
) -> None:
    said = len(exchange.answer.rstrip())
    cuts = sorted({0, 1, said // 2, said - 1, *random.Random(exchange.name).sample(range(said), 4)})
    answers = await all_of(stage.through(exchange, cut_play(exchange, cut, framing, ending)) for cut in cuts)
    assert [cut for cut, (got, _) in zip(cuts, answers, strict=True) if not is_no_answer(exchange, got)] == []


def is_no_answer(exchange: Exchange, got: Got) -> bool:
    """Say whether a client learns that it has no whole answer: by an error, or by what no reader takes for JSON."""
    try:
        said = json.loads(got.body)
    except ValueError:
        return not exchange.weaves
    return got.status >= 500 and is_error(exchange.format, said)


def impatient(exchange: Exchange) -> Exchange:
    """Return an exchange that asks the backend with little patience."""
    asking, count = re.subn(rb'("model" ?: ?")', rb"\1impatient-", exchange.sent, count=1)
    assert count, "it names no model"
    return replace(exchange, sent=asking)
