"""Level: how much each task on the lineage says.

Every task speaks at its own level, so turning one task's dial never changes a word of its ancestors: that is what makes
the text of a higher level an extension of the lower one, and what lets the level be tuned task by task.
"""

from __future__ import annotations

from router.core.evidence import Evidence
from router.core.policy import Level, Settings, Task

START = {"core": Level.BRIEF, "standard": Level.GUIDED, "complex": Level.DETAILED}
"""Where a task starts by its declared complexity (common-sense tasks need little detail, complex ones much)."""


def choose_level(task: Task, settings: Settings, evidence: Evidence) -> Level:
    """Return the level at which `task` speaks.

    The tuned level wins. Otherwise the task's declared complexity, else the pack's `level`, is the start; the request's
    complexity cue then raises it, or lowers it unless the task itself is declared complex.
    """
    tuned = evidence.levels.get(task.path)
    if tuned is not None:
        return tuned
    start = START[task.complexity] if task.complexity else settings.level
    by_cue = settings.levels.get(str(evidence.cues.get("complexity", "")))
    if by_cue is None or start is Level.OFF:
        return start
    if by_cue < start and task.complexity == "complex":
        return start
    return by_cue
