"""Lint: what is worth a look in a pack that loads.

Each rule is a function from a pack to findings; this file is the list of them. `check` is pure: it reads the pack and
nothing else.
"""

from __future__ import annotations

from router.packs.lint.common import Finding, as_finding
from router.packs.lint.languages import few_in_language
from router.packs.lint.promises import few_to_certify, headings, long_lists, older_keys, thresholds_by_hand
from router.packs.lint.sense import (
    dead_cues,
    deaf_signals,
    primary_metric,
    silent_metrics,
    typed_rules,
    unmet_tests,
    unreachable,
    untested_tasks,
    unused_snippets,
    weight,
)
from router.packs.lint.texts import contradictions, duplicates, few_examples, overlaps, secrets, silent_tasks
from router.packs.load import Pack
from router.packs.losses import empty_files, losses

RULES = (
    overlaps,
    few_examples,
    duplicates,
    contradictions,
    silent_tasks,
    weight,
    unreachable,
    dead_cues,
    unused_snippets,
    typed_rules,
    secrets,
    unmet_tests,
    untested_tasks,
    thresholds_by_hand,
    few_to_certify,
    few_in_language,
    headings,
    long_lists,
    primary_metric,
    silent_metrics,
    deaf_signals,
    older_keys,
)


def check(pack: Pack, served: Pack | None = None) -> tuple[Finding, ...]:
    """Return what is to be looked at in a pack, by file and line; `served` is the pack whose place it is to take."""
    findings = dict.fromkeys(as_finding("empty_file", fault) for fault in empty_files(pack))
    findings |= dict.fromkeys(finding for rule in RULES for finding in rule(pack))
    if served is not None:
        findings |= dict.fromkeys(as_finding("lost_words", fault) for fault in losses(served, pack))
    return tuple(sorted(findings, key=lambda finding: (finding.file, finding.line, finding.code)))
