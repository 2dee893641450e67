"""The real thing, once for all tests of this folder: the local model, and the proxy as a process in front of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from router import Router
from tests.support.local_model import local_model as run_local_model
from tests.support.local_model import missing
from tests.support.serving import LOOPBACK, free_port, serving_router

HERE = Path(__file__).parent
PACK = HERE / "shop.yaml"
TIMEOUT_S = 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.model)
            item.add_marker(pytest.mark.xdist_group("local_model"))  # one model for one core


@pytest.fixture(scope="session")
def local_model() -> Iterator[str]:
    """The base URL of the local model, for clients."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with run_local_model() as server:
        yield f"{server.url}/v1"


@pytest.fixture(scope="session")
def nobody() -> str:
    """A base URL at which nothing listens."""
    return f"http://{LOOPBACK}:{free_port()}/v1"


@pytest.fixture(scope="session")
def proxy(local_model: str, nobody: str) -> Iterator[str]:
    """The base URL of `router serve` in front of the local model."""
    arguments = ("--pack", str(PACK), "--config", str(HERE / "router.yaml"))
    with serving_router(*arguments, env={"LOCAL_MODEL": local_model, "NOBODY": nobody}) as server:
        yield f"{server.url}/v1"


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Router:
    """The proxy's pack as a library: says what is woven into a request."""
    return Router.load(PACK, cache=tmp_path_factory.mktemp("fitted"), salt="words-that-mark-our-text")


def client(base_url: str) -> openai.OpenAI:
    """Return a client that never asks twice, so that what is tested is one answer."""
    return openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=TIMEOUT_S)


@pytest.fixture(scope="session")
def direct(local_model: str) -> Iterator[openai.OpenAI]:
    """A client of the model itself."""
    with client(local_model) as sdk:
        yield sdk


@pytest.fixture(scope="session")
def through(proxy: str) -> Iterator[openai.OpenAI]:
    """A client of the proxy."""
    with client(proxy) as sdk:
        yield sdk


@pytest.fixture
async def athrough(proxy: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """An asynchronous client of the proxy."""
    async with openai.AsyncOpenAI(base_url=proxy, api_key="none", max_retries=0, timeout=TIMEOUT_S) as sdk:
        yield sdk


def wait_until(condition: Callable[[], bool], deadline_s: float = 20.0) -> bool:
    """Poll a condition; say whether it came true within a deadline that is far shorter than the longest answer."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def busy(local_model: str) -> Callable[[int], bool]:
    """Waits until the model is writing just so many answers; says whether it came to that. It is idle to begin with."""
    address = f"{local_model.removesuffix('/v1')}/slots"

    def writing() -> int:
        return sum(slot["is_processing"] for slot in httpx.get(address, trust_env=False).json())

    assert wait_until(lambda: writing() == 0)
    return lambda count: wait_until(lambda: writing() == count)
