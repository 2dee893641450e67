"""What the conversation filter is worth: accuracy along dialogues, next to reading the last message alone.

    python -m tests.bench.recognition_dialogues [--quick]

On the development dialogues of Schema-Guided Dialogue, with packs of turns that open a task in the training dialogues
(at most 40 examples a task, five draws): what a pack has that nobody labelled dialogues for. A turn is right when the
heaviest leaf is among the tasks active at it; turns none of whose tasks is in the pack are left out. An opening is a
turn at which a task becomes active, all others are follow-ups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from router.classify import LinearRecogniser, cross_validate
from router.classify.fit.training import Material
from router.core.policy import ROOT
from router.core.ports import RecogniserState
from tests.bench.recognition_metrics import share, spread
from tests.bench.recognition_parts import begin, say
from tests.bench.recognition_sets import Said, dialogues, openings, policy_of
from tests.bench.report import print_table

SEEDS = 5
ALONE, FILTERED, WITH_REPLY = "last message alone", "filter", "filter, told the assistant's last words"


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of right turns for one way of reading and one draw."""

    way: str
    everything: float
    openings: float
    follow_ups: float
    turns: int


def heaviest(masses: Mapping[str, float]) -> str:
    """Return the heaviest task two levels down, `/` when there is none."""
    leaves = {path: mass for path, mass in masses.items() if path.count("/") == 2}
    return max(leaves, key=leaves.__getitem__, default=ROOT)


def follow(recogniser: LinearRecogniser, spoken: Sequence[Sequence[Said]], way: str) -> Shares:
    """Return the shares for one way of reading."""
    known = frozenset(recogniser.artefact.classes)
    right: list[bool] = []
    opening: list[bool] = []
    for turns in spoken:
        state: RecogniserState | None = None
        for turn in turns:
            if way == ALONE:
                found = heaviest(recogniser.scores(turn.text))
            else:
                state, belief = recogniser.step(state, turn.text, turn.reply if way == WITH_REPLY else "")
                found = heaviest(belief.mass)
            if turn.tasks & known:
                right.append(found in turn.tasks)
                opening.append(bool(turn.opened))
    at_opening = [hit for hit, new in zip(right, opening, strict=True) if new]
    later = [hit for hit, new in zip(right, opening, strict=True) if not new]
    return Shares(way, share(right), share(at_opening), share(later), len(right))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    part = begin(
        "Recognition along dialogues",
        argv,
        trained_on="turns that open a task in 1,500 training dialogues, at most 40 a task; no dialogue labels",
        tested_on="400 development dialogues",
        draws=f"{SEEDS} (mean ± standard deviation); quick: 1",
    )
    trained, spoken = dialogues(part.data, "train"), dialogues(part.data, "dev")
    found: list[Shares] = []
    for seed in range(1 if part.quick else SEEDS):
        artefact = cross_validate(Material.of(policy_of(openings(trained, seed)))).artefact
        recogniser = LinearRecogniser(artefact)
        for way in (ALONE, FILTERED, WITH_REPLY):
            found.append(follow(recogniser, spoken, way))
        say(f"dialogues, draw {seed}: {found[-2]}")
    rows = []
    for way in (ALONE, FILTERED, WITH_REPLY):
        same = [shares for shares in found if shares.way == way]
        columns = ("everything", "openings", "follow_ups")
        rows.append([way, *(spread([getattr(shares, column) for shares in same]) for column in columns)])
    print_table(["read", "all turns %", "openings %", "follow-ups %"], rows)
    print(f"\n{fmean(shares.turns for shares in found):,.0f} turns in each row")
    part.keep("dialogues", [asdict(shares) for shares in found])


if __name__ == "__main__":
    main()
