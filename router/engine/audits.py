"""Audits at work: decisions are made with the thresholds that the audits have left in force.

A tightened snapshot is a revision of its own (`3f2a9c41d07b+1`: the step), taken up like a changed pack:
whole, by one assignment, and conversations under way end as they began. What was said stays said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from router.core.audit import Audit, AuditWatch, name_of, watch
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

    def __init__(self, made_of: Snapshot, over: AuditWatch) -> None:
        assert made_of.recogniser is not None
        self.made_of = made_of
        self.inline = made_of.recogniser.inline
        self.deadline_s = made_of.recogniser.deadline_s
        self.certificate = made_of.recogniser.certificate
        self.thresholds: Thresholds = over.thresholds
        self.step = made_of.recogniser.step


def tighten(snapshot: Snapshot, over: AuditWatch | None) -> Snapshot:
    """Return the snapshot with the thresholds in force after its audits; as it is where there is no recogniser."""
    if snapshot.recogniser is None or over is None:
        return snapshot
    policy = snapshot.policy
    if over.step:
        policy = replace(policy, revision=f"{policy.revision}+{over.step}")
    return replace(snapshot, policy=policy, recogniser=_Audited(snapshot, over))


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
        self._watches: dict[str, AuditWatch] = {}
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

    def beside(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot that is tried, tightened as in `again`. It is not in force, and so not watched."""
        return tighten(snapshot, self._look(snapshot, watched=False))

    @property
    def watches(self) -> Mapping[str, AuditWatch]:
        """The watch of each policy as it was when the audits were last read."""
        return dict(self._watches)

    def _look(self, snapshot: Snapshot, *, watched: bool = True) -> AuditWatch | None:
        name = snapshot.policy.name
        with self._one_at_a_time:
            try:
                self._known[name] = self._read(name)
                self.unread.discard(name)
            except Degraded as fault:
                self.unread.add(name)
                self._note(fault.code)
                log.error("policy %s: its thresholds stay as they are: %s", name, fault)
            if snapshot.recogniser is None:
                return None
            over = watch(snapshot.recogniser.certificate, self._known.get(name, ()))
            if not watched:
                return over
            self._watches[name] = over
            for line in (*alarm_lines(over), *begun_anew(over, self._known.get(name, ()))):
                if (name, line) not in self._told:
                    self._told.add((name, line))
                    log.warning("policy %s: %s", name, line)
        return over


BROKEN = {
    "error": "a task answers got text of a wrong one, or a shortlist without it",
    "unconditional": "a task answers got text of a wrong one plainly",
    "exposure": "no task answers got text of one",
}
"""What broke a promise, in words."""


def alarm_lines(over: AuditWatch) -> list[str]:
    """Return a sentence for each alarm: what was found, and what was done about it."""
    accepted = {bet.promise: bet.accepted for bet in over.bets}
    lines = []
    for alarm in over.alarms:
        found = (
            f"audits: {alarm.wrong} of {alarm.audits} messages that {BROKEN[alarm.promise]}, "
            f"too many for the accepted {100 * accepted[alarm.promise]:g} %"
        )
        before, *after = over.steps[alarm.step :]
        if not after:
            said = f"the thresholds were set by hand and stay at {_numbers(before)}: raise them in the pack"
        elif len(after) > 1:
            said = f"the thresholds moved from {_numbers(before)} to {_numbers(after[0])}"
        else:
            said = (
                f"{_numbers(before)} were not strict enough: nothing is settled or listed any more; "
                "traffic is no longer like the examples, so add some of what is recognised wrongly"
            )
        lines.append(f"{found}; {said}")
    return lines


def begun_anew(over: AuditWatch, audits: Sequence[Audit]) -> list[str]:
    """Return in words that audits of an earlier fit count no more, until there are some of this one.

    They tell of decisions that another recogniser made. What was said is not stored, so this one cannot be asked.
    """
    now = name_of(over.certificate)
    earlier = [audit for audit in audits if audit.certificate != now]
    if not earlier or len(earlier) < len(audits):
        return []
    last = {audit.thresholds for audit in earlier if audit.certificate == earlier[-1].certificate}
    raised = "; thresholds that an alarm had raised are those of the new fit again" if len(last) > 1 else ""
    return [
        f"audits begin anew, since the examples, or the accepted rates, have changed: the {len(earlier)} labels so far"
        f" are kept, and do not count, for another recogniser made those decisions{raised}; `router audit draw` has new"
        " ones to label"
    ]


def _numbers(thresholds: Thresholds) -> str:
    return f"{thresholds.sure:.3f} (sure), {thresholds.shortlist:.3f} (shortlist), {thresholds.known:.3f} (known)"
