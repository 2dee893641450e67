"""The file: what was saved comes back, and whatever else lies there is refused."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from router.classify.artefact import MAGIC, Artefact, ArtefactError


@pytest.fixture(scope="module")
def saved(artefact: Artefact, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("models") / "deep" / "x.model"
    artefact.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["x.model"]
    return path.read_bytes()


def sealed(payload: bytes) -> bytes:
    return MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload


def archive(**entries: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **entries)  # type: ignore[arg-type]
    return file.getvalue()


def test_what_was_saved_comes_back(artefact: Artefact, saved: bytes) -> None:
    back = Artefact.parse(saved, artefact.key)
    for name in ("key", "paths", "classes", "thresholds", "sharpness", "stay", "goes_on", "weight", "boilerplate"):
        assert getattr(back, name) == getattr(artefact, name)
    assert back.certificate == artefact.certificate
    assert np.array_equal(back.intercepts, artefact.intercepts) and np.array_equal(back.prior, artefact.prior)
    assert [block.name for block in back.blocks] == [block.name for block in artefact.blocks]
    for ours, theirs in zip(artefact.blocks, back.blocks, strict=True):
        assert ours.words == theirs.words and ours.arrays.keys() == theirs.arrays.keys()
        assert all(np.array_equal(theirs.arrays[name], array) for name, array in ours.arrays.items())


def test_equal_artefacts_are_equal_bytes(artefact: Artefact, saved: bytes) -> None:
    assert Artefact.parse(saved).dump() == saved == artefact.dump()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.999])
def test_a_file_cut_short_is_refused(saved: bytes, share: float) -> None:
    with pytest.raises(ArtefactError):
        Artefact.parse(saved[: int(len(saved) * share)])


@pytest.mark.parametrize("place", [0, 10, 30, 100, 1_000, -1])
def test_a_changed_byte_is_noticed(saved: bytes, place: int) -> None:
    changed = bytearray(saved)
    changed[place] ^= 1
    with pytest.raises(ArtefactError):
        Artefact.parse(bytes(changed))


def test_another_version_is_refused(saved: bytes) -> None:
    with pytest.raises(ArtefactError, match="version"):
        Artefact.parse(saved.replace(b"model 5", b"model 9", 1))


def test_a_model_of_something_else_is_refused(saved: bytes) -> None:
    with pytest.raises(ArtefactError, match="something else"):
        Artefact.parse(saved, "0" * 64)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"PK no archive",
        archive(nothing=np.zeros(3)),
        archive(about=np.frombuffer(b"{}", np.uint8), intercepts=np.zeros(3), prior=np.zeros(3)),
        archive(about=np.frombuffer(b"[[[", np.uint8), intercepts=np.zeros(3), prior=np.zeros(3)),
        archive(about=np.array([{"a": 1}], dtype=object), intercepts=np.zeros(3), prior=np.zeros(3)),
    ],
    ids=["empty", "no zip", "no entries", "no fields", "no json", "pickled"],
)
def test_a_well_sealed_file_of_rubbish_is_refused(payload: bytes) -> None:
    with pytest.raises(ArtefactError):
        Artefact.parse(sealed(payload))


def test_columns_that_do_not_fit_are_refused(artefact: Artefact) -> None:
    with pytest.raises(ArtefactError, match="columns"):
        Artefact.parse(_with(artefact, prior=artefact.prior[:-1]).dump())


def test_a_missing_file_is_an_artefact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError):
        Artefact.load(tmp_path / "none.model")
    with pytest.raises(ArtefactError):
        Artefact.load(tmp_path)


def test_a_failed_save_leaves_nothing_behind(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        artefact.save(path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.model"]


def test_others_cannot_read_it(artefact: Artefact, tmp_path: Path) -> None:
    artefact.save(tmp_path / "x.model")
    assert stat.S_IMODE((tmp_path / "x.model").stat().st_mode) == 0o600


def _with(artefact: Artefact, **changes: object) -> Artefact:
    fields = {name: getattr(artefact, name) for name in Artefact.__slots__}
    return Artefact(**(fields | changes))
