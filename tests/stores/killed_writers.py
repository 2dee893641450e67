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

from router.core.learning import Feedback
from router.stores import SqlFeedbackStore, open_database

LONGEST_LIFE_S = 0.06
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
        time.sleep(chance.uniform(0, LONGEST_LIFE_S))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        with os.fdopen(reading) as said:
            for line in said:
                told_us = json.loads(line)
                again = told_us.get("sent", [])  # nothing once it was acknowledged
                acknowledged.update(told_us.get("done", []))
                new.update(
                    id_ for id_, first in zip(told_us.get("done", []), told_us.get("new", []), strict=True) if first
                )
    print(json.dumps({"acknowledged": sorted(acknowledged), "new": new}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
