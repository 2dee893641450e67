"""Content codings: whole, in any cuts, in bounded pieces; broken and cut ones are said to be so."""

from __future__ import annotations

import gzip
import random
import sys
import zlib

import brotli
import pytest

from router.core.codings import CODINGS, PIECE, unpacker

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = random.Random(1).randbytes(50_000).hex().encode() + b"the same again and again. " * 100_000


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACK = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a frame": ("deflate", raw),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
}


@pytest.mark.parametrize("size", [1, 7, 1000, 10**9])
@pytest.mark.parametrize("name", PACK)
def test_what_was_packed_comes_out_in_any_cuts(name: str, size: int) -> None:
    coding, pack = PACK[name]
    unpack = unpacker(coding)
    packed = pack(TEXT)
    pieces = [piece for at in range(0, len(packed), size) for piece in unpack(packed[at : at + size])]
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= 2 * PIECE
    assert list(unpack(b"")) == []


@pytest.mark.parametrize("name", PACK)
def test_a_bomb_comes_out_piece_by_piece(name: str) -> None:
    coding, pack = PACK[name]
    pieces = unpacker(coding)(pack(bytes(50 << 20)))
    assert 0 < len(next(pieces)) <= 2 * PIECE


@pytest.mark.parametrize("name", PACK)
def test_what_was_flushed_comes_out_at_once(name: str) -> None:
    coding, _ = PACK[name]
    if coding == "br":
        packer = brotli.Compressor()
        begun = packer.process(b"hello") + packer.flush()
    elif coding == "zstd":
        packer = zstd.ZstdCompressor()
        begun = packer.compress(b"hello") + packer.flush(packer.FLUSH_BLOCK)
    else:
        packer = zlib.compressobj(wbits={"deflate": 15, "deflate without a frame": -15}.get(name, 31))
        begun = packer.compress(b"hello") + packer.flush(zlib.Z_SYNC_FLUSH)
    assert b"".join(unpacker(coding)(begun)) == b"hello"


@pytest.mark.parametrize("name", PACK)
def test_what_was_cut_or_broken_is_told_from_what_is_whole(name: str) -> None:
    coding, pack = PACK[name]
    cut = unpacker(coding)
    list(cut(pack(TEXT)[:-3]))
    with pytest.raises(ValueError, match="was cut off"):
        list(cut(b""))
    with pytest.raises(ValueError, match="not valid"):
        list(unpacker(coding)(b"\xff" * 1000))
    with pytest.raises(ValueError, match="not valid"):
        list(unpacker(coding)(pack(b"hello") + b"and more"))


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_several_members_are_one_message(name: str) -> None:
    coding, pack = PACK[name]
    assert b"".join(unpacker(coding)(pack(b"hello ") + pack(b"world"))) == b"hello world"


def test_a_large_window_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(bytes(1 << 20)) + packer.flush()
    with pytest.raises(ValueError, match="not valid zstd"):
        list(unpacker("zstd")(packed))


def test_only_what_is_listed_is_known() -> None:
    assert all(unpacker(coding) for coding in CODINGS)
    assert unpacker("compress") is None
