"""The fitting process: `python -m router.classify` reads a Material as JSON and writes the artefact.

It exists so that scikit-learn's memory and its seconds of work stay out of the serving process. What it writes to
standard error is for `loading`: a line a step, and whatever goes wrong.
"""

import sys
from pathlib import Path

from router.classify.fitting import fit_material
from router.classify.loading import STEP
from router.classify.material import Material
from router.classify.remote import kept_in
from router.classify.vectors import EncoderFailed


def tell(done: float) -> None:
    """Write a line for a step."""
    print(f"{STEP}{done:.3f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    with kept_in(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        try:
            fitted = fit_material(Material.load(sys.stdin.read()), progress=tell)
        except EncoderFailed as error:  # whoever waits wants the cause, not where it came from
            sys.exit(str(error))
    sys.stdout.buffer.write(fitted.dump())
