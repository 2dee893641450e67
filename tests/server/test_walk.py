"""How far a request walks through the code: a law that keeps the way short for whoever reads along.

Counted is one request with a sentence that was not seen before, from the edge to the answer and the queued trace, the
shipped pack in force. Calls of Python functions in `router/` are counted (`sys.setprofile`), the files they lie in, and
how often the way goes from one file to another. Not time: benchmarks print that. The backend is the test's own and not
counted; generators count once for each time that they go on, as Python counts them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import router
from router.core.ports import BackendAnswer, BackendRequest
from tests.support.application import Start

ROOM = str(Path(router.__file__).parent)

MOST_CALLS = 181
MOST_FILES = 37
MOST_CHANGES = 95
DEEPEST = 13

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Yes."}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}'
)


class Still:
    """A backend that costs nothing."""

    name = "echo"

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        return BackendAnswer(200, (("content-type", "application/json"),), ANSWER)

    async def aclose(self) -> None:
        pass


class Walk:
    """The calls in `router/` of one task, each with its file and how deep it lies."""

    def __init__(self) -> None:
        self.task = asyncio.current_task()  # what runs in the background is no part of the request
        self.calls: list[tuple[str, str, int]] = []

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOM) and asyncio.current_task() is self.task:
            depth, above = 0, frame.f_back
            while above is not None:
                depth += above.f_code.co_filename.startswith(ROOM)
                above = above.f_back
            self.calls.append(
                (
                    code.co_filename.removeprefix(ROOM),
                    code.co_qualname,
                    depth,
                )
            )

    @property
    def files(self) -> list[str]:
        return [file for file, _, _ in self.calls]

    def __str__(self) -> str:
        return "\n".join(f"{'  ' * depth}{file}: {name}" for file, name, depth in self.calls)


@contextmanager
def walking() -> Iterator[Walk]:
    walk, before = Walk(), sys.getprofile()
    sys.setprofile(walk)
    try:
        yield walk
    finally:
        sys.setprofile(before)


async def test_a_new_sentence_walks_no_further_than_this(start: Start) -> None:
    running = await start()
    running.parts.backends["echo"] = Still()  # type: ignore[index]
    for text in ("I want a refund for my order", "My blender arrived broken and I want my money back"):
        assert (await running.ask(text)).status_code == 200
    with walking() as walk:
        answer = await running.ask("please give me my money back for the toaster")
    assert answer.headers["x-router-task"] == "/billing/refund"
    files = walk.files
    found = {
        "calls": len(files),
        "files": len(set(files)),
        "changes": sum(one != other for one, other in pairwise(files)),
        "depth": max(depth for _, _, depth in walk.calls) + 1,
    }
    most = {"calls": MOST_CALLS, "files": MOST_FILES, "changes": MOST_CHANGES, "depth": DEEPEST}
    assert all(found[what] <= most[what] for what in most), f"{found}\n{walk}"
