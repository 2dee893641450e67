"""Embeddings through a provider: `encoder: litellm:MODEL`, with MODEL as litellm names it.

Keys and addresses are the environment's, by the names that litellm documents for each provider: a pack holds neither.

While fitting, vectors are kept in a file between fits, so that a changed example costs one text and not the pack
(`VectorFile`). While serving nothing is written: what users say, and what can be told of it from a vector, stays in
memory.

litellm is imported when it is first asked (the extra `litellm`), with its own look-ups over the network turned off. It
is never asked twice for one call.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from router.classify.encoder import Floats
from router.classify.text import well_formed
from router.classify.vectors import EncoderFailed

BATCH = 96
"""Texts in one call while fitting. Of the providers that litellm knows, Cohere takes the fewest: 96."""

FITTING_S = 60.0
"""How long one call may take while fitting."""

FILE_BYTES = 200 << 20
"""Vectors kept between fits: 130,000 of 384 numbers. The longest unused go first."""

FILE_NAME = "vectors.sqlite"
LONGEST_CAUSE = 300
EXTRA = "pip install 'prompt-router[litellm]'"

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",  # reads no .env file
}
_WAIT_S = 10.0  # for another fit that writes to the file

_folder: ContextVar[Path | None] = ContextVar("vectors_folder", default=None)


@contextlib.contextmanager
def kept_in(folder: Path | None) -> Iterator[None]:
    """Keep the vectors that a fit asks for meanwhile in a file of this folder; None keeps none."""
    before = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(before)


class LiteLLMSource:
    """Implements `router.classify.vectors.VectorSource` for one model."""

    def __init__(self, model: str) -> None:
        self.name = f"litellm:{model}"
        self._model = model

    @property
    def digest(self) -> str:
        """The name is all that can be known of the model."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    def open(self) -> None:
        """Import litellm. Raises EncoderFailed."""
        _imported(self.name)

    def vectors(self, texts: Sequence[str], limit_s: float | None = None) -> Floats:
        """Return a vector for each text. With a limit they are asked for in one call. Raises EncoderFailed."""
        if limit_s is not None:
            return self._matrix(self._ask(texts, limit_s))
        folder = _folder.get()
        if folder is None:
            return self._matrix(self._ask_for_all(texts))
        try:
            with VectorFile(folder / FILE_NAME) as file:
                known = file.read(self.name, texts)
                missing = [text for text in dict.fromkeys(texts) if text not in known]
                for start in range(0, len(missing), BATCH):
                    batch = missing[start : start + BATCH]
                    made = dict(zip(batch, self._matrix(self._ask(batch, FITTING_S)), strict=True))
                    file.write(self.name, made)  # at once: a fit that fails half-way has not asked in vain
                    known |= made
        except (sqlite3.Error, OSError):  # a full or broken disk costs calls, not the fit
            return self._matrix(self._ask_for_all(texts))
        return self._matrix([known[text] for text in texts])

    def _ask_for_all(self, texts: Sequence[str]) -> list[Any]:
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        return [vector for batch in batches for vector in self._ask(batch, FITTING_S)]

    def _ask(self, texts: Sequence[str], limit_s: float) -> list[Any]:
        """Return the vectors of one call. Raises EncoderFailed."""
        litellm = _imported(self.name)
        # Providers refuse an empty text, and JSON holds no lone surrogates.
        asked = [well_formed(text).strip() or "." for text in texts]
        try:
            answer = litellm.embedding(
                model=self._model,
                input=asked,
                timeout=limit_s,
                max_retries=0,
                num_retries=0,
                drop_params=True,
                encoding_format="float",  # openai's SDK would ask for base64
            )
            rows = sorted(answer.data, key=lambda row: int(row["index"]))
            found = [row["embedding"] for row in rows]
        except Exception as error:  # providers' SDKs raise what they like, through litellm
            raise EncoderFailed(self.name, _cause(error)) from error
        if len(found) != len(texts):
            raise EncoderFailed(self.name, f"it gave {len(found)} vectors for {len(texts)} texts")
        return found

    def _matrix(self, vectors: Sequence[Any]) -> Floats:
        try:
            return np.array(vectors, np.float32)
        except (TypeError, ValueError) as error:
            raise EncoderFailed(self.name, "its vectors are not lists of numbers of one length") from error


class VectorFile:
    """Vectors by model and text, in SQLite. Holds digests of the texts, not the texts.

    A context manager; every write is a transaction of its own. Raises sqlite3.Error and OSError.
    """

    def __init__(self, path: Path, most_bytes: int = FILE_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._most = most_bytes
        self._connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, used INTEGER NOT NULL)"
            )
        except sqlite3.Error:
            self._connection.close()
            raise

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self, model: str, texts: Sequence[str]) -> dict[str, Floats]:
        """Return the vectors that are kept, and note that they were of use."""
        found: dict[str, Floats] = {}
        with self._transaction() as cursor:
            tick = self._tick(cursor)
            for text in dict.fromkeys(texts):
                key = _key(model, text)
                row = cursor.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
                if row is not None and len(row[0]) % 4 == 0:
                    found[text] = np.frombuffer(row[0], "<f4")
                    cursor.execute("UPDATE vectors SET used = ? WHERE key = ?", (tick, key))
        return found

    def write(self, model: str, vectors: dict[str, Floats]) -> None:
        """Keep vectors, and drop the longest unused where they are too many."""
        with self._transaction() as cursor:
            tick = self._tick(cursor)
            cursor.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)",
                [(_key(model, text), vector.astype("<f4").tobytes(), tick) for text, vector in vectors.items()],
            )
            (size, count) = cursor.execute("SELECT COALESCE(SUM(LENGTH(vector)), 0), COUNT(*) FROM vectors").fetchone()
            if size > self._most:
                surplus = -(-(size - self._most) * count // size)
                cursor.execute(
                    "DELETE FROM vectors WHERE key IN (SELECT key FROM vectors ORDER BY used, key LIMIT ?)", (surplus,)
                )
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")

    @staticmethod
    def _tick(cursor: sqlite3.Cursor) -> int:
        """Return a number greater than all before: what was used last has the greatest. No clock is asked."""
        return int(cursor.execute("SELECT COALESCE(MAX(used), 0) + 1 FROM vectors").fetchone()[0])


def _key(model: str, text: str) -> bytes:
    return hashlib.sha256(f"{model}\n{text}".encode("utf-8", "surrogatepass")).digest()


def _imported(name: str) -> Any:
    """Return litellm. Takes seconds the first time. Raises EncoderFailed when it is missing."""
    if "litellm" not in sys.modules:
        for variable, value in _ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
    try:
        import litellm  # noqa: PLC0415
    except ImportError as error:
        raise EncoderFailed(name, f"{error.name or error} is not installed: {EXTRA}") from error
    litellm.suppress_debug_info = True  # it prints to standard output
    litellm.turn_off_message_logging = True
    vars(litellm)["DEFAULT_MAX_RETRIES"] = 0  # for embeddings, 0 as an argument counts as none given
    return litellm


def _cause(error: Exception) -> str:
    """Return what went wrong in a line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:LONGEST_CAUSE]}"
