"""How much of a prompt the model's cache serves: no router, ours, and instructions injected at the head.

    python -m tests.bench.cache [--dialogues 20] [--timed 4] [--wire chat|responses|messages]

Multi-turn dialogues that change their task are replayed turn by turn against a real llama.cpp server, which tells how
many tokens of each prompt it had in its cache. The assistant's turns are those of the data, so that every arm sends the
same conversation:

- no router: the app's own system prompt and the dialogue;
- router, tail: our proxy as it comes, once for models that take our text in mid-conversation as a block in the user
  turn, once for those that take a system message there;
- router, head: our proxy with `on_switch: head`;
- decorator: the instructions of the newest turn in front of the app's system prompt, or behind it, on every turn. The
  decisions are the router's, so that nothing differs but the place.

Each arm begins with an empty cache. A slot of the server serves one dialogue at a time and remembers its last request
alone; providers keep earlier ones for some minutes too, which helps a decorator whose task comes back.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import httpx
import yaml

from router import Router
from tests.bench.cache_arms import FORMATS, TAKES_SLOT, Arm, Spent, changes, decorated, replay, warm_up
from tests.bench.cache_bill import prices
from tests.bench.cache_model import cache_model
from tests.bench.cache_pack import SERVICES, Dialogue, app_prompt, replayed, write_packs
from tests.bench.machine import cpu_seconds
from tests.bench.recognition_sets import data_folder
from tests.bench.report import print_conditions, print_table
from tests.support.local_model import missing
from tests.support.serving import StartError, serving_router

LANES = 4
LAYERS = 1
COUNTED, TIMED = 20, 4
"""Dialogues whose tokens are counted, and of them those that the whole model reads: some five minutes."""
TASKS = sum(map(len, SERVICES.values()))
NO_ROUTER, HEAD, FRONT, BEHIND = "no router", "router, head", "decorator, in front", "decorator, behind"
USER_BLOCK, SYSTEM = "router, tail (user block)", "router, tail (system message)"
ARMS = (NO_ROUTER, USER_BLOCK, SYSTEM, HEAD, BEHIND, FRONT)


@dataclass(frozen=True, slots=True)
class Bench:
    """What all arms share. `data` keeps fitted recognisers; `packs` are by their `on_switch`."""

    wire: str
    packs: Mapping[str, Path]
    data: Path

    @property
    def lanes(self) -> int:
        """Dialogues under way at once."""
        return LANES if self.wire in TAKES_SLOT else 1

    def router(self) -> Router:
        """Return the router that decides for the decorators."""
        return Router.load(self.packs["tail"], cache=self.data)


@contextmanager
def arm(name: str, model: str, bench: Bench) -> Iterator[Arm]:
    """Start what an arm needs in front of the model."""
    if name == NO_ROUTER:
        yield Arm(name, model)
    elif name in (FRONT, BEHIND):
        yield Arm(name, model, decorated(bench.router(), front=name == FRONT))
    else:
        config = bench.data / "router.yaml"
        mid = "system" if name == SYSTEM else "user_block"
        backend = {"type": "openai", "base_url": f"{model}/v1", "mid_conversation": mid, "speaks": list(FORMATS)}
        config.write_text(yaml.safe_dump({"backends": {"local": backend}}), encoding="utf-8")
        pack = bench.packs["head" if name == HEAD else "tail"]
        with serving_router("--pack", str(pack), "--config", str(config), "--data", str(bench.data)) as server:
            yield Arm(name, server.url)


class Found(NamedTuple):
    """What the requests of an arm cost, and the processor time of the model for all of them."""

    spent: list[Spent]
    processor_s: float

    @property
    def share(self) -> float:
        """Which part of all prompt tokens came from the cache."""
        return sum(request.cached for request in self.spent) / sum(request.prompt for request in self.spent)


def measure(bench: Bench, dialogues: Sequence[Dialogue], app: str, layers: int | None) -> dict[str, Found]:
    """Return what each arm cost; one that fails is left out with its reason. The first dialogue warms up."""
    found: dict[str, Found] = {}
    for name in ARMS:
        try:
            with cache_model(bench.lanes, layers) as server, arm(name, server.url, bench) as sent:
                warm_up(sent, bench.wire, app, dialogues[0], bench.lanes)
                before = cpu_seconds(server.process.pid)
                spent = replay(sent, bench.wire, app, dialogues[1:], bench.lanes)
                found[name] = Found(spent, cpu_seconds(server.process.pid) - before)
        except (httpx.HTTPError, StartError) as failure:
            print(f"left out: {name}: {failure}")
    return found


def print_tokens(found: Mapping[str, Found]) -> None:
    """Print where the tokens of each arm came from."""
    plain = found[NO_ROUTER].share if NO_ROUTER in found else None
    rows = []
    for name, arm_ in found.items():
        rows.append(
            [
                name,
                f"{fmean(request.prompt for request in arm_.spent):,.0f}",
                f"{arm_.share:.1%}",
                "" if plain is None else f"{100 * (arm_.share - plain):+.1f}",
                f"{fmean(request.prompt - request.cached for request in arm_.spent):,.0f}",
            ]
        )
    print_table(["arm", "prompt tokens/turn", "from cache", "points to no router", "not from cache/turn"], rows)


def print_bill(found: Mapping[str, Found], dialogues: int) -> None:
    """Print what a thousand such dialogues would cost, and what is assumed for it."""
    try:
        known, source = prices()
    except LookupError as absence:
        print(f"\n{absence}")
        return
    print("\nThe bill for the input of 1,000 such dialogues, in dollars:\n")
    rows = [
        [name, *(f"{each.bill(arm_.spent) / dialogues * 1000:.2f}" for each in known)] for name, arm_ in found.items()
    ]
    print_table(["arm", *(each.model for each in known)], rows)
    print(f"\nAssumed ({source}), in dollars for a million tokens:\n")
    rows = [[each.model, f"{each.input:g}", f"{each.read:g}", f"{each.write:g}", f"{each.minimum:,}"] for each in known]
    print_table(["model", "input", "read from cache", "not from cache", "shortest cached prefix"], rows)


def print_times(found: Mapping[str, Found]) -> None:
    """Print how long the whole model read; processor time does not depend on what else the machine does."""
    rows = []
    for name, arm_ in found.items():
        told = [request.prompt_ms for request in arm_.spent if request.prompt_ms is not None]
        rows.append(
            [
                name,
                f"{arm_.share:.1%}",
                f"{fmean(told):,.0f}" if told else "not told",
                f"{1000 * arm_.processor_s / len(arm_.spent):,.0f}",
            ]
        )
    print_table(["arm", "from cache", "reading the prompt, ms/turn", "processor time, ms/turn"], rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Share of prompt tokens served from the model's cache.")
    parser.add_argument("--dialogues", type=int, default=COUNTED, help="dialogues whose tokens are counted")
    parser.add_argument("--timed", type=int, default=TIMED, help="of them, those that the whole model reads")
    parser.add_argument("--wire", choices=FORMATS, default="chat")
    arguments = parser.parse_args(argv)
    source = data_folder()
    if not (source / "sgd" / "dev.jsonl").is_file():
        sys.exit(f"skipped: {source} lacks sgd/dev.jsonl; name the folder of the data sets in BENCH_DATA")
    if missing():
        sys.exit(f"skipped: {missing()}")
    dialogues = replayed(source, 1 + arguments.dialogues)  # the first one warms up
    with tempfile.TemporaryDirectory(prefix="bench-cache-") as folder:
        data = Path(folder, "data")
        data.mkdir()
        bench = Bench(arguments.wire, write_packs(Path(folder), source), data)
        turns = sum(len(dialogue.turns) for dialogue in dialogues[1:])
        print_conditions(
            "Prompt tokens served from the cache",
            wire=FORMATS[bench.wire].path,
            dialogues=f"{len(dialogues) - 1} of Schema-Guided Dialogue, {turns} user turns, {bench.lanes} dialogues under way at once",
            instructions=f"a task for each of {TASKS} intents; others than at the turn before at "
            f"{changes(bench.router(), dialogues[1:])} turns",
            model=f"SmolLM2-135M-Instruct on llama.cpp, one thread; tokens counted with {LAYERS} of its layers",
        )
        found = measure(bench, dialogues, app_prompt(long=True), LAYERS)
        print("The app's own system prompt is long, as with rules and a list of functions:\n")
        print_tokens(found)
        print_bill(found, len(dialogues) - 1)
        print("\nThe app's own system prompt is two lines:\n", flush=True)
        print_tokens(measure(bench, dialogues, app_prompt(long=False), LAYERS))
        if arguments.timed:
            print(f"\nThe whole model, two lines, the first {arguments.timed} of these dialogues:\n", flush=True)
            print_times(measure(bench, dialogues[: 1 + arguments.timed], app_prompt(long=False), None))


if __name__ == "__main__":
    main()
