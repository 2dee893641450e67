"""The tables of the evidence, and the intervals in them.

An interval is that of a paired bootstrap over goals: goals are drawn anew with all of their pairs, since requests of one
goal resemble each other and several models answer the same one. Sums are of whole numbers, so nothing depends on the
order in which a machine adds; the draws are seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from tests.bench.evidence.routed import MANY, PLAIN, Arm, Drawn, Verdict
from tests.bench.evidence.runs import TEXT, Found, Pair, Pressed, general, words
from tests.bench.recognition_metrics import percent, plain, share
from tests.bench.report import print_table

BOOTSTRAPS, SEED = 10_000, 7
INTERVAL = (0.025, 0.975)

CAVEATS = """
## What these figures do not say

- No run had a router in it. A request that is routed right is given the run with only its task's text, one that backs
  off the run with everything, and one that gets another task's text has failed; changed requests are given the runs of
  the unchanged. Backing off, the router would say general text and a shortlist, not everything.
- Only the task's means its tools too, which the router leaves alone: not all that is gained is the text's.
- The models are of 2024 and 2025. Stronger ones may gain less.
- A model wrote the requests, and those of one goal resemble each other. Intervals draw goals, not pairs.
- Files of 4 MiB and more are left out: long runs, and with them whole domains.
- SOPBench states no licence. Nothing of it is kept.
"""

Keep: TypeAlias = Callable[[Pair, Drawn], bool]


class Routed(NamedTuple):
    """A pair in one draw, with what the recogniser made of its request."""

    pair: Pair
    verdict: Verdict

    @property
    def success(self) -> bool:
        """The task's run where its text would have been sent, the one with everything where none would; else failed."""
        fate, pair = self.verdict.fate, self.pair
        return pair.only.success if fate == "right" else fate == "backed off" and pair.everything.success

    @property
    def words(self) -> int:
        """The words of the system text; another task's are taken to be as many as the right one's."""
        return words((self.pair.everything if self.verdict.fate == "backed off" else self.pair.only).system)


def interval(goals: Sequence[str], differences: Sequence[int]) -> tuple[float, float]:
    """Return the bounds of the mean difference, 95 % of bootstraps between them; nan where there is one goal only."""
    names, at = np.unique(np.asarray(goals), return_inverse=True)
    if len(names) < 2:
        return float("nan"), float("nan")
    sums = np.bincount(at, np.asarray(differences, float), len(names))
    sizes = np.bincount(at, minlength=len(names))
    drawn = np.random.default_rng(SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), BOOTSTRAPS)
    low, high = np.quantile((drawn @ sums) / (drawn @ sizes), INTERVAL)
    return float(low), float(high)


def points(goals: Sequence[str], after: Sequence[bool], before: Sequence[bool]) -> str:
    """Return a difference of shares in points, with its interval."""
    differences = [int(a) - int(b) for a, b in zip(after, before, strict=True)]
    low, high = interval(goals, differences)
    bounds = "" if np.isnan(low) else f" [{low * 100:+.1f},{high * 100:+.1f}]"
    return f"{float(np.mean(differences)) * 100:+.1f}{bounds}"


def pairs_table(found: Found) -> None:
    """Print success with everything and with only the task's, by domain, by model, and by what ought to be done."""
    called, text = found.called(), found.called(TEXT)
    groups: dict[str, list[Pair]] = {"**all**": called}
    groups |= {name: some for name, some in _by(called, lambda pair: pair.domain).items()}
    groups |= {name: some for name, some in _by(called, lambda pair: pair.model).items()}
    groups["to be done"] = [pair for pair in called if pair.everything.allowed]
    groups["to be refused"] = [pair for pair in called if not pair.everything.allowed]
    groups["tools called by text"] = text
    print(f"\n## With everything, and with only the task's procedure and tools ({len(called):,} pairs)\n")
    head = ["runs", "pairs", "everything %", "task's %", "points", "better/worse", "words"]
    print_table(head, [_pairs_row(title, some) for title, some in groups.items() if some])
    same = sum(general(pair.everything.system) == general(pair.only.system) for pair in called)
    asked = sum(pair.everything.said == pair.only.said for pair in called)
    print(
        f"\nOf the {len(called):,} pairs {same:,} have the same general text above the procedures, and {asked:,} the "
        "same first message to the letter."
    )


def _pairs_row(title: str, some: Sequence[Pair]) -> list[str]:
    everything = [pair.everything.success for pair in some]
    only = [pair.only.success for pair in some]
    better = sum(b and not a for a, b in zip(everything, only, strict=True))
    worse = sum(a and not b for a, b in zip(everything, only, strict=True))
    goals = [pair.goal for pair in some]
    length = [plain(share([words(run.system) for run in runs]), 0) for runs in _both(some)]
    return [
        title,
        f"{len(some):,}",
        percent(share(everything)),
        percent(share(only)),
        points(goals, only, everything),
        f"{better}/{worse}",
        "/".join(length),
    ]


def pressed_table(some: Sequence[Pressed]) -> None:
    """Print success where the user presses for haste."""
    print(f"\n## Adversarial users, who press for haste, with everything ({len(some)} tasks)\n")
    if not some:
        print("This clone has none that could be paired.")
        return
    rows = []
    for title, each in [("**all**", list(some)), *_by(some, lambda one: one.model).items()]:
        goals, before = [one.goal for one in each], [one.everything for one in each]
        after = [one.pressed for one in each]
        only = share([one.only for one in each if one.only is not None])
        cells = [percent(share(before)), percent(share(after)), points(goals, after, before), percent(only)]
        rows.append([title, str(len(each)), *cells])
    head = ["model", "tasks", "not pressed %", "pressed %", "points", "task's, not pressed %"]
    print_table(head, rows)
    domains = ", ".join(sorted({one.domain for one in some}))
    print(f"\nDomains: {domains}. No run with only the task's was pressed.")


def routed_tables(found: Found, drawn: Sequence[Drawn], arms: Iterable[Arm]) -> None:
    """Print what success would be with the recogniser in between, and what shortlists would say."""
    chosen = {arm.title: routed(found.called(), drawn, arm.title) for arm in arms}
    parts: dict[str, Keep] = {
        "the half least like the examples": lambda pair, one: pair.prompt in one.least_alike,
        "to be done": lambda pair, one: pair.everything.allowed,
        "to be refused": lambda pair, one: not pair.everything.allowed,
    }
    chosen |= {title: routed(found.called(), drawn, PLAIN, keep) for title, keep in parts.items()}
    whole = [row for rows in chosen[PLAIN] for row in rows]
    if not whole:
        print("\n## With our recogniser in between\n\nNo pair has a request that is no example.")
        return
    tested = {row.pair.goal for row in whole}
    print(
        f"\n## With our recogniser in between ({len(drawn)} draws; {len(whole) / len(drawn):,.0f} pairs a draw, "
        f"{len(tested)} of {len(found.goals)} goals asked; {MANY} examples a goal where no number stands)\n"
    )
    head = ["requests", "right %", "backed off %", "wrong %", "everything %", "**ours %**", "by draw", "task's %"]
    more = ["less everything", "less task's", "words"]
    print_table([*head, *more], [_routed_row(title, rows) for title, rows in chosen.items()])
    print("\n## Shortlists (not counted above: no run has two or three procedures, so their success cannot be known)\n")
    head = ["requests", "listed %", "with the task %", "reach %", "tasks a list"]
    print_table(head, [_listed_row(title, rows) for title, rows in chosen.items() if title not in parts])


def routed(
    pairs: Sequence[Pair], drawn: Sequence[Drawn], title: str, keep: Keep = lambda pair, one: True
) -> list[list[Routed]]:
    """Return, for each draw, the pairs that were asked and are to be kept, with the verdicts of a row."""
    return [
        [
            Routed(pair, one.verdicts[title][pair.prompt])
            for pair in pairs
            if pair.prompt in one.verdicts[title] and keep(pair, one)
        ]
        for one in drawn
    ]


def _routed_row(title: str, rows: Sequence[Sequence[Routed]]) -> list[str]:
    flat = [row for some in rows for row in some]
    fates = [percent(share([row.verdict.fate == fate for row in flat])) for fate in ("right", "backed off", "wrong")]
    everything, only = ([run.success for run in runs] for runs in _both([row.pair for row in flat]))
    ours, goals = [row.success for row in flat], [row.pair.goal for row in flat]
    by_draw = [share([row.success for row in some]) for some in rows]
    length = [[words(run.system) for run in runs] for runs in _both([row.pair for row in flat])]
    lengths = [length[0], [row.words for row in flat], length[1]]
    return [
        title,
        *fates,
        percent(share(everything)),
        f"**{percent(share(ours))}**",
        f"{percent(min(by_draw))}-{percent(max(by_draw))}",
        percent(share(only)),
        points(goals, ours, everything),
        points(goals, ours, only),
        "/".join(plain(share(each), 0) for each in lengths),
    ]


def _listed_row(title: str, rows: Sequence[Sequence[Routed]]) -> list[str]:
    verdicts = [row.verdict for some in rows for row in some]
    lists = [verdict for verdict in verdicts if verdict.listed]
    return [
        title,
        percent(len(lists) / len(verdicts)),
        percent(sum(verdict.holds for verdict in lists) / len(verdicts)),
        percent(share([verdict.reached for verdict in verdicts])),
        plain(share([verdict.listed for verdict in lists])),
    ]


def _both(some: Sequence[Pair]) -> tuple[list, list]:
    return [pair.everything for pair in some], [pair.only for pair in some]


def _by(some: Iterable, key: Callable) -> Mapping[str, list]:
    groups: dict[str, list] = {}
    for one in some:
        groups.setdefault(key(one), []).append(one)
    return dict(sorted(groups.items()))
