"""Accuracy, calibration, out-of-scope detection, what is acted on, time and memory, next to others: the main table.

    python -m tests.bench.recognition_table [--quick]

Banking77 and CLINC150 at 5, 10 and 20 examples a task, five draws each (every contender gets the same ones), and in
full; always on the official test messages. In the table

- task and domain: the share of test messages in scope whose best task (top-level branch) is right, "none of these" set
  aside; a contender without domains is judged by the branch of its best task;
- error: expected calibration error of the probability of the best task, over the same messages, 15 bins of equal mass;
- AUROC: that a message in scope scores higher than one of CLINC150's official out-of-scope test messages, by the mass of
  the heaviest top-level branch, and beside it by that of all tasks together (one less the probability of "none of
  these"), which `router evaluate` reports; semantic-router's by its confidence;
- at the fitted thresholds, shares of the messages in scope: settled on one task; reach (their task's instructions are
  sent, plainly or as a case); general text only; error (wrong text, or a shortlist without the right task) and the part
  of it that is said plainly; out of scope: the share of those messages that get any task's text;
- p50, p99: one message at a time, three rounds of messages that come once only, median over rounds;
- all times are of the processor, with one thread each, so that what else ran on the machine does not count; times and
  memory are of the first draw.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from tests.bench.recognition_contenders import (
    Answer,
    Contender,
    LinearProbe,
    OurRouter,
    ScikitLearn,
    SemanticRouter,
    semantic_python,
)
from tests.bench.recognition_metrics import (
    NAN,
    auroc,
    calibration_error,
    leads_to,
    p50_p99,
    percent,
    plain,
    share,
    spread,
)
from tests.bench.recognition_parts import Part, begin, say
from tests.bench.recognition_sets import SETS, Messages, domain_of, draw
from tests.bench.report import milliseconds, print_table

SHOTS: tuple[int | None, ...] = (5, 10, 20, None)
SEEDS = 5
ROUNDS = 3
OURS, SKLEARN, PROBE, SEMANTIC = "Prompt Router", "scikit-learn", "linear probe on MiniLM", "semantic-router"
TIMED = {OURS: 1000, SKLEARN: 150, PROBE: 100, SEMANTIC: 100}
"""Messages in each round of timing."""

FRESH: dict[str, Callable[[], Contender]] = {OURS: OurRouter, SKLEARN: ScikitLearn, PROBE: LinearProbe}
"""Contenders that get a new process for each fit, so that none inherits the memory of another."""


@dataclass(frozen=True, slots=True)
class Line:
    """The figures of one contender on one draw. Shares are between 0 and 1, times in seconds."""

    contender: str
    data: str
    shots: int | None
    seed: int
    task: float
    domain: float
    error: float
    auroc_top: float
    auroc_some: float
    sure: float
    reach: float
    general: float
    wrong: float
    plainly: float
    outside_acted: float
    p50: float = NAN
    p99: float = NAN
    fit: float = NAN
    megabytes: float = NAN
    resident: float = NAN


def judged(messages: Messages, inside: Sequence[Answer], outside: Sequence[Answer]) -> dict[str, float]:
    """Return the shares of a line: everything that follows from the answers."""
    truths = [row.path for row in messages.test]
    pairs = list(zip(inside, truths, strict=True))
    right = [answer.task == truth for answer, truth in pairs]
    found = {
        "task": share(right),
        "domain": share([answer.domain == domain_of(truth) for answer, truth in pairs]) if messages.deep else NAN,
        "error": calibration_error([answer.confidence for answer in inside], right),
        "auroc_top": auroc([answer.top for answer in inside], [answer.top for answer in outside]),
        "auroc_some": auroc([answer.some for answer in inside], [answer.some for answer in outside]),
    }
    told = [(answer.settled, answer.listed, truth) for answer, truth in pairs if answer.settled is not None]
    if not told:
        return found | dict.fromkeys(("sure", "reach", "general", "wrong", "plainly", "outside_acted"), NAN)
    depth = 2 if messages.deep else 1
    plainly = [not leads_to(path, truth) for path, _, truth in told]
    missed = [bool(listed) and truth not in listed for _, listed, truth in told]
    return found | {
        "sure": share([path.count("/") == depth and path != "/" for path, *_ in told]),
        "reach": share([truth in (path, *listed) for path, listed, truth in told]),
        "general": share([path == "/" and not listed for path, listed, _ in told]),
        "wrong": share([either for either in map(max, plainly, missed)]),
        "plainly": share(plainly),
        "outside_acted": share([answer.settled != "/" or bool(answer.listed) for answer in outside]),
    }


def measure(contender: Contender, name: str, messages: Messages, shots: int | None, seed: int) -> Line:
    """Fit to one draw and work out its line; time and memory for the first draw only."""
    taken = contender.fit(draw(messages.train, shots, seed))
    resident = contender.resident_mib() if seed == 0 and name != SEMANTIC else NAN
    shares = judged(messages, contender.answer([row.text for row in messages.test]), contender.answer(messages.outside))
    if seed:
        return Line(name, messages.name, shots, seed, **shares)
    texts = [row.text for row in messages.test]
    random.Random(1).shuffle(texts)
    many = max(1, min(TIMED[name], len(texts) // ROUNDS))
    contender.durations(texts[-20:])
    p50, p99 = p50_p99([contender.durations(texts[at * many : (at + 1) * many]) for at in range(ROUNDS)])
    if name == SEMANTIC:  # its memory counts after it has answered; ours is that of another process
        resident = contender.resident_mib()
    return Line(
        name,
        messages.name,
        shots,
        seed,
        **shares,
        p50=p50,
        p99=p99,
        fit=taken,
        megabytes=contender.megabytes(),
        resident=resident,
    )


def measure_fresh(name: str, data: Path, data_set: str, shots: int | None, seed: int) -> Line:
    """Measure in this process, which nothing else was measured in."""
    return measure(FRESH[name](), name, SETS[data_set](data), shots, seed)


def draws(quick: bool) -> Iterator[tuple[str, int | None, int]]:
    """Yield data set, examples a task (None for all) and seed; first draws first, so that half a run says the most."""
    for seed in range(1 if quick else SEEDS):
        for data_set in SETS:
            for shots in SHOTS[1:2] if quick else SHOTS:
                if shots is not None or not seed:
                    yield data_set, shots, seed


class Ledger:
    """The lines measured so far. What an earlier run left among the results is not measured again."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self.lines = [Line(**line) for line in part.earlier("table") or ()]

    def missing(self, name: str) -> list[tuple[str, int | None, int]]:
        """Return the draws that a contender has no line for."""
        there = {(line.data, line.shots, line.seed) for line in self.lines if line.contender == name}
        return [planned for planned in draws(self._part.quick) if planned not in there]

    def add(self, line: Line) -> None:
        """Take a line in, and keep it."""
        self.lines.append(line)
        self._part.keep("table", [asdict(one) for one in self.lines])
        say(f"{line.contender}, {line.data}, {line.shots or 'all'} examples, draw {line.seed}: {percent(line.task)} %")


def run_fresh(part: Part, ledger: Ledger, name: str) -> None:
    """Measure a contender that lives in this project's interpreter on every draw."""
    spawn = multiprocessing.get_context("spawn")
    for data_set, shots, seed in ledger.missing(name):
        with ProcessPoolExecutor(1, mp_context=spawn) as fresh:
            ledger.add(fresh.submit(measure_fresh, name, part.data, data_set, shots, seed).result())


def run_semantic(part: Part, ledger: Ledger) -> None:
    """Measure semantic-router on every draw, where it is installed."""
    planned = ledger.missing(SEMANTIC)
    python = semantic_python()
    if not planned:
        return
    if python is None:
        print(
            f"- {SEMANTIC}: absent; install it with tests/bench/install_recognition_peers, name the folder in BENCH_PEERS"
        )
        return
    peer = SemanticRouter(python)
    print(f"- {SEMANTIC}: {peer.version}, HuggingFaceEncoder with all-MiniLM-L6-v2 (fp32, torch)")
    for data_set, shots, seed in planned:
        ledger.add(measure(peer, SEMANTIC, SETS[data_set](part.data), shots, seed))
    peer.close()


HEAD = (
    "examples a task",
    "recogniser",
    "draws",
    "task %",
    "domain %",
    "error",
    "AUROC",
    "by 1 - none",
    "sure %",
    "reach %",
    "general only %",
    "error / plainly %",
    "out of scope told %",
    "p50 ms",
    "p99",
    "fit s",
    "model MB",
    "resident MiB",
)


def row_of(lines: Sequence[Line]) -> list[str]:
    """Return a table row from the lines of one contender's draws."""
    first = min(lines, key=lambda line: line.seed)

    def mean(field: str) -> float:
        return fmean(getattr(line, field) for line in lines)

    def time_of(seconds: float) -> str:
        return "-" if seconds != seconds else milliseconds(seconds)

    wrong = "-" if mean("wrong") != mean("wrong") else f"{percent(mean('wrong'))} / {percent(mean('plainly'))}"
    return [
        str(first.shots or "all"),
        first.contender,
        str(len(lines)),
        spread([line.task for line in lines]),
        spread([line.domain for line in lines]),
        plain(mean("error"), 3),
        plain(mean("auroc_top"), 3),
        plain(mean("auroc_some"), 3),
        *(percent(mean(field)) for field in ("sure", "reach", "general")),
        wrong,
        percent(mean("outside_acted")),
        time_of(first.p50),
        time_of(first.p99),
        plain(first.fit),
        plain(first.megabytes),
        plain(first.resident, 0),
    ]


def print_lines(lines: Sequence[Line]) -> None:
    """Print a table for each data set."""
    for data_set in SETS:
        print(f"\n## {data_set}\n")
        rows = []
        for shots in SHOTS:
            for name in (*FRESH, SEMANTIC):
                same = [line for line in lines if (line.data, line.shots, line.contender) == (data_set, shots, name)]
                if same:
                    rows.append(row_of(same))
        print_table(HEAD, rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    part = begin(
        "Recognition next to others",
        argv,
        draws=f"{SEEDS} at 5, 10 and 20 examples a task (mean ± standard deviation), 1 of all; quick: 1 of 10",
        tested_on="all official test messages (CLINC150 4,500 and 1,000 out of scope, Banking77 3,080)",
    )
    ledger = Ledger(part)
    if ledger.lines:
        print(f"- lines of earlier runs: {len(ledger.lines)}")
    run_semantic(part, ledger)
    for name in FRESH:
        run_fresh(part, ledger, name)
    print_lines(ledger.lines)


if __name__ == "__main__":
    main()
