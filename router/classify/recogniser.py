"""What serves: an artefact brought to life. numpy only, safe to call from any thread, nothing kept per conversation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from router.classify.artefact import Artefact, ArtefactError
from router.classify.calibration import softmax
from router.classify.encoder import Doubles, Encoder, Scorer
from router.classify.filtering import NOTHING_YET, Filter, Memory
from router.classify.lexical import Lexical
from router.classify.mass import Tree
from router.classify.text import Boilerplate, clip, sentences
from router.core.evidence import Belief
from router.core.policy import ROOT
from router.core.ports import State

ENCODERS: Mapping[str, Encoder] = {Lexical.name: Lexical()}

NO_BELIEF = Belief({})


class LinearRecogniser:
    """Recognises by an artefact. Implements `router.core.ports.Recogniser`.

    Raises ArtefactError when the parts of the artefact do not fit together.
    """

    inline = True

    def __init__(self, artefact: Artefact) -> None:
        self.artefact = artefact
        self.thresholds = artefact.thresholds
        self._filter = Filter(artefact.prior, artefact.stay, artefact.goes_on, artefact.weight)
        self._scorer: Scorer | None = None
        self._class_thresholds = np.array([artefact.thresholds.at(path) for path in artefact.classes])
        self._scaled_intercepts = artefact.intercepts * artefact.sharpness
        try:
            self._boilerplate = Boilerplate(artefact.boilerplate)
            self._tree = Tree(artefact.paths, artefact.classes)
            if artefact.classes:
                self._scorer = ENCODERS[artefact.encoder].restore(artefact.arrays, artefact.words)
                if self._scorer.width != len(artefact.classes) + 2:
                    raise ValueError("the weights do not fit the classes")
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ArtefactError(f"the parts of the model do not fit together: {error}") from error

    def step(self, before: State | None, text: str, reply_before: str = "") -> tuple[State, Belief]:
        """Return the state after a user turn, and the belief at it. This model does not use `reply_before`."""
        memory = before if isinstance(before, Memory) else NOTHING_YET
        text = clip(self._boilerplate.strip(text))
        after = self._filter.advance(memory, self._probabilities(text))
        if after.belief is None:
            return after, NO_BELIEF
        mass = self._tree.mass(after.belief)
        parts = sentences(text)
        if not parts:
            return after, Belief(mass)
        return after, Belief(mass, self._sentences(parts, after.belief))

    def scores(self, text: str) -> dict[str, float]:
        """Return the calibrated probability of each task for one message by itself, `/` for none of them.

        They sum to one. A text of which nothing is known is none of them.
        """
        found = self._probabilities(clip(self._boilerplate.strip(text)))
        if found is None:
            return {ROOT: 1.0}
        tasks = found[:-2].tolist()
        return {ROOT: float(found[-2] + found[-1])} | dict(zip(self._tree.classes, tasks, strict=True))

    def _probabilities(self, text: str) -> Doubles | None:
        if self._scorer is None:
            return None
        found = self._scorer.score(text)
        if found is None:
            return None
        return softmax(found * self.artefact.sharpness + self._scaled_intercepts)

    def _sentences(self, parts: list[str], belief: Doubles) -> tuple[Mapping[str, float], ...]:
        """Return the masses of the sentences that carry information.

        A sentence is weighed like a turn that follows the whole message: one that adds nothing stays with what the
        message is about. It is kept where it asks for one task clearly; what merely sounds like a domain ("the parcel
        came on Monday") is part of a story, not a second request.
        """
        found = [turn for turn in map(self._probabilities, parts) if turn is not None and turn[-1] < 0.5]
        if len(found) < 2:
            return ()
        weighed = self._filter.weigh(belief, np.array(found))
        clear = weighed.max(axis=1) >= self._class_thresholds[weighed.argmax(axis=1)]
        return tuple(self._tree.mass(after) for after in weighed[clear])
