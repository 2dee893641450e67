"""Generated conversations as clients write them, and what is decided about them: for the laws of every wire format."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import strategies as st

from router.core.compose import CASES, NOTHING_MORE, OPENING, is_frame
from router.core.decision import Decision, Piece, Settled
from router.core.evidence import Likely
from router.core.policy import Level, lineage, title
from router.core.ports import Capability, Weaving
from tests.support.reading import NONCE

OURS = ("system", "developer")
SPEAKING = ("classified", "shortlisted", "unclassified", "unavailable")

FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

SPACES = ["", "", "", " ", "\n", "\t ", "\r\n  "]
TEXTS = ["Hi", 'She said: "no".', "a\\", "\n\n", "Grüße 😀\u2028", "<instructions>\n", '{"role":"user"},', "]", "/"]


def written(value: Any, taste: random.Random) -> str:
    """A JSON value as some client may write it: white space, key order and escapes are a matter of taste."""

    def spaced(text: str) -> str:
        return taste.choice(SPACES) + text + taste.choice(SPACES)

    if isinstance(value, dict):
        pairs = taste.sample(list(value.items()), len(value))
        return "{" + ",".join(spaced(json.dumps(k)) + ":" + spaced(written(v, taste)) for k, v in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spaced(written(v, taste)) for v in value) + "]"
    return json.dumps(value, ensure_ascii=taste.random() < 0.5)


TASTES = st.integers(0, 2**32).map(random.Random)
TEXT = st.sampled_from([*TEXTS, ""])

PIECES = [
    Piece(f"{task}:{i}", task, Level.BRIEF, text + task, 3)
    for task in ("/", "/a", "/a/b", "/a/d", "/c")
    for i, text in enumerate(("Be kind.", 'Say "no".\n\\', "Grüße 😀"))
]
CHANGING = [Piece("tier", "/", Level.BRIEF, f"Tier: {tier}.", 3) for tier in ("free", "pro")]
CLOCKS = [Piece("clock", "/", Level.BRIEF, f"It is 10:0{i}, now.", 4, volatile=True) for i in range(3)]


def as_cases(cases: Mapping[str, Sequence[Piece]]) -> tuple[Piece, ...]:
    """Pieces said as the cases of a shortlist, with the frame around them."""

    def frame(path: str, name: str, text: str) -> Piece:
        return Piece(f"case:{path}:{name}", path, Level.BRIEF, text, 5, case=path)

    said = [Piece(OPENING, "/", Level.BRIEF, CASES, 30, case=OPENING)]
    for path, pieces in cases.items():
        said.append(frame(path, "heading", f"Case: {title(path)}"))
        said += [replace(piece, case=path) for piece in pieces] or [frame(path, "nothing", NOTHING_MORE)]
    return tuple(said)


LISTS = [(), (), ("/a/b", "/c"), ("/c", "/a/b"), ("/a/b", "/a/d"), ("/a/d", "/c", "/a/b")]


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """A decision of any outcome, with a shortlist or none: its tasks say each a text of their own or none."""
    path = draw(st.sampled_from(["/", "/a", "/a/b", "/c"]))
    mix = draw(st.lists(st.sampled_from(PIECES), unique=True, max_size=5))
    cue = draw(st.sampled_from([[], CHANGING[:1], CHANGING[1:]]))
    outcome = draw(st.sampled_from([*["classified"] * 5, "unclassified", "unavailable", "skipped", "bypassed"]))
    listed = draw(st.sampled_from(LISTS))
    if not listed:
        return Decision("r1", outcome, (Settled(path, 0.9, 0.5),), mix=(*mix, *cue))
    plain = lineage(path)
    cases = {
        task: [
            piece
            for piece in draw(st.lists(st.sampled_from(PIECES), unique=True, max_size=4))
            if piece.task in lineage(task) and piece.task not in plain
        ]
        for task in listed
    }
    likely = tuple(Likely(task, 0.3) for task in listed)
    if outcome == "classified" and path in ("/", "/a"):
        outcome = "shortlisted"
    mix = [piece for piece in mix if piece.task in plain]
    return Decision("r1", outcome, (Settled(path, 0.9, 0.5),), likely, mix=(*mix, *cue, *as_cases(cases)))


DECISIONS = decisions()
NAMES = {"/a/b": 'The "b" of \\ a', "/c": "Grüße 😀"}
WEAVINGS = st.builds(
    lambda place, mid, roles, marks, least, nonce: Weaving(
        place,
        capability=Capability(mid, frozenset({*roles, "user", "assistant"}), marks, least),
        names=NAMES,
        nonce=nonce,
    ),
    st.sampled_from(["after", "before", "replace"]),
    st.sampled_from(["system", "developer", "user_block"]),
    st.sampled_from([OURS, OURS[:1], OURS[1:], ()]),
    st.sampled_from(["off", "off", "auto", "always"]),
    st.sampled_from([1, 8, 1024]),
    st.sampled_from(["", NONCE]),
)


def speaks(decision: Decision) -> bool:
    """Whether a decision has something to say."""
    return decision.outcome in SPEAKING and bool(decision.mix)


def instructions(decision: Decision) -> list[Piece]:
    """What a decision says, without the frame of its cases."""
    return [piece for piece in decision.mix if not is_frame(piece)]


def texts_of(content: Any) -> list[str]:
    """The texts of a message's content."""
    return [content] if isinstance(content, str) else [part.get("text", "") for part in content or ()]


def is_extended(was: Any, now: Any, kind: str) -> bool:
    """Whether content is what it was, unchanged, with text of ours at one end; a marked text makes it parts."""
    if isinstance(now, str):
        return not isinstance(was, list) and (now.startswith(was or "") or now.endswith(was or ""))
    if not isinstance(was, list):
        was = [{"type": kind, "text": was}] if was else []
    size = len(was)
    return size < len(now) <= size + 2 and was in (now[:size], now[len(now) - size :])
