"""What recognition has to learn from: examples that say the same at two tasks, too few of them, or at the wrong place.

Two examples are alike when their sets of words have a Jaccard similarity of at least .8, numbers being equal to each
other. Candidates come from a prefix filter over rare words (Bayardo, Ma and Srikant, "Scaling up all pairs similarity
search", WWW 2007), so that thousands of examples are compared in well under a second.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from router.core.policy import ROOT
from router.packs.lint.finding import Finding, found, leaves, where
from router.packs.load import Pack

_ALIKE = 0.8
_FEW = 8

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Example:
    task: str
    place: str
    text: str
    words: tuple[str, ...]
    bag: frozenset[str]


def _examples(pack: Pack) -> Iterator[_Example]:
    groups = [(path, f"{path}:example", task.examples) for path, task in pack.policy.tasks.items()]
    for task, place, texts in [*groups, ("unrelated", "pack:unrelated", pack.policy.unrelated)]:
        for i, text in enumerate(texts, 1):
            words = tuple(_WORD.findall(re.sub(r"\d+", "0", text.casefold()))) or (text,)
            yield _Example(task, f"{place}.{i}", text, words, frozenset(words))


def overlaps(pack: Pack) -> Iterator[Finding]:
    """Find examples of two tasks, neither of them above the other, that are the same or nearly so."""
    examples = list(_examples(pack))
    for one, other in _candidates(examples):
        if one.task == other.task or _on_one_lineage(one.task, other.task):
            continue
        there = f'"{_short(one.text)}" of {one.task} ({where(pack, one.place)})'
        if one.words == other.words:
            message = f"the example is the same as {there}"
            fix = "keep it at the task that shall be recognised"
            yield found(pack, other.place, "same_example", "error", message, fix)
        elif len(one.bag & other.bag) >= _ALIKE * len(one.bag | other.bag):
            message = f"the example is nearly the same as {there}"
            fix = "change one so that it says what sets the two tasks apart"
            yield found(pack, other.place, "alike_examples", "warning", message, fix)


def _candidates(examples: list[_Example]) -> Iterator[tuple[_Example, _Example]]:
    """Yield the pairs that share one of their rarest words; all pairs that are alike are among them."""
    number = Counter(word for example in examples for word in example.bag)
    by_word: dict[str, list[int]] = defaultdict(list)
    for at, example in enumerate(examples):
        rarest = sorted(example.bag, key=lambda word: (number[word], word))
        prefix = rarest[: len(rarest) - ceil(_ALIKE * len(rarest)) + 1]
        for before in sorted({i for word in prefix for i in by_word[word]}):
            yield examples[before], example
        for word in prefix:
            by_word[word].append(at)


def _on_one_lineage(a: str, b: str) -> bool:
    return ROOT in (a, b) or a.startswith(f"{b}/") or b.startswith(f"{a}/")


def _short(text: str) -> str:
    return text if len(text) <= 50 else text[:49] + "…"


def few_examples(pack: Pack) -> Iterator[Finding]:
    """Find tasks that cannot be recognised, or hardly, for want of examples."""
    for path in leaves(pack.policy):
        number = len(pack.policy.tasks[path].examples)
        if number == 0:
            message = f"{path} has no examples and is never recognised"
            yield found(pack, path, "no_examples", "error", message, "add a dozen of what users write")
        elif number < _FEW:
            message = f"{path} has {number} example{'s' if number > 1 else ''}; recognition is weak below {_FEW}"
            yield found(pack, path, "few_examples", "warning", message, "add varied ones: terse, long, misspelled")
    if pack.policy.tasks[ROOT].examples:
        message = "examples at the root count as none of the tasks"
        fix = "move them to a task, or under unrelated: where that is meant"
        yield found(pack, f"{ROOT}:example.1", "root_examples", "warning", message, fix)
