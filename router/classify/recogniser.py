"""What serves: an artefact brought to life. numpy only, safe to call from any thread, nothing kept per conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from router.classify.artefact import Artefact, ArtefactError, StoredBlock
from router.classify.belief import FEW, NOTHING_YET, SILENT, Filter, Memory, Tree, spoken
from router.classify.blocks import block
from router.classify.cascade import Alone, Cascade, Heard, Voice
from router.classify.cleaning import heard
from router.classify.encoder import Doubles, Reading, read
from router.classify.small_talk import small_talk
from router.classify.static import StaticTable
from router.classify.text import Boilerplate, Spelling, last_question, sentences, tokens
from router.core.evidence import Belief
from router.core.policy import ROOT, lineage
from router.core.ports import State

NO_BELIEF = Belief({})

DEADLINE_S = 0.025
"""How long a request may be held up by recognition, beside what a second model is given."""

STEPS_BORNE = 3
"""A conversation that is seen for the first time may ask the second model at several of its turns; so many budgets are
waited for."""


class LinearRecogniser:
    """Recognises by an artefact. Implements `router.core.ports.Recogniser`.

    Raises ArtefactError when the parts of the artefact do not fit together.
    """

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.inline = artefact.second is None
        self.deadline_s = DEADLINE_S + (STEPS_BORNE * artefact.second.budget_s if artefact.second else 0.0)
        self.thresholds = artefact.thresholds
        self.certificates = artefact.certificates
        self._filter = Filter(artefact.prior, artefact.stay, artefact.goes_on, artefact.weight, artefact.reply)
        columns = len(artefact.classes) + 2
        self._hosted = frozenset(artefact.hosted)
        self._lineages = [lineage(path)[1:] for path in artefact.classes]
        try:
            self._boilerplate = Boilerplate(artefact.boilerplate)
            self._tree = Tree(artefact.paths, artefact.classes)
            spelling = _spelling(artefact)
            first = _voice(
                artefact.blocks,
                artefact.intercepts,
                artefact.sharpness,
                columns,
                lambda text: Reading(text, spelling.read(tokens(text))),
            )
            self._model: Alone | Cascade = Alone(first)
            if artefact.second is not None:
                stored = artefact.second
                second = _voice(stored.blocks, stored.intercepts, stored.sharpness, columns)
                self._model = Cascade(first, second, stored.joint, stored.budget_s, stored.alone)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ArtefactError(f"the parts of the model do not fit together: {error}") from error

    def step(self, before: State | None, text: str, reply_before: str = "") -> tuple[State, Belief]:
        """Return the state after a user turn, and the belief at it.

        A turn of small talk alone changes no state; a conversation may open with one that the pack has a task for.
        """
        memory = before if isinstance(before, Memory) else NOTHING_YET
        text = self._own_words(text)
        kind = small_talk(text)
        if kind and memory.belief is not None:
            return memory, Belief(self._tree.mass(memory.belief))
        if kind and kind not in self._hosted:
            return memory, NO_BELIEF
        found = self._model.hear(text)
        turn = found.turn
        if turn is not None and memory.belief is None:
            turn = _opening(turn)
        after = self._filter.advance(memory, turn, self._asked(memory, turn, reply_before))
        if after.belief is None:
            return after, Belief({}, shortfall=found.shortfall) if found.shortfall else NO_BELIEF
        mass = self._tree.mass(after.belief)
        if kind:
            return memory, Belief(mass, shortfall=found.shortfall)
        return after, Belief(mass, self._sentences(text, found), found.shortfall)

    def _own_words(self, text: str) -> str:
        return heard(self._boilerplate.strip(text))

    def _asked(self, memory: Memory, turn: Doubles | None, reply: str) -> Doubles | None:
        """Return the probabilities of the assistant's last question, where the filter weighs them."""
        if not reply or turn is None or memory.belief is None or not self._filter.reply:
            return None
        asked = last_question(reply)
        return self._model.guess(asked) if asked else None

    def scores(self, text: str) -> dict[str, float]:
        """Return the calibrated probability of each task for one message by itself, `/` for none of them.

        They sum to one. A text of which nothing is known is none of them.
        """
        return self._named(self._model.hear(self._own_words(text)).turn)

    def scores_many(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return `scores` for many messages at once. Raises EncoderFailed where a second model gives no answer."""
        self._model.prepare([self._own_words(text) for text in texts])
        return [self.scores(text) for text in texts]

    def _named(self, found: Doubles | None) -> dict[str, float]:
        if found is None:
            return {ROOT: 1.0}
        opening = _opening(found)
        tasks = opening[:-2].tolist()
        return {ROOT: float(opening[-2] + opening[-1])} | dict(zip(self._tree.classes, tasks, strict=True))

    def _sentences(self, text: str, whole: Heard) -> tuple[Mapping[str, float], ...]:
        """Return the masses of the sentences that are heard (`parts`)."""
        parts = sentences(text)
        if len(parts) < 2:
            return ()
        found = spoken(np.array([turn for turn in map(whole.part, parts) if turn is not None]))
        masses = [(self._tree.mass(asked), asked) for asked in found]
        at = (whole.shortfall or self).thresholds.at
        clear = [(mass, int(asked.argmax())) for mass, asked in masses if self._is_clear(mass, asked, at)]
        enough = 2 if len(found) <= FEW else 1
        return tuple(mass for mass, _ in clear) if len({task for _, task in clear}) >= enough else ()

    def _is_clear(self, mass: Mapping[str, float], belief: Doubles, at: Callable[[str], float]) -> bool:
        """Return whether the likeliest task passes its threshold, and every node above it does."""
        return all(mass.get(path, 0.0) >= at(path) for path in self._lineages[belief.argmax()])


def _voice(
    blocks: Sequence[StoredBlock],
    intercepts: Doubles,
    sharpness: float,
    columns: int,
    reader: Callable[[str], Reading] = read,
) -> Voice:
    """Return a fitted model, ready to score. Raises KeyError, TypeError or ValueError when its parts do not fit."""
    scorers = [block(stored.name).restore(stored.arrays, stored.words) for stored in blocks]
    if any(scorer.width != columns for scorer in scorers) or (blocks and len(intercepts) != columns):
        raise ValueError("the weights do not fit the classes")
    return Voice(scorers, intercepts, sharpness, reader)


def _opening(turn: Doubles) -> Doubles:
    """Return the probabilities of a turn that opens a conversation: nothing can go on there.

    What all the same sounds most like going on ("the second one, please") stays as it is, and settles nowhere.
    """
    if turn[-1] >= SILENT:
        return turn
    opening: Doubles = turn / (1.0 - turn[-1])
    opening[-1] = 0.0
    return opening


def _spelling(artefact: Artefact) -> Spelling:
    """Return the spelling by the words of the examples; where the static table serves, its words are right as well."""
    words = {block.name: block.words for block in artefact.blocks}
    known = words.get("lexical", {}).get("words", ())
    return Spelling(known, StaticTable.load()) if "static" in words else Spelling(known)
