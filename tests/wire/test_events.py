"""Server-sent events are cut and read as the standard says, whatever the line ends and the cuts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.stream import EventGuard, cut, read

EVENTS = {
    "data": (b"data: 1\n\n", (b"", b"1")),
    "data, CRLF": (b"data: 1\r\n\r\n", (b"", b"1")),
    "data, mixed": (b"data: 1\r\n\n", (b"", b"1")),
    "name and data": (b"event: x\ndata: 1\n\n", (b"x", b"1")),
    "name and data, CRLF": (b"event: x\r\ndata: 1\r\n\r\n", (b"x", b"1")),
    "name and data, mixed": (b"event: x\r\ndata: 1\n\n", (b"x", b"1")),
    "data and name": (b"data: 1\nevent: x\n\n", (b"x", b"1")),
    "no spaces": (b"event:x\ndata:1\n\n", (b"x", b"1")),
    "one space is the standard's, a second is data": (b"data:  1\n\n", (b"", b" 1")),
    "several lines": (b"data: 1\ndata\ndata: 2\n\n", (b"", b"1\n2")),
    "other fields": (b"id: 7\ndata: 1\nretry: 5\n\n", (b"", b"1")),
    "a comment": (b": data: 1\n\n", (b"", b"")),
    "a name alone": (b"event: x\n\n", (b"x", b"")),
    "empty data": (b"event: x\ndata:\n\n", (b"x", b"")),
    "a blank line in front": (b"\ndata: 1\n\n", (b"", b"1")),
    "a field that only begins so": (b"database: 1\nevents: x\n\n", (b"", b"")),
}


@pytest.mark.parametrize(("event", "said"), EVENTS.values(), ids=EVENTS)
def test_read(event, said):
    assert cut(event) == [event]
    assert read(event) == said


WHOLE = b"".join(event for event, _ in EVENTS.values())


@given(st.lists(st.integers(0, len(WHOLE)), max_size=8), st.sampled_from([b"", b"data: half", b"data: half\n", b"\r"]))
def test_events_come_out_whole_in_order_and_byte_for_byte(cuts, half):
    framing = EventGuard()
    edges = [0, *sorted(cuts), len(WHOLE)]
    released = [framing.release(WHOLE[a:b]) for a, b in pairwise(edges)]
    assert framing.release(half) == b""
    assert b"".join(released) == WHOLE
    events = [event for part in released if part for event in cut(part)]
    assert b"".join(events) == WHOLE
    assert [read(event) for event in events if event.strip()] == [said for _, said in EVENTS.values()]
    framing.release(framing.boundary())
    assert framing.boundary() == b""
