"""Tokens of one answer, as the backend counted them."""

from __future__ import annotations

from typing import NamedTuple


class Usage(NamedTuple):
    """`prompt` counts the whole prompt; of it, `cached` were read from the provider's cache and `written` to it."""

    prompt: int = 0
    cached: int = 0
    written: int = 0
    completion: int = 0
