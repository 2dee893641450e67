"""Cache marks: which of our texts end with a mark that tells the provider to cache the prompt up to there.

Two texts may be marked: the general one (what the root says, the same in every conversation) and the special one behind
it (what the tasks of the first user turn say). A mark is set only if

- the capability asks for marks: `auto` where the client sets none at all, `always` beside the client's;
- the prompt up to there reaches the provider's minimum, by estimate: a shorter prefix is not cached;
- there is room beside the client's own marks. With room for one, the longer prefix is marked;
- Anthropic: its time to live fits the client's marks, for it may never grow along tools > system > messages.

Anthropic (https://docs.claude.com/en/docs/build-with-claude/prompt-caching): four marks a request, the automatic one
of the body's own `cache_control` included; they live 5 minutes or 1 hour. OpenAI from gpt-5.6
(https://platform.openai.com/docs/guides/prompt-caching): four breakpoints written a request, one of them implicit.

A mark is no part of what is cached: providers compare the prompt without them, and clients move theirs from turn to
turn. Ours stand still all the same as far as can be: they are chosen by what stands before the messages, and two places
are left to the messages whether the client uses them or not. Three things in the messages do change them: a client that
begins to mark (`auto`), that sets more than two marks there, or the first that lives for an hour.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

from router.core.ports import Capability

ANTHROPIC_MARK = b',"cache_control":{"type":"ephemeral"}'
ANTHROPIC_HOUR_MARK = b',"cache_control":{"type":"ephemeral","ttl":"1h"}'
OPENAI_MARK = b',"prompt_cache_breakpoint":{"mode":"explicit"}'

_ANTHROPIC_LIMIT = 4
_OPENAI_LIMIT = 3  # four with the implicit one
_LEFT_TO_MESSAGES = 2  # Claude Code marks its two newest messages, as Anthropic's own examples do

_BYTES_PER_TOKEN = 4  # English text has more than four letters a token, code and JSON fewer: rather too few marks

# A quote inside a string is escaped, so these are keys, unless escaped themselves. Their values are flat objects.
_ANTHROPIC_KEY = re.compile(rb'"cache_control"\s*:\s*\{([^{}]*)\}')
_OPENAI_KEY = re.compile(rb'"prompt_cache_breakpoint"\s*:\s*\{|"prompt_cache_options"\s*:\s*\{[^{}]*"explicit"')
_BACKSLASH = 0x5C


class CacheBreakpoints(NamedTuple):
    """The JSON to put behind the last member of the blocks that hold our texts; empty where no mark goes.

    `{"type":"text","text":"..."` + mark + `}` is the block. Where `any(marks)` is false the text needs no block.
    """

    general: bytes = b""
    special: bytes = b""


class ClientBreakpoints(NamedTuple):
    """The client's own marks in the order of the prompt; each says whether it lives for an hour, not five minutes."""

    tools: tuple[bool, ...] = ()
    system: tuple[bool, ...] = ()
    messages: tuple[bool, ...] = ()


NO_BREAKPOINTS = CacheBreakpoints()


def openai_marks(body: bytes, capability: Capability, ahead: int, general: str, special: str) -> CacheBreakpoints:
    """Return the marks for the parts of a system message (chat) or item (responses) that hold our texts.

    `body` is the client's, where its own breakpoints are looked for. `ahead` counts the bytes of the prompt before our
    text: the tools, and the client's system text unless ours comes first or instead.
    """
    if capability.cache_marks == "off" or not (general or special):
        return NO_BREAKPOINTS
    theirs = _count_openai_marks(body)
    if capability.cache_marks == "auto" and theirs:
        return NO_BREAKPOINTS
    return _choose(OPENAI_MARK, _OPENAI_LIMIT - theirs, capability, ahead, general, special)


def anthropic_marks(
    theirs: ClientBreakpoints, ours_first: bool, capability: Capability, ahead: int, general: str, special: str
) -> CacheBreakpoints:
    """Return the marks for the blocks of `system` that hold our texts.

    `ours_first` says that our text stands before the client's system text. `ahead` is as in `openai_marks`. Where
    `place` is `replace`, leave the client's system text out of both `theirs` and `ahead`.
    """
    if capability.cache_marks == "off" or not (general or special):
        return NO_BREAKPOINTS
    if capability.cache_marks == "auto" and any(theirs):
        return NO_BREAKPOINTS
    tools, system, messages = theirs
    earlier, later = (tools, system + messages) if ours_first else (tools + system, messages)
    if any(later) and not all(earlier):
        return NO_BREAKPOINTS  # the client's own marks grow already; that is for the provider to refuse
    hour = any(later) or earlier[-1:] == (True,)
    room = _ANTHROPIC_LIMIT - len(tools) - len(system) - max(_LEFT_TO_MESSAGES, len(messages))
    return _choose(ANTHROPIC_HOUR_MARK if hour else ANTHROPIC_MARK, room, capability, ahead, general, special)


def find_anthropic_marks(section: bytes) -> tuple[bool, ...]:
    """Return the marks in one section of a body (its tools, its system text or its messages as written)."""
    found = []
    for key in _ANTHROPIC_KEY.finditer(section):
        value = key[1]
        if b'"ephemeral"' in value and section[key.start() - 1] != _BACKSLASH:
            found.append(b'"1h"' in value)
    return tuple(found)


def drop_anthropic_marks(part: bytes) -> bytes:
    """Return a message or a block of system text without its marks, in the one form that both ways of writing share.

    A client that marks a message writes its text as a block, and as a plain string again once its mark has moved on.
    """
    try:
        value = msgspec.json.decode(part)
    except msgspec.ValidationError:  # a number out of range, which the provider may know how to hold
        return part
    if isinstance(value, dict):
        value = _drop(value)
        content = value.get("content")
        if isinstance(content, list) and len(content) == 1 and _is_text(content[0]):
            value["content"] = content[0]["text"]
    return msgspec.json.encode(value)


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.keys() == {"type", "text"} and block["type"] == "text"


def _drop(block: dict[str, Any]) -> dict[str, Any]:
    bare = {name: value for name, value in block.items() if name != "cache_control"}
    inner = bare.get("content")
    if isinstance(inner, list):
        bare["content"] = [_drop(each) if isinstance(each, dict) else each for each in inner]
    return bare


def _count_openai_marks(body: bytes) -> int:
    if b'"prompt_cache_' not in body:
        return 0
    return sum(body[key.start() - 1] != _BACKSLASH for key in _OPENAI_KEY.finditer(body))


def _choose(mark: bytes, room: int, capability: Capability, ahead: int, general: str, special: str) -> CacheBreakpoints:
    least = capability.cache_min_tokens * _BYTES_PER_TOKEN
    to_general = ahead + len(general.encode())
    to_special = to_general + len(special.encode())
    mark_special = room > 0 and bool(special) and to_special >= least
    mark_general = room > mark_special and bool(general) and to_general >= least
    return CacheBreakpoints(mark if mark_general else b"", mark if mark_special else b"")
