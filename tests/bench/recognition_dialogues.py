"""What the conversation filter is worth: accuracy along dialogues, next to reading the last message alone.

    python -m tests.bench.recognition_dialogues [--quick]

On the development dialogues of Schema-Guided Dialogue, with packs of turns that open a task in the training dialogues
(at most 40 examples a task, five draws): what a pack has that nobody labelled dialogues for. A turn is right when the
heaviest leaf is among the tasks active at it; turns none of whose tasks is in the pack are left out. An opening is a
turn at which a task becomes active, all others are follow-ups.

Drift: packs of half of the services, with a hundred openings of a fourth of them as their own unrelated texts, in
dialogues without that fourth. Once a task of the pack was at hand, a turn for none of its tasks has drifted; it should
be told nothing of a task, neither plainly nor in a list. Of the turns for its tasks those are reached that are told of
theirs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from router.classify import LinearRecogniser, cross_validate
from router.classify.fit.training import Material
from router.core.decide import settle
from router.core.policy import ROOT, Policy, lineage
from router.core.ports import RecogniserState
from tests.bench.recognition_metrics import share, spread
from tests.bench.recognition_parts import begin, say
from tests.bench.recognition_sets import Said, dialogues, domain_of, openings, policy_of
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


UNRELATED = 100


@dataclass(frozen=True, slots=True)
class Drift:
    """What is told in dialogues that drift away from a pack, as shares of turns, for one draw.

    `told` and `plainly` are of the drifted turns, `never` of such turns in dialogues that were never at a task of the
    pack; `reach` and `right` are of the turns for its tasks.
    """

    drifted: int
    told: float
    plainly: float
    never: float
    reach: float
    right: float


def drifting(
    trained: Sequence[Sequence[Said]], spoken: Sequence[Sequence[Said]], seed: int
) -> tuple[Policy, list[Sequence[Said]]]:
    """Return a pack of half of the services, and the dialogues without the services that are its unrelated texts."""
    services = sorted({domain_of(task) for turns in trained for turn in turns for task in turn.tasks})
    known = frozenset(random.Random(seed).sample(services, len(services) // 2))
    others = [service for service in services if service not in known]
    random.Random(seed + 100).shuffle(others)
    foreign = frozenset(others[: len(others) // 2])
    rows = openings(trained, seed)
    unrelated = [row.text for row in rows if domain_of(row.path) in foreign]
    random.Random(seed).shuffle(unrelated)
    pack = policy_of([row for row in rows if domain_of(row.path) in known], unrelated[:UNRELATED])
    return pack, [
        turns for turns in spoken if not any(domain_of(task) in foreign for turn in turns for task in turn.tasks)
    ]


def follow_drift(pack: Policy, recogniser: LinearRecogniser, spoken: Sequence[Sequence[Said]]) -> Drift:
    """Return what is told along the dialogues."""
    known = frozenset(recogniser.artefact.classes)
    count: Counter[str] = Counter()
    for turns in spoken:
        state: RecogniserState | None = None
        begun = False
        for turn in turns:
            state, belief = recogniser.step(state, turn.text, turn.reply)
            found = settle(pack.tasks, belief, recogniser.thresholds)
            plain = [path for path, _, _ in found.paths if path != ROOT]
            told = [*plain, *(path for path, _ in found.shortlist)]
            if turn.tasks & known:
                begun = True
                count["known"] += 1
                count["reach"] += not turn.tasks.isdisjoint(step for path in told for step in lineage(path))
                count["right"] += heaviest(belief.mass) in turn.tasks
            elif turn.tasks:
                kind = "drifted" if begun else "never"
                count[kind] += 1
                count[f"{kind} told"] += bool(told)
                count[f"{kind} plainly"] += bool(plain)

    def part(name: str, of: str) -> float:
        return count[name] / max(1, count[of])

    return Drift(
        count["drifted"],
        part("drifted told", "drifted"),
        part("drifted plainly", "drifted"),
        part("never told", "never"),
        part("reach", "known"),
        part("right", "known"),
    )


def drift_table(data: Path, draws: int) -> list[Drift]:
    """Print what is told along dialogues that drift away, and return it for each draw."""
    trained, spoken = dialogues(data, "train"), dialogues(data, "dev")
    drifts: list[Drift] = []
    for seed in range(draws):
        pack, left = drifting(trained, spoken, seed)
        drifts.append(follow_drift(pack, LinearRecogniser(cross_validate(Material.of(pack)).artefact), left))
        say(f"drift, draw {seed}: {drifts[-1]}")
    columns = ("told", "plainly", "never", "reach", "right")
    print_table(
        ["drifted %", "of it plainly %", "never at a task %", "reach %", "right %"],
        [[spread([getattr(drift, column) for drift in drifts]) for column in columns]],
    )
    return drifts


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
    print()
    part.keep("drift", [asdict(drift) for drift in drift_table(part.data, 1 if part.quick else SEEDS)])


if __name__ == "__main__":
    main()
