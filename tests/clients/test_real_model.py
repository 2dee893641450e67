"""Every client through the router to a real model (SmolLM2 behind llama.cpp's server): a stream of real words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.cases import ALL, SPOKEN, seen
from tests.clients.driver import CLIENTS, Driver
from tests.clients.drivers.driving import Ask
from tests.support.local_model import MODEL, local_model, missing
from tests.support.serving import Server, serving_router

HERE = Path(__file__).parent
FIRST = [(name, client.formats[0]) for name, client in CLIENTS.items()]
NOT_FOR_THIS_MODEL = {("ai-sdk", "responses")}
"""Vercel's SDK refuses the server's own `response.created`, with or without us: it names neither time nor model."""

PAIRS = [
    (name, wire)
    for name, wire in (SPOKEN if ALL else FIRST)
    if CLIENTS[name].has("stream", wire) and (name, wire) not in NOT_FOR_THIS_MODEL
]

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def to_the_model() -> Iterator[Server]:
    """`router serve` in front of the local model."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    arguments = ("--pack", str(HERE / "model.pack.yaml"), "--config", str(HERE / "model.router.yaml"))
    with local_model() as model, serving_router(*arguments, env={"LOCAL_MODEL": model.url}) as server:
        yield server


@pytest.mark.parametrize(("name", "wire"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_real_model_is_heard(name: str, wire: str, driver: Callable[[str], Driver], to_the_model: Server) -> None:
    answer = seen(driver(name).ask(Ask("stream", wire, to_the_model.url, MODEL)))
    assert answer["text"].strip()
    assert answer["pieces"] > 1
