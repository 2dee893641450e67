"""Content codings (RFC 9110, 8.4.1): what was packed comes out in pieces of a bounded size, as far as it has come.

gzip and zstd may consist of several members, one behind the other; deflate is taken with zlib's frame, as the standard
has it, and without, as some write it. A window of zstd is 8 MiB at most (RFC 9659).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 256 * 1024
"""What comes out at once is about this many bytes, or fewer: a millisecond's work."""

_SLICE = 64 * 1024  # goes in at once: what did not fit out is copied
_WINDOW_LOG = 23

Unpack: TypeAlias = Callable[[bytes], Iterator[bytes]]
"""Takes what comes next and yields what is in it; takes the empty string for the end. Raises ValueError."""


class _Member(Protocol):
    """What unpacks one member, as in the standard library's bz2, lzma and zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most so much of what is in the data."""
        ...


class _Inflated:
    """zlib's, gzip's or plain deflate's, by `wbits`."""

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most so much of what is in the data."""
        piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.needs_input = len(piece) < max_length
        return piece


class _Brotli:
    unused_data = b""  # what stands behind the end is an error

    def __init__(self) -> None:
        self._brotli = brotli.Decompressor()
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._brotli.is_finished())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return about so much of what is in the data."""
        piece: bytes = self._brotli.process(data, output_buffer_limit=max_length)
        self.needs_input = len(piece) < max_length and self._brotli.can_accept_more_data()
        return piece


def _deflated(data: bytes) -> _Member:
    return _Inflated(zlib.MAX_WBITS if data[0] & 15 == 8 else -zlib.MAX_WBITS)


def _gzipped(_: bytes) -> _Member:
    return _Inflated(16 + zlib.MAX_WBITS)


def _brotlied(_: bytes) -> _Member:
    return _Brotli()


def _zstandard(_: bytes) -> _Member:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


_MEMBERS: dict[str, Callable[[bytes], _Member]] = {
    "gzip": _gzipped,
    "deflate": _deflated,
    "br": _brotlied,
    "zstd": _zstandard,
}
_SEVERAL = frozenset({"gzip", "zstd"})
_FAULTS = (zlib.error, brotli.error, zstd.ZstdError, EOFError)

CODINGS = ("gzip", "deflate", "br", "zstd")
"""What can be unpacked, by the names of the content-encoding header."""


def unpacker(coding: str) -> Unpack | None:
    """Return what unpacks a coding; None for one that is not known.

    >>> unpack = unpacker("gzip")
    >>> b"".join(unpack(zlib.compress(b"hello", wbits=31)))
    b'hello'
    """
    coding = coding.removeprefix("x-")  # gzip's older name (RFC 9110, 8.4.1.3)
    begin = _MEMBERS.get(coding)
    return None if begin is None else _Unpacker(coding, begin).feed


class _Unpacker:
    """A message of one or more members."""

    def __init__(self, coding: str, begin: Callable[[bytes], _Member]) -> None:
        self._coding = coding
        self._begin = begin
        self._member: _Member | None = None
        self._ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what is in the next data, or, for the empty string, see that it is whole."""
        try:
            for at in range(0, len(data), _SLICE):
                yield from self._feed(data[at : at + _SLICE])
        except _FAULTS as fault:
            raise ValueError(f"it is not valid {self._coding}: {fault}") from None
        if not data and self._member is not None:
            raise ValueError(f"its {self._coding} was cut off")

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data or (self._member is not None and not self._member.needs_input):
            member = self._member
            if member is None:
                if self._ended and self._coding not in _SEVERAL:
                    raise EOFError("something stands behind its end")
                member = self._member = self._begin(data)
            piece = member.decompress(data, PIECE)
            if piece:
                yield piece
            data = b""
            if member.eof:
                data, self._member, self._ended = member.unused_data, None, True
