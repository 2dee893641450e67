"""Prints the resident memory, in MiB, of a process that loads a fitted model and answers a few messages.

python -m tests.bench.recognition_memory FILE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from router.classify.artefact import Artefact
from router.classify.recogniser import LinearRecogniser
from tests.bench.machine import memory_mib

MESSAGES = 200


def main(path: Path) -> None:
    """Load, answer, print."""
    recogniser = LinearRecogniser(Artefact.load(path))
    for number in range(MESSAGES):
        recogniser.step(None, f"please tell me where my order {number} is and what it costs")
    if "sklearn" in sys.modules:
        sys.exit("scikit-learn was imported: this is not the serving process")
    print(memory_mib(os.getpid()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
