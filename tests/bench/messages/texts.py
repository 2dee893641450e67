"""The texts that lie in this folder (see README.md), and the ways a message is set among other words."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from router.core.policy import ROOT

HERE = Path(__file__).parent
SEEN_FRAMES = HERE.parents[1] / "classify" / "frames.jsonl"
LANGUAGES = ("English", "German", "French", "Spanish", "Italian", "Portuguese", "Dutch", "Polish")
SEEN, UNSEEN, ALL = "seen", "unseen", "all"
FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Message:
    """A message to the help desk; without tasks it is one that no task answers."""

    text: str
    tasks: tuple[str, ...]
    style: str
    half: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A turn in which others than the user speak. `expect`: `reach` the task, `back_off`, or `keep` the task before."""

    parts: tuple[str, ...]
    earlier: tuple[tuple[str, str], ...]
    own: str
    task: str
    expect: str
    half: str

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task as a list; none where the root is all that applies."""
        return () if self.task == ROOT else (self.task,)


class Around(NamedTuple):
    """What a story says before and after what is asked."""

    before: str
    after: str


Halved = TypeVar("Halved", Message, Frame)


def messages(language: str) -> tuple[Message, ...]:
    """Return the messages in a language, both halves."""
    found = _lines(HERE / f"{language.lower()}.jsonl")
    return tuple(Message(one["text"], tuple(one["tasks"]), one["style"], one["half"]) for one in found)


def frames() -> tuple[Frame, ...]:
    """Return the framed turns, both halves."""
    return tuple(
        Frame(tuple(one["parts"]), tuple(map(tuple, one["earlier"])), one["own"], one["task"], one["expect"], half)
        for path, half in ((SEEN_FRAMES, SEEN), (HERE / "frames_unseen.jsonl", UNSEEN))
        for one in _lines(path)
    )


def of_half(rows: Iterable[Halved], half: str) -> list[Halved]:
    """Return the rows of a half, or all."""
    return [row for row in rows if half in (ALL, row.half)]


def stories() -> tuple[Around, ...]:
    """Return what stands around a request in a story."""
    return tuple(Around(one["before"], one["after"]) for one in _lines(HERE / "fillers.jsonl"))


def appended() -> tuple[str, ...]:
    """Return what is said in the same breath, twenty words or so each."""
    return tuple((HERE / "appended.txt").read_text(encoding="utf-8").splitlines())


def in_a_story(text: str, around: Around) -> str:
    """Return a message as one sentence of a story.

    >>> in_a_story("where is it", Around("It rained.", "Bye."))
    'It rained. Where is it. Bye.'
    """
    asked = text[:1].upper() + text[1:]
    if not asked.endswith((".", "?", "!")):
        asked += "."
    return " ".join(filter(None, (around.before, asked, around.after)))


def with_words(text: str, words: str) -> str:
    """Return a message that goes on in the same sentence.

    >>> with_words("Where is it.", "I ask because it rains")
    'Where is it I ask because it rains'
    """
    return f"{text.rstrip('. ')} {words}"


def long_messages(words: int = 200, seed: int = 11) -> Iterator[str]:
    """Yield stories of about so many words around what a customer asks, none ever twice: an order number is drawn."""
    draw = random.Random(seed)
    told = [around.before for around in stories() if around.before]
    asked = [message.text for message in messages(LANGUAGES[0]) if message.tasks]
    short = [text for text in asked if len(text.split()) <= 40]
    while True:
        said = [f"{draw.choice(short)} It is order {draw.randrange(10**7, 10**8)}."]
        while (left := words - len(" ".join(said).split())) > 0:
            more = draw.choice(told).split()[:left]
            said.insert(draw.randrange(len(said) + 1), " ".join(more))
        yield " ".join(said)


def _lines(path: Path) -> Sequence[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
