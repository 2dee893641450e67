"""Lint: what is worth a look in a pack.

Each rule is a function from a pack to findings; this file is the list of them. `check` is pure: it reads the pack and
nothing else.
"""

from __future__ import annotations

from router.packs.lint.common import Finding, as_finding, notes
from router.packs.lint.languages import few_in_language
from router.packs.lint.promises import few_to_certify, headings, long_lists, thresholds_by_hand
from router.packs.lint.sense import (
    dead_cues,
    deaf_signals,
    primary_metric,
    silent_metrics,
    typed_rules,
    unmet_tests,
    unreachable,
    untested_tasks,
    weight,
)
from router.packs.lint.texts import (
    contradictions,
    duplicates,
    few_examples,
    overlaps,
    same_examples,
    secrets,
    silent_tasks,
)
from router.packs.load import Pack
from router.packs.losses import empty_files, losses

OF_WHAT_STANDS = (notes, overlaps, duplicates, contradictions, typed_rules, secrets)
"""Rules that speak of what stands in a pack, not of what it lacks: they hold also where a part could not be read."""

RULES = (
    *OF_WHAT_STANDS,
    few_examples,
    silent_tasks,
    weight,
    unreachable,
    dead_cues,
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
)


def at_a_glance(pack: Pack) -> tuple[Finding, ...]:
    """Return what is wrong in a pack that is taken up, as far as that shows in milliseconds."""
    return tuple(dict.fromkeys((*notes(pack), *same_examples(pack))))


def check(pack: Pack, served: Pack | None = None) -> tuple[Finding, ...]:
    """Return what is to be looked at in a pack, by file and line; `served` is the pack whose place it is to take.

    Of a pack with faults it is these and what stands in the rest.
    """
    findings = dict.fromkeys(as_finding("unusable", fault) for fault in pack.faults)
    findings |= dict.fromkeys(as_finding("empty_file", fault) for fault in empty_files(pack))
    findings |= dict.fromkeys(finding for rule in (OF_WHAT_STANDS if pack.faults else RULES) for finding in rule(pack))
    if served is not None and not pack.faults:
        findings |= dict.fromkeys(as_finding("lost_words", fault) for fault in losses(served, pack))
    return tuple(sorted(findings, key=lambda finding: (finding.file, finding.line, finding.code)))
