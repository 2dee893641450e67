"""The commands of the command line, as its parser knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from typer.main import get_command

from router.commands.main import app


@cache
def parsed_commands() -> dict[str, Any]:
    """Return every command by its whole name. A group counts where it does something of its own."""
    return dict(_below(get_command(app), "router"))


@cache
def groups() -> set[str]:
    """Return the names that begin longer ones."""
    return {name[: at.start()] for name in parsed_commands() for at in re.finditer(" ", name)}


def _below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    if command.invoke_without_command and name != "router":
        yield name, command
    for word, each in inner.items():
        yield from _below(each, f"{name} {word}")
