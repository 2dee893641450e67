"""The way in: a recogniser for a policy, from the cache or freshly fitted.

The cache is a folder of artefacts named by what they were fitted to. Whatever is wrong with a cached file, it is
fitted again and replaced; whatever is wrong with the folder, recognition still works, only the next start is slower.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from router.classify.artefact import Artefact, ArtefactError
from router.classify.fitting import fit_material, key_of
from router.classify.material import Material
from router.classify.recogniser import LinearRecogniser
from router.core.errors import Degraded
from router.core.policy import Policy

FIT_DEADLINE_S = 600.0

KEPT_MODELS = 8
"""Models that stay in the cache, the newest first: a few packs, and a way back to what a pack was before."""


def recogniser_for(policy: Policy, cache: Path | None, *, isolated: bool = False) -> LinearRecogniser:
    """Return a recogniser for a policy, fitting when `cache` holds none for these examples.

    `isolated` fits in a process of its own, which ends with it: scikit-learn then never enters this one. Blocks until
    done, so call it in a thread beside an event loop. Raises Degraded when fitting fails.
    """
    material = Material.of(policy)
    key = key_of(material)
    path = cache / f"{key[:32]}.model" if cache is not None else None
    if path is not None:
        with contextlib.suppress(ArtefactError):
            return LinearRecogniser(Artefact.load(path, key))
    artefact = _fit_apart(material, key) if isolated else fit_material(material)
    if path is not None:
        with contextlib.suppress(OSError):  # a full or read-only disk costs the next start a fit, nothing else
            artefact.save(path)
            _forget_old(path.parent)
    return LinearRecogniser(artefact)


def _fit_apart(material: Material, key: str) -> Artefact:
    """Fit in a process of its own: material in on stdin, artefact out on stdout (see `__main__`)."""
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "router.classify"]
    try:
        done = subprocess.run(
            command,
            input=material.dump().encode(),
            capture_output=True,
            timeout=FIT_DEADLINE_S,
            env=os.environ | {"PYTHONPATH": path},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Degraded("fit_failed", f"the fitting process could not run: {error}") from error
    if done.returncode != 0:
        last_words = done.stderr.decode("utf-8", "replace").strip()[-2_000:]
        raise Degraded("fit_failed", f"the fitting process ended with {done.returncode}: {last_words}")
    try:
        return Artefact.parse(done.stdout, key)
    except ArtefactError as error:
        raise Degraded("fit_failed", f"the fitting process wrote no model: {error}") from error


def _forget_old(cache: Path) -> None:
    models = sorted(cache.glob("*.model"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in models[KEPT_MODELS:]:
        path.unlink(missing_ok=True)
