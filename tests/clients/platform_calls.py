"""The requests of platforms, as files in `platforms/` hold them: facts from public sources, written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "platforms"
KINDS = frozenset({"conversation", "machine", "plain", "models"})


@dataclass(frozen=True, slots=True)
class PlatformCall:
    """One request, byte for byte.

    `kind` says what it is: a turn of a `conversation`, a call that the `machine` makes on its own, a `plain` call that
    is no conversation, or a question for the `models`.
    """

    platform: str
    name: str
    kind: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Its name in reports."""
        return f"{self.platform}-{self.name}"


def platform_calls(*kinds: str) -> list[PlatformCall]:
    """Return the calls of these kinds, of every platform."""
    return [call for file in sorted(FOLDER.glob("*.yaml")) for call in _read(file) if call.kind in kinds]


def platform_call(platform: str, name: str) -> PlatformCall:
    """Return one call."""
    return next(call for call in _read(FOLDER / f"{platform}.yaml") if call.name == name)


def _read(file: Path) -> Iterator[PlatformCall]:
    written: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    for call in written["calls"]:
        kind = call["is"]
        if kind not in KINDS:
            raise ValueError(f"{file}: {call['name']}: unknown kind {kind!r}")
        body = call.get("body", "").encode()
        method = call.get("method", "POST")
        yield PlatformCall(written["platform"], call["name"], kind, method, call["path"], written["headers"], body)
