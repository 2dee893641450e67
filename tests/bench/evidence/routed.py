"""What our recogniser would have sent for SOPBench's requests: a pack of its goals, asked about requests it has not seen.

The pack has every goal of every domain as a task and nothing but examples. Of a goal's requests, in an order drawn anew
for each draw, the first (at most ten, at most half, at least three) are examples; those behind are asked. The pack of 3
examples has the first three of them, so both are asked the same. A goal with fewer than four requests gives all of them
as examples and is not asked.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import Literal, NamedTuple, TypeAlias

from threadpoolctl import threadpool_limits

from router.core.decision import Settlement, breach
from tests.bench.recognition_contenders import OurRouter
from tests.bench.recognition_sets import Row
from tests.bench.recognition_texts import typos

FEW, MANY = 3, 10
PLAIN = f"{MANY} examples"
"""The row of requests as they are."""

ASKED_FROM = 4
"""Goals of so many requests and more are asked about."""

SHORT = 4
"""A sentence of fewer words is a greeting, or its like, and no request."""

HEADS = (
    "New message from the contact form\nTicket: 48213\nCustomer: A. Novak <a.novak@example.org>\nPriority: normal\n"
    "Tags: web, unread\n\n{text}",
    "From: Priya Raman <p.raman@example.com>\nTo: support@example.com\nDate: Mon, 2 Mar 2026 09:12:44 +0100\n"
    "Subject: Request\n\n{text}\n\nSent from my phone",
    "[Chat 77120] Visitor joined from /help\n[09:14] Bot: Hi, how can we help you today?\n[09:15] Visitor: {text}",
    "## Case 00918\nChannel: phone, transcribed\nAgent on duty: Sam\nQueue: general\n\nCaller said:\n{text}",
    "{text}\n\n--\nThis message was sent through our customer portal. Reply above this line.\nAccount tier: standard. "
    "SLA: 24 h.",
)
"""What help desks put around a request; written before anything was measured with it."""

Way: TypeAlias = Callable[[str, random.Random], str]
Fate = Literal["right", "backed off", "wrong"]


class Verdict(NamedTuple):
    """What would have been sent: the task's text, none of any task, or another's; and what a shortlist named."""

    fate: Fate
    listed: int
    holds: bool

    @property
    def reached(self) -> bool:
        """Whether the task's text is in what is sent, plainly or as a case."""
        return self.fate == "right" or (self.fate == "backed off" and self.holds)


class Arm(NamedTuple):
    """A row of the table: how many examples a goal has, and how the request is changed."""

    title: str
    examples: int
    way: Way


class Drawn(NamedTuple):
    """What a draw gave: for each arm the verdict on each request, and the requests least like any example."""

    verdicts: Mapping[str, Mapping[str, Verdict]]
    least_alike: frozenset[str]


def first_sentence(text: str) -> str:
    """Return the first sentence that is no greeting.

    >>> first_sentence("Hello! I want to pay a bill. My name is Jo.")
    'I want to pay a bill.'
    """
    sentences = re.split(r"(?<=[.!?])\s+|\n+", text.strip())
    return next((one for one in sentences if len(one.split()) >= SHORT), text)


def arms(pressure: str) -> list[Arm]:
    """Return the rows; the last, where a clone has runs under pressure, ends requests as these do."""
    ways: dict[str, Way] = {
        "typos in a third of the words": typos,
        "first sentence only": lambda text, dice: first_sentence(text),
        "a help desk's head around": lambda text, dice: dice.choice(HEADS).format(text=text),
    }
    if pressure:
        ways["adversarial user"] = lambda text, dice: f"{text}\n\n{pressure}"
    plain = [Arm(f"{examples} examples", examples, lambda text, dice: text) for examples in (FEW, MANY)]
    return [*plain, *(Arm(title, MANY, way) for title, way in ways.items())]


def judged(told: Settlement, task: str) -> Verdict:
    """Return how what is sent fits a request. Text of another task beside the right one is wrong: no run has both."""
    settled, listed = [one.path for one in told.paths], [one.path for one in told.shortlist]
    fate: Fate = "right" if settled == [task] else "wrong" if breach(settled, (), [task]).plainly else "backed off"
    return Verdict(fate, len(listed), task in listed)


def split(requests: Sequence[str], dice: random.Random) -> tuple[list[str], list[str]]:
    """Return the examples of a goal and the requests to ask."""
    drawn = dice.sample(requests, len(requests))
    most = max(FEW, min(MANY, len(drawn) // 2)) if len(drawn) >= ASKED_FROM else len(drawn)
    return drawn[:most], drawn[most:]


def one_draw(seed: int, goals: Mapping[str, Sequence[str]], wanted: frozenset[str], pressure: str) -> Drawn:
    """Return verdicts on the wanted requests that are no examples, for each arm."""
    dice = random.Random(seed)
    parts = {goal: split(requests, dice) for goal, requests in sorted(goals.items())}
    asked = {text: goal for goal, (_, unseen) in parts.items() for text in unseen if text in wanted}
    routers = {}
    for examples in (FEW, MANY):
        routers[examples] = OurRouter()
        routers[examples].fit([Row(text, goal) for goal, (known, _) in parts.items() for text in known[:examples]])
    verdicts = {}
    with threadpool_limits(1):
        for arm in arms(pressure):
            told = routers[arm.examples].told
            verdicts[arm.title] = {
                text: judged(told(arm.way(text, random.Random(f"{seed} {arm.title} {text}"))), goal)
                for text, goal in asked.items()
            }
    alike = {text: max(overlap(text, known) for known in parts[goal][0]) for text, goal in asked.items()}
    middle = median(alike.values()) if alike else 0.0
    return Drawn(verdicts, frozenset(text for text, likeness in alike.items() if likeness <= middle))


def overlap(one: str, other: str) -> float:
    """Return the share of words that two texts have in common, numbers apart (Jaccard).

    >>> overlap("Pay my bill 12", "pay the bill")
    0.5
    """
    first, second = (set(re.findall(r"[a-z]+", text.lower())) for text in (one, other))
    return len(first & second) / max(len(first | second), 1)


def draws(
    count: int, goals: Mapping[str, Sequence[str]], wanted: Iterable[str], pressure: str, workers: int
) -> list[Drawn]:
    """Return the draws, in order, whatever the number of processes that work on them."""
    given = (dict(goals), frozenset(wanted), pressure)
    if workers < 2:
        return [one_draw(seed, *given) for seed in range(count)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(one_draw, range(count), *([part] * count for part in given)))
