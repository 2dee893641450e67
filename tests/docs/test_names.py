"""What docstrings and pages name is there: commands, targets of make, files, modules, classes, functions, keys."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.commands import groups, parsed_commands
from tests.docs.pages import DOCS, anchors, spans
from tests.docs.scan import modules
from tests.support.serving import ROOT

PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "router/ARCHITECTURE.md", "deploy/README.md")),
    *sorted(DOCS.rglob("*.md")),
)
FOREIGN = frozenset(
    {
        "1_Pooling/config.json",  # of sentence encoders
        "OpenAILike",  # LlamaIndex
        "Reasoning",  # openai-python
        "ResponseCreateParamsBase",
        "ResponseTextConfigParam",
        "aws_region_name",  # litellm
        "bedrock",
        "pass_through_endpoints",
        "python_info",  # prometheus-client
        "stroke_width",  # SVG
    }
)
"""Names of others."""

HAVE_DOCSTRINGS = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED = re.compile(r"(?:router|tests)(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_FILE = re.compile(r"(?!/)[\w./*-]*\w\.(?:py|md|yaml|json|toml|js)")
_CALL = re.compile(r"([A-Za-z_][\w.]*)\(.*\)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
_LINE = re.compile(r"^(?:    |\$ |\.venv/bin/)*((?:make|router) .*)$", re.MULTILINE)
_FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


def documents() -> Iterator[tuple[str, str]]:
    """Yield every text of documentation with its place."""
    for file in PAGES:
        yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")
    for module in modules():
        for node in ast.walk(module.tree):
            for text, line in docstrings_at(node):
                yield f"{module.path.relative_to(ROOT)}:{line}", text


def docstrings_at(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the docstrings in a body: its own, and those of its constants and fields."""
    for each in node.body if isinstance(node, HAVE_DOCSTRINGS) else ():
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str):
            yield each.value.value, each.lineno


def lines_of_docstrings(node: ast.AST) -> Iterator[tuple[int, int]]:
    """Yield the first and last lines of the docstrings in a body."""
    for each in node.body if isinstance(node, HAVE_DOCSTRINGS) else ():
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
            yield each.lineno, each.end_lineno or each.lineno


def lines_of_commands(text: str) -> Iterator[str]:
    """Yield what is to be typed: in backticks, in code blocks, on indented lines."""
    yield from (span.removeprefix(".venv/bin/").removeprefix("$ ") for span in spans(text))
    yield from _LINE.findall(text)


@cache
def targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def known_words() -> set[str]:
    """Return every word that is written in code, docstrings and comments left out, or in a file of settings."""
    found: set[str] = set()
    for file in [*(ROOT / "router").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            for start, end in lines_of_docstrings(node):
                lines[start - 1 : end] = [""] * (end - start + 1)
        code = "\n".join(line.partition("  # ")[0] for line in lines if not line.lstrip().startswith("#"))
        found |= set(WORD.findall(code)) | {file.stem}
    others = ("Makefile", "pyproject.toml", "deploy/*", "policies/**/*.yaml", "policies/*.json", "router/**/*.js")
    for pattern in others:
        for file in ROOT.glob(pattern):
            found |= set(WORD.findall(file.read_text(encoding="utf-8"))) if file.suffix != ".md" else set()
    return found | {folder.name for folder in (ROOT / "router").rglob("*") if folder.is_dir()}


def missing_commands(text: str) -> Iterator[str]:
    """Yield what is told to be typed and cannot be."""
    known = set(parsed_commands()) | groups()
    for line in lines_of_commands(text):
        first, *rest = line.split()
        if first == "make":
            yield from (
                f"make {word}"
                for word in rest[:1]
                if re.fullmatch("[a-z-]+,?", word) and word.strip(",") not in targets()
            )
        if first == "router":
            name, words = "router", [word for word in rest if re.fullmatch("[a-z]+", word)][:2]
            for word in words[: 2 if words and f"router {words[0]}" in groups() else 1]:
                name = f"{name} {word}"
            if (
                rest
                and re.match("[a-z]", rest[0])
                and name not in known
                and name.rpartition(" ")[0] not in parsed_commands()
            ):
                yield name


def missing_names(text: str, place: str) -> Iterator[str]:
    """Yield what stands in backticks and is nowhere."""
    for span in spans(text) - FOREIGN:
        call, parts = _CALL.fullmatch(span), span.split(".")
        if _FILE.fullmatch(span):
            there = is_file(span, place) if "/" in span else not known_words().isdisjoint(WORD.findall(span))
        elif _DOTTED.fullmatch(span):
            there = importable(span)
        elif call:
            there = call[1].rpartition(".")[2] in known_words()
        elif len(span) > 1 and all(map(WORD.fullmatch, parts)):
            there = (parts[0] not in known_words() and len(parts) > 1) or parts[-1].removesuffix(
                "_total"
            ) in known_words()
        else:
            there = True
        if not there:
            yield span


def importable(name: str) -> bool:
    """Say whether a dotted name leads to something: a module, or what lies in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", ()):
                return False
            found = getattr(found, part, None)
        return True
    return False


def is_file(name: str, place: str) -> bool:
    """Say whether a path, seen from the top, from the program or from where it is named, leads to a file."""
    folders = (ROOT, ROOT / "router", ROOT / "deploy", (ROOT / place.partition(":")[0]).parent)
    return any(any(folder.glob(name)) for folder in folders)


DOCUMENTS = list(documents())


def test_there_is_something_to_look_through() -> None:
    assert len(DOCUMENTS) > 1000
    assert {"run", "test", "lint", "test-laws", "help"} <= targets()


def test_every_command_that_is_named_exists() -> None:
    assert [(place, found) for place, text in DOCUMENTS for found in missing_commands(text)] == []


def test_every_name_in_backticks_exists() -> None:
    assert [(place, found) for place, text in DOCUMENTS for found in missing_names(text, place)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith("http"):
            continue
        file = page if not target else page.parent / target
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{target}#{anchor}"
