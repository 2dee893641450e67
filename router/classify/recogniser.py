"""What serves: an artefact brought to life. numpy only, safe to call from any thread, nothing kept per conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from router.classify import answers
from router.classify.artefact import Artefact, ArtefactError, StoredBlock, StoredLanguage
from router.classify.attention import attention_of
from router.classify.belief import FEW, NOTHING_YET, SILENT, Filter, FilterState, Tree, spoken
from router.classify.blocks import restore
from router.classify.cascade import ModelCascade
from router.classify.encoder import Doubles, Floats, LinearModel, Polyglot, TokenizedText
from router.classify.languages import LanguageIdentifier
from router.classify.small_talk import small_talk
from router.classify.static import StaticTable
from router.classify.text import Spelling, last_question
from router.classify.user_words import UserWords
from router.core.evidence import Belief, Shortfall
from router.core.policy import ROOT, lineage
from router.core.ports import RecogniserState

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
        self.certificate = artefact.certificate
        self._filter = Filter(artefact.prior, artefact.stay, artefact.goes_on, artefact.weight, artefact.reply)
        columns = len(artefact.classes) + 2
        self._hosted = frozenset(artefact.hosted)
        self._cascade: ModelCascade | None = None
        try:
            self._words = UserWords(artefact.boilerplate, artefact.user_words)
            self._tree = Tree(artefact.paths, artefact.classes)
            self._model = _first(artefact, columns)
            if artefact.second is not None:
                stored = artefact.second
                second = _model(stored.blocks, stored.intercepts, stored.sharpness, columns)
                self._cascade = ModelCascade(self._model, second, stored.joint, stored.budget_s, stored.alone)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ArtefactError(f"the parts of the model do not fit together: {error}") from error

    def step(
        self, before: RecogniserState | None, text: str, reply_before: str = "", parts: Sequence[str] = ()
    ) -> tuple[RecogniserState, Belief]:
        """Return the state after a user turn, and the belief at it.

        A turn of small talk alone changes no state; a conversation may open with one that the pack has a task for. Nor
        does one in which others than the user speak.
        """
        state = before if isinstance(before, FilterState) else NOTHING_YET
        text, said = self._words.read(text, parts)
        kind = small_talk(text)
        if kind and state.belief is not None:
            return state.still_asked(reply_before), self._tree.belief(state.belief)
        if kind and kind not in self._hosted:
            return state, NO_BELIEF
        told: answers.Told = ""
        if state.belief is not None:
            told = answers.told(text, reply_before or state.asked)
            if told in answers.GOING_ON and state.is_settled(bool(reply_before)):
                beside = self._beside(text) if told == "account" else ()
                return state.still_asked(reply_before), self._tree.belief(state.belief, beside)
        part: Callable[[TokenizedText], Doubles | None]
        if self._cascade is None:
            part, shortfall = self._model.probabilities_of, None
            turn = self._model.probabilities(text)
        else:
            turn, part, shortfall = self._cascade.predict(text)
        asked = None
        if turn is not None and state.belief is None:
            turn = _opening(turn)
        elif reply_before and turn is not None and self._filter.reply:
            # The first model's guess will do: what the assistant asked need not be known so well.
            question = last_question(reply_before)
            asked = self._model.probabilities(question) if question else None
        after = self._filter.advance(state, turn, asked, told == "request")
        if after.belief is None:
            return after, Belief({}, shortfall=shortfall) if shortfall else NO_BELIEF
        if kind:
            return state, self._tree.belief(after.belief, shortfall=shortfall)
        sentences = self._sentences(said, part, shortfall) if said else ()
        return after, self._tree.belief(after.belief, sentences, shortfall)

    def scores(self, text: str) -> dict[str, float]:
        """Return the calibrated probability of each task for one message by itself, `/` for none of them.

        They sum to one. A text of which nothing is known is none of them.
        """
        text, _ = self._words.read(text)
        found = self._model.probabilities(text) if self._cascade is None else self._cascade.predict(text).turn
        if found is None:
            return {ROOT: 1.0}
        opening = _opening(found)
        tasks = opening[:-2].tolist()
        return {ROOT: float(opening[-2] + opening[-1])} | dict(zip(self._tree.classes, tasks, strict=True))

    def scores_many(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return `scores` for many messages at once. Raises EncoderFailed where a second model gives no answer."""
        if self._cascade is not None:
            self._cascade.prepare([self._words.read(text)[0] for text in texts])
        return [self.scores(text) for text in texts]

    def _sentences(
        self, parts: list[str], probabilities: Callable[[TokenizedText], Doubles | None], shortfall: Shortfall | None
    ) -> tuple[Belief, ...]:
        """Return the beliefs after the sentences that add to what the message as a whole says (`belief`)."""
        turns: list[Doubles] = []
        said: list[str] = []
        for part in parts:
            read = self._model.read(part)
            turn = probabilities(read) if self._model.asks(read) else None
            if turn is not None:
                turns.append(turn)
                if turn[-1] < SILENT:
                    said.append(part)
        found = spoken(np.array(turns))
        beliefs = [self._tree.belief(one, said=part) for one, part in zip(found, said, strict=False)]
        at = (shortfall or self).thresholds.at
        clear = [self._is_clear(belief, at) for belief in beliefs]
        asked = {belief.likeliest[0].path for belief, is_clear in zip(beliefs, clear, strict=True) if is_clear}
        enough = len(asked) >= (2 if len(found) <= FEW else 1)
        # Of what is not clear, `settle` says whether it is surely about one of a few.
        return tuple(belief for belief, is_clear in zip(beliefs, clear, strict=True) if enough or not is_clear)

    def _beside(self, text: str) -> tuple[Belief, ...]:
        """Return what an answer in free words is clearly about by itself.

        "It gets hot and smells of burning" goes on with the claim, and is about a hazard as well.
        """
        found = self._model.probabilities(text) if self._cascade is None else None
        if found is None or found[-1] >= SILENT:
            return ()
        belief = self._tree.belief(_opening(found)[:-2], said=text)
        return (belief,) if self._is_clear(belief, self.thresholds.at) else ()

    def _is_clear(self, belief: Belief, at: Callable[[str], float]) -> bool:
        """Return whether the likeliest task passes its threshold, and every node above it does."""
        return all(belief.mass.get(path, 0.0) >= at(path) for path in lineage(belief.likeliest[0].path)[1:])


def _first(artefact: Artefact, columns: int) -> LinearModel:
    """Return the model that is always asked: that of the pack's own language, or of all its languages."""
    spoken: list[Artefact | StoredLanguage] = [artefact, *artefact.languages]
    models = [
        _model(stored.blocks, stored.intercepts, stored.sharpness, columns, _spelling(stored.blocks), stored.attention)
        for stored in spoken
    ]
    if artefact.identifier is None:
        return models[0]
    known = artefact.identifier
    if len(known.words["tags"]) != len(models):
        raise ValueError("there is not one model for each language")
    identifier = LanguageIdentifier(known.words["tags"], known.words["grams"], known.arrays["weights"])
    return Polyglot(models, identifier.probabilities)


def _model(
    blocks: Sequence[StoredBlock],
    intercepts: Doubles,
    sharpness: float,
    columns: int,
    spelling: Spelling | None = None,
    attention: Floats | None = None,
) -> LinearModel:
    """Return a fitted model, ready to score. Raises KeyError, TypeError or ValueError when its parts do not fit."""
    scorers = [restore(stored.name, stored.arrays, stored.words) for stored in blocks]
    if any(scorer.width != columns for scorer in scorers) or (blocks and len(intercepts) != columns):
        raise ValueError("the weights do not fit the classes")
    attends = None if attention is None else attention_of(attention)
    return LinearModel(scorers, intercepts, sharpness, spelling, attends)


def _opening(turn: Doubles) -> Doubles:
    """Return the probabilities of a turn that opens a conversation: nothing can go on there.

    What all the same sounds most like going on ("the second one, please") stays as it is, and settles nowhere.
    """
    if turn[-1] >= SILENT:
        return turn
    opening: Doubles = turn / (1.0 - turn[-1])
    opening[-1] = 0.0
    return opening


def _spelling(blocks: Sequence[StoredBlock]) -> Spelling:
    """Return the spelling by the words of the examples; where the static table serves, its words are right as well."""
    words = {block.name: block.words for block in blocks}
    known = words.get("lexical", {}).get("words", ())
    return Spelling(known, StaticTable.load()) if "static" in words else Spelling(known)
