"""What it costs to decide, in this process: packs of 10, 150 and 1,000 leaves, messages of 15, 500 and 4,000 tokens.

    python -m tests.bench.decide [--data FOLDER] [--seconds 2] [--leaves 10,150,1000]

Four figures per pack and length, each for messages that were never seen before (an order number is drawn anew):
recognise (text to belief), decide (belief to mix), their sum, and wrap (the whole library call: body in, woven body
out, JSON read and written). The shipped pack comes first. With --data naming a folder that holds CLINC150
(`data_full.json` and `domains.json` of github.com/clinc/oos-eval), a pack of its 150 intents is measured as well.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router import Router
from router.assembly import snapshot_of
from router.core.decide import decide
from router.core.evidence import Evidence
from router.core.policy import count_tokens
from router.engine.guarding import FaultHandler
from router.engine.snapshot import Snapshot
from router.packs import load_pack
from tests.bench.gateways import SHIPPED_PACK
from tests.bench.machine import cores
from tests.bench.packs import MANNERS, SIZES, pack_of_examples, synthetic_pack, wishes_and_things, write_pack
from tests.bench.report import print_conditions, print_table, quantiles_ms

FORMS = {
    "15": (15, ", order"),
    "15, two sentences": (15, ". Order"),
    "500": (500, ", order"),
    "4,000": (4000, ", order"),
}
"""Tokens, and what stands before the order number: each sentence of a message is recognised for itself as well."""

WARM_UP = 50
LEAST = 200


@dataclass(frozen=True, slots=True)
class Times:
    """Durations in seconds, one entry per message."""

    recognise: list[float]
    decide: list[float]
    wrap: list[float]

    @property
    def both(self) -> list[float]:
        """Recognising and deciding together."""
        return [first + second for first, second in zip(self.recognise, self.decide, strict=True)]


def messages(tokens: int, link: str = ", order", seed: int = 11) -> Iterator[str]:
    """Yield messages of about `tokens` tokens, none ever twice: customers' sentences, an order number at the end."""
    draw = random.Random(seed)
    sentences = [
        manner.format(wish=way, thing=thing)
        for (way, thing), manner in zip(wishes_and_things(), MANNERS * 1000, strict=False)
    ]
    costs = [count_tokens(sentence) + 1 for sentence in sentences]
    while True:
        said: list[str] = []
        left = tokens - 6  # the order number's share
        while left > 0:
            at = draw.randrange(len(sentences))
            said.append(sentences[at])
            left -= costs[at]
        yield f"{'. '.join(said).rstrip('?!.')}{link} {draw.randrange(10**7, 10**8)}"


def measure(snapshot: Snapshot, router: Router, texts: Iterator[str], seconds: float) -> Times:
    """Time each step over messages, for about `seconds`."""
    recogniser, policy = snapshot.recogniser, snapshot.policy
    assert recogniser is not None
    times = Times([], [], [])
    clock = time.perf_counter
    began = clock()
    while len(times.wrap) < LEAST + WARM_UP or clock() - began < seconds:
        text, another = next(texts), next(texts)
        body = {"model": "bench", "messages": [{"role": "user", "content": another}]}
        start = clock()
        _, belief = recogniser.step(None, text)
        recognised = clock()
        decide(policy, Evidence(belief, thresholds=recogniser.thresholds))
        decided = clock()
        router.wrap(body, wire="chat", context={})
        times.wrap.append(clock() - decided)
        times.recognise.append(recognised - start)
        times.decide.append(decided - recognised)
    return Times(*(part[WARM_UP:] for part in (times.recognise, times.decide, times.wrap)))


def clinc150(folder: Path) -> dict[str, Any] | None:
    """Return CLINC150 as a pack, if the folder holds it."""
    found = next(folder.rglob("data_full.json"), None)
    if found is None:
        return None
    domains = json.loads(found.with_name("domains.json").read_text(encoding="utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}
    examples: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for text, intent in json.loads(found.read_text(encoding="utf-8"))["train"]:
        examples[domain_of[intent]][intent].append(text)
    return pack_of_examples("clinc150", examples)


def packs(folder: Path, leaves: Sequence[int], data: Path | None) -> Iterator[tuple[str, Path]]:
    """Yield the packs to measure: what to call them, and where they are."""
    yield "shipped", SHIPPED_PACK
    for count in leaves:
        yield f"{count:,} leaves", write_pack(folder, synthetic_pack(count))
    clinc = clinc150(data) if data else None
    if clinc:
        yield "CLINC150", write_pack(folder, clinc)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What it costs to decide.")
    parser.add_argument("--data", type=Path, help="a folder that holds CLINC150")
    parser.add_argument("--seconds", type=float, default=2, help="for each line of the table")
    parser.add_argument("--leaves", default=",".join(map(str, SIZES)))
    arguments = parser.parse_args(argv)
    where = cores()
    where.take_tested()
    print_conditions("Deciding in process", cores_used=where, timed=f"{arguments.seconds:g} s for each line")
    steps = ("recognise", "decide", "both", "wrap")
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for title, path in packs(folder, [int(count) for count in arguments.leaves.split(",")], arguments.data):
            began = time.perf_counter()
            snapshot = snapshot_of(load_pack(path), folder, FaultHandler(print))
            print(
                f"{title}: {len(snapshot.policy.tasks)} tasks, loaded and fitted in {time.perf_counter() - began:.1f} s"
            )
            router = Router.load(path, cache=folder)
            for form, (tokens, link) in FORMS.items():
                times = measure(snapshot, router, messages(tokens, link), arguments.seconds)
                figures = [value for step in steps for value in quantiles_ms(getattr(times, step), 0.5, 0.99)]
                rows.append([title, form, *figures])
    print()
    print_table(["pack", "tokens", *(f"{step} {rank}" for step in steps for rank in ("p50 ms", "p99"))], rows)


if __name__ == "__main__":
    main()
