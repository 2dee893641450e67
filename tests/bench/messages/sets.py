"""What a story around a message, or words appended to it, cost on CLINC150 and Banking77; and what long messages take."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TypeAlias

from router import Router
from router.assembly import snapshot_of
from router.core.decide import decide
from router.core.evidence import Evidence
from router.engine.guarding import FaultHandler
from router.packs import load_pack
from tests.bench import decide as deciding
from tests.bench.messages.pack import judge
from tests.bench.messages.texts import appended, in_a_story, long_messages, stories, with_words
from tests.bench.recognition_contenders import OurRouter
from tests.bench.recognition_metrics import percent, share
from tests.bench.recognition_sets import SETS, Messages, Row, draw
from tests.bench.report import print_table, quantiles_ms

SHOTS = 10
WAYS: Mapping[str, Callable[[str, random.Random], str]] = {
    "plain": lambda text, dice: text,
    "inside a story": lambda text, dice: in_a_story(text, dice.choice(stories())),
    "twenty words appended": lambda text, dice: with_words(text, dice.choice(appended())),
}
WANTED = {"plain": "", "inside a story": "right ≥ 70", "twenty words appended": "lost ≤ 6"}
"""In per cent right, or in points lost to it."""

WANTED_MS = {"15 tokens": "p50 ≤ .16, p99 ≤ .5", "200 words": "p50 ≤ .6"}

FIGURES = ("task", "reach", "error", "unconditional", "general")
Figures: TypeAlias = dict[str, float]


def measured(router: OurRouter, rows: Sequence[Row]) -> dict[str, Figures]:
    """Return the figures of messages as they are, and set among other words."""
    found = {}
    policy, recogniser = router.policy, router.recogniser
    for way, change in WAYS.items():
        dice = random.Random(way)
        right, verdicts = [], []
        for text, path in rows:
            _, belief = recogniser.step(None, change(text, dice))
            decision = decide(policy, Evidence(belief, thresholds=recogniser.thresholds))
            right.append(bool(belief.likeliest) and belief.likeliest[0].path == path)
            verdicts.append(judge(decision, [path]))
        flags = zip(*[(one.any, one.wrong, one.plainly, one.general) for one in verdicts], strict=True)
        found[way] = dict(zip(FIGURES, map(share, (right, *flags)), strict=True))
    return found


def of_set(messages: Messages, draws: int, count: int) -> dict[str, Figures]:
    """Return medians over draws of a pack's examples, each judged by the same sample of test messages."""
    rows = random.Random(7).sample(messages.test, min(count, len(messages.test)))
    found = []
    for seed in range(draws):
        router = OurRouter()
        router.fit(draw(messages.train, SHOTS, seed))
        found.append(measured(router, rows))
    return {way: {figure: median(one[way][figure] for one in found) for figure in FIGURES} for way in WAYS}


def sets_table(data: Path, draws: int, count: int) -> None:
    """Print the table."""
    print(
        f"\n## Inside a story, and with words appended ({SHOTS} examples a task, medians of {draws} draws, {count:,} "
        "test messages)\n"
    )
    rows = []
    for name, load in SETS.items():
        found = of_set(load(data), draws, count)
        for way, figures in found.items():
            lost = (found["plain"]["task"] - figures["task"]) * 100
            shares = [percent(figures[figure]) for figure in FIGURES]
            rows.append([f"{name}, {way}", shares[0], f"{lost:.1f}", WANTED[way], *shares[1:]])
    head = ["data, message", "likeliest task right %", "points lost", "wanted"]
    print_table([*head, "reach %", "error %", "unconditional %", "general only %"], rows)


def times_table(pack: Path, cache: Path, seconds: float) -> None:
    """Print what recognising and deciding take, for short messages and for long ones."""
    snapshot = snapshot_of(load_pack(pack), cache, FaultHandler(print))
    router = Router.load(pack, cache=cache)
    texts: dict[str, Iterator[str]] = {
        "15 tokens": deciding.messages(*deciding.FORMS["15"]),
        "200 words": long_messages(200),
    }
    print(f"\n## Time, shipped pack ({seconds:g} s for each line, no message twice)\n")
    rows = []
    for title, source in texts.items():
        times = deciding.measure(snapshot, router, source, seconds)
        steps = (times.recognise, times.decide, times.both)
        rows.append([title, *(value for step in steps for value in quantiles_ms(step, 0.5, 0.99)), WANTED_MS[title]])
    steps_named = [f"{step} {rank}" for step in ("recognise", "decide", "both") for rank in ("p50 ms", "p99")]
    print_table(["message", *steps_named, "p99 wanted"], rows)
