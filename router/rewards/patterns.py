"""Patterns of a pack, compiled with RE2: linear in the text, whatever the pattern (https://github.com/google/re2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import re2


def compiled(patterns: Iterable[str]) -> tuple[Any, ...]:
    """Return patterns that the pack's loader has accepted, ready to search with. They take no half surrogate pairs."""
    options = re2.Options()
    options.log_errors = False
    return tuple(re2.compile(pattern, options) for pattern in patterns)
