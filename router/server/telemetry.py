"""Metrics: a fold over traces and fault codes, read by Prometheus.

Traces are folded in batches in the recorder's thread, so that counting costs a request nothing. `/metrics` flushes the
recorder first and is therefore exact. Of what is learned, rewards by task and level and how trials stand are read from
the learner's own folds when they are asked; rewards are of all matured conversations, drawn by a trial or not: they
show, they prove nothing.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from router.core.audit import Watch
from router.core.learning import Feedback
from router.core.store_ports import FeedbackStore, TraceStore
from router.core.trace import Trace
from router.core.usage import Usage
from router.server.learner import Records

ARM = ("policy", "task", "level")
DIAL = ("policy", "task", "model")

MODEL_CHARS = 100
BUCKETS_MS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)


class Histogram:
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


class Telemetry(Collector):
    """All counts of one process. `revisions`, `watches`, `learned` and `in_flight` are asked when
    metrics are.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._levels: Counter[tuple[str, ...]] = Counter()
        self._drops: Counter[tuple[str, ...]] = Counter()
        self._errors: Counter[tuple[str, ...]] = Counter()
        self._codes: Counter[tuple[str, ...]] = Counter()
        self._tokens: Counter[tuple[str, ...]] = Counter()
        self._usage: Counter[tuple[str, ...]] = Counter()
        self._retries: Counter[tuple[str, ...]] = Counter()
        self._breaks: Counter[tuple[str, ...]] = Counter()
        self._stages: dict[str, Histogram] = {}
        self._overhead = Histogram()
        self._first = Histogram()
        self._said: Counter[tuple[str, ...]] = Counter()
        self._signals: Counter[tuple[str, ...]] = Counter()
        self.lost_traces = 0
        self.unexamined = 0
        self.learned: Callable[[], Mapping[str, Records]] = dict
        self.revisions: Callable[[], Mapping[str, str]] = dict
        self.watches: Callable[[], Mapping[str, Sequence[Watch]]] = dict
        self.in_flight: Callable[[], int] = int
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def note(self, code: str) -> None:
        """Count a fault of ours, or another event that has a code."""
        with self._lock:
            self._codes[(code,)] += 1

    def note_lost(self, traces: int) -> None:
        """Count traces that could not be kept."""
        with self._lock:
            self.lost_traces += traces

    def note_unexamined(self, answers: int) -> None:
        """Count answers that were not examined, since more came than can be."""
        with self._lock:
            self.unexamined += answers

    def note_feedback(self, rows: Iterable[Feedback]) -> None:
        """Count feedback that was stored."""
        with self._lock:
            self._said.update((row.policy, row.metric, row.source) for row in rows)

    def note_signal(self, policy: str, signal: str) -> None:
        """Count a signal that was met."""
        with self._lock:
            self._signals[(policy, signal)] += 1

    def note_prefix_break(self, policy: str) -> None:
        """Count a conversation whose prefix was not sent again as it was: the provider's cache of it is lost."""
        with self._lock:
            self._breaks[(policy,)] += 1

    def fold(self, traces: Iterable[Trace]) -> None:
        """Count a batch of traces."""
        with self._lock:
            for trace in traces:
                self._fold(trace)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families; called by the registry."""
        with self._lock:
            yield _counter("router_requests", "Requests decided.", ("policy", "task", "outcome"), self._requests)
            yield _counter("router_levels", "Decisions by task and level.", ("policy", "task", "level"), self._levels)
            yield _counter("router_tokens_added", "Tokens added, by estimate.", ("policy",), self._tokens)
            yield _counter(
                "router_usage_tokens", "Tokens as backends counted them.", ("policy", "model", "kind"), self._usage
            )
            yield _counter("router_prefix_break", "Prompt prefixes not sent again.", ("policy",), self._breaks)
            yield _counter("router_client_retries", "Requests sent again by their client.", ("policy",), self._retries)
            yield _counter("router_dropped", "Instructions not said, by reason.", ("policy", "reason"), self._drops)
            yield _counter("router_errors", "Requests that ended in an error.", ("backend", "code"), self._errors)
            yield _counter("router_degraded", "Faults of ours, by code.", ("code",), self._codes)
            yield _counter("router_traces_lost", "Traces not kept.", (), Counter({(): self.lost_traces}))
            stages = HistogramMetricFamily("router_stage_seconds", "Time by stage.", labels=("stage",))
            for stage, histogram in self._stages.items():
                pairs, total = histogram.seconds()
                stages.add_metric((stage,), pairs, total)
            yield stages
            yield _histogram("router_overhead_seconds", "What the router adds before sending.", self._overhead)
            yield _histogram("router_time_to_first_token_seconds", "From request to the answer's start.", self._first)
            yield GaugeMetricFamily("router_in_flight", "Requests under way.", value=self.in_flight())
            build = GaugeMetricFamily(
                "router_build", "Version and revisions.", labels=("version", "policy", "revision")
            )
            for policy, revision in self.revisions().items():
                build.add_metric((self._version, policy, revision), 1)
            yield build
            yield _counter("router_feedback", "Feedback stored.", ("policy", "metric", "source"), self._said)
            yield _counter("router_signals", "Signals met in conversations.", ("policy", "signal"), self._signals)
            yield _counter("router_answers_unexamined", "Answers not examined.", (), Counter({(): self.unexamined}))
        yield from _audit_metrics(self.watches())
        yield from _learning_metrics(self.learned())

    def _fold(self, trace: Trace) -> None:
        decision, policy = trace.decision, trace.policy
        if trace.retry:
            self._retries[(policy,)] += 1
        else:  # a request that its client sends again is one request
            self._requests[(policy, decision.task, decision.outcome)] += 1
            self._levels[(policy, decision.task, decision.level.word)] += 1
        self._tokens[(policy,)] += decision.tokens
        if trace.usage is not None:
            for kind, tokens in zip(Usage._fields, trace.usage, strict=True):
                if tokens:
                    self._usage[(policy, trace.model[:MODEL_CHARS], kind)] += tokens
        for dropped in decision.dropped:
            self._drops[(policy, dropped.reason.partition(":")[0])] += 1
        if trace.error:
            self._errors[(trace.backend, trace.error)] += 1
        for stage, ms in trace.stages.items():
            if stage not in self._stages:
                self._stages[stage] = Histogram()
            self._stages[stage].add(ms)
        self._overhead.add(trace.overhead_ms)
        if trace.first_ms:
            self._first.add(trace.first_ms)


class CountedFeedback:
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


class CountedStore:
    """A trace store that also counts what passes through it."""

    def __init__(self, store: TraceStore, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry

    def write(self, traces: Sequence[Trace]) -> None:
        """Count a batch, then store it."""
        self._telemetry.fold(traces)
        self._store.write(traces)

    def read(self, decision_id: str) -> Mapping[str, Any] | None:
        """Return a stored trace."""
        return self._store.read(decision_id)

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def _counter(
    name: str, about: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _histogram(name: str, about: str, histogram: Histogram) -> HistogramMetricFamily:
    pairs, total = histogram.seconds()
    family = HistogramMetricFamily(name, about)
    family.add_metric((), pairs, total)
    return family


def _audit_metrics(watches: Mapping[str, Sequence[Watch]]) -> Iterator[Metric]:
    """Yield what audits have come to, by policy and depth. Counts begin anew with every fit, as the watches do."""
    labels = ("policy", "depth")
    alarms = CounterMetricFamily("router_audit_alarms", "Alarms of the audits.", labels=labels)
    evidence = GaugeMetricFamily("router_audit_evidence", "Evidence of too many errors; 20 alarms.", labels=labels)
    threshold = GaugeMetricFamily("router_threshold", "Least mass that is acted on.", labels=labels)
    for policy, depths in watches.items():
        for each in depths:
            values = (policy, str(each.certificate.depth))
            alarms.add_metric(values, len(each.alarms))
            evidence.add_metric(values, each.evidence)
            threshold.add_metric(values, each.threshold)
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
        for arm, cell in list(records.cells.items()):
            counts[arm.task, arm.level.word] += cell.n
            sums[arm.task, arm.level.word] += cell.total
        for (task, word), n in counts.items():
            matured.add_metric((policy, task, word), n)
            total.add_metric((policy, task, word), sums[task, word])
        for key, standing in records.book.standings.items():
            if standing.level is not None:
                level.add_metric((policy, *key), standing.level)
            if standing.running is not None:
                running, bets = standing.running, records.bets.get(standing.running.id)
                labels = (policy, *key, running.challenger.word)
                evidence.add_metric(labels, bets.gain if bets else 1.0)
                needed.add_metric(labels, 1.0 / running.alpha)
                share.add_metric(labels, running.share)
    yield from (matured, total, level, evidence, needed, share)
