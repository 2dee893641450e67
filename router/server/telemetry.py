"""Metrics: a fold over traces and fault codes, read by Prometheus.

Traces are folded in batches in the recorder's thread, so that counting costs a request nothing. `/metrics` flushes the
recorder first and is therefore exact. Of what is learned, rewards by task and level and how trials stand are read from
the learner's own folds when they are asked; rewards are of all matured conversations, drawn by a trial or not: they
show, they prove nothing.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from router.core.audit import AuditWatch, by_name
from router.core.learning import Feedback
from router.core.policy import Level
from router.core.ports import Usage
from router.core.store_ports import FeedbackStore, TraceStore
from router.core.trace import Trace
from router.core.voice import LOOKALIKE
from router.engine.audits import Tightening
from router.engine.snapshot import PolicyRegistry
from router.server.learner import Learner, Records

log = logging.getLogger("router.requests")

ARM = ("policy", "task", "level")
DIAL = ("policy", "task", "model")

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "router_requests": ("Requests decided.", ("policy", "task", "outcome")),
        "router_levels": ("Tasks settled, by level.", ("policy", "task", "level")),
        "router_shortlisted": ("Tasks on shortlists.", ("policy", "task")),
        "router_tokens_added": ("Tokens added, by estimate.", ("policy",)),
        "router_usage_tokens": ("Tokens as backends counted them.", ("policy", "model", "kind")),
        "router_prefix_break": ("Prompt prefixes not sent again.", ("policy",)),
        "router_client_retries": ("Requests sent again by their client.", ("policy",)),
        "router_dropped": ("Instructions not said, by reason.", ("policy", "reason")),
        "router_lookalikes": ("Messages with text that looks like ours.", ("policy",)),
        "router_errors": ("Requests that ended in an error.", ("backend", "code")),
        "router_degraded": ("Faults of ours, by code.", ("code",)),
        "router_traces_lost": ("Traces not kept.", ()),
        "router_feedback": ("Feedback stored.", ("policy", "metric", "source")),
        "router_feedback_unstored": ("Feedback refused, since it could not be stored.", ()),
        "router_signals": ("Signals met in conversations.", ("policy", "signal")),
        "router_answers_unexamined": ("Answers not examined.", ()),
        "router_shadow_decisions": ("Requests for a shadow, by what became of them.", ("policy", "result")),
    }
)
"""What is counted: name, what it says, and its labels."""

OTHER = "other"
"""The label of what the configuration does not name: a client may make up any number of model names."""

OWN_ERRORS = frozenset(
    "backend_error backend_garbage backend_status client_gone closed connect_failed protocol_error reset saturated"
    " stream_error timeout_connect timeout_first_byte timeout_idle timeout_total tls_failed too_large truncated".split()
)
ERROR_SERIES = 64
"""So many codes of errors are told apart beside `OWN_ERRORS`; those inside streams are the providers' own words."""

BUCKETS_MS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)


class _Histogram:
    """Counts of durations by bucket, for one set of labels. Durations are milliseconds, as in a trace."""

    __slots__ = ("counts", "sum_ms")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_MS) + 1)
        self.sum_ms = 0.0

    def add(self, ms: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_MS, ms)] += 1
        self.sum_ms += ms

    def seconds(self) -> tuple[list[tuple[str, float]], float]:
        """Return cumulative (upper bound, count) pairs and the sum, in seconds as Prometheus wants them."""
        total = 0
        pairs: list[tuple[str, float]] = []
        bounds = [repr(bound / 1000) for bound in BUCKETS_MS] + ["+Inf"]
        for bound, count in zip(bounds, self.counts, strict=True):
            total += count
            pairs.append((bound, total))
        return pairs, self.sum_ms / 1000


class Telemetry:
    """All counts of one process, by metric and labels. Safe to call from any thread.

    `models` are the model names of the settings: the only ones, besides a pack's own, that become labels.
    """

    def __init__(self, models: Collection[str] = ()) -> None:
        self._models = frozenset(models)
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in COUNTERS}
        for name, (_, labels) in COUNTERS.items():
            if not labels:
                self._counts[name][()] = 0  # shown from the start
        self._stages: dict[str, _Histogram] = {}
        self._overhead = _Histogram()
        self._first = _Histogram()
        self.in_flight = 0
        """How many requests are being served; written on the event loop alone, as is `body_bytes`."""
        self.body_bytes = 0

    def note(self, code: str) -> None:
        """Count a fault of ours, or another event that has a code."""
        self._count("router_degraded", code)

    def note_lost(self, traces: int) -> None:
        """Count traces that could not be kept."""
        self._count("router_traces_lost", by=traces)

    def note_unexamined(self, answers: int) -> None:
        """Count answers that were not examined, since more came than can be."""
        self._count("router_answers_unexamined", by=answers)

    def note_feedback(self, rows: Iterable[Feedback]) -> None:
        """Count feedback that was stored."""
        with self._lock:
            self._counts["router_feedback"].update((row.policy, row.metric, row.source) for row in rows)

    def note_unstored(self, items: int) -> None:
        """Count feedback that was refused because it could not be stored."""
        self._count("router_feedback_unstored", by=items)

    def note_signal(self, policy: str, signal: str) -> None:
        """Count a signal that was met."""
        self._count("router_signals", policy, signal)

    def note_shadow(self, policy: str, result: str, requests: int) -> None:
        """Count requests for a revision that decides in shadow."""
        self._count("router_shadow_decisions", policy, result, by=requests)

    def note_prefix_break(self, policy: str) -> None:
        """Count a conversation whose prefix was not sent again as it was: the provider's cache of it is lost."""
        self._count("router_prefix_break", policy)

    def fold(self, traces: Iterable[Trace]) -> None:
        """Count a batch of traces."""
        with self._lock:
            for trace in traces:
                self._fold(trace)

    def counting_traces(self, store: TraceStore, *, logged: bool = False) -> TraceStore:
        """Return a trace store that also counts what passes through it, and logs it where that is wanted."""
        return _CountedTraces(store, self, logged=logged)

    def counting_feedback(self, store: FeedbackStore) -> FeedbackStore:
        """Return a feedback store that also counts what is new."""
        return _CountedFeedback(store, self)

    def families(self) -> Iterator[Metric]:
        """Yield the metric families of all that was counted."""
        with self._lock:
            for name, (about, labels) in COUNTERS.items():
                family = CounterMetricFamily(name, about, labels=labels)
                for values, count in self._counts[name].items():
                    family.add_metric(values, count)
                yield family
            stages = HistogramMetricFamily("router_stage_seconds", "Time by stage.", labels=("stage",))
            for stage, histogram in self._stages.items():
                stages.add_metric((stage,), *histogram.seconds())
            yield stages
            for name, about, histogram in (
                ("router_overhead_seconds", "What the router adds before sending.", self._overhead),
                ("router_time_to_first_token_seconds", "From request to the answer's start.", self._first),
            ):
                single = HistogramMetricFamily(name, about)
                single.add_metric((), *histogram.seconds())
                yield single
            yield GaugeMetricFamily("router_in_flight", "Requests under way.", value=self.in_flight)
            yield GaugeMetricFamily(
                "router_body_bytes", "Bytes of the bodies of requests under way.", value=self.body_bytes
            )

    def _count(self, name: str, *labels: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name][labels] += by

    def _fold(self, trace: Trace) -> None:
        decision, policy, counts = trace.decision, trace.policy, self._counts
        if trace.retry:
            counts["router_client_retries"][(policy,)] += 1
        else:  # a request that its client sends again is one request
            counts["router_requests"][(policy, decision.task, decision.outcome)] += 1
            for path in decision.tasks:
                counts["router_levels"][(policy, path, decision.levels.get(path, Level.OFF).word)] += 1
            if decision.outcome in ("classified", "shortlisted"):  # else nothing of a shortlist is said
                for path, _ in decision.shortlist:
                    counts["router_shortlisted"][(policy, path)] += 1
        counts["router_tokens_added"][(policy,)] += decision.tokens
        if trace.usage is not None:
            configured = trace.model in self._models or trace.model == decision.model
            model = trace.model if configured else OTHER
            for kind, tokens in zip(Usage._fields, trace.usage, strict=True):
                if tokens:
                    counts["router_usage_tokens"][(policy, model, kind)] += tokens
        for dropped in decision.dropped:
            counts["router_dropped"][(policy, dropped.reason.partition(":")[0])] += 1
        if not trace.retry and any([reason.code == LOOKALIKE for reason in decision.reasons]):
            counts["router_lookalikes"][(policy,)] += 1
        if trace.error:
            errors, labels = counts["router_errors"], (trace.backend, trace.error)
            known = trace.error in OWN_ERRORS or labels in errors or len(errors) < ERROR_SERIES
            errors[labels if known else (trace.backend, OTHER)] += 1
        for stage, ms in trace.stages.items():
            if stage not in self._stages:
                self._stages[stage] = _Histogram()
            self._stages[stage].add(ms)
        self._overhead.add(trace.overhead_ms)
        if trace.first_ms:
            self._first.add(trace.first_ms)


class Metrics(Collector):
    """What `/metrics` shows: the counts, what is served, how audits and the learning of levels stand."""

    def __init__(
        self, version: str, telemetry: Telemetry, registry: PolicyRegistry, tightening: Tightening, learner: Learner
    ) -> None:
        self._version = version
        self._telemetry = telemetry
        self._policies = registry
        self._tightening = tightening
        self._learner = learner
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families; called by the registry."""
        yield from self._telemetry.families()
        build = GaugeMetricFamily("router_build", "Version and revisions.", labels=("version", "policy", "revision"))
        for policy, revision in self._policies.revisions.items():
            build.add_metric((self._version, policy, revision), 1)
        yield build
        yield from _audit_metrics(self._tightening.watches)
        yield from _learning_metrics(self._learner.all_records())


class _CountedFeedback:
    """A feedback store that also counts what is new."""

    def __init__(self, store: FeedbackStore, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self.locate, self.about, self.last_ms = store.locate, store.about, store.last_ms

    def record(self, rows: Sequence[Feedback]) -> Sequence[bool]:
        """Store rows, then count those that are new."""
        new = self._store.record(rows)
        self._telemetry.note_feedback(row for row, is_new in zip(rows, new, strict=True) if is_new)
        return new


def request_line(trace: Trace) -> str:
    """Return a request in a line: ids, tasks, what became of it and how long that took; no words of anybody."""
    decision = trace.decision
    listed = f" shortlist={','.join(decision.listed)}" if decision.shortlist else ""
    return (
        f"{trace.id} {trace.policy}@{decision.revision} conversation={trace.conversation} turn={trace.turn}"
        f" task={','.join(decision.tasks)}{listed} outcome={decision.outcome} level={decision.level.word}"
        f" status={trace.status}{f' error={trace.error}' if trace.error else ''}"
        f" added={trace.overhead_ms:.1f}ms total={trace.total_ms:.0f}ms"
    )


class _CountedTraces:
    """A trace store that also counts what passes through it."""

    def __init__(self, store: TraceStore, telemetry: Telemetry, *, logged: bool) -> None:
        self._store = store
        self._telemetry = telemetry
        self._logged = logged

    def write(self, traces: Sequence[Trace]) -> None:
        """Count a batch, then store it."""
        self._telemetry.fold(traces)
        if self._logged:
            for trace in traces:
                log.info("%s", request_line(trace))
        self._store.write(traces)

    def read(self, decision_id: str) -> Mapping[str, Any] | None:
        """Return a stored trace."""
        return self._store.read(decision_id)

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def _audit_metrics(watches: Mapping[str, AuditWatch]) -> Iterator[Metric]:
    """Yield what audits have come to, by policy. Counts begin anew with every fit, as the watches do."""
    labels = ("policy", "promise")
    alarms = CounterMetricFamily("router_audit_alarms", "Alarms of the audits.", labels=labels)
    evidence = GaugeMetricFamily(
        "router_audit_evidence", "Evidence against a promise; 20 in all alarms.", labels=labels
    )
    threshold = GaugeMetricFamily("router_threshold", "Least mass that is acted on.", labels=("policy", "name"))
    for policy, over in watches.items():
        told = Counter(alarm.promise for alarm in over.alarms)
        for bet in over.bets:
            alarms.add_metric((policy, bet.promise), told[bet.promise])
            evidence.add_metric((policy, bet.promise), bet.evidence)
        for name, least in by_name(over.thresholds).items():
            threshold.add_metric((policy, name), least)
    yield from (alarms, evidence, threshold)


def _learning_metrics(learned: Mapping[str, Records]) -> Iterator[Metric]:
    """Yield the families for the policies for which anything is learned."""
    matured = CounterMetricFamily("router_rewards", "Matured conversations with a reward.", labels=ARM)
    total = CounterMetricFamily("router_reward_sum", "Sum of their rewards, each 0 to 1.", labels=ARM)
    level = GaugeMetricFamily("router_tuned_level", "Level that a dial was turned to, 0 to 3.", labels=DIAL)
    evidence = GaugeMetricFamily("router_trial_evidence", "Evidence for the challenger.", labels=(*DIAL, "challenger"))
    needed = GaugeMetricFamily("router_trial_needed", "Evidence at which it steps.", labels=(*DIAL, "challenger"))
    share = GaugeMetricFamily("router_trial_share", "Share of units that get it.", labels=(*DIAL, "challenger"))
    for policy, records in learned.items():
        counts: dict[tuple[str, str], int] = defaultdict(int)
        sums: dict[tuple[str, str], float] = defaultdict(float)
        for arm, stats in list(records.arms.items()):
            counts[arm.task, arm.level.word] += stats.n
            sums[arm.task, arm.level.word] += stats.total
        for (task, word), n in counts.items():
            matured.add_metric((policy, task, word), n)
            total.add_metric((policy, task, word), sums[task, word])
        for key, dial in records.state.dials.items():
            if dial.level is not None:
                level.add_metric((policy, *key), dial.level)
            if dial.running is not None:
                running, test = dial.running, records.tests.get(dial.running.id)
                labels = (policy, *key, running.challenger.word)
                evidence.add_metric(labels, test.evidence_for if test else 1.0)
                needed.add_metric(labels, 1.0 / running.alpha)
                share.add_metric(labels, running.share)
    yield from (matured, total, level, evidence, needed, share)
