"""What a pack lacks in the languages that its files of examples declare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from router.core.policy import ROOT
from router.packs.lint.common import Finding, found
from router.packs.load import Pack

LANGUAGE_ROWS = 100
"""With fewer texts of tasks that customers wrote, nothing is certified for a language by itself."""

_MOST_NAMED = 5


def few_in_language(pack: Pack) -> Iterator[Finding]:
    """Find languages that some tasks have no examples in, or that have too few to certify by themselves.

    A task without any is hardly recognised in that language, and draws its messages to the tasks that have some.
    """
    policy = pack.policy
    tasks = [path for path, task in policy.tasks.items() if path != ROOT and task.examples]
    spoken: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    for path in tasks:
        for number, text in enumerate(policy.tasks[path].examples, 1):
            if language := policy.languages.get(text):
                spoken[language].append((path, number, text))
    for language, rows in sorted(spoken.items()):
        place = f"{rows[0][0]}:example.{rows[0][1]}"
        have = {path for path, _, _ in rows}
        if lacking := [path for path in tasks if path not in have]:
            more = len(lacking) - _MOST_NAMED
            named = ", ".join(lacking[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            message = f"in {language}, {len(lacking)} of {len(tasks)} tasks have no examples: {named}"
            fix = f"add some, or have a model of yours write them: router examples PACK --languages {language}"
            yield found(pack, place, "few_in_language", "hint", message, fix)
        written = sum((path, text) not in policy.generated for path, _, text in rows)
        if 0 < written < LANGUAGE_ROWS:
            message = f"in {language}, customers wrote {written} examples: too few to certify it by itself"
            fix = f"add {LANGUAGE_ROWS - written} more that customers wrote"
            yield found(pack, place, "few_to_certify_language", "hint", message, fix)
