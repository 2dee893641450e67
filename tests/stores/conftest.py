"""Databases of both kinds, one trace, and traces that differ from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.core.decision import Decision, Settled
from router.core.evidence import Belief, Evidence
from router.core.learning import Assignment, Feedback
from router.core.policy import Level
from router.core.trace import Trace
from router.stores import Database, open_database
from tests.support.postgres import GROUP, postgres, postgres_url  # noqa: F401  fixtures

KINDS = ("sqlite", pytest.param("postgresql", marks=GROUP))


@pytest.fixture
def address(request: pytest.FixtureRequest, file: Path) -> Callable[[str], str]:
    """Return the maker of addresses of databases without rows, by kind."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{file}"
        return request.getfixturevalue("postgres_url")

    return make


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, address: Callable[[str], str]) -> str:
    """Return the address of a database of each kind."""
    return address(request.param)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the file of `sqlite` is."""
    return tmp_path / "router.db"


@pytest.fixture
def sqlite(file: Path) -> Iterator[Database]:
    """Return a SQLite database, for what is special about it."""
    opened = open_database(f"sqlite:///{file}")
    yield opened
    opened.close()


def _trace(number: int = 1, *, task: str = "/billing", **changes: Any) -> Trace:
    evidence = changes.pop("evidence", Evidence(Belief({task: 0.9}), cues={"tier": "pro"}))
    trace = Trace(
        id=f"dec_{number}",
        at_ms=1_000 + number,
        policy="shop",
        tenant="acme",
        conversation="c1",
        unit="u1",
        turn=number,
        wire="chat",
        model="fast",
        backend="openai",
        stream=False,
        decision=Decision("rev", "classified", (Settled(task, 0.9, 0.5),)),
        evidence=evidence,
        cues=evidence.cues,
        response_id=f"chatcmpl-{number}",
    )
    return dataclasses.replace(trace, **changes)


@pytest.fixture(scope="session")
def trace() -> Callable[..., Trace]:
    """Return the maker of traces: `trace(number, task=..., any field=...)`."""
    return _trace


def _feedback(number: int = 1, **changes: Any) -> Feedback:
    said = Feedback(
        id=f"fb_{number}",
        at_ms=2_000 + number,
        tenant="acme",
        policy="shop",
        conversation="c1",
        unit="u1",
        decision="dec_1",
        metric="solved",
        value=1.0,
        source="user",
    )
    return dataclasses.replace(said, **changes)


def _assignment(number: int = 1, task: str = "/billing", **changes: Any) -> Assignment:
    given = Assignment(
        decision=f"dec_{number}",
        at_ms=1_000 + number,
        tenant="acme",
        policy="shop",
        conversation="c1",
        unit="u1",
        task=task,
        complexity="high",
        model="fast",
        level=Level.GUIDED,
        text="cafe",
        matures_ms=9_000,
    )
    return dataclasses.replace(given, **changes)


@pytest.fixture(scope="session")
def feedback() -> Callable[..., Feedback]:
    """Return the maker of feedback: `feedback(number, any field=...)`."""
    return _feedback


@pytest.fixture(scope="session")
def assignment() -> Callable[..., Assignment]:
    """Return the maker of assignments: `assignment(number, task, any field=...)`."""
    return _assignment
