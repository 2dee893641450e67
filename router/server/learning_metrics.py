"""Metrics of what is learned: rewards by task and level, and how trials stand. Read from the folds when they are asked.

Rewards of all matured conversations, drawn by a trial or not: they show, they prove nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from router.learner import Records

ARM = ("policy", "task", "level")
DIAL = ("policy", "task", "model")


def learning_metrics(learned: Mapping[str, Records]) -> Iterator[Metric]:
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
