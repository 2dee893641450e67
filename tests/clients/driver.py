"""The processes in which client libraries run, and the table of the libraries."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.clients.drivers.driving import Ask
from tests.clients.environments import NODE, node_modules, python_of
from tests.support.serving import ROOT, clean_environment, stop

HERE = Path(__file__).parent
PATIENCE_S = 60.0
_SAID_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Client:
    """A client library: the environment it runs in, its driver's file name, and the formats it speaks.

    `whole` and `streamed` name its simplest cases; `more` are those that not every client has, as `FORMAT/CASE`.
    """

    name: str
    environment: str
    driver: str
    formats: tuple[str, ...]
    whole: str = "ask"
    streamed: str = "stream"
    more: frozenset[str] = frozenset()

    def has(self, case: str, wire: str) -> bool:
        """Whether there is such a case."""
        typed_only = self.whole != "ask" and case in ("ask", "stream", "tools", "tools_stream")
        return not typed_only if case in _EVERYBODY else f"{wire}/{case}" in self.more


CHAT, RESPONSES, MESSAGES = "chat", "responses", "messages"
PATHS = {CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses", MESSAGES: "/v1/messages"}

_EVERYBODY = ("ask", "stream", "leave", "tools", "tools_stream", "structured")
_TYPED = ("structured", "structured_stream")


def _more(*words: str) -> frozenset[str]:
    return frozenset(
        f"{wire}/{case}" for word in words for wires, case in [word.split("/")] for wire in wires.split(",")
    )


_OPENAI = (CHAT, RESPONSES)
_ALL = (CHAT, RESPONSES, MESSAGES)
_OPENAI_SDK = _more("chat/bare_stream", "chat,responses/models", "chat,responses/embeddings")
_IDS = _more("chat,responses/request_id")

CLIENTS = {
    client.name: client
    for client in (
        Client("openai-python-2", "openai2", "openai_python.py", _OPENAI, more=_OPENAI_SDK | _IDS),
        Client("openai-python-3", "openai3", "openai_python.py", _OPENAI, more=_OPENAI_SDK | _IDS),
        Client(
            "anthropic-python",
            "openai3",
            "anthropic_python.py",
            (MESSAGES,),
            more=_more(
                "messages/bare_stream", "messages/structured_stream", "messages/count_tokens", "messages/request_id"
            ),
        ),
        Client("langchain", "openai3", "langchain_python.py", _ALL, more=_more("chat/embeddings")),
        Client("llama-index", "openai2", "llama_index_python.py", _OPENAI),
        Client("pydantic-ai", "openai3", "pydantic_ai_python.py", _ALL, more=_more("chat,responses/structured_native")),
        Client(
            "instructor",
            "openai2",
            "instructor_python.py",
            _ALL,
            *_TYPED,
            more=_more("chat,responses,messages/structured_stream", "chat/structured_native"),
        ),
        Client("litellm", "openai2", "litellm_python.py", _ALL, more=_more("chat/embeddings")),
        Client("openai-node", NODE, "openai_node.mjs", _OPENAI, more=_OPENAI_SDK),
        Client(
            "ai-sdk",
            NODE,
            "ai_sdk.mjs",
            _ALL,
            more=_more("chat,responses,messages/structured_stream", "chat,responses/embeddings"),
        ),
    )
}


class DriverFailed(RuntimeError):
    """A driver ended or did not answer. The message carries the end of what it wrote to standard error."""


class Driver:
    """A running driver. One case at a time; `scratch` is a folder for its scripts and its log."""

    def __init__(self, client: Client, scratch: Path) -> None:
        self.client = client
        self._log = scratch / f"{client.name}.log"
        self._answers: queue.Queue[bytes] = queue.Queue()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                _command(client, scratch),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env={**clean_environment(), "PYTHONPATH": str(ROOT), **_QUIET},
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._number = 0
        self.cases = frozenset(self._next()["cases"])

    def begin(self, ask: Ask) -> None:
        """Start a case without waiting for its end."""
        self._number += 1
        self._write({**asdict(ask), "number": self._number})

    def cancel(self) -> None:
        """Cancel the case under way, as an app would."""
        self._write({"cancel": True})

    def end(self) -> dict[str, Any]:
        """Return what became of the case under way; what is left of cases before it is passed over."""
        while (outcome := self._next()).pop("number") != self._number:
            pass
        return outcome

    def ask(self, ask: Ask) -> dict[str, Any]:
        """Do a case and return what became of it: `seen` or `raised`."""
        self.begin(ask)
        return self.end()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        stop(self._process)
        self._reader.join(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()

    def _next(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=PATIENCE_S)
        except queue.Empty:
            line = b""
        if not line:
            raise DriverFailed(f"{self.client.name} did not answer\n{self._log.read_text()[-_SAID_CHARS:]}")
        return json.loads(line)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in itertools.chain(self._process.stdout, [b""]):
            self._answers.put(line)


_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "PYTHONWARNINGS": "ignore",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
}
"""Nothing that a library would fetch or tell on its own."""


def _command(client: Client, scratch: Path) -> list[str]:
    if client.environment != NODE:
        return [str(python_of(client.environment)), "-m", f"tests.clients.drivers.{Path(client.driver).stem}"]
    node, modules = node_modules()
    # Node.js looks for packages beside the script, and nothing is ever installed in the tree.
    scripts = scratch / "node"
    scripts.mkdir(exist_ok=True)
    for script in (HERE / "drivers").glob("*.mjs"):
        copied = scripts / script.name
        copied.write_bytes(script.read_bytes())
    if not (scripts / "node_modules").exists():
        (scripts / "node_modules").symlink_to(modules, target_is_directory=True)
    return [str(node), str(scripts / client.driver)]
