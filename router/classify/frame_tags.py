"""Tags around the user's words, and around what an app has looked up: `<question>`, `<context>`, `<turn role="user">`.

What stands in them is told by their names (`router.classify.frame_names`). Tags of HTML frame nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from router.classify.frame_lines import words_of_label
from router.classify.frame_names import Kind, kind_of_name
from router.classify.frame_shapes import ASK_TAGS, HTML_TAGS, PASSAGE_NOUNS, PROMPT_NOUNS

_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]{0,48})((?:[\s/][^<>]{0,300})?)>")
_ROLE = re.compile(r"\b(?:role|author|speaker|direction)\s{0,2}=\s{0,2}[\"']?([\w-]{1,30})")
_TALKS = re.compile(r"conversation|transcript|messages|thread|dialog|chat", re.I)
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def blocks(text: str) -> Iterator[tuple[int, int, str, Kind]]:
    """Yield where the outermost blocks in tags stand, what they hold, and of which kind it is.

    A block around others is looked into, unless it is a passage: `<request><context>...</context>...</request>`.
    """
    if "<" not in text:
        return
    tags = [tag for tag in _TAG.finditer(text) if tag[2].lower() not in HTML_TAGS and not tag[3].endswith("/")]
    if not tags:
        return
    roles = any(_ROLE.search(tag[3]) for tag in tags)
    kinds = [_kind_of_tag(tag[2]) if not (role := _ROLE.search(tag[3])) else _kind_of_role(role[1]) for tag in tags]
    if roles:  # then a conversation is looked into
        kinds = [
            None if kind == "passage" and _TALKS.search(tag[2]) else kind for kind, tag in zip(kinds, tags, strict=True)
        ]
    closing: dict[int, int] = {}
    opened: dict[str, list[int]] = {}
    for number, tag in enumerate(tags):
        name = tag[2].lower()
        if not tag[1]:
            opened.setdefault(name, []).append(number)
        elif opened.get(name):
            closing[opened[name].pop()] = number
    following = _next_blocks(kinds, closing)
    number = 0
    while number < len(tags):
        tag, kind, end = tags[number], kinds[number], closing.get(number)
        if kind is not None and end is not None and tag.end() == tags[end].start():
            number = end  # "inside <context></context> tags" only speaks of them
        elif kind is not None and end is not None and (kind == "passage" or following[number] > end):
            yield tag.start(), tags[end].end(), text[tag.end() : tags[end].start()].strip(), kind
            number = end
        elif kind is not None and end is None and not tag[1] and _is_alone(text, tag):
            yield tag.start(), len(text), text[tag.end() :], "passage" if kind == "ask" else kind
            return
        number += 1


def _kind_of_role(role: str) -> Kind:
    """Return what stands in a tag that says whose it is: `<message role="user">`."""
    found = kind_of_name(words_of_label(role))
    return "ask" if found and found[0] == "customer" else "passage"


def _next_blocks(kinds: Sequence[Kind | None], closing: dict[int, int]) -> list[int]:
    """Return for each tag the number of the next one that opens the user's words or a passage."""
    found, nearest = [0] * len(kinds), len(kinds) + 1
    for number in range(len(kinds) - 1, -1, -1):
        found[number] = nearest
        if kinds[number] in ("ask", "passage") and number in closing:
            nearest = number
    return found


def _is_alone(text: str, tag: re.Match[str]) -> bool:
    """Return whether a tag has a line of its own."""
    before = text[max(tag.start() - 3, 0) : tag.start()].rstrip(" \t")
    return (not before or before[-1] == "\n") and text[tag.end() : tag.end() + 2].lstrip(" \t\r")[:1] in ("", "\n")


def _kind_of_tag(name: str) -> Kind | None:
    """Return what stands in a tag of this name; None where the tag frames nothing.

    >>> [_kind_of_tag(name) for name in ("user_query", "retrieved_context", "system-reminder", "MyButton")]
    ['ask', 'passage', 'prompt', None]
    """
    words = [word.lower() for word in _NAME_PARTS.findall(name)]
    if not words:
        return None
    found = kind_of_name(words)
    if name.lower() in ASK_TAGS or found == ("ask", True):
        return "ask"
    if not PROMPT_NOUNS.isdisjoint(words):
        return "prompt"
    if not PASSAGE_NOUNS.isdisjoint(words):
        return "passage"
    return "aside" if len(words) > 1 and ("_" in name or "-" in name or name[0].islower()) else None
