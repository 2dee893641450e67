"""Sentence encoders exported to ONNX, run on this machine: `encoder: onnx:PATH`.

PATH is the model file (a pack's folder with `model.onnx` is resolved when the pack is read). Its `tokenizer.json`, of
Hugging Face's `tokenizers`, lies beside it or one folder up, as in the repositories of sentence-transformers. What the
model has of pooling is found out, not configured:

1. an output `sentence_embedding` is taken as it is;
2. else the vectors of the tokens are pooled: the first one's where `1_Pooling/config.json` of sentence-transformers
   lies beside the tokenizer and says `pooling_mode_cls_token`, else the mean over the tokens of the text
   (Reimers, Gurevych 2019);
3. else, with no output per token, the first output of one vector a text is it.

Each text runs by itself while serving, so that its vector depends on nothing but the text: where a model quantises its
activations as it goes, a batch has one scale for all its texts.

Needs the extra `onnx` (`onnxruntime`, `tokenizers`), imported when the first model is opened.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Floats, Integers
from router.classify.text import well_formed
from router.classify.vectors import EncoderFailed

TOKENS = 256
"""Of a longer text the first and the last half as many count. What MiniLM and its kin were trained with is no more."""

BATCH = 16
"""Texts at once while fitting, of like length. On one core, messages of CLINC150 take 5.4 ms each alone and 3.8 in
batches of 8 (MiniLM, int8); larger batches gain nothing."""

EXTRA = "pip install 'prompt-router[onnx]'"

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_POOLED = "sentence_embedding"
_WEIGHTS_BESIDE = ("{name}_data", "{name}.data")  # where exporters put what does not fit into the file itself


class OnnxSource:
    """Implements `router.classify.vectors.VectorSource` for one model file. Opened when it is first asked."""

    def __init__(self, path: Path) -> None:
        self.name = f"onnx:{path}"
        self._path = path
        self._lock = threading.Lock()
        self._model: _Model | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the model's files. Raises EncoderFailed."""
        try:
            files = tuple(_files(self._path))
            return _digest(tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files))
        except OSError as error:
            raise EncoderFailed(self.name, f"the model cannot be read: {error}") from error

    def open(self) -> None:
        """Read the model, which takes a quarter of a second. Raises EncoderFailed."""
        self._opened()

    def vectors(self, texts: Sequence[str], limit_s: float | None = None) -> Floats:
        """Return a vector for each text. A run cannot be stopped; with a limit, no two texts share one.

        Raises EncoderFailed.
        """
        model = self._opened()
        size = BATCH if limit_s is None else 1
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        found: list[tuple[int, Floats]] = []
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            found += zip(batch, model.run([texts[at] for at in batch]), strict=True)
        return np.array([vector for _, vector in sorted(found, key=lambda pair: pair[0])], np.float32)

    def _opened(self) -> _Model:
        with self._lock:
            if self._model is None:
                self._model = _Model(self.name, self._path)
            return self._model


class _Model:
    """An open model with its tokenizer. Safe to call from any thread."""

    def __init__(self, name: str, path: Path) -> None:
        try:
            import onnxruntime  # noqa: PLC0415  (an extra: most installations have no use for it)
            from tokenizers import Tokenizer  # noqa: PLC0415
        except ImportError as error:
            raise EncoderFailed(name, f"{error.name or error} is not installed: {EXTRA}") from error
        self._name = name
        tokenizer = _beside(path, "tokenizer.json")
        if tokenizer is None:
            raise EncoderFailed(name, "no tokenizer.json lies beside the model or one folder up")
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            self._session = onnxruntime.InferenceSession(
                str(path), _one_thread(onnxruntime), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # what tokenizers raises is of this very class
            raise EncoderFailed(name, f"the model cannot be opened: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._types = {given.name: _TYPES.get(given.type) for given in self._session.get_inputs()}
        strange = [name for name, kind in self._types.items() if name not in _INPUTS or kind is None]
        if strange or "input_ids" not in self._types:
            raise EncoderFailed(name, f"not a text encoder: it asks for {', '.join(sorted(self._types))}")
        self._output, self._per_token = _choose_output(self._session.get_outputs())
        self._first_token = _pools_by_first_token(tokenizer.parent)

    def run(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of texts that share one run. Raises EncoderFailed."""
        ids = [_cut(encoding.ids) for encoding in self._tokenizer.encode_batch([well_formed(text) for text in texts])]
        longest = max(1, *map(len, ids))
        tokens, mask = np.zeros((2, len(ids), longest), np.int64)
        for row, of_text in enumerate(ids):
            tokens[row, : len(of_text)] = of_text
            mask[row, : len(of_text)] = 1
        try:
            [found] = self._session.run([self._output], self._fed(tokens, mask))
        except Exception as error:  # onnxruntime's classes have no other root in common
            raise EncoderFailed(self._name, f"the model failed: {error}") from error
        return self._pooled(np.asarray(found, np.float32), mask)

    def _fed(self, tokens: Integers, mask: Integers) -> dict[str, NDArray[Any]]:
        every = {
            "input_ids": tokens,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(tokens),
            "position_ids": np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape),
        }
        return {name: every[name].astype(kind) for name, kind in self._types.items() if kind is not None}

    def _pooled(self, found: Floats, mask: Integers) -> Floats:
        if found.ndim == 2 and not self._per_token:
            return found
        if found.ndim != 3:
            raise EncoderFailed(self._name, f'its output "{self._output}" has the shape {found.shape}')
        if self._first_token:
            return found[:, 0]
        weights = mask[:, :, None].astype(np.float32)
        mean: Floats = (found * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1.0)
        return mean


def _one_thread(onnxruntime: Any) -> Any:
    """Return options that keep a run to the thread that asked: the server's cores are for its requests."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; they are raised as well, warnings tell of how a model was exported
    return options


def _choose_output(outputs: Sequence[Any]) -> tuple[str, bool]:
    """Return the name of the output to read, and whether it has a vector for each token.

    BERT's second output, of one vector a text, was trained to tell which sentences follow each other, so the vectors of
    the tokens come before it.
    """
    ranks = {output.name: len(output.shape or ()) for output in outputs}
    if _POOLED in ranks:
        return _POOLED, False
    per_token = [name for name, rank in ranks.items() if rank == 3]
    if per_token:
        return per_token[0], True
    return next((name for name, rank in ranks.items() if rank == 2), outputs[0].name), False


def _cut(ids: list[int]) -> list[int]:
    """Return the first and the last tokens: what is asked stands at either end, and so do the marks of a text."""
    half = TOKENS // 2
    return ids if len(ids) <= TOKENS else ids[:half] + ids[-half:]


def _beside(path: Path, name: str) -> Path | None:
    """Return a file that belongs to a model: beside it, or one folder up."""
    return next((found for found in (path.parent / name, path.parent.parent / name) if found.is_file()), None)


def _pools_by_first_token(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "1_Pooling" / "config.json").read_text("utf-8"))["pooling_mode_cls_token"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _files(path: Path) -> list[Path]:
    """Return the files that decide what a model gives."""
    tokenizer = _beside(path, "tokenizer.json")
    others = [path.with_name(form.format(name=path.name)) for form in _WEIGHTS_BESIDE]
    if tokenizer is not None:
        others += [tokenizer, tokenizer.parent / "1_Pooling" / "config.json"]
    return [path, *(file for file in others if file.is_file())]


@lru_cache(maxsize=16)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """Return one digest of some files, given by path, time of change and size: read again when one has changed."""
    whole = hashlib.sha256()
    for name, _, _ in files:
        with open(name, "rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
