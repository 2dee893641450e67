"""How a client library is driven: one JSON line in, one out, in a process of its own environment.

A line is an `Ask`, or `{"cancel": true}`, which cancels what is under way as an app would. The answer is what an app
gets to see: `{"seen": {...}}`, or `{"raised": {...}}` with the class of the exception.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

QUESTION = "Where is my parcel – order 4711? 📦"
SYSTEM = "You are Ada.\nBe brief – “always”."
TOOLS_QUESTION = "Where are my orders 4711 and 4712?"
STRUCTURED_QUESTION = "Is that a refund?"
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Ask:
    """What a client is to do.

    `number` comes back with the answer. `system` is how often the app's own system text is said; `retries` is how often
    the client may try again.
    """

    case: str
    format: str
    base_url: str
    model: str
    number: int = 0
    key: str = "none"
    system: int = 0
    timeout_s: float = PATIENCE_S
    retries: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def instructions(self) -> str:
        """The app's own system text, or the empty string."""
        return SYSTEM * self.system


Case = Callable[[Ask], Awaitable[Mapping[str, Any]]]


def drive(cases: Mapping[str, Case]) -> None:
    """Do what standard input asks, until it ends. A case is named `FORMAT/CASE` or `CASE`."""
    warnings.simplefilter("ignore")
    asyncio.run(_drive(cases))


async def _drive(cases: Mapping[str, Case]) -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    reader = asyncio.create_task(_read(lines))
    print(json.dumps({"cases": sorted(cases)}), flush=True)
    while line := await lines.get():
        given = json.loads(line)
        if given.get("cancel"):
            continue  # too late: it was over already
        ask = Ask(**given)
        task = asyncio.create_task(_outcome(cases, ask))
        while not task.done():
            next_line = asyncio.create_task(lines.get())
            await asyncio.wait({task, next_line}, return_when=asyncio.FIRST_COMPLETED)
            if next_line.done():
                await _cancel(task)
            else:
                next_line.cancel()
        outcome = {"raised": {"class": "asyncio.CancelledError"}} if task.cancelled() else task.result()
        print(json.dumps({**outcome, "number": ask.number}), flush=True)
    reader.cancel()


async def _cancel(task: asyncio.Task[Any]) -> None:
    # More than once if need be: asyncio.wait_for of Python 3.11 can lose a cancellation (python/cpython#86296).
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


async def _read(lines: asyncio.Queue[str]) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        lines.put_nowait(line)
    lines.put_nowait("")


async def _outcome(cases: Mapping[str, Case], ask: Ask) -> dict[str, Any]:
    case = cases.get(f"{ask.format}/{ask.case}") or cases[ask.case]
    try:
        return {"seen": await case(ask)}
    except Exception as error:  # whatever an app would see
        return {"raised": describe(error)}


def describe(error: BaseException) -> dict[str, Any]:
    """Return what an app learns from an exception: its class and those it is one of, its status, its words."""
    told: dict[str, Any] = {
        "class": _name(type(error)),
        "classes": [_name(kind) for kind in type(error).__mro__[:-1]],
        "status": getattr(error, "status_code", None),
        "says": str(error),
    }
    response = getattr(error, "response", None)
    headers = getattr(response, "headers", None) or {}
    told["retry_after"] = headers.get("retry-after")
    if error.__cause__ is not None:
        told["cause"] = _name(type(error.__cause__))
    return told


def _name(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


def find_order(number: str) -> str:
    """Find an order by its number."""
    return f"order {number} – sent 📦"


def find_parcel(number: str) -> str:
    """Find the parcel of an order."""
    return f"parcel of {number} at the depot"


TOOLS: dict[str, Callable[[str], str]] = {"find_order": find_order, "find_parcel": find_parcel}
PARAMETERS = {
    "type": "object",
    "properties": {"number": {"type": "string", "description": "the order’s number"}},
    "required": ["number"],
    "additionalProperties": False,
}


def run_tool(name: str, arguments: Mapping[str, Any]) -> str:
    """Run one of TOOLS."""
    return TOOLS[name](**arguments)
