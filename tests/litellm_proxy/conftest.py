"""The LiteLLM proxy itself, as a process with the plug-in, in front of a provider that remembers what it was asked.

LITELLM_PROXY names its program, in an environment that also has what this package needs (`make litellm-proxy` makes
one); without it, what needs the proxy is skipped, and the plug-in is tested alone.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.litellm_proxy.provider import Asked, Provider, provider
from tests.support.serving import ROOT, Server, clean_environment, free_port, serving

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or to import litellm reaches for the network

HERE = Path(__file__).parent
SHOP = HERE.parent / "model" / "shop.yaml"
START_S = 240.0  # it takes a quarter of a minute, and minutes where others use both cores
Start = Callable[[Path], AbstractContextManager[Server]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.xdist_group("litellm_proxy"))
            item.add_marker(pytest.mark.timeout(2 * START_S))


@pytest.fixture(scope="session")
def program() -> Path:
    """The program `litellm`."""
    named = os.environ.get("LITELLM_PROXY")
    if not named:
        pytest.skip("needs the LiteLLM proxy: `make litellm-proxy`, then LITELLM_PROXY=<its program litellm>")
    probe = [str(Path(named).with_name("python")), "-c", "import litellm.proxy, msgspec, re2, sklearn, uvloop"]
    asked = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=60, env=_settings({}))
    if asked.returncode:
        pytest.fail(f"LITELLM_PROXY={named} lacks packages: {asked.stderr.strip().splitlines()[-1:]}")
    return Path(named)


@pytest.fixture(scope="session")
def upstream() -> Iterator[Provider]:
    """The provider behind the proxy."""
    with provider() as running:
        yield running


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of fitted recognisers."""
    return tmp_path_factory.mktemp("fitted")


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop, with a cue by header and metadata, and a parameter for one task."""
    shop = yaml.safe_load(SHOP.read_text(encoding="utf-8"))
    shop["cues"] = {"tier": {"values": ["free", "pro"], "from": {"header": "x-tier", "metadata": "tier"}}}
    shop["guided"] = [{"text": "The customer pays; offer a call back.", "when": {"tier": "pro"}}]
    shop["tasks"]["refund"]["model"] = {"temperature": 0.1}
    written = tmp_path_factory.mktemp("pack") / "shop.yaml"
    written.write_text(yaml.safe_dump(shop), encoding="utf-8")
    return written


@pytest.fixture(scope="session")
def start(
    program: Path, upstream: Provider, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Starts the LiteLLM proxy with a pack."""

    @contextmanager
    def run(pack: Path) -> Iterator[Server]:
        folder = tmp_path_factory.mktemp("litellm")
        config = folder / "config.yaml"
        config.write_text((HERE / "config.yaml").read_text().replace("UPSTREAM", upstream.url))
        port = free_port()
        command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        keys = {f"{name}_API_BASE": upstream.url for name in ("OPENAI", "ANTHROPIC", "GEMINI")}
        keys |= {f"{name}_API_KEY": "none" for name in ("OPENAI", "ANTHROPIC", "GEMINI")}
        env = _settings({"ROUTER_PACK": str(pack), "ROUTER_CACHE": str(cache), "LITELLM_MASTER_KEY": KEY, **keys})
        with serving(command, port, "/health/liveliness", START_S, env, folder) as server:
            yield server

    return run


KEY = f"sk-{secrets.token_hex(24)}"  # it does not start without one, or with a weak one


def _settings(more: Mapping[str, str]) -> dict[str, str]:
    quiet = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return clean_environment() | quiet | {"PYTHONPATH": str(ROOT)} | more


@dataclass
class Proxy:
    """A client of the running proxy that also knows what its provider was asked."""

    client: httpx.Client
    upstream: Provider

    def ask(self, path: str, body: Mapping[str, Any], **headers: str) -> tuple[httpx.Response, Asked | None]:
        """Return the proxy's answer, and the request that the provider got for it, if any."""
        before = len(self.upstream.asked)
        answer = self.client.post(path, json=body, headers=headers)
        asked = self.upstream.asked[before:]
        return answer, asked[-1] if asked else None


@contextmanager
def client_of(server: Server, upstream: Provider) -> Iterator[Proxy]:
    """Talk with a running proxy until the block ends."""
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
        yield Proxy(client, upstream)


@pytest.fixture(scope="session")
def proxy(start: Start, upstream: Provider, pack: Path) -> Iterator[Proxy]:
    """The LiteLLM proxy with the small shop's pack."""
    with start(pack) as server, client_of(server, upstream) as talking:
        yield talking
