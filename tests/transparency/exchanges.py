"""Exchanges: what a client asks and what a backend answers, byte for byte, from the files under `exchanges/`.

A file is a table of exchanges by name:

    request          method and target
    sending          headers of the client's, besides those that every one has
    sent             the body, as it is; empty where there is none
    status, headers  of the answer: 200, and a content type, unless the file says otherwise
    answer           the body; that of a stream ends with a blank line, whatever the file's last line is
    lines: crlf      the answer's lines end with CR and LF
    swell            how many letters stand for the word SWELL
    tells_its_error  the stream ends with an error that the backend itself tells
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "exchanges"
FORMATS = ("chat", "responses", "messages")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FORMAT_OF = {"chat": "chat", "completions": "chat", "responses": "responses", "messages": "messages"}
_LAST_WORD = {
    "chat": re.compile(rb"data: ?\[DONE\]"),
    "responses": re.compile(rb"event: response\.(?:completed|incomplete)"),
    "messages": re.compile(rb"event: message_stop"),
}
"""What a client takes for the end of a whole answer, at the beginning of an event."""


@dataclass(frozen=True)
class Exchange:
    """One exchange. `answer_headers` are those that the backend sends besides its framing."""

    name: str
    method: str
    target: str
    sending: Mapping[str, str]
    sent: bytes
    status: int
    answer_headers: Mapping[str, str]
    answer: bytes
    streamed: bool
    tells_its_error: bool = False

    @property
    def format(self) -> str:
        """The format in which errors and ends of streams are told; embeddings and the like have chat's errors."""
        return _FORMAT_OF.get(self.target.split("/")[2].partition("?")[0], "chat")

    @property
    def weaves(self) -> bool:
        """Whether the router may add text to such a request, so that it reads the answer, too."""
        return self.method == "POST" and self.target.removeprefix("/v1/") in (
            "chat/completions",
            "responses",
            "messages",
        )

    @cached_property
    def end(self) -> int:
        """How many bytes of a stream it takes until the answer is whole; one more than all where it never is."""
        start = 0
        for event in events_of(self.answer):
            start += len(event)
            if says_the_last_word(self.format, event):
                return start
        return len(self.answer) + 1

    def __str__(self) -> str:
        return self.name


def events_of(stream: bytes) -> list[bytes]:
    """Return the events of a stream, each with the blank line that ends it; what ends with none comes last."""
    events, start = [], 0
    for blank in _BLANK_LINE.finditer(stream):
        events.append(stream[start : blank.end()])
        start = blank.end()
    return events + [stream[start:]] * (start < len(stream))


def says_the_last_word(format_: str, event: bytes) -> bool:
    """Say whether an event tells a client of a format that the answer is whole."""
    return _LAST_WORD[format_].match(event) is not None


def load(file: Path) -> list[Exchange]:
    """Return the exchanges of one file."""
    table: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [_read(f"{file.stem}/{name}", row) for name, row in table.items()]


def _read(name: str, row: dict[str, Any]) -> Exchange:
    method, _, target = row["request"].partition(" ")
    streamed = "streamed" in name or "_streams/" in name
    answer: str = row["answer"]
    if streamed:
        answer = answer.rstrip("\n") + "\n\n"
    if row.get("lines") == "crlf":
        answer = answer.replace("\n", "\r\n")
    swollen = "swell" * (row.get("swell", 0) // 5)
    kind = "text/event-stream" if streamed else "application/json"
    return Exchange(
        name,
        method,
        target,
        row.get("sending", {}),
        row.get("sent", "").replace("SWELL", swollen).encode(),
        row.get("status", 200),
        {"content-type": kind} | row.get("headers", {}),
        answer.replace("SWELL", swollen).encode(),
        streamed,
        row.get("tells_its_error", False),
    )


EXCHANGES = [exchange for file in sorted(FOLDER.glob("*.yaml")) for exchange in load(file)]
STREAMS = [exchange for exchange in EXCHANGES if exchange.streamed]
WHOLE = [exchange for exchange in EXCHANGES if not exchange.streamed]
