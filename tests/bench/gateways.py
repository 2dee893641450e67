"""The proxy and the programs that it is measured next to: where they are, how they start, how they are asked.

Each runs with one worker, and as its own documentation says for production: no access log, no debugging. Where they are
is found out in this order: a variable for each (BENCH_NGINX, BENCH_LITELLM, BENCH_PORTKEY, BENCH_TENSORZERO), the
folder BENCH_PEERS as `tests/bench/install_peers` fills it, the search path.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from router import __version__
from tests.bench.upstream import nginx_serving
from tests.support.serving import ROOT, Server, StartError, clean_environment, free_port, serving, serving_router

SHIPPED_PACK = ROOT / "policies" / "customer_support"
SYSTEM_PROGRAMS = "/usr/sbin:/usr/local/sbin"  # where nginx is, and where the search path of most users does not look

_BEARER = "Authorization: Bearer bench"


class Absent(LookupError):
    """A program is not installed; the message says how to install or name it."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A program between client and upstream. `start(upstream, pin)` runs it; `pin` goes before its command.

    `path` follows its address, `model` is the name to ask for, `headers(upstream)` go with every request.
    `note(server)` is what there is to say about a run, at its end.
    """

    name: str
    version: str
    start: Callable[[str, Sequence[str]], AbstractContextManager[Server]]
    path: str = "/v1/chat/completions"
    model: str = "bench"
    headers: Callable[[str], tuple[str, ...]] = lambda upstream: (_BEARER,)
    note: Callable[[Server], str] = lambda server: ""


def router(pack: Path = SHIPPED_PACK, data: Path | None = None) -> Gateway:
    """Return our own proxy, all of its line at work: recognise, weave, send, record to SQLite.

    `data` keeps the fitted recogniser between starts.
    """

    @contextmanager
    def start(upstream: str, pin: Sequence[str]) -> Iterator[Server]:
        kept = ["--data", str(data)] if data else []
        with serving_router("--pack", str(pack), "--backend", f"{upstream}/v1", *kept, prefix=pin) as server:
            check_recognising(server)
            yield server

    return Gateway("router", __version__, start, note=traces_lost)


def check_recognising(server: Server) -> None:
    """Raise StartError unless the router recognises: one that lost its recogniser serves on, and fast."""
    body = json.dumps({"model": "bench", "messages": [{"role": "user", "content": "I want my money back"}]})
    line = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    with closing(line):
        line.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        outcome = line.getresponse().getheader("x-router-outcome")
    if outcome not in ("classified", "shortlisted"):
        raise StartError(f"the router recognises nothing (outcome: {outcome})\n{server.said()}")


def traces_lost(server: Server) -> str:
    """Say how many decisions were not recorded, by the router's own count: recording is part of what is measured."""
    line = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    with closing(line):
        line.request("GET", "/metrics")
        counted = re.search(r"^router_traces_lost_total (\S+)", line.getresponse().read().decode(), re.MULTILINE)
    return f"{float(counted[1]):,.0f} traces lost" if counted else "traces lost: unknown"


def nginx() -> Gateway:
    """Return nginx as a plain reverse proxy with pooled connections."""
    program = nginx_program()

    @contextmanager
    def start(upstream: str, pin: Sequence[str]) -> Iterator[Server]:
        server = upstream.removeprefix("http://")
        pool = f"upstream backend {{ server {server}; keepalive 128; keepalive_requests 1000000000; }}"
        location = (
            'location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; '
            "proxy_buffering off; }"
        )
        with nginx_serving(program, location, pin, pool) as running:
            yield running

    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
    return Gateway("nginx", said.strip().rpartition("/")[2], start)


def litellm() -> Gateway:
    """Return the LiteLLM proxy with one model and no database."""
    program = found("LiteLLM proxy", "BENCH_LITELLM", "litellm/bin/litellm", "litellm")
    key = f"sk-{secrets.token_hex(24)}"  # it does not start without one, or with a weak one

    @contextmanager
    def start(upstream: str, pin: Sequence[str]) -> Iterator[Server]:
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="litellm-") as folder:
            config = Path(folder, "config.yaml")
            config.write_text(_LITELLM.format(upstream=upstream))
            command = [*pin, program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
            command += ["--num_workers", "1", "--telemetry", "False"]
            settings = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
            env = clean_environment() | settings | {"LITELLM_MASTER_KEY": key}
            with serving(command, port, "/health/liveliness", deadline_s=180, env=env, cwd=Path(folder)) as server:
                yield server

    version = python_version_of(Path(program).with_name("python"), "litellm")
    return Gateway("LiteLLM proxy", version, start, headers=lambda upstream: (f"Authorization: Bearer {key}",))


_LITELLM = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "{upstream}/v1", api_key: bench}}
litellm_settings: {{telemetry: false}}
"""


def portkey() -> Gateway:
    """Return the Portkey gateway. Where it sends a request is said in that request's headers."""
    script = found("Portkey", "BENCH_PORTKEY", "portkey/node_modules/@portkey-ai/gateway/build/start-server.js", "")
    node = shutil.which("node")
    if node is None:
        raise Absent("Portkey: node is not installed")

    @contextmanager
    def start(_: str, pin: Sequence[str]) -> Iterator[Server]:
        port = free_port()
        env = clean_environment() | {"NODE_ENV": "production"}
        with serving([*pin, node, script, f"--port={port}", "--headless"], port, "/", env=env) as server:
            yield server

    package = Path(script).parents[1].joinpath("package.json").read_text()
    version = re.search(r'"version": *"([^"]+)"', package)
    return Gateway(
        "Portkey",
        version[1] if version else "unknown",
        start,
        headers=lambda upstream: ("x-portkey-provider: openai", f"x-portkey-custom-host: {upstream}/v1", _BEARER),
    )


def tensorzero() -> Gateway:
    """Return the gateway that the wheel of TensorZero carries, with observability off (it would need ClickHouse)."""
    python = found("TensorZero", "BENCH_TENSORZERO", "tensorzero/bin/python", "")

    @contextmanager
    def start(upstream: str, pin: Sequence[str]) -> Iterator[Server]:
        with tempfile.TemporaryDirectory(prefix="tensorzero-") as folder:
            config = Path(folder, "tensorzero.toml")
            config.write_text(_TENSORZERO.format(upstream=upstream))
            command = [*pin, python, "-c", _TENSORZERO_START, str(config)]
            with serving(command, None, "/status", env=clean_environment()) as server:
                yield server

    version = python_version_of(Path(python), "tensorzero")
    model = "tensorzero::model_name::bench"
    return Gateway("TensorZero", version, start, path="/openai/v1/chat/completions", model=model)


_TENSORZERO = """
[gateway]
observability.enabled = false
[models.bench]
routing = ["upstream"]
[models.bench.providers.upstream]
type = "openai"
model_name = "bench"
api_base = "{upstream}/v1/"
api_key_location = "none"
"""

# What `tensorzero.patch_openai_client` calls; the gateway chooses its port itself.
_TENSORZERO_START = """
import signal, sys
from tensorzero.tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url, flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
"""


GATEWAYS: dict[str, Callable[[], Gateway]] = {
    "nginx": nginx,
    "router": router,
    "tensorzero": tensorzero,
    "portkey": portkey,
    "litellm": litellm,
}


def nginx_program() -> str:
    """Return the path of nginx. Raises Absent."""
    return found("nginx", "BENCH_NGINX", "", "nginx")


def wrk_program() -> str:
    """Return the path of wrk. Raises Absent."""
    return found("wrk", "BENCH_WRK", "", "wrk")


def found(name: str, variable: str, in_peers: str, program: str) -> str:
    """Return the path of a program. Raises Absent."""
    named = os.environ.get(variable)
    if named:
        if Path(named).exists():
            return named
        raise Absent(f"{variable} names {named}, which does not exist")
    peers = os.environ.get("BENCH_PEERS")
    if peers and in_peers and Path(peers, in_peers).exists():
        return str(Path(peers, in_peers))
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), SYSTEM_PROGRAMS])
    on_path = shutil.which(program, path=path) if program else None
    if on_path is None:
        raise Absent(f"{name} is not installed; set {variable}, or BENCH_PEERS after tests/bench/install_peers")
    return on_path


def python_version_of(python: Path, package: str) -> str:
    """Return the version of a package as another Python has it installed."""
    code = f"import importlib.metadata as m; print(m.version('{package}'))"
    asked = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return asked.stdout.strip() or "unknown"
