"""Packs written by a test, from texts by file name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from router.core.errors import Fault, PolicyError
from router.packs import Pack, load_pack

Write = Callable[[Mapping[str, str | bytes]], Path]
Faults = Callable[[Mapping[str, str | bytes]], tuple[Fault, ...]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files below a temporary folder; return the pack: the folder `pack`, or the file `pack.yaml`."""

    def write_files(files: Mapping[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
        return tmp_path / "pack" if any(name.startswith("pack/") for name in files) else tmp_path / "pack.yaml"

    return write_files


@pytest.fixture
def load(write: Write) -> Callable[[Mapping[str, str | bytes]], Pack]:
    """Write a pack and load it."""
    return lambda files: load_pack(write(files))


@pytest.fixture
def faults_of(write: Write, tmp_path: Path) -> Faults:
    """Write a pack that cannot be loaded; return its faults with file names relative to the temporary folder."""

    def load_faults(files: Mapping[str, str | bytes]) -> tuple[Fault, ...]:
        with pytest.raises(PolicyError) as caught:
            load_pack(write(files))
        here = f"{tmp_path}/"
        return tuple(
            Fault(f.file.removeprefix(here), f.line, f.message.replace(here, ""), f.hint.replace(here, ""))
            for f in caught.value.faults
        )

    return load_faults
