"""The fitted model on disk: JSON and npz behind a digest. Never a pickle, never trusted unread.

    prompt-router model 2\\n
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.classify.belief import REPLY
from router.classify.cascade import ModelAverage
from router.classify.encoder import Doubles
from router.core.errors import RouterError
from router.core.evidence import Certificate, Thresholds

MAGIC = b"prompt-router model 2\n"
_DIGEST_LENGTH = 64
# What reading a file that is not ours can raise, each from numpy, zipfile or json.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, NotImplementedError)


class ArtefactError(RouterError):
    """A stored model cannot be used: unreadable, cut short, changed, or made for something else. Fit again."""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """One block's fitted weights: what `Encoder.restore` needs, under the block's name."""

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
class Artefact:
    """All that serving needs to recognise.

    `key` names what it was fitted to (`Material.digest`). `classes` are the tasks with examples, in pre-order of
    `paths`; behind them the model has two more columns, "none of these" and "goes on". `intercepts`, `prior` and the
    blocks' scores all have `len(classes) + 2` columns. `sharpness` turns scores into log-probabilities; `stay`,
    `goes_on` and `weight` are the filter's. `certificates` say how the thresholds came about. Without classes there is
    nothing to recognise, and there are no blocks. `second` is there in a cascade; thresholds and certificates are then
    those of both models.
    """

    key: str
    paths: tuple[str, ...]
    classes: tuple[str, ...]
    thresholds: Thresholds
    sharpness: float
    intercepts: Doubles
    prior: Doubles
    stay: float
    goes_on: float
    weight: float
    reply: float = REPLY
    hosted: tuple[str, ...] = ()
    boilerplate: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    blocks: tuple[StoredBlock, ...] = ()
    second: StoredSecond | None = None

    def dump(self) -> bytes:
        """Return the file."""
        about: dict[str, Any] = {
            "key": self.key,
            "paths": self.paths,
            "classes": self.classes,
            "thresholds": _told(self.thresholds),
            "sharpness": self.sharpness,
            "stay": self.stay,
            "goes_on": self.goes_on,
            "weight": self.weight,
            "reply": self.reply,
            "hosted": self.hosted,
            "boilerplate": self.boilerplate,
            "certificates": [asdict(certificate) for certificate in self.certificates],
            "blocks": [{"name": block.name, "words": block.words} for block in self.blocks],
            "second": None,
        }
        entries = _entries("block", self.blocks)
        if self.second is not None:
            about["second"] = {
                "blocks": [{"name": block.name, "words": block.words} for block in self.second.blocks],
                "sharpness": self.second.sharpness,
                "joint": asdict(self.second.joint),
                "budget_s": self.second.budget_s,
                "alone": _told(self.second.alone),
            }
            entries |= _entries("second", self.second.blocks) | {"second_intercepts": self.second.intercepts}
        text = json.dumps(about, ensure_ascii=True, sort_keys=True).encode()
        entries |= {"about": np.frombuffer(text, np.uint8), "intercepts": self.intercepts, "prior": self.prior}
        archive = io.BytesIO()
        np.savez(archive, **entries)
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
        intercepts, prior = entries.pop("intercepts"), entries.pop("prior")
        columns = len(about["classes"]) + 2
        if about["classes"] and not (intercepts.shape == prior.shape == (columns,)):
            raise ValueError("the columns do not fit the classes")
        return cls(
            key=str(about["key"]),
            paths=tuple(about["paths"]),
            classes=tuple(about["classes"]),
            thresholds=_thresholds(about["thresholds"]),
            sharpness=float(about["sharpness"]),
            intercepts=intercepts,
            prior=prior,
            stay=float(about["stay"]),
            goes_on=float(about["goes_on"]),
            weight=float(about["weight"]),
            reply=float(about["reply"]),
            hosted=tuple(about["hosted"]),
            boilerplate=tuple(about["boilerplate"]),
            certificates=tuple(
                Certificate(**certificate | {"ladder": tuple(certificate["ladder"])})
                for certificate in about["certificates"]
            ),
            blocks=_blocks("block", about["blocks"], entries),
            second=_second(about["second"], entries, columns),
        )


def _second(stored: Any, entries: Mapping[str, NDArray[Any]], columns: int) -> StoredSecond | None:
    if stored is None:
        return None
    intercepts = entries["second_intercepts"]
    if intercepts.shape != (columns,):
        raise ValueError("the columns of the second model do not fit the classes")
    return StoredSecond(
        blocks=_blocks("second", stored["blocks"], entries),
        intercepts=intercepts,
        sharpness=float(stored["sharpness"]),
        joint=ModelAverage(**stored["joint"]),
        budget_s=float(stored["budget_s"]),
        alone=_thresholds(stored["alone"]),
    )


def _told(thresholds: Thresholds) -> dict[str, Any]:
    return {"by_depth": thresholds.by_depth, "soft": thresholds.soft, "by_task": dict(thresholds.by_task)}


def _thresholds(stored: Any) -> Thresholds:
    return Thresholds(tuple(stored["by_depth"]), float(stored["soft"]), dict(stored["by_task"]))


def _entries(kind: str, blocks: Sequence[StoredBlock]) -> dict[str, Any]:
    return {
        f"{kind}{number}_{name}": array for number, block in enumerate(blocks) for name, array in block.arrays.items()
    }


def _blocks(kind: str, stored: Any, entries: Mapping[str, NDArray[Any]]) -> tuple[StoredBlock, ...]:
    found = []
    for number, block in enumerate(stored):
        prefix = f"{kind}{number}_"
        arrays = {name.removeprefix(prefix): array for name, array in entries.items() if name.startswith(prefix)}
        found.append(StoredBlock(str(block["name"]), block["words"], arrays))
    return tuple(found)
