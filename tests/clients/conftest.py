"""Real clients on a real port: the router as a process, a scripted backend behind it, each library in a process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.cases import ALL, KEY, Twice
from tests.clients.driver import CLIENTS, PATHS, Driver
from tests.clients.environments import EnvironmentMissing
from tests.clients.upstream import Upstream, scripted_upstream
from tests.support.serving import LOOPBACK, Server, free_port, serving_router

HERE = Path(__file__).parent
PACK = HERE.parent / "model" / "shop.yaml"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    """Two groups of about equal length, each with a router and a backend of its own."""
    call = getattr(item, "callspec", None)
    name = call.params.get("name") if call else None
    return "clients-new" if name in CLIENTS and CLIENTS[name].environment != "openai2" else "clients-openai2"


@pytest.fixture(scope="session")
def upstream_server() -> Iterator[Upstream]:
    with scripted_upstream() as server:
        yield server


@pytest.fixture
def upstream(upstream_server: Upstream) -> Upstream:
    """The scripted backend, which has forgotten everything before this test."""
    upstream_server.forget()
    return upstream_server


@pytest.fixture(scope="session")
def router(upstream_server: Upstream) -> Iterator[Server]:
    """`router serve` in front of the scripted backend."""
    environment = {
        "UPSTREAM": upstream_server.url,
        "NOBODY": f"http://{LOOPBACK}:{free_port()}/v1",
        "KEY_DIGEST": hashlib.sha256(KEY.encode()).hexdigest(),
    }
    with serving_router("--pack", str(PACK), "--config", str(HERE / "router.yaml"), env=environment) as server:
        yield server


@pytest.fixture(scope="session")
def serves(router: Server) -> Callable[[str], None]:
    """Skips what needs a wire format that the router does not serve."""
    found: dict[str, bool] = {}

    def check(wire: str) -> None:
        if wire not in found:
            headers = {"authorization": f"Bearer {KEY}"}
            answer = httpx.post(f"{router.url}{PATHS[wire]}", json={}, headers=headers, trust_env=False)
            found[wire] = answer.status_code not in (404, 405)
        if not found[wire]:
            pytest.skip(f"the router does not serve {PATHS[wire]}")

    return check


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Driver]]:
    """Gives the running driver of a client, by its name."""
    scratch = tmp_path_factory.mktemp("drivers")
    running: dict[str, Driver] = {}
    missing: dict[str, str] = {}

    def of(name: str) -> Driver:
        if name not in running and name not in missing:
            try:
                running[name] = Driver(CLIENTS[name], scratch)
            except EnvironmentMissing as error:
                missing[name] = str(error)
        if name in missing:
            if ALL:
                pytest.fail(missing[name])
            pytest.skip(f"{name} is not installed, and cannot be: {missing[name]}")
        return running[name]

    yield of
    for each in running.values():
        each.close()


@pytest.fixture
def twice(
    name: str,
    wire: str,
    driver: Callable[[str], Driver],
    serves: Callable[[str], None],
    upstream: Upstream,
    router: Server,
) -> Twice:
    """One client in one format, to be asked directly and through the router."""
    serves(wire)
    return Twice(driver(name), wire, upstream, router.url)
