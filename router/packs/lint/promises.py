"""What a pack lets recognition promise, and whether a shortlist of its tasks fits the budget and can be told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import ceil, log, log1p
from statistics import median

from router.core.compose import CASES, case_heading
from router.core.policy import HEADING_WORDS, ROOT, Policy, count_tokens
from router.packs.lint.common import CueDomains, Finding, found, leaves, said_tokens, where
from router.packs.load import Pack

DELTA = 0.05
"""A promise may fail with this probability."""

_MOST_NAMED = 5


def thresholds_by_hand(pack: Pack) -> Iterator[Finding]:
    """Find thresholds that replace certified ones."""
    settings = pack.policy.settings
    if settings.threshold_sure is not None or settings.threshold_shortlist is not None:
        message = "thresholds by hand replace the certified ones: settings.error and exposure promise nothing any more"
        yield found(pack, "pack:settings", "threshold_by_hand", "warning", message, "remove settings.thresholds")


def rows_needed(rate: float) -> int:
    """Return how many examples it takes to promise that a rate is kept, if no decision on them breaks it.

    >>> rows_needed(0.03), rows_needed(0.05)
    (99, 59)
    """
    return ceil(log(DELTA) / log1p(-rate))


def few_to_certify(pack: Pack) -> Iterator[Finding]:
    """Find packs of which nothing can be promised, for want of examples that customers wrote."""
    policy = pack.policy
    if policy.settings.threshold_sure is not None or policy.settings.threshold_shortlist is not None:
        return
    rows = _certifying(policy)
    number = sum(rows.values())
    needed = rows_needed(min(policy.settings.error, policy.settings.unconditional))
    if not number and any(path != ROOT for path, _ in policy.generated):
        message = "all examples are generated: they train, but no promise can be certified on them"
        fix = f"add {needed} that customers wrote, some for each task, and leave generated away"
        yield found(pack, ROOT, "all_generated", "warning", message, fix)
    elif (missing := needed - number) > 0 and number:
        message = f"{number} examples that customers wrote promise nothing: {needed} are the least that can"
        yield found(pack, ROOT, "few_to_certify", "hint", message, f"add {_named(shared_out(rows, missing), missing)}")


def _certifying(policy: Policy) -> dict[str, int]:
    """Return by task how many texts of the pack thresholds are certified on."""
    rows = {
        path: sum((path, text) not in policy.generated for text in task.examples)
        for path, task in policy.tasks.items()
        if path != ROOT and (task.examples or not task.children)
    }
    for dialogue in policy.dialogues:
        before = ""
        for task in (turn.task for turn in dialogue.turns if turn.role == "user"):
            if task not in (before, ROOT):
                rows[task] = rows.get(task, 0) + 1
            before = task
    return rows


def shared_out(rows: Mapping[str, int], missing: int) -> dict[str, int]:
    """Return how many examples to add for which tasks: those with fewest are filled up first, all to one level.

    >>> shared_out({"/a": 2, "/b": 5, "/c": 9}, 5)
    {'/a': 4, '/b': 1}
    """
    number = sorted(rows.values())
    count, left = len(number), missing
    for at, here in enumerate(number[1:], 1):
        step = (here - number[at - 1]) * at
        if step >= left:
            count = at
            break
        left -= step
    level = number[count - 1] + ceil(left / count) if number else 0
    return {path: level - have for have, path in sorted((have, path) for path, have in rows.items()) if have < level}


def _named(wanted: Mapping[str, int], missing: int) -> str:
    said = [f"{count} for {path}" for path, count in list(wanted.items())[:_MOST_NAMED]]
    more = len(wanted) - len(said)
    return f"{missing} more: {', '.join(said)}{f', and some for {more} other tasks' if more else ''}"


def headings(pack: Pack) -> Iterator[Finding]:
    """Find tasks whose text a shortlist cannot head well: by their bare name, or like another task's."""
    fix = f"add when_asked: what the customer wants, in at most {HEADING_WORDS} words"
    alike: dict[str, list[str]] = defaultdict(list)
    for path, task in pack.policy.tasks.items():
        if path == ROOT or not task.examples:
            continue
        alike[task.case.casefold()].append(path)
        if task.case == task.title and not task.when_asked:
            why = "the first sentence of about is too long" if task.about else "there is neither when_asked nor about"
            message = f'in a shortlist {path} is headed "{task.case}": {why}'
            yield found(pack, path, "bare_heading", "hint", message, fix)
    for first, *others in alike.values():
        for path in others:
            heading = pack.policy.tasks[path].case
            message = f'in a shortlist {path} is headed "{heading}", as is {first} ({where(pack, first)})'
            fix = "let when_asked say at both what sets them apart"
            yield found(pack, path, "same_heading", "warning", message, fix)


def long_lists(pack: Pack) -> Iterator[Finding]:
    """Find packs whose shortlists do not fit the budget: whole cases are left out, or most of what they say."""
    policy = pack.policy
    listed = [path for path in leaves(policy) if policy.tasks[path].examples]
    length = min(policy.settings.shortlist, len(listed))
    if length <= 1:
        return
    domains = CueDomains(policy)

    def tokens(path: str, *levels: str) -> int:
        said = [i for above in policy.lineages[path] for i in policy.tasks[above].instructions]
        own = [i for i in said if i.level.word in levels and (path == ROOT or i.task != ROOT)]
        return domains.most_said(own)[1] + (count_tokens(case_heading(policy.tasks[path])) + 1 if path != ROOT else 0)

    budget = policy.settings.budget_tokens
    around = count_tokens(CASES) + 1 + sum(map(said_tokens, policy.cues.values()))
    heaviest = sorted(listed, key=lambda path: tokens(path, "brief"), reverse=True)[:length]
    least = around + tokens(ROOT, "brief") + sum(tokens(path, "brief") for path in heaviest)
    usual = around + tokens(ROOT, "brief", "guided") + length * median(tokens(p, "brief", "guided") for p in listed)
    fix = "shorten the texts, raise settings.budget_tokens, or lower settings.shortlist"
    if least > budget:
        message = f"a shortlist of {', '.join(heaviest)} takes {least} tokens at level brief; the budget is {budget}"
        yield found(pack, "pack:settings", "shortlist_over_budget", "warning", f"{message}: a case is left out", fix)
    elif usual > budget:
        message = f"a usual shortlist of {length} takes {usual:.0f} tokens at level guided; the budget is {budget}"
        yield found(pack, "pack:settings", "shortlist_over_budget", "hint", f"{message}: some is left out", fix)
