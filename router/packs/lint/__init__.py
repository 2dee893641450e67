"""Lint: what is worth a look in a pack that loads.

Each rule is a function from a pack to findings; this file is the list of them. `check` is pure: it reads the pack and
nothing else.
"""

from __future__ import annotations

from router.packs.lint.common import Finding
from router.packs.lint.sense import (
    dead_cues,
    deaf_signals,
    idle_keys,
    primary_metric,
    silent_metrics,
    thresholds_by_hand,
    typed_rules,
    unknown_tasks,
    unreachable,
    untested_tasks,
    weight,
)
from router.packs.lint.texts import contradictions, duplicates, few_examples, overlaps, secrets, silent_tasks
from router.packs.load import Pack

RULES = (
    overlaps,
    few_examples,
    duplicates,
    contradictions,
    silent_tasks,
    weight,
    unreachable,
    dead_cues,
    typed_rules,
    secrets,
    unknown_tasks,
    untested_tasks,
    thresholds_by_hand,
    primary_metric,
    silent_metrics,
    deaf_signals,
    idle_keys,
)


def check(pack: Pack) -> tuple[Finding, ...]:
    """Return what is to be looked at in a pack, by file and line."""
    findings = dict.fromkeys(finding for rule in RULES for finding in rule(pack))
    return tuple(sorted(findings, key=lambda finding: (finding.file, finding.line, finding.code)))
