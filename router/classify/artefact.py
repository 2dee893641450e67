"""The fitted model on disk: JSON and npz behind a digest. Never a pickle, never trusted unread.

    prompt-router model 5\\n
    <sha256 of all that follows, 64 hexadecimal digits>\\n
    <npz archive; its entry `about` is JSON, all other entries are arrays>

The digest guards against files cut short or changed, not against somebody who can write the cache directory and
recompute it; against that, nothing in the file is executed and every shape is checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from router.classify.belief import REPLY
from router.classify.cascade import ModelAverage
from router.classify.encoder import Doubles, Floats
from router.core.errors import RouterError
from router.core.evidence import Certificate, Thresholds

MAGIC = b"prompt-router model 5\n"
_DIGEST_LENGTH = 64
# What reading a file that is not ours can raise, each from numpy, zipfile, json or msgspec.
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, RecursionError, NotImplementedError),
    *(zipfile.BadZipFile, msgspec.ValidationError),
)


class ArtefactError(RouterError):
    """A stored model cannot be used: unreadable, cut short, changed, or made for something else. Fit again."""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """One block's fitted weights: what `blocks.restore` needs, under the block's name."""

    name: str
    words: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredSecond:
    """The second model of a cascade: its own weights, how it joins the first, and the thresholds without it."""

    blocks: tuple[StoredBlock, ...]
    intercepts: Doubles
    sharpness: float
    joint: ModelAverage
    budget_s: float
    alone: Thresholds


@dataclass(frozen=True, slots=True)
class StoredLanguage:
    """The model of a language that is not the pack's own; fields as in `Artefact`."""

    tag: str
    blocks: tuple[StoredBlock, ...]
    intercepts: Doubles
    sharpness: float
    attention: Floats


@dataclass(frozen=True, slots=True)
class Artefact:
    """All that serving needs to recognise.

    `key` names what it was fitted to (`Material.digest`). `classes` are the tasks with examples, in pre-order of
    `paths`; behind them the model has two more columns, "none of these" and "goes on". `intercepts`, `prior` and the
    blocks' scores all have `len(classes) + 2` columns. `sharpness` turns scores into log-probabilities; `stay`,
    `goes_on` and `weight` are the filter's. `certificate` holds the thresholds and says how they came about. Without
    classes there is nothing to recognise, and there are no blocks. `attention` tells which words of a long message ask
    for something (`attention.Attention`); empty where they all count alike. `languages` are the models of further
    languages, which `identifier` tells apart. `second` is there in a cascade; the certificate is then that of both
    models.
    """

    key: str
    paths: tuple[str, ...]
    classes: tuple[str, ...]
    certificate: Certificate
    sharpness: float
    intercepts: Doubles
    prior: Doubles
    stay: float
    goes_on: float
    weight: float
    reply: float = REPLY
    hosted: tuple[str, ...] = ()
    boilerplate: tuple[str, ...] = ()
    user_words: tuple[str, ...] = ()
    blocks: tuple[StoredBlock, ...] = ()
    attention: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    languages: tuple[StoredLanguage, ...] = ()
    identifier: StoredBlock | None = None
    second: StoredSecond | None = None

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds to act by."""
        return self.certificate.thresholds

    def dump(self) -> bytes:
        """Return the file."""
        entries: dict[str, NDArray[Any]] = {}

        def lifted(value: Any) -> Any:
            """Return what stands for a value that JSON does not have: for an array the name of its entry."""
            if not isinstance(value, np.ndarray):
                return dict(value)  # a read-only mapping
            name = f"array{len(entries)}"
            entries[name] = value
            return name

        # By the standard library's JSON: words of the examples may hold half a surrogate pair, which has no UTF-8.
        text = json.dumps(msgspec.to_builtins(self, enc_hook=lifted), ensure_ascii=True)
        archive = io.BytesIO()
        np.savez(archive, allow_pickle=False, **entries, about=np.frombuffer(text.encode(), np.uint8))
        payload = archive.getvalue()
        return MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload

    def save(self, path: Path) -> None:
        """Write the file whole or not at all. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.dump())
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path, key: str | None = None) -> Artefact:
        """Read a file, and see that it was fitted to `key`. Raises ArtefactError for whatever is wrong with it."""
        try:
            return cls.parse(path.read_bytes(), key)
        except OSError as error:
            raise ArtefactError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, data: bytes, key: str | None = None) -> Artefact:
        """Return the artefact that `dump` gave. Raises ArtefactError."""
        head = len(MAGIC) + _DIGEST_LENGTH + 1
        if not data.startswith(MAGIC):
            raise ArtefactError("not a model of this version")
        payload = memoryview(data)[head:]
        if hashlib.sha256(payload).hexdigest().encode() + b"\n" != data[len(MAGIC) : head]:
            raise ArtefactError("the digest does not fit: cut short or changed")
        try:
            artefact = cls._unpack(payload)
        except _UNREADABLE as error:
            raise ArtefactError(f"unreadable: {error}") from error
        if key is not None and artefact.key != key:
            raise ArtefactError("fitted to something else")
        return artefact

    @classmethod
    def _unpack(cls, payload: memoryview) -> Artefact:
        with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
            entries = {name: archive[name] for name in archive.files}
        about = json.loads(entries.pop("about").tobytes())
        artefact = msgspec.convert(about, cls, dec_hook=lambda kind, name: entries[name])
        columns = [artefact.intercepts.shape, artefact.prior.shape]
        columns += [artefact.second.intercepts.shape] if artefact.second is not None else []
        columns += [language.intercepts.shape for language in artefact.languages]
        if artefact.classes and set(columns) != {(len(artefact.classes) + 2,)}:
            raise ValueError("the columns do not fit the classes")
        return artefact
