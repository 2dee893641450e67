"""The revision: a hash of what a policy means.

Rules. Equal meaning, equal revision: the order of files and keys, comments, white space around texts, the form of the
pack (folder or file), and tests do not count, since a `Policy` holds none of them. Different meaning, different
revision: all else that a policy holds counts, but for what follows from the rest (token counts, children) and a name
that the pack did not give itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from functools import cache
from typing import Any

from router.core.policy import Policy

DIGITS = 12
_DERIVED = frozenset({"revision", "tokens", "children"})


def revision_of(policy: Policy, name: str | None) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a policy's canonical JSON.

    `name` is the name as the pack gives it, None where it gives none; `policy.revision` is not read.
    """
    meaning = {**_opened(policy), "name": name}
    encoder = json.JSONEncoder(
        sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_opened
    )
    return hashlib.sha256(encoder.encode(meaning).encode("utf-8")).hexdigest()[:DIGITS]


def _opened(value: Any) -> dict[str, Any]:
    """Return a dataclass or a read-only mapping as the dict that JSON knows."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in _meaningful(value.__class__)}
    return dict(value)


@cache
def _meaningful(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in _DERIVED)
