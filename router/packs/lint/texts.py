"""What the texts of a pack are: examples that say the same, instructions that repeat or oppose each other, secrets.

Two examples are alike when their sets of words have a Jaccard similarity of at least .8, numbers being equal to each
other. Candidates come from a prefix filter over rare words (Bayardo, Ma and Srikant, "Scaling up all pairs similarity
search", WWW 2007), so that thousands of examples are compared in well under a second.

Opposites are looked for the simple way: one sentence forbids ("never", "do not", "avoid"), the other does not, and the
words that carry meaning are mostly the same. That finds what people write by accident when a rule changes in one place
and not in the other; it does not understand.

The shapes of secrets are those that the issuers publish for secret scanning
(https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns); card
numbers must have an issuer's prefix and a valid check digit (ISO/IEC 7812-1, Luhn). No finding repeats the secret.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log2

from router.core.policy import ROOT, Check
from router.packs.lint.common import CueDomains, Finding, found, leaves, pairs_on_lineages, where
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


def _texts_of_tasks(pack: Pack) -> Iterator[tuple[str, str, str]]:
    """Yield the examples of a pack, each with its task and its place."""
    groups = [(path, f"{path}:example", task.examples) for path, task in pack.policy.tasks.items()]
    for task, place, texts in [*groups, ("unrelated", "pack:unrelated", pack.policy.unrelated)]:
        for i, text in enumerate(texts, 1):
            yield task, f"{place}.{i}", text


def _examples(pack: Pack) -> Iterator[_Example]:
    for task, place, text in _texts_of_tasks(pack):
        words = tuple(_WORD.findall(re.sub(r"\d+", "0", text.casefold()))) or (text,)
        yield _Example(task, place, text, words, frozenset(words))


def overlaps(pack: Pack) -> Iterator[Finding]:
    """Find examples of two tasks, neither of them above the other, that are the same or nearly so."""
    examples = list(_examples(pack))
    for one, other in _candidates(examples):
        if one.task == other.task or _on_one_lineage(one.task, other.task):
            continue
        if one.words == other.words:
            yield _same(pack, (one.task, one.place, one.text), other.place)
        elif len(one.bag & other.bag) >= _ALIKE * len(one.bag | other.bag):
            message = f"the example is nearly the same as {_there(pack, one.task, one.place, one.text)}"
            fix = "change one so that it says what sets the two tasks apart"
            yield found(pack, other.place, "alike_examples", "warning", message, fix)


def same_examples(pack: Pack) -> Iterator[Finding]:
    """Find the examples of two tasks that are the same letter by letter: in little time, for a pack that is served."""
    first: dict[str, tuple[str, str, str]] = {}
    for task, place, text in _texts_of_tasks(pack):
        one = first.setdefault(text.casefold(), (task, place, text))
        if one[0] != task and not _on_one_lineage(one[0], task):
            yield _same(pack, one, place)


def _same(pack: Pack, one: tuple[str, str, str], place: str) -> Finding:
    message = f"the example is the same as {_there(pack, *one)}"
    return found(pack, place, "same_example", "error", message, "keep it at the task that shall be recognised")


def _there(pack: Pack, task: str, place: str, text: str) -> str:
    return f'"{_short(text)}" of {task} ({where(pack, place)})'


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


_SENTENCE_END = re.compile(r"[.;!?\n]+")
_LETTERS = re.compile(r"[^\W_]+(?:'\w+)?")
_FORBIDS = re.compile(r"\b(?:never|do not|don't|must not|mustn't|should not|shouldn't|avoid|refrain from)\b")
_INSISTS = re.compile(r"\b(?:always|must|every time|in any case|without exception)\b")
_EMPTY = """
a an and any are as at be been before by can could do does don't every for from give has have if in is it its must
mustn't never always not of on once only or refrain should shouldn't so such that the their them then they this to
unless until when with you your avoid case without exception time customer user
"""
_EMPTY_LETTERSS = frozenset(_EMPTY.split())
_ENDINGS = re.compile(r"(?:ing|ed|es|s|e)$")


def duplicates(pack: Pack) -> Iterator[Finding]:
    """Find instructions that a task repeats from itself or from a task above it."""
    domains = CueDomains(pack.policy)
    texts = {
        i.id: tuple(_LETTERS.findall(i.text.casefold())) for t in pack.policy.tasks.values() for i in t.instructions
    }
    for above, instruction in pairs_on_lineages(pack.policy):
        if texts[above.id] == texts[instruction.id] and domains.can_be_said(above, instruction):
            message = f"{above.task} says the same already ({where(pack, above.id)})"
            yield found(pack, instruction.id, "duplicate_instruction", "warning", message, "remove one of the two")


def contradictions(pack: Pack) -> Iterator[Finding]:
    """Find instructions of one lineage that forbid and ask for the same, and checks that exclude each other."""
    domains = CueDomains(pack.policy)
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
        words = (word for word in _LETTERS.findall(sentence) if word not in _EMPTY_LETTERSS)
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
    """Find tasks that add nothing to what their ancestors say, at any level or at the lowest."""
    for path, task in pack.policy.tasks.items():
        if task.instructions:
            if path != ROOT and not task.children and all(i.level.word != "brief" for i in task.instructions):
                message = f"at level brief, {path} says nothing"
                yield found(pack, path, "no_brief", "hint", message, "add brief: with the one thing to do in any case")
            continue
        if path == ROOT:
            message = "the root says nothing: a request that is not recognised gains nothing"
            yield found(pack, path, "silent_task", "hint", message, "add brief: with what holds for every request")
        elif not task.children:
            message = f"{path} says nothing: to recognise it changes nothing"
            yield found(pack, path, "silent_task", "warning", message, "add brief: or guided:, or remove the task")


_SHAPES = (
    ("an API key", re.compile(r"\b[sr]k[-_][A-Za-z0-9_-]{16,}")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}")),
    ("a Slack token", re.compile(r"\bxox[a-z]-[A-Za-z0-9-]{10,}")),
    ("a Google API key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    ("a JSON Web Token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,}\.")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
)
_TOKEN = re.compile(r"(?<![\w/+=-])[A-Za-z0-9+_=-]{24,}(?![\w/+-])")  # no slashes: those are paths and addresses
_LEAST_ENTROPY = 4.0
"""Bits a character. 24 random characters of base 64 have 4.25 in the median of 4,000 draws, 32 have 4.56."""

_CARD = re.compile(r"(?<![\d-])(?:\d[ -]?){12,18}\d(?![\d-])")
_ISSUER = re.compile(r"4|5[1-5]|2[2-7]|3[47]|3(?:0[0-5]|[68])|6(?:011|4[4-9]|5)|35(?:2[89]|[3-8])")


def secrets(pack: Pack) -> Iterator[Finding]:
    """Find what looks like a key, a token, or a card number in any text of the pack."""
    for file, line, text in _texts(pack):
        kind = secret_in(text)
        if kind:
            message = f"the text holds what looks like {kind}"
            fix = "remove it, and if it was real, revoke it: it is in the history of the file"
            yield Finding("secret", "error", file, line, message, fix)


def _texts(pack: Pack) -> Iterator[tuple[str, int, str]]:
    policy = pack.policy
    named: list[tuple[str, str]] = []
    for path, task in policy.tasks.items():
        named += [(path, task.about), (path, task.when_asked)]
        named += [(i.id, i.text) for i in task.instructions]
        named += [(f"{path}:example.{n}", text) for n, text in enumerate(task.examples, 1)]
    named += [(f"pack:unrelated.{n}", text) for n, text in enumerate(policy.unrelated, 1)]
    for n, dialogue in enumerate(policy.dialogues, 1):
        named += [(f"pack:dialogues.{n}", turn.text) for turn in dialogue.turns]
    named += [(f"cue:{name}", f"{cue.say} {cue.default}") for name, cue in policy.cues.items()]
    for place, text in named:
        yield *pack.places[place], text
    for test in pack.tests:
        for text in test.turns:
            yield test.file, test.line, text


def secret_in(text: str) -> str:
    """Return what kind of secret a text seems to hold, or the empty string.

    >>> secret_in("use AKIAIOSFODNN7EXAMPLE for it"), secret_in("order 4111 1111 1111 1112")
    ('an AWS access key', '')
    """
    for kind, shape in _SHAPES:
        if shape.search(text):
            return kind
    if any(_is_card(match[0]) for match in _CARD.finditer(text)):
        return "a card number"
    return "a random token" if any(_is_random(match[0]) for match in _TOKEN.finditer(text)) else ""


def _is_random(token: str) -> bool:
    kinds = sum(any(map(test, token)) for test in (str.isdigit, str.isupper, str.islower))
    frequencies = [count / len(token) for count in Counter(token).values()]
    return kinds == 3 and -sum(p * log2(p) for p in frequencies) >= _LEAST_ENTROPY


def _is_card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    if not _ISSUER.match(digits):
        return False
    doubled = (int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0
