"""One trace, and traces that differ from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from router.core.decision import Decision, Settled
from router.core.evidence import Belief, Evidence
from router.core.trace import Trace


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
