"""The way in: a recogniser for a policy, from the cache or freshly fitted.

A fit takes seconds to minutes, and whoever waits for it is told how far it is: `watched` names whom to tell. In a
process of its own the fit says so on its standard error, a line a step. That process exists so that scikit-learn's
memory and its seconds of work stay out of the one that serves.

The cache is a folder of artefacts named by what they were fitted to. Whatever is wrong with a cached file, it is
fitted again and replaced; whatever is wrong with the folder, recognition still works, only the next start is slower.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

from router.classify.artefact import Artefact, ArtefactError
from router.classify.fit.fitting import Progress, fit_material, key_of
from router.classify.fit.training import Material
from router.classify.recogniser import LinearRecogniser
from router.classify.remote import kept_in
from router.classify.vectors import EncoderFailed
from router.core.errors import Degraded
from router.core.policy import Policy

log = logging.getLogger("router.classify")

FIT_DEADLINE_S = 600.0

KEPT_BYTES = 256 << 20
"""Of models in the cache, those used last stay: a few packs, and a way back to what a pack was before."""

_in_use: WeakValueDictionary[str, LinearRecogniser] = WeakValueDictionary()
"""The recognisers that a server uses, by what they were fitted to: revisions with the same examples share one."""


STEP = "fit-progress "
"""How a line of the fitting process begins that tells the share that is done; all other lines are complaints."""

LAST_LINES, LAST_WORDS = 50, 2_000
"""Lines, and characters, kept of what a failed fitting process complained of."""

CLOSING_S = 5.0
"""How long an ended process may leave its standard error open, as when it has started others."""

_FITTING_PROCESS = "from router.classify.loading import fit_here; fit_here()"


class _Watch(threading.local):
    """Who is told of the fits that this thread waits for.

    Between a command line, which knows a terminal, and a fit lie the library and the assembly, which have no business
    with one. It is the thread's, not the context's: a server reloads in worker threads, and they stay silent.
    """

    progress: Progress | None = None


_watch = _Watch()


@contextlib.contextmanager
def watched(progress: Progress) -> Iterator[None]:
    """Tell `progress` of each fit that this thread starts meanwhile: 0 at its beginning, shares, 1 at its end.

    It may be called from another thread, and is not called at all where the cache holds what is asked for.
    """
    before, _watch.progress = _watch.progress, progress
    try:
        yield
    finally:
        _watch.progress = before


def recogniser_for(policy: Policy, cache: Path | None, *, isolated: bool = False) -> LinearRecogniser:
    """Return a recogniser for a policy, fitting when `cache` holds none for these examples.

    `isolated`, for servers, fits in a process of its own, which ends with it: scikit-learn then never enters this one.
    What is in use already is then returned as it is. Blocks until done, so call it in a thread beside an event loop.
    Raises Degraded when fitting fails.
    """
    material = Material.of(policy)
    key = key_of(material)
    if not isolated:
        return _recogniser(material, key, cache)
    recogniser = _in_use.get(key)
    if recogniser is None:
        recogniser = _in_use[key] = _recogniser(material, key, cache, isolated=True)
    return recogniser


def _recogniser(material: Material, key: str, cache: Path | None, *, isolated: bool = False) -> LinearRecogniser:
    path = cache / f"{key[:32]}.model" if cache is not None else None
    if path is not None:
        with contextlib.suppress(ArtefactError):
            found = LinearRecogniser(Artefact.load(path, key))
            with contextlib.suppress(OSError):  # a folder that is only read forgets nothing either
                os.utime(path)
            return found
    tell = _watch.progress or (lambda done: None)
    tell(0.0)
    log.info("fitting the recogniser to %s examples; once: it is kept until they change", f"{len(material.examples):,}")
    began = time.monotonic()
    if isolated:
        artefact = _fit_apart(material, key, tell, cache)
    else:
        with kept_in(cache):
            artefact = fit_material(material, progress=tell)
    tell(1.0)
    log.info("fitted in %.0f s", time.monotonic() - began)
    if path is not None:
        with contextlib.suppress(OSError):  # a full or read-only disk costs the next start a fit, nothing else
            artefact.save(path)
            _forget_old(path.parent)
    return LinearRecogniser(artefact)


def _fit_apart(material: Material, key: str, tell: Progress, cache: Path | None) -> Artefact:
    """Fit in a process of its own: material in on stdin, artefact out on stdout, steps and complaints on stderr."""
    source = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-c", _FITTING_PROCESS, *([str(cache)] if cache is not None else [])]
    try:
        done, model, complaints = _run(command, material.dump().encode(), os.environ | {"PYTHONPATH": path}, tell)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Degraded("fit_failed", f"the fitting process could not run: {error}") from error
    if done != 0:
        raise Degraded("fit_failed", f"the fitting process ended with {done}: {complaints}")
    try:
        return Artefact.parse(model, key)
    except ArtefactError as error:
        raise Degraded("fit_failed", f"the fitting process wrote no model: {error}") from error


def fit_here() -> None:
    """Be the fitting process: material on standard input, artefact on standard output, the cache as argument."""

    def tell(done: float) -> None:
        print(f"{STEP}{done:.3f}", file=sys.stderr, flush=True)

    with kept_in(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        try:
            fitted = fit_material(Material.load(sys.stdin.read()), progress=tell)
        except EncoderFailed as error:  # whoever waits wants the cause, not where it came from
            sys.exit(str(error))
    sys.stdout.buffer.write(fitted.dump())


def _run(command: list[str], given: bytes, environment: dict[str, str], tell: Progress) -> tuple[int, bytes, str]:
    """Run a process to its end and return its exit code, its output, and the last it had to complain of.

    Its standard error is read as it comes. Raises OSError when it cannot be started, and subprocess.TimeoutExpired when
    it takes too long; it is then ended.
    """
    complaints: deque[str] = deque(maxlen=LAST_LINES)
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8", errors="replace") as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writing, env=environment
            )
        finally:
            os.close(writing)
        listener = threading.Thread(target=_listen, args=(said, tell, complaints), daemon=True)
        with process:
            listener.start()
            try:
                output, _ = process.communicate(given, timeout=FIT_DEADLINE_S)
            except BaseException:
                process.kill()
                raise
            finally:
                listener.join(CLOSING_S)
        return process.returncode, output, "".join(complaints)[-LAST_WORDS:].strip()


def _listen(said: IO[str], tell: Progress, complaints: deque[str]) -> None:
    """Tell of steps and keep complaints until the other end is closed."""
    for line in said:
        if line.startswith(STEP):
            with contextlib.suppress(ValueError):
                tell(float(line.removeprefix(STEP)))
        else:
            complaints.append(line[-LAST_WORDS:])


def _forget_old(cache: Path) -> None:
    """Remove what was not used for longest, beyond `KEPT_BYTES`; the newest stays whatever its size."""
    found = sorted(((path.stat(), path) for path in cache.glob("*.model")), key=lambda one: -one[0].st_mtime_ns)
    sizes = accumulate(stat.st_size for stat, _ in found)
    for (_, path), size in zip(found[1:], islice(sizes, 1, None), strict=True):
        if size > KEPT_BYTES:
            path.unlink(missing_ok=True)
