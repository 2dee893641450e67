"""What a data folder was last served with, in a file of its own: which policies, from which packs, at which address.

A server writes it when it listens. The commands read it, so that they show the pack that wrote the data.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "served.json"

log = logging.getLogger("router.server")


def keep_served(data: Path, packs: Mapping[str, Path], address: str) -> None:
    """Write which policies are served from now on, each with its pack, and at which address. A failure is logged."""
    told = {
        "packs": {name: str(path.resolve()) for name, path in packs.items()},
        "address": address,
        "process": os.getpid(),
    }
    part = data / f".{FILE}.{os.getpid()}"
    try:
        part.write_text(json.dumps(told, indent=2), encoding="utf-8")
        part.replace(data / FILE)
    except OSError as error:
        log.warning("%s does not say what it is served with: %s", data, error)


def served_packs(data: Path) -> dict[str, Path]:
    """Return the packs of the policies that a data folder was last served with, the default one first."""
    packs = _read(data).get("packs")
    return {name: Path(path) for name, path in packs.items()} if isinstance(packs, dict) else {}


def served_at(data: Path) -> str:
    """Return where the server of a data folder listens; nothing where none runs."""
    told = _read(data)
    try:
        os.kill(int(told["process"]), 0)
    except PermissionError:  # it runs, as another user
        return str(told["address"])
    except (KeyError, TypeError, ValueError, OSError):
        return ""
    return str(told.get("address", ""))


def _read(data: Path) -> dict[str, Any]:
    try:
        told = json.loads((data / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
