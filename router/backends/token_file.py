"""A bearer token that another program keeps fresh in a file, such as an access token of Microsoft Entra.

The file is read at the start, again once it is older than REREAD_S to us, and at once when the provider refuses the
token. Where it cannot be read later, the token at hand goes on being used: the provider's word says what is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path

from router.core.errors import SettingsError

REREAD_S = 60.0

_TOKEN = re.compile(r"[\x21-\x7e]+")

log = logging.getLogger("router.backends")


class TokenFile:
    """The token of one backend. Raises SettingsError for a file that holds none."""

    def __init__(self, backend: str, path: Path) -> None:
        self._backend = backend
        self._path = path
        try:
            self.held = _token(path)
        except (OSError, ValueError) as error:
            raise SettingsError(f"backends.{backend}.token_file: {path}: {_said(error)}") from error
        self._read_s = time.monotonic()

    async def read(self) -> str:
        """Return the token."""
        if time.monotonic() - self._read_s < REREAD_S:
            return self.held
        return await self.read_again()

    async def read_again(self) -> str:
        """Return the token as the file has it now."""
        self._read_s = time.monotonic()
        try:
            self.held = await asyncio.to_thread(_token, self._path)
        except (OSError, ValueError) as error:
            log.error("backends.%s.token_file: %s: %s", self._backend, self._path, _said(error))
        return self.held


def _token(path: Path) -> str:
    token = path.read_text(encoding="utf-8").strip()
    if not _TOKEN.fullmatch(token):
        raise ValueError("must hold a token and nothing else")
    return token


def _said(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
