"""The composition root: settings in, running parts out. The only place that knows which room implements a port.

Conversations that were under way are taken up at the start (`resume`), each with the revision on which it began.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from router import __version__
from router.assembly import WIRES, SnapshotBuilder, preparer_for, shipped_pack
from router.backends import (
    BridgedBackend,
    EchoBackend,
    Limits,
    LiteLLMBackend,
    PassThroughBackend,
    Timeouts,
    TokenFile,
    azure,
    bridge_to,
)
from router.core.errors import Degraded, PolicyError, SettingsError
from router.core.ports import Backend, BackendRequest
from router.cues.detectors import detect_language
from router.engine.answer_evaluation import AnswerEvaluator
from router.engine.answer_queue import AnswerQueue, Ask
from router.engine.audits import Tightening
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.pipeline import Pipeline
from router.engine.prefix import PrefixWatch
from router.engine.prepare import RequestPreparer
from router.engine.recorder import Recorder
from router.engine.send import BackendSender, BackendTarget, RetryBudget
from router.engine.shadow import ShadowDecider
from router.engine.snapshot import Build, PolicyRegistry, Reloader, Snapshot
from router.engine.threads import Link, Ownership
from router.packs import Archive
from router.rewards.answer_rules import PolicyAnswerRules
from router.server.feedback import FeedbackParts, feedback_parts
from router.server.keys import Keyring
from router.server.learner import Learner
from router.server.model_table import (
    FORMATS,
    REMEMBERED_CHARS,
    REMEMBERED_NAMES,
    ModelTable,
    Route,
    bridged,
    named_models,
    paths_of,
    speaks,
    speaks_at_first,
)
from router.server.rollouts import Rollouts
from router.server.routes import new_decision_id
from router.server.settings import ANTHROPIC_ADDRESS, BackendSettings, LimitSettings, Settings
from router.server.settings_source import load_salt
from router.server.telemetry import Metrics, Telemetry
from router.stores import (
    Database,
    Retention,
    SqlAuditStore,
    SqlFeedbackStore,
    SqlLearningStore,
    SqlPinStore,
    SqlRolloutStore,
    SqlTraceStore,
    evidence_of,
    open_database,
)

log = logging.getLogger("router.server")


@dataclass(frozen=True)
class Components:
    """Everything that runs behind one address."""

    settings: Settings
    registry: PolicyRegistry
    reloader: Reloader
    tidy: Callable[[], None]
    database: Database
    store: SqlTraceStore
    audits: SqlAuditStore
    pins: SqlPinStore
    prefixes: PrefixWatch
    rollouts: Rollouts
    shadow: ShadowDecider
    tightening: Tightening
    learner: Learner
    answer_queue: AnswerQueue
    feedback: FeedbackParts
    retention: Retention
    recorder: Recorder
    telemetry: Telemetry
    metrics: Metrics
    pipeline: Pipeline
    ownership: Ownership
    keyring: Keyring
    backends: Mapping[str, Backend]
    aliases: ModelTable
    new_id: Callable[[], str]


def compose(settings: Settings) -> Components:
    """Build everything. Raises PolicyError for a pack and SettingsError for settings that cannot be used."""
    salt = load_salt(settings)
    telemetry = Telemetry(named_models(settings.models))
    fault_handler = FaultHandler(telemetry.note)
    archive = Archive(settings.data / "revisions")
    allow = settings.reload.losses == "allow"
    build = SnapshotBuilder(settings.data / "recognisers", fault_handler, archive, allow_losses=allow)
    paths = settings.packs or (shipped_pack(),)
    built = [build(path) for path in paths]
    database = open_database(database_url(settings), set_aside=True)
    if database.set_aside:
        telemetry.note("database_set_aside")
    store, audits, pins = SqlTraceStore(database), SqlAuditStore(database), SqlPinStore(database)
    tightening = Tightening(build, audits.read, telemetry.note)
    registry = _registry([tightening.again(snapshot) for snapshot in built], paths)
    learning, said = SqlLearningStore(database), telemetry.counting_feedback(SqlFeedbackStore(database))
    learner = Learner(learning, registry, salt, fault_handler)
    learner.heed()
    backends = {name: backend_of(name, chosen, settings.limits.in_flight) for name, chosen in settings.backends.items()}
    aliases = ModelTable(settings.models, settings.backends)
    recorder = Recorder(
        telemetry.counting_traces(store, logged=settings.log.requests), fault_handler, telemetry.note_lost
    )
    tried = SqlRolloutStore(database)
    shadow = ShadowDecider(registry, tried.tally, telemetry.note_shadow)
    rollouts = Rollouts(tried, registry, shadow, settings.data / "revisions", build, tightening.beside, telemetry.note)
    rollouts.heed()
    prefixes = PrefixWatch(telemetry.note_prefix_break, shadow.put, shadow.leave_out)
    identifier = Identifier(salt, settings.conversation_headers)
    preparer = preparer_for(registry, fault_handler, identifier)
    resume(pins, store, preparer, archive, build, telemetry.note)

    def tidy() -> None:
        """Forget revisions on which no conversation is any more."""
        needed = preparer.pins.revisions(time.time()) | rollouts.needed
        registry.forget_old(needed)
        archive.prune(needed)

    tidy()
    keyring = Keyring(settings)
    ownership = Ownership(
        store.owners, recorder.flush, telemetry.note, single=len(keyring.tenants) <= 1, listed=keyring.provider_ids
    )
    sender = BackendSender(settings.retries.attempts, lambda: RetryBudget(settings.retries.budget))
    resolve = target_finder(aliases, backends)
    answer_queue = AnswerQueue(
        AnswerEvaluator(
            lambda policy: PolicyAnswerRules(policy, detect_language, salt),
            fault_handler,
            earlier=learning.earlier,
            salt=salt,
        ),
        said.record,
        learning.tally,
        ask=judge_asker(sender, resolve),
        count_dropped=telemetry.note_unexamined,
        count_signal=telemetry.note_signal,
    )
    pipeline = Pipeline(
        preparer=preparer,
        sender=sender,
        resolve=resolve,
        record=recorder.put,
        watch=prefixes.put,
        examine=answer_queue.put,
        ownership=ownership,
    )
    return Components(
        settings=settings,
        registry=registry,
        reloader=Reloader(registry, dict(zip(registry.names, paths, strict=True)), tightening, telemetry.note, tidy),
        tidy=tidy,
        database=database,
        store=store,
        audits=audits,
        pins=pins,
        prefixes=prefixes,
        rollouts=rollouts,
        shadow=shadow,
        tightening=tightening,
        learner=learner,
        answer_queue=answer_queue,
        feedback=feedback_parts(
            settings,
            salt,
            store=said,
            registry=registry,
            identifier=identifier,
            fault_handler=fault_handler,
            flush=recorder.flush,
            shared=database.dialect.name != "sqlite",
            count_unstored=telemetry.note_unstored,
        ),
        retention=Retention(database, settings.retention.days, settings.retention.size),
        recorder=recorder,
        telemetry=telemetry,
        metrics=Metrics(__version__, telemetry, registry, tightening, learner),
        pipeline=pipeline,
        ownership=ownership,
        keyring=keyring,
        backends=backends,
        aliases=aliases,
        new_id=new_decision_id,
    )


def judge_asker(sender: BackendSender, resolve: Callable[[str], tuple[BackendTarget, ...]]) -> Ask:
    """Return the function that asks the judge, a model as any other, in chat completions: nothing is woven in."""
    chat = WIRES["chat"]

    async def ask(model: str, body: bytes) -> str:
        asked = json.loads(body)

        def outgoing(target: BackendTarget) -> BackendRequest:
            named = target.model or model
            return BackendRequest(chat.path, json.dumps(asked | {"model": named}).encode(), model=named)

        sent = await sender.send(resolve(model), outgoing)
        return chat.spoken(sent.answer.body, stream=False)

    return ask


def database_url(settings: Settings) -> str:
    """Return the address of the database: a server's, or that of a file in the data folder."""
    if settings.database is not None:
        return settings.database.get_secret_value()
    return f"sqlite:///{settings.data / 'router.db'}"


def backend_of(name: str, chosen: BackendSettings, in_flight: int = LimitSettings().in_flight) -> Backend:
    """Return the backend that the settings describe. Raises SettingsError.

    Unless they say otherwise, it has a connection for each request that may be `in_flight`. Nobody waits for one.
    """
    if chosen.type == "echo":
        return EchoBackend(name=name, nonce=secrets.token_hex(4))
    address = chosen.base_url or (ANTHROPIC_ADDRESS if chosen.type == "anthropic" else "")
    common: dict[str, Any] = {
        "name": name,
        "api_key": chosen.api_key.get_secret_value() if chosen.api_key else "",
        "headers": {field: value.get_secret_value() for field, value in chosen.headers.items()},
        "timeouts": Timeouts(**chosen.timeouts.model_dump()),
    }
    through: dict[str, Any] = {"options": chosen.options, "links": chosen.links, **common}
    if chosen.type == "litellm":
        return LiteLLMBackend(provider=chosen.provider or name, api_base=address, **through)
    token = TokenFile(name, chosen.token_file) if chosen.token_file else None
    if token is not None:
        through["token"] = token.read
    if chosen.type == "azure":
        address = azure.base_of(address, chosen.api_version)
    auth: dict[str, Literal["bearer", "x-api-key", "api-key"]] = {"anthropic": "x-api-key", "azure": "api-key"}
    limits = Limits(connections=chosen.connections or in_flight, waiting=0)
    proxy = chosen.proxy.get_secret_value() if chosen.proxy else ""
    native = PassThroughBackend(
        base_url=address,
        auth=auth.get(chosen.type, "bearer"),
        token=token,
        limits=limits,
        proxy=proxy,
        ca_file=chosen.ca_file,
        path_of=azure.path_with(chosen.api_version),
        **common,
    )
    spoken = speaks(chosen)
    if spoken == frozenset(FORMATS):
        return native
    first = next(name for name in FORMATS if name in speaks_at_first(spoken))
    if azure.is_classic(chosen.api_version):
        options = {"api_version": chosen.api_version, **chosen.options}
        resource = address.removesuffix("/openai")
        bridge = LiteLLMBackend(provider="azure", api_base=resource, **through | {"options": options})
    else:
        bridge = bridge_to(FORMATS[first][0], base_url=address, **through)
    return BridgedBackend(native, bridge, None if spoken is None else paths_of(spoken), FORMATS[first][0])


def target_finder(aliases: ModelTable, backends: Mapping[str, Backend]) -> Callable[[str], tuple[BackendTarget, ...]]:
    """Return the function that finds the targets of a model name; it raises RequestError for an unknown one."""

    known: dict[str, tuple[BackendTarget, ...]] = {}

    def target(step: Route) -> BackendTarget:
        spoken = speaks_at_first(step.speaks)
        return BackendTarget(backends[step.backend], step.model, step.capability, spoken, bridged(step.capability))

    def find(model: str) -> tuple[BackendTarget, ...]:
        targets = known.get(model)
        if targets is None:
            route = aliases.resolve(model)
            targets = tuple(target(step) for step in (route, *route.fallback))
            if len(known) < REMEMBERED_NAMES and len(model) <= REMEMBERED_CHARS:
                known[model] = targets
        return targets

    return find


def _registry(snapshots: list[Snapshot], paths: tuple[Path, ...]) -> PolicyRegistry:
    by_name: dict[str, Snapshot] = {}
    for snapshot, path in zip(snapshots, paths, strict=True):
        name = snapshot.policy.name
        if name in by_name:
            raise SettingsError(f'packs: {path} is called "{name}" like an earlier pack; give one another `name:`')
        by_name[name] = snapshot
    return PolicyRegistry(by_name, snapshots[0].policy.name)


CHAINED_TAKEN_UP = 5_000
"""Answers that may be gone on from after a restart; reading so many takes a quarter of a second."""


def resume(
    pins: SqlPinStore,
    store: SqlTraceStore,
    preparer: RequestPreparer,
    archive: Archive,
    build: Build,
    note: Callable[[str], None],
) -> None:
    """Let the preparer go on with the conversations that were under way. `note` counts a fault by its code."""
    registry = preparer.registry
    try:
        records = [record for record in pins.read(time.time()) if record.policy in registry.revisions]
        began = min((record.began_s for record in records), default=time.time())
        chained = store.chained(int(began * 1000), CHAINED_TAKEN_UP)
    except Degraded as fault:
        note(fault.code)
        log.error("conversations under way move on to the present revisions: %s", fault)
        return
    wanted = dict.fromkeys((record.policy, record.revision) for record in reversed(records))  # the last used first
    for name, revision in wanted:
        kept = None if registry.pinned(name, revision) else archive.find(name, revision)
        if kept is not None:
            try:
                snapshot = build(kept)
            except PolicyError as error:
                log.warning("revision %s of policy %s cannot be loaded again: %s", revision, name, error)
            else:
                if (snapshot.policy.name, snapshot.policy.revision) == (name, revision):
                    registry.keep_old(snapshot)
    preparer.pins.restore(
        records, lambda name, revision: (registry.pinned(name, revision) or registry.current(name)).policy
    )
    preparer.take_up(map(_link, chained))


def _link(row: Mapping[str, Any]) -> Link:
    """Return what a trace says of an answer that may be gone on from."""
    names = ("tenant", "policy", "revision", "conversation", "unit", "turn", "response_id")
    return Link(**{name: row[name] for name in names}, evidence=evidence_of(row))
