"""A stream whose first chunk has been looked at, to see what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator


class Rejoined:
    """Gives the first chunk again, then the rest."""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        self._first = first
        self._rest = rest

    def __aiter__(self) -> Rejoined:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Close the stream itself."""
        self._first = b""
        close = getattr(self._rest, "aclose", None)
        if close is not None:
            await close()
