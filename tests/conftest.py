"""Rules for every test: sockets reach loopback only, and no provider's key is taken from the environment."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from router.stores import open_database

settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("long", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

PROVIDER_KEYS = [name for name in os.environ if name.endswith("_API_KEY")]


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Refuse every connection that would leave this machine."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(address: Any) -> None:
        if isinstance(address, tuple) and address:
            host = str(address[0])
            try:
                inside = ipaddress.ip_address(host.split("%")[0]).is_loopback
            except ValueError:
                inside = host == "localhost"
            if not inside:
                raise AssertionError(f"a test tried to reach {host}")

    def guarded(self: socket.socket, address: Any) -> None:
        check(address)
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        check(address)
        return connect_ex(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded_ex  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]


@pytest.fixture(autouse=True, scope="session")
def patient_stores() -> None:
    """Let stores wait longer than in production: a disk that is busy must fail no test."""
    assert open_database.__kwdefaults__ is not None
    open_database.__kwdefaults__["within_s"] = 60.0


@pytest.fixture(autouse=True)
def no_provider_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROVIDER_KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def project() -> Path:
    """The top folder of the project."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def support_pack(project: Path) -> Path:
    """The shipped pack of a help desk."""
    return project / "policies" / "customer_support"


@pytest.fixture(scope="session")
def recognisers(project: Path) -> Path:
    """A folder of fitted recognisers that all tests share, of all workers and runs: the help desk takes half a minute.

    It is named after the code that fits them. One of other code is removed.
    """
    code = hashlib.sha256()
    for path in sorted((project / "router" / "classify").rglob("*.*")):
        code.update(path.read_bytes() if path.suffix in (".py", ".txt", ".npz") else b"")
    shared = project / ".pytest_cache" / f"recognisers-{code.hexdigest()[:16]}"
    shared.mkdir(parents=True, exist_ok=True)
    for other in shared.parent.glob("recognisers-*"):
        if other != shared:
            shutil.rmtree(other, ignore_errors=True)
    return shared
