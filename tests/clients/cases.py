"""A case of a client, run against the scripted backend directly and through the router."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.clients.driver import CLIENTS, Driver
from tests.clients.drivers.driving import Ask
from tests.clients.lossless import added
from tests.clients.upstream import MODEL, Upstream

KEY = "key-of-the-conformance-tests"
ALL = os.environ.get("PROMPT_ROUTER_CLIENTS") == "all"
"""Whether the whole table runs, and a client that cannot be installed is a failure (`make test-clients`)."""

SPOKEN = [(name, wire) for name, client in CLIENTS.items() for wire in client.formats]


def spoken(*cases: str, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run a test for every client (`only` those, `without` those), in every format it speaks that has the cases.

    Fixtures see `name` and `wire`; the test sees `case` where several are given.
    """
    rows = [
        (name, wire, case)
        for name, wire in SPOKEN
        for case in cases or ("",)
        if name in (only or CLIENTS) and name not in without and (not case or CLIENTS[name].has(case, wire))
    ]
    if len(cases) > 1:
        return pytest.mark.parametrize(("name", "wire", "case"), rows, ids=["-".join(row) for row in rows])
    pairs = [(name, wire) for name, wire, _ in rows]
    return pytest.mark.parametrize(("name", "wire"), pairs, ids=["-".join(pair) for pair in pairs])


def seen(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return what a client saw, of an outcome that is no exception."""
    assert "seen" in outcome, outcome
    return outcome["seen"]


def raised(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return what a client raised, of an outcome that is an exception."""
    assert "raised" in outcome, outcome
    return outcome["raised"]


class Twice:
    """One client in one format, with two addresses to ask: the backend's own, and the router's."""

    def __init__(self, driver: Driver, wire: str, upstream: Upstream, router_url: str) -> None:
        self.driver = driver
        self.wire = wire
        self.upstream = upstream
        self._router_url = router_url
        self.whole = driver.client.whole
        self.streamed = driver.client.streamed

    def asking(self, case: str, model: str = MODEL, **more: Any) -> Ask:
        """Return what is to be asked of the router."""
        return Ask(case, self.wire, self._router_url, model, **{"key": KEY, **more})

    def direct(self, case: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
        """Ask the backend itself."""
        return self.driver.ask(Ask(case, self.wire, self.upstream.url, model, **{"key": KEY, **more}))

    def through(self, case: str, model: str = MODEL, **more: Any) -> dict[str, Any]:
        """Ask the router."""
        return self.driver.ask(self.asking(case, model, **more))

    def compared(self, case: str, model: str = MODEL, **more: Any) -> tuple[dict[str, Any], list[str]]:
        """Ask both, and hold them to the same outcome; return it, and the text that was added to each request."""
        direct = self.direct(case, model, **more)
        sent = self._taken()
        through = self.through(case, model, **more)
        arrived = self._taken()
        assert through == direct
        assert len(arrived) == len(sent)
        return through, ["\n".join(added(mine, theirs)) for mine, theirs in zip(sent, arrived, strict=True)]

    def _taken(self) -> list[Any]:
        bodies = [taken.body for taken in self.upstream.taken]
        self.upstream.forget()
        return bodies
