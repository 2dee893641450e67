"""Audits at work: decisions are made with the thresholds that the audits have left in force.

A tightened snapshot is a revision of its own (`3f2a9c41d07b+0.1`: the steps, by depth), taken up like a changed pack:
whole, by one assignment, and conversations under way end as they began. What was said stays said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from router.core.audit import SILENT, Audit, AuditBet, in_force, watch
from router.core.errors import Degraded
from router.core.evidence import Thresholds
from router.engine.snapshot import Build, Snapshot

log = logging.getLogger("router.engine")

Read = Callable[[str], Sequence[Audit]]
"""Returns the audits of a policy in the order in which they were recorded. Raises Degraded."""


class _Audited:
    """A recogniser with the thresholds in force in place of its own. Implements `router.core.ports.Recogniser`.

    `made_of` is the snapshot as it was before any audit; it has a recogniser.
    """

    def __init__(self, made_of: Snapshot, watches: Sequence[AuditBet]) -> None:
        assert made_of.recogniser is not None
        self.made_of = made_of
        self.inline = made_of.recogniser.inline
        self.deadline_s = made_of.recogniser.deadline_s
        self.certificates = made_of.recogniser.certificates
        self.thresholds: Thresholds = in_force(made_of.recogniser.thresholds, watches)
        self.step = made_of.recogniser.step


def tighten(snapshot: Snapshot, watches: Sequence[AuditBet]) -> Snapshot:
    """Return the snapshot with the thresholds in force after its audits; as it is where nothing was promised."""
    if snapshot.recogniser is None or not watches:
        return snapshot
    policy = snapshot.policy
    if any(each.step for each in watches):
        policy = replace(policy, revision=f"{policy.revision}+{'.'.join(str(each.step) for each in watches)}")
    return replace(snapshot, policy=policy, recogniser=_Audited(snapshot, watches))


class Tightening:
    """Makes snapshots with `build`, tightened by the audits that `read` returns. Safe to call from any thread.

    Audits that cannot be read leave what was known of them in force; `note` counts that by its code, and `unread` names
    the policies whose audits should be read again.
    """

    def __init__(self, build: Build, read: Read, note: Callable[[str], None]) -> None:
        self._build = build
        self._read = read
        self._note = note
        self._one_at_a_time = threading.Lock()
        self._known: dict[str, Sequence[Audit]] = {}
        self._watches: dict[str, tuple[AuditBet, ...]] = {}
        self._told: set[tuple[str, str]] = set()
        self.unread: set[str] = set()

    def __call__(self, path: Path) -> Snapshot:
        """Return the snapshot of a pack with the thresholds in force. Raises PolicyError."""
        return self.again(self._build(path))

    def again(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with the thresholds that are in force now. Its revision tells whether they moved."""
        if isinstance(snapshot.recogniser, _Audited):
            snapshot = snapshot.recogniser.made_of
        return tighten(snapshot, self._look(snapshot))

    @property
    def watches(self) -> Mapping[str, tuple[AuditBet, ...]]:
        """The watches of each policy, one a depth, as they were when the audits were last read."""
        return dict(self._watches)

    def _look(self, snapshot: Snapshot) -> tuple[AuditBet, ...]:
        name = snapshot.policy.name
        with self._one_at_a_time:
            try:
                self._known[name] = self._read(name)
                self.unread.discard(name)
            except Degraded as fault:
                self.unread.add(name)
                self._note(fault.code)
                log.error("policy %s: its thresholds stay as they are: %s", name, fault)
            certificates = snapshot.recogniser.certificates if snapshot.recogniser else ()
            watches = self._watches[name] = watch(certificates, self._known.get(name, ()))
            for line in (line for each in watches for line in alarm_lines(each)):
                if (name, line) not in self._told:
                    self._told.add((name, line))
                    log.warning("policy %s: %s", name, line)
        return watches


def alarm_lines(over: AuditBet) -> list[str]:
    """Return a sentence for each alarm at one depth: what was found, and what was done about it."""
    lines = []
    for number, alarm in enumerate(over.alarms):
        found = (
            f"audits at depth {over.certificate.depth}: {alarm.wrong} of {alarm.audits} decisions were wrong, "
            f"too many for the accepted {100 * over.certificate.alpha:g} %"
        )
        if over.certificate.basis == "hand":
            said = f"the threshold was set by hand and stays at {alarm.threshold:.3f}: raise it in the pack"
        elif over.steps[number + 1] == SILENT:
            said = (
                f"{alarm.threshold:.3f} was not strict enough: nothing is settled at this depth any more; "
                "traffic is no longer like the examples, so add some of what is recognised wrongly"
            )
        else:
            said = f"the threshold moved from {alarm.threshold:.3f} to {over.steps[number + 1]:.3f}"
        lines.append(f"{found}; {said}")
    return lines
