"""A decision as data: what `explain` prints, and what programs read."""

from __future__ import annotations

from typing import Any

import msgspec

from router.core.audit import by_name
from router.core.decide import sentence_of
from router.core.decision import Decision
from router.core.evidence import Belief, Evidence, Likely, Thresholds
from router.core.policy import ROOT, Policy, count_tokens, lineage
from router.engine.prepare import PreparedRequest
from router.engine.snapshot import Snapshot


def explanation(prepared: PreparedRequest) -> dict[str, Any]:
    """Return everything about the newest user turn's decision as JSON-ready data."""
    return {
        "policy": prepared.snapshot.policy.name,
        **decision_json(prepared.decision),
        "scores": scores_json(prepared.snapshot.policy, prepared.evidence, prepared.decision),
        "by_sentence": by_sentence_json(prepared.evidence, prepared.decision),
        **beliefs_json(prepared.evidence),
        "certificate": certificate_json(prepared.snapshot, prepared.evidence.thresholds),
        "conversation": "named" if prepared.identity.opening is None else "unnamed",
        "cues": dict(prepared.evidence.cues),
        "on_switch": prepared.snapshot.policy.settings.on_switch,
        "cache_lost_tokens": cache_lost_tokens(prepared),
        "turns": [
            {
                "task": decision.task,
                "tasks": list(decision.tasks),
                "shortlist": list(decision.listed),
                "level": decision.level.word,
                "outcome": decision.outcome,
            }
            for decision in prepared.decisions
        ],
    }


def cache_lost_tokens(prepared: PreparedRequest) -> int:
    """Return how many tokens a provider must process anew because of where this decision's text stands, by estimate.

    None where text that is new is said at its own turn. With `on_switch: head` a switch changes the head, and with it
    the cached prefix of all that was said before.
    """
    if prepared.snapshot.policy.settings.on_switch == "tail" or len(prepared.decisions) < 2:
        return 0
    *_, before, newest = prepared.decisions
    if before.text == newest.text:
        return 0
    spoken = prepared.request.conversation
    asked = max((at for at, turn in enumerate(spoken.turns) if turn.role == "user"), default=0)
    earlier = (spoken.system, before.text, *(turn.text for turn in spoken.turns[:asked]))
    return sum(map(count_tokens, earlier))


def decision_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON-ready data; levels as the words that operators write."""
    return {
        "revision": decision.revision,
        "task": decision.task,
        "tasks": list(decision.tasks),
        "shortlist": _likely_json(decision.shortlist),
        "confidence": decision.confidence,
        "level": decision.level.word,
        "levels": {path: level.word for path, level in decision.levels.items()},
        "outcome": decision.outcome,
        "mix": [
            {
                "id": piece.id,
                "task": piece.task,
                "level": piece.level.word,
                "text": piece.text,
                "tokens": piece.tokens,
                "required": piece.required,
                "case": piece.case,
            }
            for piece in decision.mix
        ],
        "dropped": [{"id": dropped.id, "reason": dropped.reason} for dropped in decision.dropped],
        "reasons": [{"code": reason.code, "text": reason.text} for reason in decision.reasons],
        "text": decision.text,
        "tokens": decision.tokens,
        "model": decision.model,
        "parameters": dict(decision.parameters),
    }


def scores_json(policy: Policy, evidence: Evidence, decision: Decision) -> list[dict[str, Any]]:
    """Return the masses down the tree with their thresholds, in the order of the tree; what is settled is among them.

    They are those of the message as a whole: what a sentence settled may weigh little, or nothing.
    """
    if evidence.belief is None:
        return []
    mass = dict.fromkeys((path for task in decision.tasks for path in lineage(task)), 0.0) | dict(evidence.belief.mass)
    return [
        {"task": path, "mass": mass[path], "threshold": evidence.thresholds.at(path)}
        for path in policy.tasks
        if path != ROOT and path in mass
    ]


def by_sentence_json(evidence: Evidence, decision: Decision) -> list[dict[str, Any]]:
    """Return the settled tasks that a sentence was sure of and the message as a whole was not, with its words."""
    if evidence.belief is None:
        return []
    found = [(settled, sentence_of(settled, evidence.belief)) for settled in decision.paths]
    return [
        {"task": path, "mass": mass, "threshold": threshold, "sentence": sentence.said}
        for (path, mass, threshold), sentence in found
        if sentence is not None
    ]


def beliefs_json(evidence: Evidence) -> dict[str, Any]:
    """Return the mass of all tasks, and the likeliest with their own: of the message, and of sentences that count."""
    belief = evidence.belief or Belief({}, known=0.0)
    return {
        "known": belief.known,
        "likeliest": _likely_json(belief.likeliest),
        "sentences": [_likely_json(sentence.likeliest) for sentence in belief.sentences],
    }


def _likely_json(tasks: tuple[Likely, ...]) -> list[dict[str, Any]]:
    return [{"task": path, "mass": mass} for path, mass in tasks]


def certificate_json(snapshot: Snapshot, thresholds: Thresholds) -> dict[str, Any] | None:
    """Return how the thresholds came about, what is promised, and those in force after audits; None without any."""
    if snapshot.recogniser is None:
        return None
    told = snapshot.recogniser.certificate
    return {
        **msgspec.to_builtins(told, enc_hook=dict),  # for mappings that are read only
        "in_force": by_name(thresholds),
        "promise": told.promise,
    }
