"""Training data: what a fit needs of a policy (`Material`), and the rows that a model is fitted to (`TrainingSet`).

The material crosses to the fitting process as JSON, and its digest names the artefact: an edit of instruction texts,
which changes the revision but not what is recognised, does not cost a fit.

The rows a model is fitted to, beside the examples themselves:

- What each task says it is `about`: one more row, never held out, so it counts as words of the task and not as proof.
- Texts that no task answers ("none of these"): the pack's own, filled up with shipped ones.
- Turns that only go on with what was said: shipped ones.
- The users' turns of labelled dialogues, but for small talk: what people say in mid-conversation, with its task.

A shipped text that resembles an example of the pack is left out (`NearestExamples`): what no task is supposed to answer
("tell me a joke") may be exactly what a task of this pack is for.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np

from router.classify import blocks
from router.classify.encoder import Doubles, Flags, Floats, Integers, Matrix, TokenizedText, tokenized
from router.classify.fit.certify import Acceptance
from router.classify.shipped import MAIN, background
from router.classify.small_talk import small_talk
from router.classify.text import last_question, tokens
from router.classify.user_words import own_words
from router.core.evidence import Tolerance
from router.core.policy import ROOT, Dialogue, EncoderCascade, Policy


@dataclass(frozen=True, slots=True)
class Material:
    """Paths in pre-order, examples and first words on what it is about by path, and what holds for all.

    `unrelated` are the pack's own texts that no task answers. `generated` are those examples, by path and text, `/` for
    unrelated ones, that no customer wrote. `languages` are texts with the tag of their language, where that is not the
    pack's own. `courtesy` are tasks that are none beside a request.
    """

    paths: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    about: tuple[tuple[str, str], ...]
    unrelated: tuple[str, ...]
    boilerplate: tuple[str, ...]
    asked: Acceptance
    encoder: str = "static"
    cascade: EncoderCascade | None = None
    dialogues: tuple[Dialogue, ...] = ()
    generated: tuple[tuple[str, str], ...] = ()
    languages: tuple[tuple[str, str], ...] = ()
    courtesy: tuple[str, ...] = ()
    user_words: tuple[str, ...] = ()

    @classmethod
    def of(cls, policy: Policy) -> Material:
        """Return the material of a policy. Examples at `/` are texts that no task answers."""
        paths = tuple(sorted(policy.tasks, key=lambda path: path.split("/") if path != ROOT else []))
        settings = policy.settings
        return cls(
            paths=paths,
            examples=tuple((path, text) for path in paths if path != ROOT for text in policy.tasks[path].examples),
            about=tuple((path, policy.tasks[path].about.split(". ")[0]) for path in paths if policy.tasks[path].about),
            unrelated=(*policy.unrelated, *policy.tasks[ROOT].examples),
            boilerplate=policy.boilerplate,
            asked=Acceptance(
                accepted=Tolerance(settings.error, settings.unconditional, settings.exposure),
                longest=settings.shortlist,
                threshold_sure=settings.threshold_sure,
                threshold_shortlist=settings.threshold_shortlist,
                high_stakes=tuple(path for path in paths if policy.tasks[path].stakes == "high"),
            ),
            encoder=settings.encoder,
            cascade=settings.cascade,
            dialogues=policy.dialogues,
            generated=tuple(sorted(policy.generated)),
            languages=tuple(sorted(policy.languages.items())),
            courtesy=tuple(path for path in paths if policy.tasks[path].courtesy),
            user_words=policy.user_words,
        )

    @property
    def written(self) -> list[tuple[str, str]]:
        """The examples that customers wrote: what is not generated."""
        made = frozenset(self.generated)
        return [example for example in self.examples if example not in made]

    def by_language(self) -> dict[str, Material]:
        """Return the material of each language, the pack's own first.

        Where all texts of a task are in other languages they count as the pack's own: each task is known there.
        """
        tags = dict(self.languages)
        own = {path for path, text in self.examples if text not in tags}
        tag_of = {(path, text): tags.get(text, MAIN) if path in own else MAIN for path, text in self.examples}
        found = {MAIN: self._part(tag_of, MAIN)}
        for tag in sorted(set(tag_of.values()) - {MAIN}):
            found[tag] = replace(self._part(tag_of, tag), about=(), dialogues=(), cascade=None)
        return found

    def _part(self, tag_of: Mapping[tuple[str, str], str], tag: str) -> Material:
        tags = dict(self.languages)
        return replace(
            self,
            examples=tuple(example for example in self.examples if tag_of[example] == tag),
            unrelated=tuple(text for text in self.unrelated if tags.get(text, MAIN) == tag),
        )

    def dump(self) -> str:
        """Return the JSON form. Lone surrogates survive, escaped."""
        return json.dumps(msgspec.to_builtins(self), ensure_ascii=True)

    @classmethod
    def load(cls, text: str) -> Material:
        """Return the material that `dump` wrote. Raises ValueError or msgspec.ValidationError for anything else."""
        return msgspec.convert(json.loads(text), cls)

    def digest(self, recipe: str) -> str:
        """Return the name of what a fit by this recipe gives: 64 hexadecimal digits."""
        return hashlib.sha256(f"{recipe}\n{self.dump()}".encode()).hexdigest()


NONE, GOES_ON = ROOT, "…"
"""The two classes that are not tasks. They stand last."""

ABOUT_WEIGHT = 2.0
"""Of the row of `about`, in examples. Out of fold on the shipped pack: 78.2 % of the rows right without, 80.7 with."""

NONE_WEIGHT, GOES_ON_WEIGHT = 0.25, 0.17
LEAST_WEIGHT = 0.5
"""How much all rows of such a class count for together, in average tasks: so much times the square root of the number
of tasks. Draws from CLINC150, foreign messages that settled and messages that settled on their own task: 6 tasks of 8
examples 4 % and 82 % (with a weight of three tasks 0 % and 66 %, with a third of one 31 % and 87 %). At 150 tasks of 10
examples a weight of three is right: accuracy in scope 83 %, and five points less with every row at its full weight."""

ENOUGH_NONE = 30
"""With so many unrelated texts of its own a pack needs none of the shipped ones."""


class DialogueRow(NamedTuple):
    """A user's turn of a labelled dialogue: its row, the assistant's question before it, and the task it is at.

    `row` is -1 where the turn has none: small talk, or a text without words.
    """

    row: int
    question: str
    task: str


@dataclass(frozen=True)
class TrainingSet:
    """Texts with their class numbers and weights.

    `classes` are the tasks with examples, in pre-order; the numbers of NONE and GOES_ON follow. `groups` gives a number
    for the top-level branch of each class.

    Of each row, `held` says whether it may be held out to judge a model by, `own` whether the pack itself holds it (the
    others are shipped), `generated` whether no customer wrote it, `opening` whether it asks for something by
    itself (turns in mid-dialogue need not), and `talk` which of the `dialogues` it is from, -1 for none.
    """

    classes: tuple[str, ...]
    groups: Integers
    texts: tuple[str, ...]
    labels: Integers
    weights: Doubles
    held: Flags
    own: Flags
    generated: Flags
    opening: Flags
    talk: Integers
    dialogues: tuple[tuple[DialogueRow, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def texts_at(self, rows: Integers) -> list[str]:
        """Return the texts of some rows."""
        return [self.texts[at] for at in rows.tolist()]

    def readings_at(self, rows: Integers) -> list[TokenizedText]:
        """Return some rows as the blocks read them."""
        return [self.readings[at] for at in rows.tolist()]

    @cached_property
    def readings(self) -> tuple[TokenizedText, ...]:
        """All rows as the blocks read them."""
        return tuple(map(tokenized, self.texts))

    def part(self, rows: Integers, tasks: Integers) -> TrainingSet:
        """Return some rows, with some of the tasks as the only ones; the rows are of these or of no task."""
        kept = [*tasks.tolist(), len(self.classes), len(self.classes) + 1]
        number = np.zeros(len(self.groups), np.int64)
        number[kept] = np.arange(len(kept))
        return TrainingSet(
            classes=tuple(self.classes[at] for at in tasks.tolist()),
            groups=np.unique(self.groups[kept], return_inverse=True)[1],
            texts=tuple(self.texts_at(rows)),
            labels=number[self.labels[rows]],
            weights=self.weights[rows],
            held=self.held[rows],
            own=self.own[rows],
            generated=self.generated[rows],
            opening=self.opening[rows],
            talk=self.talk[rows],
        )

    @property
    def truths(self) -> tuple[str, ...]:
        """The path each row belongs to; `/` for both classes that are not tasks."""
        names = (*self.classes, ROOT, ROOT)
        return tuple(names[label] for label in self.labels.tolist())


class _Row(NamedTuple):
    """A row by the name of its class; fields as in `TrainingSet`."""

    name: str
    text: str
    weight: float = 1.0
    held: bool = True
    own: bool = True
    generated: bool = False
    opening: bool = True
    talk: int = -1


def training_set(material: Material, language: str = MAIN) -> TrainingSet | None:
    """Return the rows to fit to; None when there is no usable example at all."""
    examples = _written(material.examples, material)
    turns, dialogues = _turns(material.dialogues, len(examples))
    asked = examples + [row for row in turns if row.name != ROOT]
    known = {row.name for row in asked}
    classes = tuple(path for path in material.paths if path in known)
    if not classes:
        return None
    none = _written([(NONE, raw) for raw in material.unrelated], material)
    neighbours = NearestExamples(material.encoder, [row.text for row in asked])
    if len(none) < ENOUGH_NONE:
        none += [_Row(NONE, text, own=False) for text in neighbours.unlike(background("unrelated", language))]
    goes_on = neighbours.unlike(background("follow_ups", language))
    average = len(asked) / len(classes)
    weight_none = _share(NONE_WEIGHT, len(classes)) * average / len(none)
    weight_goes_on = _share(GOES_ON_WEIGHT, len(classes)) * average / len(goes_on)
    rows = examples + turns + [row._replace(weight=weight_none) for row in none]
    rows += [_Row(GOES_ON, text, weight_goes_on, own=False) for text in goes_on]
    rows += [
        _Row(path, text, ABOUT_WEIGHT, held=False, own=False)
        for path, text in material.about
        if path in classes and tokens(text)
    ]
    number = {name: at for at, name in enumerate((*classes, NONE, GOES_ON))}
    branches = [path.split("/")[1] for path in classes] + [NONE, GOES_ON]
    return TrainingSet(
        classes=classes,
        groups=np.array([list(dict.fromkeys(branches)).index(branch) for branch in branches], np.int64),
        texts=tuple(row.text for row in rows),
        labels=np.array([number[row.name] for row in rows], np.int64),
        weights=np.array([row.weight for row in rows]),
        held=np.array([row.held for row in rows]),
        own=np.array([row.own for row in rows]),
        generated=np.array([row.generated for row in rows]),
        opening=np.array([row.opening for row in rows]),
        talk=np.array([row.talk for row in rows], np.int64),
        dialogues=dialogues,
    )


def _written(given: Iterable[tuple[str, str]], material: Material) -> list[_Row]:
    """Return the pack's own messages, given by class, as rows; those without words teach nothing."""
    machines = frozenset(material.generated)
    cleaned = ((name, raw, own_words(raw)[0]) for name, raw in given)
    return [_Row(name, text, generated=(name, raw) in machines) for name, raw, text in cleaned if tokens(text)]


def _turns(dialogues: Sequence[Dialogue], first: int) -> tuple[list[_Row], tuple[tuple[DialogueRow, ...], ...]]:
    """Return the users' turns as rows, the first of which will be row `first`, and the dialogues that refer to them."""
    rows: list[_Row] = []
    found: list[tuple[DialogueRow, ...]] = []
    for talk, dialogue in enumerate(dialogues):
        said: list[DialogueRow] = []
        question, before = "", None
        for turn in dialogue.turns:
            if turn.role == "assistant":
                question = last_question(turn.text)
                continue
            text = own_words(turn.text)[0]
            row = -1
            if tokens(text) and not small_talk(text):
                row = first + len(rows)
                rows.append(_Row(turn.task, text, opening=turn.task != before, talk=talk))
            said.append(DialogueRow(row, question, turn.task))
            question, before = "", turn.task
        found.append(tuple(said))
    return rows, tuple(found)


def _share(weight: float, tasks: int) -> float:
    return max(LEAST_WEIGHT, weight * math.sqrt(tasks))


NEAR = 0.5
"""A text is left out when its nearest example is nearer than this quantile of the examples' own distances to their
nearest neighbours: then it is as much like the pack as the pack is like itself."""

LEAST = 10
"""So many texts stay in any case, the least alike first."""

MOST_ROWS = 3_000
"""Of a larger pack, examples drawn evenly stand for all."""


class NearestExamples:
    """The examples of a pack, to measure other texts against: by meaning where the encoder has it, else by words."""

    def __init__(self, encoder: str, examples: Sequence[str]) -> None:
        drawn = list(examples[:: -(-len(examples) // MOST_ROWS)])
        self._features = blocks.learn("lexical" if encoder == "lexical" else "static", drawn)
        self._examples = self._unit(drawn)
        among = self._examples @ self._examples.T
        among[np.diag_indices_from(among)] = -1.0
        self._near = float(np.quantile(among.max(axis=1), NEAR)) if len(drawn) > 1 else 1.0

    def unlike(self, texts: Sequence[str]) -> list[str]:
        """Return the texts that stand apart, in their order."""
        likeness = (self._unit(texts) @ self._examples.T).max(axis=1)
        order = np.argsort(likeness, kind="stable")
        kept = set(order[: max(LEAST, int((likeness < self._near).sum()))].tolist())
        return [text for at, text in enumerate(texts) if at in kept]

    def _unit(self, texts: Sequence[str]) -> Floats:
        return _dense(self._features.rows(list(map(tokenized, texts)))).astype(np.float32)


def _dense(matrix: Matrix) -> Doubles:
    """Return a matrix with its rows at length one."""
    if isinstance(matrix, np.ndarray):
        return matrix
    dense = np.zeros((len(matrix), matrix.width))
    np.add.at(dense, (np.repeat(np.arange(len(matrix)), np.diff(matrix.starts)), matrix.columns), matrix.values)
    dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)
    return dense
