"""Servers as processes of their own: started, awaited by their health address, stopped by their id.

For tests and benchmarks that need the real thing on a real port. A server's output goes to a file, so that it can never
block on a full pipe and a failed start can be shown.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
_POLL_S = 0.01
_GRACE_S = 10.0
_LOG_LINES = 30
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
_KEYS_OF_PROVIDERS = ("_API_KEY", "_API_BASE", "_BASE_URL")  # a developer's own keys must not change what is tested


class StartError(RuntimeError):
    """A server ended, or was not ready within its deadline. The message carries the end of its output."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `ready_s` is the time from its start until it said that it was ready."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    ready_s: float

    def said(self) -> str:
        """Return what the server has written so far."""
        return self.log.read_text(errors="replace")


@contextmanager
def serving(
    command: Sequence[str],
    port: int | None,
    ready: str = "/health/ready",
    deadline_s: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """Run `command`, which serves `port` on loopback, until the block ends.

    `ready` is polled until it answers with a status below 500. Without a `port`, the server chooses one itself and
    writes its address. Raises StartError.
    """
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        log = Path(folder, "output.log")
        began = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd
            )
        try:
            url = _await_ready(process, port, ready, began + deadline_s, log)
            yield Server(url, process, log, time.perf_counter() - began)
        finally:
            stop(process)


@contextmanager
def serving_router(
    *arguments: str, python: str = sys.executable, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> Iterator[Server]:
    """Run `router serve ARGUMENTS` on a free port with a fresh data folder, unless `--data` is given.

    `prefix` goes before the command, for instance to pin it to a core.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="router-data-") as data:
        command = [*prefix, python, "-m", "router.commands.main", "serve", "--port", str(port), *arguments]
        if "--data" not in arguments:
            command += ["--data", data]
        # The folder of the process holds no router.yaml, so that only what is given here counts.
        with serving(command, port, env=clean_environment() | dict(env or {}), cwd=Path(data)) as server:
            yield server


def free_port() -> int:
    """Return a port on loopback that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """Return this process's environment without providers' keys and addresses, and without proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.endswith(_KEYS_OF_PROVIDERS) and not name.lower().endswith("_proxy")
    }


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask `process` to end, insist after a grace period, and return its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _await_ready(process: subprocess.Popen[bytes], port: int | None, ready: str, deadline: float, log: Path) -> str:
    """Return the server's address once it is ready there."""
    while True:
        if process.poll() is not None:
            raise StartError(f"{process.args!r} ended with status {process.returncode}\n{_end(log)}")
        url = f"http://{LOOPBACK}:{port}" if port else _written_address(log)
        if url and _answers(url + ready):
            return url
        if time.perf_counter() > deadline:
            raise StartError(f"{process.args!r} was not ready in time\n{_end(log)}")
        time.sleep(_POLL_S)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            return True
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return refusal.code < 500
    except OSError:
        return False  # nothing listens yet


def _written_address(log: Path) -> str:
    found = _ADDRESS.search(log.read_text(errors="replace"))
    return found.group() if found else ""


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
