"""Every client through the router: what it gets is what it gets from the backend itself, and the backend is told more.

Each case is run twice, against the scripted backend directly and through the router. What the library shows of the
answer must be equal; of the requests that arrived, the second may only differ by the text that was added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.conftest import KEY
from tests.clients.driver import CLIENTS, MESSAGES, PATHS, Driver
from tests.clients.drivers.driving import SYSTEM, TOOLS, Ask
from tests.clients.lossless import added
from tests.clients.script import CACHED_TOKENS, COMPLETION_TOKENS, ORDERS, PROMPT_TOKENS, TEXT
from tests.clients.upstream import MODEL, VECTOR, Upstream
from tests.support.serving import Server

GENERAL = ("Never invent order data.", "Answer in one short sentence.")
SPECIAL = "Help the customer find the parcel."
SPOKEN = [(name, wire) for name, client in CLIENTS.items() for wire in client.formats]
FINISHES = {"stop", "completed", "end_turn"}
STATUSES = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504)


def spoken(*without: str) -> pytest.MarkDecorator:
    """Run a test for every client and format it speaks."""
    pairs = [(name, wire) for name, wire in SPOKEN if name not in without]
    return pytest.mark.parametrize(("name", "wire"), pairs, ids=["-".join(pair) for pair in pairs])


class Twice:
    """Runs a case directly and through the router."""

    def __init__(self, driver: Driver, wire: str, upstream: Upstream, router: Server) -> None:
        self.driver = driver
        self.upstream = upstream
        self._router = router
        self._wire = wire

    def has(self, case: str) -> bool:
        return case in self.driver.cases or f"{self._wire}/{case}" in self.driver.cases

    def direct(self, case: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
        return self.driver.ask(Ask(case, self._wire, self.upstream.url, model, KEY, **more))

    def through(self, case: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
        return self.driver.ask(self.asking(case, model, **more))

    def asking(self, case: str, model: str = MODEL, **more: Any) -> Ask:
        return Ask(case, self._wire, self._router.url, model, **{"key": KEY, **more})

    def taken(self) -> list[Any]:
        """Return the bodies that reached the backend since the last time."""
        bodies = [taken.body for taken in self.upstream.taken]
        self.upstream.forget()
        return bodies

    def compared(self, case: str, model: str = MODEL, **more: Any) -> tuple[dict[str, Any], list[str]]:
        """Run both; return what the client saw and the texts that were added to each request."""
        if not self.has(case):
            pytest.skip(f"{self.driver.client.name} has no such thing")
        direct = self.direct(case, model, **more)
        sent = self.taken()
        through = self.through(case, model, **more)
        arrived = self.taken()
        assert through == direct
        assert len(arrived) == len(sent)
        return through, ["\n".join(added(mine, theirs)) for mine, theirs in zip(sent, arrived, strict=True)]


@pytest.fixture
def twice(
    name: str,
    wire: str,
    driver: Callable[[str], Driver],
    serves: Callable[[str], None],
    upstream: Upstream,
    router: Server,
) -> Iterator[Twice]:
    serves(wire)
    yield Twice(driver(name), wire, upstream, router)


def seen(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return what a client saw, of an outcome that is no exception."""
    assert "seen" in outcome, outcome
    return outcome["seen"]


# ---------------------------------------------------------------------------------------------------------- answers


@spoken()
@pytest.mark.parametrize("system", [False, True], ids=["plain", "with_system"])
@pytest.mark.parametrize("case", ["ask", "stream"])
def test_words(case: str, system: bool, twice: Twice) -> None:
    outcome, (more,) = twice.compared(case, system=system)
    answer = seen(outcome)
    assert answer["text"] == TEXT
    assert answer.get("finish", "stop") in FINISHES
    assert answer.get("usage", COUNTED) == COUNTED
    assert answer.get("extra", {"kept": True}) == {"kept": True}
    assert answer.get("pieces", 2) > 1
    assert all(text in more for text in (*GENERAL, SPECIAL))
    assert SYSTEM not in more


COUNTED = [PROMPT_TOKENS, CACHED_TOKENS, COMPLETION_TOKENS]


@spoken()
@pytest.mark.parametrize("case", ["tools", "tools_stream"])
def test_several_rounds_of_tools(case: str, twice: Twice) -> None:
    outcome, rounds = twice.compared(case)
    answer = seen(outcome)
    first, last = list(TOOLS)[0], list(TOOLS)[-1]
    assert answer["called"] == [[first, {"number": ORDERS[0]}], [first, {"number": ORDERS[1]}], [last, {"number": ORDERS[0]}]]
    assert answer["text"] == "Seen: " + "; ".join(TOOLS[name](**arguments) for name, arguments in answer["called"])
    assert len(rounds) == 3
    assert rounds[0] == rounds[1] == rounds[2]  # what was said first stays where it was
    assert all(text in rounds[0] for text in GENERAL)


@spoken()
@pytest.mark.parametrize("case", ["structured", "structured_stream"])
def test_an_answer_by_schema(case: str, twice: Twice) -> None:
    outcome, (more,) = twice.compared(case)
    assert seen(outcome)["value"] == {"refund": True, "days": 7, "reason": "fits – 📦"}
    assert all(text in more for text in GENERAL)


@spoken()
@pytest.mark.parametrize("case", ["stream_without_usage", "embeddings"])
def test_further_calls(case: str, twice: Twice) -> None:
    outcome, (more,) = twice.compared(case)
    answer = seen(outcome)
    if case == "embeddings":
        assert answer["vectors"] == [VECTOR, VECTOR]
        assert not more


# ----------------------------------------------------------------------------------------------------------- errors


@spoken()
@pytest.mark.parametrize("status", STATUSES)
def test_an_error_of_the_backend_becomes_the_client_s_own(status: int, twice: Twice, name: str, wire: str) -> None:
    outcome, _ = twice.compared(CLIENTS[name].whole, f"{MODEL}-status-{status}")
    error = outcome["raised"]
    import json, os
    open("/tmp/errs.jsonl","a").write(json.dumps([name, wire, status, error["class"], error["status"], error.get("cause"), error["classes"], error["says"][:100], error["retry_after"]])+"\n")


@spoken()
@pytest.mark.parametrize("status", [400, 429, 503])
def test_an_error_before_the_first_word_of_a_stream(status: int, twice: Twice) -> None:
    outcome, _ = twice.compared("stream", f"{MODEL}-status-{status}")
    assert "raised" in outcome
