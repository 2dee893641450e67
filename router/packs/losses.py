"""What a policy would lose if a changed pack took its place.

A file that is being written, or was cut short, often still loads: as a policy with fewer words. So a pack that is
served is not replaced by one that lacks required text, most of its tasks or what is said to everybody, nor by one that
ends in the middle of a line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from router.core.errors import Fault
from router.core.policy import ROOT, Policy, lineage
from router.packs.load import Pack

_SHOWN = 60
"""Of a text that would be lost, so many characters are repeated."""

_MEANT = "if that is meant, set reload.losses to allow in router.yaml"


def empty_files(pack: Pack) -> Iterator[Fault]:
    """Yield a fault for each file of a pack that holds nothing at all."""
    for file, content in pack.contents.items():
        if not content.removeprefix(b"\xef\xbb\xbf").strip():
            yield Fault(str(file), 1, "the file is empty", "write it anew, or remove it")


def losses(before: Pack, after: Pack) -> Iterator[Fault]:
    """Yield what would be lost with `after` in place of `before`."""
    old, new = before.policy, after.policy
    file, line = after.places[ROOT]
    yield from _cut_short(before, after)
    for path, text in _required_lost(old, new):
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
        yield Fault(file, line, f'the required text "{shown}" of {path} would be lost', _MEANT)
    had, gone = len(old.tasks) - 1, len(old.tasks.keys() - new.tasks.keys())
    if 2 * gone > had:
        yield Fault(file, line, f"{gone} of {had} tasks would be lost", _MEANT)
    if old.tasks[ROOT].instructions and not new.tasks[ROOT].instructions:
        yield Fault(file, line, "all that is said to everybody (the instructions of /) would be lost", _MEANT)


def _required_lost(old: Policy, new: Policy) -> Iterator[tuple[str, str]]:
    """Yield the required texts, with their tasks, that are gone.

    One that is said on the task's lineage, moved to another task or put in other words is not gone; its beginning alone
    is no other words.
    """
    had, has = _required(old), _required(new)
    moved = has - had
    gone = [
        (path, text)
        for path, text in (had - has).elements()
        if not any((above, text) in has for above in lineage(path))
    ]
    left = []
    for path, text in gone:
        new_place = next((place for place in moved if place[1] == text and moved[place]), None)
        if new_place is None:
            left.append((path, text))
        else:
            moved[new_place] -= 1
    for path, text in left:
        reworded = next(
            (place for place in moved if place[0] == path and moved[place] and not text.startswith(place[1])), None
        )
        if reworded is None:
            yield path, text
        else:
            moved[reworded] -= 1


def _required(policy: Policy) -> Counter[tuple[str, str]]:
    return Counter(
        (path, said.text) for path, task in policy.tasks.items() for said in task.instructions if said.required
    )


def _cut_short(before: Pack, after: Pack) -> Iterator[Fault]:
    """Yield a fault for each file that ends in the middle of a line that it had."""
    for file, content in after.contents.items():
        old, last = before.contents.get(file, b""), content.rpartition(b"\n")[2]
        if content == old or not last:
            continue
        lines = old.splitlines()
        if last not in lines and any(line.startswith(last) for line in lines):
            number = content.count(b"\n") + 1
            hint = "write the file whole; if it ends here on purpose, end it with a line break"
            yield Fault(str(file), number, "the file ends in the middle of a line: it looks cut short", hint)
