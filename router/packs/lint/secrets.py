"""Secrets in texts: what is written in a pack is sent to a provider and stored in version control.

The shapes are those that the issuers publish for secret scanning
(https://docs.github.com/en/code-security/secret-scanning/introduction/supported-secret-scanning-patterns); card
numbers must have an issuer's prefix and a valid check digit (ISO/IEC 7812-1, Luhn). No finding repeats the secret.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import log2

from router.packs.lint.finding import Finding
from router.packs.load import Pack

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
        named.append((path, task.about))
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
