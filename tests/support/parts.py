"""Small real parts for tests of the engine: a policy made by hand, and a recogniser that knows a task by a word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from router.core.evidence import Belief, Certificate, Likely, Thresholds, Tolerance
from router.core.policy import (
    ROOT,
    Cue,
    CueValue,
    Instruction,
    Level,
    Policy,
    PolicySettings,
    Task,
    count_tokens,
    lineage,
)
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.prepare import Call, RequestPreparer
from router.engine.snapshot import PolicyRegistry, Snapshot
from router.wire.chat import ChatCompletions

CHAT = ChatCompletions()


def instruction(task: str, name: str, text: str, level: Level = Level.BRIEF, **more: Any) -> Instruction:
    return Instruction(f"{task}:{name}", task, level, text, count_tokens(text) + 1, **more)


def small_policy(revision: str = "rev-1", extra: str = "", **settings: Any) -> Policy:
    """A help desk of three tasks. `extra` changes a text, as another revision would."""
    tasks = {
        ROOT: Task(
            ROOT, instructions=(instruction(ROOT, "brief.1", f"Be polite.{extra}"),), children=("/billing", "/delivery")
        ),
        "/billing": Task("/billing", children=("/billing/refund",)),
        "/billing/refund": Task(
            "/billing/refund",
            about="Money back. Not a voucher.",
            instructions=(
                instruction("/billing/refund", "required.1", "- Promise nothing.", required=True),
                instruction("/billing/refund", "brief.1", f"Help with the refund.{extra}"),
                instruction("/billing/refund", "detailed.1", "- Name the amount.", Level.DETAILED),
            ),
        ),
        "/delivery": Task(
            "/delivery",
            instructions=(
                instruction("/delivery", "brief.1", "Say where the parcel is."),
                instruction("/delivery", "detailed.1", "- Name the day.", Level.DETAILED),
            ),
        ),
    }
    cues = {
        "tier": Cue("tier", "enum", values=("free", "pro"), sources=(("metadata", "tier"),), say="Tier: {value}"),
        "name": Cue("name", "text", limit=40, sources=(("metadata", "name"),), say="Name: {value}"),
        "queue": Cue("queue", "number", sources=(("metadata", "queue"),), say="Waiting: {value}", volatile=True),
    }
    return Policy(
        "desk", revision, MappingProxyType(tasks), settings=PolicySettings(**settings), cues=MappingProxyType(cues)
    )


SETTLES = Thresholds(0.5, 0.5)
"""The thresholds of the recogniser below: what it knows by a word, it is sure of."""

PROMISED = Certificate("certified", Tolerance(), 0.1, SETTLES, Thresholds(0.92, 0.91), rows=400, foreign=60)

EITHER = "either"
"""The word of a message that may be about a refund or a parcel."""


class WordRecogniser:
    """Believes what the newest word says, and keeps believing it. `fail` makes the next step raise."""

    WORDS: Mapping[str, str] = {"refund": "/billing/refund", "parcel": "/delivery"}

    def __init__(self, *, inline: bool = True) -> None:
        self.inline = inline
        self.deadline_s = 0.025
        self.thresholds = SETTLES
        self.certificate = PROMISED
        self.doubts: Mapping[str, tuple[str, str]] = {EITHER: ("/delivery", "/billing/refund")}
        self.fail: Exception | None = None
        self.steps = 0

    def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> tuple[Any, Belief]:
        self.steps += 1
        if self.fail is not None:
            raise self.fail
        known = {**self.doubts, **self.WORDS}
        path = next((known[word] for word in known if word in text), before)
        if path is None:
            return None, Belief({})
        if not isinstance(path, str):
            likeliest = tuple(map(Likely, path, (0.47, 0.45)))
            masses: Counter[str] = Counter()
            for each, mass in likeliest:
                masses.update(dict.fromkeys(lineage(each)[1:], mass))
            return path, Belief(dict(masses), likeliest)
        parent = path.rpartition("/")[0]
        return path, Belief({path: 0.9} | ({parent: 0.95} if parent else {}))


class MetadataCues:
    """Reads cues straight from metadata."""

    def read(
        self, headers: Mapping[str, str], metadata: Mapping[str, Any]
    ) -> tuple[dict[str, CueValue], tuple[str, ...]]:
        names = ("tier", "name", "queue", "complexity", "membership_level")
        return {name: metadata[name] for name in names if name in metadata}, ()

    def detect(self, text: str, turn: int) -> dict[str, CueValue]:
        return {}


def snapshot(policy: Policy | None = None, recogniser: WordRecogniser | None = None) -> Snapshot:
    return Snapshot(policy or small_policy(), MetadataCues(), recogniser or WordRecogniser())


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def preparer(
    first: Snapshot | None = None, clock: Clock | None = None, faults: list[str] | None = None
) -> RequestPreparer:
    first = first or snapshot()
    noted = faults if faults is not None else []
    registry = PolicyRegistry({first.policy.name: first}, first.policy.name)
    return RequestPreparer(
        registry, Identifier(b"secret", ("x-session-id",)), FaultHandler(noted.append), clock or Clock()
    )


def body(*texts: str, system: str = "", **more: Any) -> dict[str, Any]:
    """A chat body of alternating turns, the user's first."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return {"model": "m", "messages": messages, **more}


def call(given: Mapping[str, Any], **more: Any) -> Call:
    return Call(CHAT, json.dumps(given).encode(), id="dec_1", **more)


def sent_messages(of: RequestPreparer, given: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    """What would leave for this body."""
    prepared = of.prepare(call(given, **more))
    return json.loads(of.weave(prepared, CHAT).body)["messages"]
