"""The model behind the cache benchmark: llama.cpp's server with one slot for each conversation that is under way.

A slot keeps the tokens of its last request, and serves the common prefix of the next one from there. Which tokens that
are depends on the tokenizer, the chat template and the texts, and not at all on what the network computes. So tokens
are counted with a copy of the model that is cut to its first layer: the same answers to the question, seventy times as
fast. Times are taken with the whole model.

    python -m tests.bench.cache_model --port 8081 --slots 4 [--layers 1]      # serves until stopped
"""

from __future__ import annotations

import argparse
import re
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tests.support.local_model import model_file, serve
from tests.support.serving import ROOT, Server, clean_environment, free_port, serving

_STRING, _ARRAY, _UINT32 = 8, 9, 4
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type (ggml-org/ggml, docs/gguf.md)."""
_ALIGNMENT = 32  # of tensors, where a file names none; ours names none
_BLOCK = re.compile(rb"blk\.(\d+)\.")


@contextmanager
def cache_model(slots: int, layers: int | None) -> Iterator[Server]:
    """Run a fresh server until the block ends. `layers` cuts the model to so many; None leaves it whole."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.cache_model", "--port", str(port), "--slots", str(slots)]
    if layers is not None:
        command += ["--layers", str(layers)]
    with serving(command, port, ready="/health", env=clean_environment(), cwd=ROOT) as server:
        yield server


def cut(source: Path, target: Path, layers: int) -> None:
    """Write a GGUF file with the first layers of another. Raises ValueError for a file of another form."""
    with source.open("rb") as file:
        magic, version, tensors, values = struct.unpack("<4sIQQ", file.read(24))
        if magic != b"GGUF" or version != 3:
            raise ValueError(f"{source.name} is not a GGUF file of version 3")
        described = _described(file, values, layers)
        found = [_tensor(file) for _ in range(tensors)]
        start = _aligned(file.tell())
        begins = sorted(offset for *_, offset in found)
        ends = dict(zip(begins, [*begins[1:], source.stat().st_size - start], strict=True))
        kept = [each for each in found if not ((block := _BLOCK.match(each[0])) and int(block[1]) >= layers)]
        with target.open("wb") as out:
            out.write(struct.pack("<4sIQQ", magic, version, len(kept), values) + described)
            place = 0
            for name, form, offset in kept:
                out.write(struct.pack("<Q", len(name)) + name + form + struct.pack("<Q", place))
                place = _aligned(place + ends[offset] - offset)
            for _, _, offset in kept:
                out.write(bytes(_aligned(out.tell()) - out.tell()))
                file.seek(start + offset)
                out.write(file.read(ends[offset] - offset))


def _described(file: BinaryIO, values: int, layers: int) -> bytes:
    """Return what a file says of its model, byte by byte, but with another number of layers."""
    parts = []
    for _ in range(values):
        key = _text(file)
        began = file.tell()
        (kind,) = struct.unpack("<I", file.read(4))
        _skip(file, kind)
        length = file.tell() - began
        file.seek(began)
        value = file.read(length)
        if key.endswith(b".block_count"):
            value = struct.pack("<II", _UINT32, layers)
        parts.append(struct.pack("<Q", len(key)) + key + value)
    return b"".join(parts)


def _tensor(file: BinaryIO) -> tuple[bytes, bytes, int]:
    """Return a tensor's name, its shape and type as they stand, and where it begins."""
    name = _text(file)
    count = file.read(4)
    form = count + file.read(8 * struct.unpack("<I", count)[0] + 4)
    return name, form, struct.unpack("<Q", file.read(8))[0]


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _text(file)
    elif kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if inner in _WIDTHS:
            file.seek(_WIDTHS[inner] * count, 1)
        else:
            for _ in range(count):
                _skip(file, inner)
    else:
        file.seek(_WIDTHS[kind], 1)


def _text(file: BinaryIO) -> bytes:
    return file.read(struct.unpack("<Q", file.read(8))[0])


def _aligned(place: int) -> int:
    return -(-place // _ALIGNMENT) * _ALIGNMENT


def serve_cut(port: int, slots: int, layers: int | None) -> None:
    """Serve in this process until SIGTERM or SIGINT."""
    with tempfile.TemporaryDirectory(prefix="cut-model-") as folder:
        weights = model_file()
        if layers is not None:
            weights = Path(folder, "cut.gguf")
            cut(model_file(), weights, layers)
        serve(port, weights, slots)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the cache benchmark's model on loopback.")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--layers", type=int, help="cut the model to its first layers (default: whole)")
    arguments = parser.parse_args()
    serve_cut(arguments.port, arguments.slots, arguments.layers)
