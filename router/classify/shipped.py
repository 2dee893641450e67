"""The texts that ship with this package: tables of words, and what people write in the background of any pack."""

from __future__ import annotations

from importlib import resources

MAIN = ""
"""The tag of what a pack's own files hold, whatever language that is. Its background is in English."""


def shipped_text(name: str) -> str:
    """Return a text file of this package."""
    return (resources.files("router.classify") / name).read_text("utf-8")


def shipped_lists(name: str) -> dict[str, list[str]]:
    """Return the lines of a text file of this package by the `[heading]` they stand below; `#` begins a comment."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in shipped_text(name).splitlines():
        if line.startswith("["):
            heading = line.strip("[]")
        elif line and not line.startswith("#"):
            found.setdefault(heading, []).append(line)
    return found


def background(kind: str, language: str = MAIN) -> list[str]:
    """Return what people write that is for none of the tasks, by kind: unrelated, follow_ups, everyday.

    It is in English where a language has none.
    """
    folder = f"background/{language}"
    there = bool(language) and (resources.files("router.classify") / folder / f"{kind}.txt").is_file()
    text = shipped_text(f"{folder if there else 'background/en'}/{kind}.txt")
    return [line for line in text.splitlines() if line]
