"""What the instructions say: nothing at all, the same twice, or the opposite of each other.

Opposites are looked for the simple way: one sentence forbids ("never", "do not", "avoid"), the other does not, and the
words that carry meaning are mostly the same. That finds what people write by accident when a rule changes in one place
and not in the other; it does not understand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from router.core.policy import ROOT, Check
from router.packs.lint.finding import Finding, found, pairs_on_lineages, where
from router.packs.lint.reach import Domains
from router.packs.load import Pack

_SENTENCE_END = re.compile(r"[.;!?\n]+")
_WORD = re.compile(r"[^\W_]+(?:'\w+)?")
_FORBIDS = re.compile(r"\b(?:never|do not|don't|must not|mustn't|should not|shouldn't|avoid|refrain from)\b")
_INSISTS = re.compile(r"\b(?:always|must|every time|in any case|without exception)\b")
_EMPTY = """
a an and any are as at be been before by can could do does don't every for from give has have if in is it its must
mustn't never always not of on once only or refrain should shouldn't so such that the their them then they this to
unless until when with you your avoid case without exception time customer user
"""
_EMPTY_WORDS = frozenset(_EMPTY.split())
_ENDINGS = re.compile(r"(?:ing|ed|es|s|e)$")


def duplicates(pack: Pack) -> Iterator[Finding]:
    """Find instructions that a task repeats from itself or from a task above it."""
    domains = Domains(pack.policy)
    texts = {i.id: tuple(_WORD.findall(i.text.casefold())) for t in pack.policy.tasks.values() for i in t.instructions}
    for above, instruction in pairs_on_lineages(pack.policy):
        if texts[above.id] == texts[instruction.id] and domains.can_be_said(above, instruction):
            message = f"{above.task} says the same already ({where(pack, above.id)})"
            yield found(pack, instruction.id, "duplicate_instruction", "warning", message, "remove one of the two")


def contradictions(pack: Pack) -> Iterator[Finding]:
    """Find instructions of one lineage that forbid and ask for the same, and checks that exclude each other."""
    domains = Domains(pack.policy)
    sentences = {i.id: _sentences(i.text) for t in pack.policy.tasks.values() for i in t.instructions}
    for above, instruction in pairs_on_lineages(pack.policy):
        there = f"{above.task} ({where(pack, above.id)})"
        opposed = any(_opposed(a, b) for a in sentences[above.id] for b in sentences[instruction.id])
        clash = _clash(above.check, instruction.check)
        if (opposed or clash) and domains.can_be_said(above, instruction):
            if opposed:
                message = f"this seems to contradict what {there} says"
                fix = "say under which condition each holds, or keep one of them"
                yield found(pack, instruction.id, "contradiction", "warning", message, fix)
            if clash:
                message = f"this check and the one at {there} {clash}"
                yield found(pack, instruction.id, "conflicting_checks", "warning", message, "keep one of them")


def _sentences(text: str) -> list[tuple[bool, bool, frozenset[str]]]:
    """Return for each sentence whether it forbids, whether it insists, and the stems of its words."""
    result = []
    for sentence in _SENTENCE_END.split(text.casefold().replace("’", "'")):
        words = (word for word in _WORD.findall(sentence) if word not in _EMPTY_WORDS)
        stems = frozenset(_ENDINGS.sub("", word) for word in words)
        if len(stems) >= 2:
            result.append((bool(_FORBIDS.search(sentence)), bool(_INSISTS.search(sentence)), stems))
    return result


def _opposed(a: tuple[bool, bool, frozenset[str]], b: tuple[bool, bool, frozenset[str]]) -> bool:
    if a[0] == b[0]:
        return False
    shared = len(a[2] & b[2])
    insists = b[1] if a[0] else a[1]
    covered, alike = shared / min(len(a[2]), len(b[2])), shared / len(a[2] | b[2])
    return shared >= 2 and (covered >= 0.6 if insists else covered >= 0.8 and alike >= 0.6)


def _clash(a: Check | None, b: Check | None) -> str:
    """Return how two checks exclude each other, or the empty string."""
    if a is None or b is None:
        return ""
    if a.kind == b.kind and a.value != b.value and a.kind in ("max_words", "max_sentences", "language"):
        return f"ask for different values of {a.kind}: {a.value} and {b.value}"
    if a.kind == b.kind == "ends_with_question" and a.value != b.value:
        return "ask for a question at the end and for none"
    for wants, refuses in ((a, b), (b, a)):
        if wants.kind in ("mentions_all", "mentions_any") and refuses.kind == "mentions_none":
            refused = {phrase.casefold() for phrase in refuses.value}
            hit = [phrase for phrase in wants.value if phrase.casefold() in refused]
            if hit and (wants.kind == "mentions_all" or len(hit) == len(wants.value)):
                return f'ask for "{hit[0]}" and forbid it'
    return ""


def silent_tasks(pack: Pack) -> Iterator[Finding]:
    """Find tasks that add nothing to what their ancestors say."""
    for path, task in pack.policy.tasks.items():
        if task.instructions:
            continue
        if path == ROOT:
            message = "the root says nothing: a request that is not recognised gains nothing"
            yield found(pack, path, "silent_task", "hint", message, "add brief: with what holds for every request")
        elif not task.children:
            message = f"{path} says nothing: to recognise it changes nothing"
            yield found(pack, path, "silent_task", "warning", message, "add brief: or guided:, or remove the task")
