"""Reads what is sent as a model is meant to read it: which line holds under which condition, and which part is on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from router.core.compose import CASES, NO_LONGER, NOTHING_MORE, NOW_KNOWN
from router.core.voice import ABOUT_LINE, ANY_CASE_LINE, OWN_TAGS_LINE, SWITCH_LINE, in_block
from router.wire.placement import AS_ABOVE, SAID_ABOVE

_ABOUT = ABOUT_LINE.split("{", maxsplit=1)[0]
_POINTERS = ("", SAID_ABOVE, NOTHING_MORE, OWN_TAGS_LINE)
NONCE = "4f1c02e9a7b3"
_LIFTS = re.compile(
    "|".join(re.sub(r"\\\{(cue|word|text)\\\}", ".*", re.escape(each)) for each in (NOW_KNOWN, NO_LONGER))
)
_TAGS = tuple(line for nonce in ("", NONCE) for line in in_block("", nonce).split("\n") if line.startswith("<"))


@dataclass
class Read:
    """One text as it is read.

    `lines` are (heading, line) pairs, the heading "" for a line that holds whatever is asked. `cases` are the headings
    under its opening sentence, None where it has none. `named` are the names in its opening line; `switches` says that
    it begins a part anew. `lifted` are the sentences that take back what was said before.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    cases: list[str] | None = None
    named: tuple[str, ...] = ()
    switches: bool = False
    lifted: list[str] = field(default_factory=list)


def read(text: str) -> Read:
    """Return a text as it is read. Raises AssertionError where a case stands outside the cases."""
    found = Read()
    heading, within = "", False
    for line in text.split("\n"):
        if line == CASES:
            within, found.cases = True, []
        elif line.startswith("Case: "):
            assert within and found.cases is not None, text
            heading = line.removeprefix("Case: ")
            found.cases.append(heading)
        elif line == SWITCH_LINE or line.startswith(_ABOUT):
            assert not found.lines and found.cases is None, f"not the first line: {text}"
            found.switches = line == SWITCH_LINE
            found.named = tuple(line.removesuffix(AS_ABOVE).removeprefix(_ABOUT).removesuffix(".").split("; "))
            if found.switches:
                found.named = ()
        elif line in (ANY_CASE_LINE, *_TAGS):
            heading, within = "", False
        elif _LIFTS.fullmatch(line):
            assert not heading and not within and not found.lines, f"not before all else: {text}"
            found.lifted.append(line)
        elif line not in _POINTERS:
            assert heading or not within, f"neither in a case nor outside: {text}"
            found.lines.append((heading, line))
    return found
