"""Belief: the filter along a conversation, the mass of every node of the tree, and what single sentences add.

*The conversation filter* weighs what a turn says against what the conversation was about.

A user turn either *opens* (it asks for something, in words like the examples') or *goes on* (a "yes", a number, a
detail). With b the belief before the turn, p the calibrated probabilities of the turn by itself, l = p / prior the
likelihoods they stand for, and u the likelihood of "goes on" (a class of its own, fitted to shipped turns that mean
nothing by themselves):

    belief(task)  ~  stay b(task) (goes_on u + (1 - goes_on) l(task))      the conversation stays with its task
                   + (1 - held) prior(task) l(task) ^ weight               or a task is opened: another, or this anew

where held = stay sum(b) + away (1 - sum(b)) is the probability that nothing is opened. Both lines are then weighed by
what the assistant asked last, read by the same model and to a small power: "At what time should the table be?" makes of
"at seven" a reservation. It tells the tasks apart and says nothing on "none of these".

"None of these" is a place to be as the tasks are, with two numbers of its own. A conversation that has left the tasks
is likely to stay away (`away`): what follows is about something else as well, in words that the tasks know ("from San
Jose, on the 8th"). And where a conversation that was about a task turns by a turn that asks for something (`answers`),
its prior is the share `foreign` of all that it may turn to. At the first turn nothing is held and the belief is the
turn's own.

A turn of which no word is known, one that only greets, thanks, takes leave or says yes (`small_talk`), an answer to
what was asked (`answers`), and a turn that most likely just goes on, leave the belief exactly where it was, whatever
the assistant said: decisions must not drift while somebody says "ok".

An earlier task is returned to as any other is turned to, by words for it. To remember the beliefs of earlier turns and
to open them more easily was tried, and cost half a point to three points on the dialogues below.

Pure: the state after a turn is a function of the state before it and of the turn. Constant work per turn.

Measured on the development dialogues of Schema-Guided Dialogue (Rastogi et al. 2020), with a lexical model fitted to
the turns that open a task, 3,434 turns: 79.1 % right (80.1 % of those that open a task, 78.6 % of the others); without
the assistant's question 77.8 %, also without the list of small talk 76.4 %, the last turn alone 39 %. With stay between
.85 and .9, goes_on between .5 and .7, weight between 1 and 1.3 and reply between .15 and .35 all lie within one point.
With a model fitted to all turns of the labelled dialogues: 83.5 %, and 82.0 % without the assistant's question.

*Drift*, measured with packs of half of those services, a hundred openings of a fourth as their own unrelated texts, on
dialogues without that fourth (six draws, 1,352 turns that had drifted from a task to a service that the pack lacks,
7,239 turns for its tasks): 9.8 % of the drifted turns are told of a task, 27.3 % where "none of these" held nothing to
stay with and a new request was as seldom foreign as the prior has it; of such turns in dialogues that never were at a
task 3.6 instead of 12.0 %. Accuracy is the same (80.6 %), but fewer of the turns for the pack's tasks are sure enough
to be told of theirs: 53 instead of 63 %, and one or two points less in a pack that has all services.

*The tree* makes of the probabilities of classes the mass of every node. Nodes in pre-order have their subtrees in one
stretch, so the mass of each is a difference of two cumulative sums and a node can never weigh more than its parent.

*Single sentences* add to what the message as a whole says. They count where two of them ask for different tasks
clearly, or one does in a long message. All else is part of a story: one clear sentence among few, and what merely
sounds like a domain. One that is surely about one of a few tasks, but not which, counts where the message as a whole is
settled on another task.

A sentence counted wrongly costs as much as a message taken wrongly, so the certified thresholds rise with every way of
counting more. On Banking77 at 10 examples a task, where messages tell stories, they let 44 and 36 % of the examples
pass (two draws) when any clear sentence counted, 50 and 47 % with this rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from router.classify.encoder import Doubles
from router.core.evidence import LEAST_LISTED, MASS_DIGITS, MASS_FLOOR, MOST_LISTED, Belief, Likely, Shortfall
from router.core.policy import ROOT

STAY = 0.9
"""That the next turn belongs to the same task. Lower than in life, so that a clear new request moves at once."""

GOES_ON = 0.6
"""That a turn which stays only goes on, instead of asking for its task anew."""

WEIGHT = 1.3
"""Power of the likelihoods by which a task is opened in mid-conversation: a clear request counts for more than what was
believed, a vague one for less."""

REPLY = 0.25
"""Power of the likelihoods of the assistant's last question. An assistant speaks at length of what was not asked."""

AWAY = 0.5
"""That the next turn is for none of the tasks again, after one that was for none."""

FOREIGN = 0.1
"""The share of foreign ones among the requests to which a conversation turns. The prior says nothing of it: it has the
weight of the rows that a model was fitted to. More leaves fewer wrong texts standing and costs reach: on the dialogues
that drift (see above), at .1, .2, .3 9.8, 8.3, 6.7 % of the drifted turns are told of a task, and 53, 47, 43 % of the
turns for the pack's tasks are told of theirs."""

REPLY_FLOOR = 1e-4
"""Probability below which a task is not told apart by the assistant's words."""


SILENT = 0.5
"""From this probability of "goes on" on a turn says nothing of its own."""


ASKED_CHARACTERS = 400
"""Of what the assistant said, no more than the end is remembered."""


HALF = 0.5


@dataclass(frozen=True, slots=True)
class FilterState:
    """The state after a user turn: the probability of each task; what is missing to one is "none of these".

    `asked` is what the assistant said last where the turn may not have been the whole answer: people send their answer
    in pieces.
    """

    belief: Doubles | None = None
    asked: str = field(default="", compare=False)

    def is_settled(self, asked: bool) -> bool:
        """Say whether one task is likelier than all else, or, where the assistant has asked something, that none is.

        While a task is still in doubt, every word helps to find it.
        """
        if self.belief is None:
            return False
        return bool(self.belief.max() >= HALF) or (asked and bool(self.belief.sum() <= HALF))

    def still_asked(self, reply: str) -> FilterState:
        """Return the same state, in which the assistant's last words are remembered."""
        return replace(self, asked=reply[-ASKED_CHARACTERS:]) if reply else self


NOTHING_YET = FilterState()


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter's numbers. `prior` and the probabilities of turns run over the tasks, "none of these", "goes on"."""

    prior: Doubles
    stay: float = STAY
    goes_on: float = GOES_ON
    weight: float = WEIGHT
    reply: float = REPLY
    away: float = AWAY
    foreign: float = FOREIGN

    raised: float = field(init=False, compare=False)
    """How many times as often as the prior has it a new request in mid-conversation is foreign; once at least."""

    def __post_init__(self) -> None:
        none, tasks = (float(self.prior[-2]), float(self.prior[:-2].sum())) if len(self.prior) > 1 else (0.0, 0.0)
        raised = max(1.0, self.foreign * tasks / ((1.0 - self.foreign) * none)) if none else 1.0
        object.__setattr__(self, "raised", raised)

    def advance(
        self, before: FilterState, turn: Doubles | None, reply: Doubles | None = None, asks: bool = True
    ) -> FilterState:
        """Return the state after a turn with these probabilities; None stands for a turn that says nothing.

        `reply` are those of the assistant's last question before the turn, where there was one. `asks` says whether the
        turn asks for something by its form.
        """
        if turn is None or (before.belief is not None and turn[-1] >= SILENT):
            return before
        if before.belief is None:
            return FilterState(turn[:-2])
        return FilterState(self.weigh(before.belief, turn, reply, asks))

    def weigh(
        self, belief: Doubles, turns: Doubles, replies: Doubles | None = None, asks: Doubles | bool = True
    ) -> Doubles:
        """Return the belief after each of some turns; classes on the last axis.

        All turns follow the same belief, or each has its own on the axes before the last. A turn without a question
        before it has the prior in `replies`. `asks` holds for all turns, or is 1 or 0 for each, on a last axis of one.
        """
        # The hot path has one belief, and a plain number is quicker.
        held = float(belief.sum()) if belief.ndim == 1 else belief.sum(axis=-1, keepdims=True)
        tasks = turns / self.prior
        # The power grows with what there is to outweigh: after a greeting a request counts as at the opening.
        opened = tasks ** (1.0 + (self.weight - 1.0) * held)
        opened *= self.prior
        opened *= 1.0 - self.away - (self.stay - self.away) * held
        opened[..., -2:-1] *= 1.0 + (self.raised - 1.0) * held * asks
        going_on = self.goes_on * tasks[..., -1:]
        away = going_on + (1.0 - self.goes_on) * tasks[..., -2:-1]
        away *= self.away * (1.0 - held)
        tasks = tasks[..., :-2]
        tasks *= 1.0 - self.goes_on
        tasks += going_on
        tasks *= self.stay * belief
        tasks += opened[..., :-2]
        mass = tasks.sum(axis=-1, keepdims=True)
        total = mass + opened[..., -2:].sum(axis=-1, keepdims=True) + away
        if replies is not None and self.reply:
            tasks *= (np.maximum(replies[..., :-2], REPLY_FLOOR) / self.prior[:-2]) ** self.reply
            tasks *= mass / tasks.sum(axis=-1, keepdims=True)
        after: Doubles = tasks / total
        return after


_LEAST = MASS_FLOOR - 0.5 * 10**-MASS_DIGITS  # what rounds up to the floor is kept


class Tree:
    """The nodes of a policy in pre-order, `/` first, and which of them are classes of the model.

    `classes` are the paths with examples, in pre-order, without `/`: the order of the probabilities. `children` gives
    the places in `nodes` of the children of a path.
    """

    def __init__(self, paths: Sequence[str], classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.nodes = tuple(path for path in paths if path != ROOT)
        number = {path: at for at, path in enumerate(classes)}
        inner = [path for path in self.nodes if path in number]
        if inner != list(classes):
            raise ValueError("the classes are not nodes of the tree in its order")
        before = np.cumsum([0] + [path in number for path in self.nodes])
        ends = [self._subtree_end(at) for at in range(len(self.nodes))]
        self._first = before[: len(self.nodes)]
        self._last = before[ends]
        self._class_of = [number.get(path, -1) for path in self.nodes]  # the class of each node, -1 for none
        self.children: dict[str, list[int]] = {}
        for at, path in enumerate(self.nodes):
            self.children.setdefault(path.rpartition("/")[0] or ROOT, []).append(at)

    def _subtree_end(self, at: int) -> int:
        prefix = self.nodes[at] + "/"
        end = at + 1
        while end < len(self.nodes) and self.nodes[end].startswith(prefix):
            end += 1
        return end

    def all_masses(self, probabilities: Doubles) -> Doubles:
        """Return the mass of every node of `nodes`. The last axis of `probabilities` runs over the classes."""
        sums = np.zeros((*probabilities.shape[:-1], probabilities.shape[-1] + 1))
        np.cumsum(probabilities, axis=-1, out=sums[..., 1:])
        masses: Doubles = sums[..., self._last] - sums[..., self._first]
        return masses

    def belief(
        self,
        probabilities: Doubles,
        sentences: tuple[Belief, ...] = (),
        shortfall: Shortfall | None = None,
        said: str = "",
    ) -> Belief:
        """Return what is to be known of a turn with these probabilities; of equally likely tasks the first."""
        sums = np.zeros(len(probabilities) + 1)
        probabilities.cumsum(out=sums[1:])
        masses = sums.take(self._last) - sums.take(self._first)
        mass: dict[str, float] = {}
        heaviest: list[tuple[float, int]] = []
        for node in (masses >= _LEAST).nonzero()[0].tolist():  # no task weighs more by itself than its node
            mass[self.nodes[node]] = round(masses.item(node), MASS_DIGITS)
            at = self._class_of[node]
            if at >= 0 and (own := probabilities.item(at)) >= _LEAST:
                heaviest.append((-own, at))
        if len(heaviest) < LEAST_LISTED:  # so many are always told: lighter ones fill a list up
            heaviest = _two_heaviest(probabilities)
        heaviest.sort()
        return Belief(
            mass,
            tuple([Likely(self.classes[at], round(-own, MASS_DIGITS)) for own, at in heaviest[:MOST_LISTED]]),
            sentences,
            shortfall,
            min(1.0, round(sums.item(-1), MASS_DIGITS)),
            said,
        )


def _two_heaviest(probabilities: Doubles) -> list[tuple[float, int]]:
    """Return the two greatest with their places, negative, so that they sort; of equal ones the first; of fewer all."""
    if len(probabilities) < LEAST_LISTED:
        return [(-own, at) for at, own in enumerate(probabilities.tolist())]
    first = int(probabilities.argmax())
    others = probabilities.copy()
    others[first] = -1.0
    second = int(others.argmax())
    return [(-probabilities.item(first), first), (-probabilities.item(second), second)]


FEW = 3
"""In a message of more sentences that say something one clear one is enough: as a whole a long story is never clear."""


def opened(turns: Doubles) -> Doubles:
    """Return the probabilities of the tasks at turns that open something: nothing goes on there.

    What all the same sounds most like going on stays as it is, and settles nowhere.
    """
    going_on = turns[..., -1:]
    found: Doubles = turns[..., :-2] / np.where(going_on < SILENT, 1.0 - going_on, 1.0)
    return found


def spoken(turns: Doubles) -> Doubles:
    """Return what each sentence asks for that says something of its own; none where fewer than two do.

    `turns` has a row of probabilities of all classes for each sentence, the result one of those of the tasks.
    """
    saying = turns[turns[:, -1] < SILENT] if len(turns) else turns
    if len(saying) < 2:
        return np.zeros((0, 0))
    return opened(saying)
