"""Writes feedback in processes that are killed, one after the other, at random moments.

    python killed_writers.py URL KILLS SEED

Prints, as JSON, the ids that `record` returned from, and how often it called each of them new. A process is forked, not
started: importing would take longer than all the rest. What was sent last to a writer that died is sent again to the
next one, as a client would that was not answered.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from typing import TextIO

from router.core.learning import Feedback
from router.stores import SqlFeedbackStore, open_database

MOST_BATCHES = 8
"""Batches that a writer stores at most before it is killed while it is at the next one."""

LONGEST_S = 0.005
"""How far it may get with that one; a batch takes about a millisecond."""

MOST_ROWS = 30


def row(id_: str) -> Feedback:
    return Feedback(id_, 1, "acme", "shop", "c1", "u1", "dec_1", "solved", 1.0, "user")


def write(url: str, name: int, again: list[str], told: int) -> None:
    """Record batches for ever, and tell of each what is about to be sent, and what was acknowledged."""
    store = SqlFeedbackStore(open_database(url))
    chance = random.Random(name)
    batch, number = again, 0
    while True:
        if batch:
            os.write(told, json.dumps({"sent": batch}).encode() + b"\n")
            new = store.record([row(id_) for id_ in batch])
            os.write(told, json.dumps({"done": batch, "new": new}).encode() + b"\n")
        size = chance.randint(1, MOST_ROWS)
        batch = [f"{name}-{number + step}" for step in range(size)]
        number += size


def read_batches(said: TextIO, batches: int) -> list[str]:
    """Return what a writer has said when it has stored so many batches, or is dead."""
    lines: list[str] = []
    while sum('"done"' in line for line in lines) < batches and (line := said.readline()):
        lines.append(line)
    return lines


def main(url: str, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: set[str] = set()
    new: Counter[str] = Counter()
    again: list[str] = []
    for name in range(kills):
        reading, told = os.pipe()
        writer = os.fork()
        if writer == 0:
            os.close(reading)
            try:
                write(url, name, again, told)
            finally:
                os._exit(1)
        os.close(told)
        with os.fdopen(reading) as said:
            lines = read_batches(said, chance.randint(0, MOST_BATCHES))
            time.sleep(chance.uniform(0, LONGEST_S))
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            lines += said.readlines()
        again = []
        for line in map(json.loads, lines):
            again = line.get("sent", [])  # nothing once it was acknowledged
            acknowledged.update(line.get("done", []))
            new.update(id_ for id_, first in zip(line.get("done", []), line.get("new", []), strict=True) if first)
    print(json.dumps({"acknowledged": sorted(acknowledged), "new": new}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
