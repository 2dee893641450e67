"""Background work: threads that record, evaluate and take feedback in; watches over packs, audits, pins and levels.

Started and stopped with the application; stopping waits until every trace is written and every answer examined.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from router.backends import LiteLLMBackend
from router.core.errors import BackendError, Degraded
from router.engine.snapshot import Reloader
from router.server.backend_probe import probe
from router.server.composition import Components

log = logging.getLogger("router.server")

LOOK_EVERY_S = 0.5
"""How often the files of the packs are looked at. Seventy files cost 0.2 ms of a thread's time."""

QUIET_LOOKS = 2
"""After how many looks at which nothing has changed the files are read: editors, and git, write several in a row."""

QUIET_WITHIN_S = 30.0
"""Files that are never quiet are read all the same after so long, if they read twice alike."""

AGAIN_S = 10.0
"""How often a pack that does not load is tried again, should the change that mends it not be seen."""

AUDITS_EVERY_S = 1.0
"""How often is asked whether audits were recorded: one look-up by key, 0.25 ms of a thread's time."""

PINS_EVERY_S = 0.5
"""How often pins are stored, and so what of them a crash can lose."""

FORGET_EVERY = 600
"""In how many rounds of storing pins those that are void are removed once: five minutes."""

ROLLOUTS_EVERY_S = 1.0
"""How often is asked whether an operator has said anything of a changed pack: one look-up, as for audits."""

LEVELS_EVERY_S = 1.0
"""How often the tuner's log is read, and so how soon all replicas have new levels: one look-up, as for audits."""

TUNE_EVERY = 10
"""In how many rounds of that the tuner works once."""

SWEEP_EVERY_S = 3600.0
"""How often what is too old or too much is removed."""

Signature: TypeAlias = tuple[tuple[int, int, int, int] | None, ...]


@asynccontextmanager
async def running(parts: Components) -> AsyncIterator[None]:
    """Run what belongs to the parts while the application serves."""
    parts.recorder.start()
    parts.feedback.queue.start()
    parts.shadow.start()
    loop = asyncio.get_running_loop()
    parts.answer_queue.start(loop)
    wake = asyncio.Event()
    with suppress(NotImplementedError, ValueError, RuntimeError):  # no signals outside the main thread, or on Windows
        loop.add_signal_handler(signal.SIGHUP, wake.set)
    tasks = [
        asyncio.create_task(_watch(parts.reloader, wake, _signature(parts.reloader.files))),
        asyncio.create_task(_reload_when(parts, wake)),
        asyncio.create_task(_heed_audits(parts)),
        asyncio.create_task(_keep_pins(parts)),
        asyncio.create_task(_learn(parts)),
        asyncio.create_task(_heed_rollouts(parts)),
        asyncio.create_task(_sweep(parts)),
    ]
    tasks += [asyncio.create_task(_prepare(b)) for b in parts.backends.values() if isinstance(b, LiteLLMBackend)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for backend in parts.backends.values():
            await backend.aclose()
        await asyncio.to_thread(parts.feedback.queue.close)
        await asyncio.to_thread(parts.answer_queue.close)
        await asyncio.to_thread(parts.recorder.close)
        await asyncio.to_thread(_store_pins, parts)
        await asyncio.to_thread(parts.shadow.close)
        await asyncio.to_thread(parts.database.close)


async def _watch(reloader: Reloader, wake: asyncio.Event, loaded: Signature) -> None:
    """Wake the reloading when files have changed.

    By looking, not by the kernel's notices: those are missed on network and container mounts, and while a watch is
    being set up.
    """
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        now = await asyncio.to_thread(_signature, reloader.files)
        if now != loaded:
            loaded = now
            wake.set()


async def _quiet(reloader: Reloader) -> None:
    """Wait until the files have not changed for a while."""
    quiet, before = 0, await asyncio.to_thread(_signature, reloader.files)
    until = time.monotonic() + QUIET_WITHIN_S
    while quiet < QUIET_LOOKS and time.monotonic() < until:
        await asyncio.sleep(LOOK_EVERY_S)
        now = await asyncio.to_thread(_signature, reloader.files)
        quiet, before = (quiet + 1 if now == before else 0), now


def _signature(paths: tuple[Path, ...]) -> Signature:
    """Return what changes when any of the files does."""
    return tuple(_stat(path) for path in paths)


def _stat(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The last time is the kernel's: copies that keep their times (cp -p) cannot set it.
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


async def _prepare(backend: LiteLLMBackend) -> None:
    """Import litellm beside the first requests instead of in one of them: it takes seconds.

    Not for a backend that only bridges with it: most of these never need to, and it takes 160 MB.
    """
    try:
        await backend.prepare()
    except BackendError as error:
        log.error("backend %s: %s", backend.name, error)


async def look_at_backends(parts: Components) -> None:
    """Log which backends are not where the settings say, and the cure. Beside the first requests."""
    settings = parts.settings
    for name, chosen in settings.backends.items():
        if chosen.type in ("openai", "anthropic"):
            found = await probe(name, chosen, settings.models, call=False)
            if not found.good:
                log.error("backend %s: %s. To mend it: %s", name, found.found, found.fix)


async def _reload_when(parts: Components, wake: asyncio.Event) -> None:
    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), AGAIN_S if parts.reloader.faults else None)
        wake.clear()
        await _quiet(parts.reloader)
        await parts.reloader.reload()


async def _keep_pins(parts: Components) -> None:
    """Store what running conversations keep, and compare what was sent with what was sent before."""
    for round_ in itertools.count(1):
        await asyncio.sleep(PINS_EVERY_S)
        await asyncio.to_thread(_store_pins, parts, forget=round_ % FORGET_EVERY == 0)


def _store_pins(parts: Components, *, forget: bool = False) -> None:
    parts.prefixes.look()
    registry = parts.registry
    records = parts.pipeline.preparer.pins.changed({name: registry.current(name).policy for name in registry.names})
    try:
        parts.pins.write(records)
        if forget:
            parts.tidy()
            parts.pins.forget(time.time())
    except Degraded as fault:
        parts.telemetry.note(fault.code)
        log.error("%s", fault)


async def _heed_audits(parts: Components) -> None:
    """Take up the thresholds that new audits have moved; also after a reload, which may have read them too soon."""
    registry = parts.registry
    heeded: object = None
    while True:
        await asyncio.sleep(AUDITS_EVERY_S)
        try:
            now = (await asyncio.to_thread(parts.audits.last), registry.revisions)
        except Degraded as fault:
            parts.telemetry.note(fault.code)
            continue
        if now == heeded and not parts.tightening.unread:
            continue
        heeded = now
        for name in registry.names:
            before = registry.current(name)
            after = await asyncio.to_thread(parts.tightening.again, before)
            if registry.current(name) is before and registry.swap(name, after):
                log.info("policy %s is now at revision %s", name, after.policy.revision)


async def _learn(parts: Components) -> None:
    """Have the levels follow the tuner's log, and do the tuner's work now and then."""
    for round_ in itertools.count(1):
        await asyncio.sleep(LEVELS_EVERY_S)
        await asyncio.to_thread(parts.learner.advance if round_ % TUNE_EVERY == 0 else parts.learner.heed)


async def _heed_rollouts(parts: Components) -> None:
    """Follow what operators say of changed packs."""
    while True:
        await asyncio.sleep(ROLLOUTS_EVERY_S)
        await asyncio.to_thread(parts.rollouts.heed)


async def _sweep(parts: Components) -> None:
    """Remove decisions, and what was said of them, that are too old or too much."""
    while True:
        try:
            swept = await asyncio.to_thread(parts.retention.sweep, time.time_ns() // 1_000_000)
            if any(swept):
                log.info("removed by age or size: %s", swept)
        except Degraded as fault:
            parts.telemetry.note(fault.code)
            log.error("%s", fault)
        await asyncio.sleep(SWEEP_EVERY_S)
