"""The backends of the benchmarks: they answer at once, or as slowly as they are told, and always the same.

`fixed_upstream` is nginx, which costs next to nothing per request; the throughput of a gateway is measured against it.
`python -m tests.bench.upstream` is a server of event streams with a pace, for open streams and times to first tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.serving import LOOPBACK, ROOT, Server, clean_environment, free_port, serving

ANSWER = "Your order is on its way and should be with you on Thursday. Is there anything else I can do for you?"
_NGINX_WORD = 2000  # characters; nginx takes words of up to 4,096 bytes in its configuration
_FIXED = {"id": "chatcmpl-bench0000000000000000", "created": 1_700_000_000, "model": "bench"}
_USAGE = {"prompt_tokens": 42, "completion_tokens": 25, "total_tokens": 67}


def whole_answer() -> str:
    """Return the chat completion that the fixed upstream gives."""
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    return json.dumps({**_FIXED, "object": "chat.completion", "choices": [choice], "usage": _USAGE})


def events(words: Sequence[str]) -> list[str]:
    """Return the events of a streamed chat completion that says `words`, the end mark last."""

    def event(delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return f"data: {json.dumps({**_FIXED, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"

    said = [event({"content": word}) for word in words]
    return [event({"role": "assistant", "content": ""}), *said, event({}, "stop"), "data: [DONE]\n\n"]


@contextmanager
def fixed_upstream(nginx: str, stream: bool, pin: Sequence[str]) -> Iterator[Server]:
    """Run an nginx that answers every request with one fixed chat completion, whole or as a stream of 24 events."""
    answer = "".join(events(ANSWER.split())) if stream else whole_answer()
    kind = "text/event-stream" if stream else "application/json"
    parts = [answer[at : at + _NGINX_WORD] for at in range(0, len(answer), _NGINX_WORD)]
    sets = " ".join(f"set $part{number} '{_quoted(part)}';" for number, part in enumerate(parts))
    said = "".join(f"$part{number}" for number in range(len(parts)))
    with nginx_serving(nginx, f"location / {{ default_type {kind}; {sets} return 200 {said}; }}", pin) as server:
        yield server


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


@contextmanager
def nginx_serving(nginx: str, locations: str, pin: Sequence[str], outside: str = "") -> Iterator[Server]:
    """Run an nginx of one worker with the given `location` blocks; `outside` stands beside the server block."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="nginx-") as folder:
        written = _NGINX.format(folder=folder, port=port, locations=locations, outside=outside)
        Path(folder, "nginx.conf").write_text(written)
        command = [*pin, nginx, "-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]
        with serving(command, port, ready="/") as server:
            yield server


_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {outside}
  server {{
    listen 127.0.0.1:{port};
    {locations}
  }}
}}
"""


@contextmanager
def paced_upstream(words: int, pause_s: float, pin: Sequence[str]) -> Iterator[Server]:
    """Run a server of event streams of `words` words, the first at once, the others `pause_s` apart."""
    port = free_port()
    command = [*pin, sys.executable, "-m", "tests.bench.upstream"]
    command += ["--port", str(port), "--words", str(words), "--pause", str(pause_s)]
    with serving(command, port, ready="/", env=clean_environment(), cwd=ROOT) as server:
        yield server


class Paced:
    """Answers each POST with an event stream, and anything else with an empty answer."""

    def __init__(self, words: int, pause_s: float) -> None:
        self._chunks = [_chunk(event) for event in events([f" word{n}" for n in range(words)])]
        self._pause_s = pause_s

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                if head.startswith(b"POST"):
                    await self._stream(writer)
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        opening, first, *others = self._chunks
        writer.write(opening + first)
        for chunk in others[:-2]:
            await writer.drain()
            await asyncio.sleep(self._pause_s)
            writer.write(chunk)
        writer.write(b"".join(others[-2:]) + b"0\r\n\r\n")
        await writer.drain()


def _chunk(event: str) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event.encode()), event.encode())


async def _main(port: int, words: int, pause_s: float) -> None:
    server = await asyncio.start_server(Paced(words, pause_s).serve, LOOPBACK, port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve chat completion streams with a pace.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--words", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two words")
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.port, arguments.words, arguments.pause))
