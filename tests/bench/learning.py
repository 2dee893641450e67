"""What learning costs, in this process: `python -m tests.bench learning`.

- what choosing levels adds to deciding, where nothing is tuned, where a trial draws, and where a conversation has its
  level already;
- what recording adds to a request: the trace and the assignment queued, the answer handed on to be examined;
- what a refresh of the tuner takes, for 500 tasks at 4 levels, and turning matured conversations into outcomes, in
  SQLite on the disk.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from router.core.decide import decide
from router.core.evidence import Belief, Evidence
from router.core.learning import Assignment, DialKey, Outcome
from router.core.levels import Dial, LevelQuery, Levels, Trial
from router.core.policy import ROOT, Instruction, Level, Metric, Policy, Task, count_tokens
from router.engine.answer_evaluation import Answered
from router.engine.guarding import FaultHandler
from router.engine.pipeline import Pipeline, Progress
from router.engine.prepare import Call
from router.engine.recorder import Recorder
from router.engine.send import BackendSender, RetryBudget
from router.packs import load_pack
from router.stores import SqlLearningStore, SqlTraceStore, open_database
from router.tuning.allocation import count_outcomes
from router.tuning.level_state import LevelState, advance_tests, fold
from router.tuning.tuner import refresh
from tests.bench.gateways import SHIPPED_PACK
from tests.bench.report import print_conditions, print_table
from tests.support.memory_traces import MemoryTraceStore
from tests.support.parts import CHAT, body, preparer, small_policy, snapshot
from tests.support.shop import DAY_MS, Shop, better, tuned_policy

TASKS, DOMAINS = 500, 25
OUTCOMES = 100_000


def microseconds(run: Callable[[], object], times: int = 20_000, repeats: int = 7) -> float:
    """Return the least mean time of a call."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(times):
            run()
        best = min(best, (time.perf_counter() - began) / times)
    return best * 1e6


def choosing() -> list[tuple[str, str]]:
    """Time deciding on the shipped pack, with levels that stand in different ways."""
    policy = load_pack(SHIPPED_PACK).policy
    belief = Belief({"/billing": 0.95, "/billing/refund": 0.9})
    cues = {"channel": "chat", "complexity": "simple", "language": "en"}
    key = DialKey("/billing", "m")
    tuned = Levels({key: Dial(None, Trial("t", Level.DETAILED, 0.5, policy.texts["/billing"]))}, b"salt" * 8, 0.02)
    plain = Evidence(belief, cues)
    drawn = replace(plain, tuned=tuned, asked=LevelQuery("unit", model="m"))
    held = replace(drawn, levels=decide(policy, drawn).levels)
    times = {
        name: microseconds(lambda evidence=evidence: decide(policy, evidence))  # type: ignore[misc]
        for name, evidence in (("nothing is tuned", plain), ("a trial draws", drawn), ("a level is held", held))
    }
    least = times["nothing is tuned"]
    return [(f"decide, {name}", f"{each:.1f} us ({each - least:+.1f})") for name, each in times.items()]


def recording() -> list[tuple[str, str]]:
    """Time what a request pays for being recorded and examined."""
    policy = tuned_policy()
    of = preparer(snapshot(policy))
    of.registry.tune("desk", Levels({}, b"salt", 0.02))
    recorder = Recorder(MemoryTraceStore(10), FaultHandler(lambda code: None), lambda lost: None, queue=1_000)
    taken: list[Answered] = []
    line = Pipeline(
        of, BackendSender(0, lambda: RetryBudget(0.0)), lambda model: (), recorder.put, examine=taken.append
    )
    call = Call(CHAT, body_bytes(), id="dec_1", tenant="t")
    prepared = of.prepare(call)

    def finish() -> None:
        line._finish(Progress(call, prepared, prepared.decision), 200)

    answered = Answered(CHAT, prepared, "t", "dec_1", "m", 0, [b"x"], 1, False)
    return [
        ("record: trace and assignment made and queued", f"{microseconds(finish):.1f} us"),
        ("examine: the answer handed on", f"{microseconds(lambda: taken.append(answered)):.1f} us and its record"),
    ]


def body_bytes() -> bytes:
    """Return a request that settles on a task."""
    return json.dumps(body("where is my parcel", user="u1", metadata={"conversation_id": "c1"})).encode()


def refreshing() -> list[tuple[str, str]]:
    """Time the tuner on 500 tasks at 4 levels, with 100,000 outcomes."""
    policy = wide_policy()
    rng = np.random.default_rng(5)
    outcomes = [outcome(policy, rng, number) for number in range(OUTCOMES)]
    began = time.perf_counter()
    arms = count_outcomes({}, outcomes)
    counting = time.perf_counter() - began
    now = 200 * DAY_MS
    began = time.perf_counter()
    events = refresh(policy, LevelState(), {}, arms, now)
    starting = time.perf_counter() - began
    state = fold(replace(event, number=at) for at, event in enumerate(events, 1))
    began = time.perf_counter()
    refresh(policy, state, advance_tests(state, ()), arms, now)
    going = time.perf_counter() - began
    return [
        (f"count {OUTCOMES:,} outcomes into {len(arms):,} arms", f"{counting:.2f} s"),
        (f"refresh, {TASKS} tasks x 4 levels, {len(events)} trials begin", f"{starting:.2f} s"),
        (f"refresh, {len(state.running)} trials under way", f"{going:.2f} s"),
    ]


def wide_policy() -> Policy:
    """Return a policy of 500 tasks in 25 domains, each with a line at every level."""
    tasks: dict[str, Task] = {}
    for domain in range(DOMAINS):
        below = tuple(f"/d{domain}/t{number}" for number in range(TASKS // DOMAINS))
        for path in (f"/d{domain}", *below):
            lines = tuple(
                Instruction(f"{path}:{level.word}", path, level, f"{path} {level.word}", count_tokens(path))
                for level in (Level.BRIEF, Level.GUIDED, Level.DETAILED)
            )
            tasks[path] = Task(path, instructions=lines, children=below if path.count("/") == 1 else ())
    tasks = {ROOT: Task(ROOT, children=tuple(path for path in tasks if path.count("/") == 1)), **tasks}
    metrics = {"resolved": Metric("resolved", "boolean", primary=True, default=1.0)}
    return replace(small_policy(), tasks=MappingProxyType(tasks), metrics=MappingProxyType(metrics))


def outcome(policy: Policy, rng: np.random.Generator, number: int) -> Outcome:
    """Return the outcome of one conversation at a task and a level that chance chose."""
    task = f"/d{rng.integers(DOMAINS)}/t{rng.integers(TASKS // DOMAINS)}"
    level = Level(int(rng.integers(4)))
    at = number * 90 * DAY_MS // OUTCOMES
    given = Assignment(
        f"d{number}",
        at,
        "t",
        policy.name,
        f"c{number}",
        f"u{number}",
        task,
        "",
        "m",
        level,
        policy.texts[task],
        at,
        node=task,
    )
    return Outcome(given, float(rng.random() < 0.6 + 0.05 * level), number=number + 1)


async def maturing(folder: Path) -> list[tuple[str, str]]:
    """Time the way from matured conversations to outcomes and levels, over SQLite on the disk."""
    database = open_database(f"sqlite:///{folder / 'router.db'}")
    shop = Shop(database, tuned_policy("observe"))
    advance, shop.learner.advance = shop.learner.advance, lambda: None  # type: ignore[method-assign]
    await shop.days(20, better, per_day=480)
    shop.now += 4 * DAY_MS
    began = time.perf_counter()
    advance()
    seconds = time.perf_counter() - began
    made = len(SqlLearningStore(database).outcomes("desk"))
    rows = [replace(shop.traces[0], id=f"again{number}") for number in range(500)]
    began = time.perf_counter()
    SqlTraceStore(database).write(rows)
    writing = time.perf_counter() - began
    database.close()
    return [
        ("settle matured conversations, all in all", f"{1e6 * seconds / made:.0f} us each ({made:,})"),
        ("write a trace with its assignment, in batches of 500", f"{1e6 * writing / len(rows):.0f} us each"),
    ]


def main() -> None:
    """Print the figures."""
    print_conditions("What learning costs", database="SQLite on the disk, synchronous=FULL for outcomes")
    with tempfile.TemporaryDirectory() as folder:
        rows = [*choosing(), *recording(), *refreshing(), *asyncio.run(maturing(Path(folder)))]
    print_table(["what", "takes"], rows)


if __name__ == "__main__":
    main()
