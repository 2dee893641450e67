"""One word for one thing: no class name twice, every shared class in the glossary, no litter."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache

from tests.docs.pages import page, rows
from tests.docs.scan import modules
from tests.support.serving import ROOT

ENTRIES_MOST = 60
FLOORS_MOST = 7
LITTER = re.compile(r".*(\.orig|\.rej|\.bak|~|\.swp)$")
_SPAN = re.compile(r"`([^`]+)`")


@cache
def classes() -> Counter[str]:
    """Return how often each public class name is defined."""
    return Counter(
        node.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


def room_of(parts: tuple[str, ...]) -> str:
    """Return the room of a module's dotted name: its folder below `router`, or itself."""
    return parts[1] if len(parts) > 1 else ""


def shared() -> Iterator[str]:
    """Yield the public classes that are imported by another room than their own."""
    for module in modules():
        here = room_of(module.path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("router."):
                if room_of(tuple(node.module.split("."))) != here:
                    yield from (each.name for each in node.names if each.name in classes())


def entries() -> list[str]:
    """Return the rows of the glossary, without the head."""
    return [row for row in rows(page("glossary.md")) if not row.startswith(("| word |", "|---"))]


def named() -> set[str]:
    """Return the classes that the glossary names."""
    return {name for row in entries() for name in _SPAN.findall(row.rstrip().rstrip("|").rpartition(" | ")[2])}


def test_no_public_class_has_the_name_of_another() -> None:
    assert [name for name, times in classes().items() if times > 1] == []


def test_the_glossary_is_no_longer_than_one_can_learn() -> None:
    assert 20 <= len(entries()) <= ENTRIES_MOST


def test_every_class_that_rooms_share_is_in_the_glossary() -> None:
    assert set(shared()) - named() == set()


def test_the_glossary_names_no_class_that_is_not_there() -> None:
    assert named() - set(classes()) == set()


def test_the_map_has_the_floors_that_imports_are_held_to() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    assert len(layers) <= FLOORS_MOST
    floors = {
        name.split(".")[1]: number for number, layer in enumerate(reversed(layers)) for name in layer.split(" | ")
    }
    told = re.findall(
        r"^\| (\d) \| `(\w+)(?:/|\.py)` \|", (ROOT / "router/ARCHITECTURE.md").read_text("utf-8"), re.MULTILINE
    )
    assert {name: int(floor) for floor, name in told} == floors


def test_no_litter_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = listed.stdout.splitlines() or [str(file) for file in (ROOT / "router").rglob("*")]
    assert [file for file in files if LITTER.fullmatch(file)] == []
