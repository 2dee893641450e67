"""The fitting process: `python -m router.classify` reads a Material as JSON and writes the artefact.

It exists so that scikit-learn's memory and its seconds of work stay out of the serving process.
"""

import sys

from router.classify.fitting import fit_material
from router.classify.material import Material

if __name__ == "__main__":
    sys.stdout.buffer.write(fit_material(Material.load(sys.stdin.read())).dump())
