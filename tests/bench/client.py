"""A client that costs little and always the same: one connection, one request at a time, times taken at the socket."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

_SHORT_OF = ("the blue jacket", "my coffee machine", "two garden chairs", "a gift card", "the standing lamp")
_WISHES = (
    "where is the parcel with {}, it should have come on Monday? Order {}",
    "I want my money back for {}, the order number is {}",
    "how can I send back {} and who pays for the label, order {}",
    "{} arrived broken and one screw is missing, order no {}",
    "I need an invoice with our VAT number for {}, order {}",
    "the card was charged twice for {}, please check order {}",
)


def messages(seed: int = 7) -> Iterator[str]:
    """Yield what customers write, no text ever twice (an order number is drawn for each)."""
    draw = random.Random(seed)
    while True:
        yield draw.choice(_WISHES).format(draw.choice(_SHORT_OF), draw.randrange(10**7, 10**8))


def chat_body(text: str, stream: bool = False, model: str = "bench") -> bytes:
    """Return the body of a chat completion request of one user turn."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], **({"stream": True} if stream else {})}
    return json.dumps(body).encode()


def post(url: str, body: bytes, path: str = "/v1/chat/completions", headers: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Connection:
    """A kept-alive connection. Raises ConnectionError when the server closes it or does not answer with 200."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        assert address.hostname and address.port
        self._socket = socket.create_connection((address.hostname, address.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[float, float]:
        """Send a request and read its answer; return the seconds to the first token (or byte) and to the end."""
        began = time.perf_counter()
        self._socket.sendall(request)
        answer = bytearray()
        first_s = 0.0
        while not (answer and self._whole(answer)):
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionError(f"the server closed the connection after {bytes(answer[:300])!r}")
            answer += received
            if not first_s and (b"content" in answer.partition(b"\r\n\r\n")[2]):
                first_s = time.perf_counter() - began
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"the server answered {bytes(answer[:600])!r}")
        return first_s, time.perf_counter() - began

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    @staticmethod
    def _whole(answer: bytearray) -> bool:
        head, end, body = answer.partition(b"\r\n\r\n")
        if not end:
            return False
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at >= 0:
            return len(body) >= int(lower[at + 15 :].split(b"\r\n", 1)[0])
        return body.endswith(b"0\r\n\r\n")
