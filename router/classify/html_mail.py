"""HTML mail as text: what a person would read of it, without older mails.

>>> as_text("<p>Hi,</p><p>it arrived <b>broken</b></p><blockquote>Your parcel is on its way</blockquote>")
'Hi,\\n\\nit arrived broken'
"""

from __future__ import annotations

import html
import re
from itertools import islice

from router.classify.frame_shapes import HTML_TAGS
from router.classify.text import STRIP_CHARACTERS

LEAST_TAGS = 2
"""A text that does not begin with a tag of HTML is HTML where it has so many that end or break a line."""

_BEGINS = re.compile(
    r"\s*<(?:!doctype html|html|head|body|div|p|br|span|table|meta|style|font|center|b|i|strong|em|a|h[1-6]|ul|ol|dl"
    r"|td|tr|o:p|section|!--)\b",
    re.I,
)
_BREAKS = re.compile(r"<br ?/?>|</(?:p|div|li|td|tr|d[dlt]|h[1-6]|blockquote)>", re.I)
_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[a-z][a-z0-9:]{0,15})(?P<rest>(?:[\s/][^<>]{0,2000})?)>|<!(?:--|doctype|\[)", re.I
)
_QUOTED = re.compile(
    r"gmail_quote|gmail_attr|yahoo_quoted|moz-cite-prefix|protonmail_quote|divRplyFwdMsg|appendonsend|OutlookMessageHeader"
    r"|zmail_extra|gmail_signature|type=[\"']?cite|tutanota_quote|mail-quote|reply-intro|x_divRplyFwdMsg|signature",
    re.I,
)
_REST_IS_OLDER = re.compile(r"divRplyFwdMsg|appendonsend|OutlookMessageHeader", re.I)
_SILENT = frozenset({"style", "script", "head", "title", "blockquote", "template", "noscript"})
_BLOCKS = frozenset(
    "p div br li dt dl tr table ul ol h1 h2 h3 h4 h5 h6 hr body html section article header footer pre".split()
)
_CELLS = frozenset({"td", "th", "dd"})
_VOID = frozenset("br hr img meta link input col area base wbr source".split())
_SPACES = re.compile(r"[ \r\f\v\u00a0]+")
_TABS = re.compile(r" ?\t[ \t]*")
_LINES = re.compile(r"\n\s*\n\s*")


def is_html(text: str) -> bool:
    """Return whether a text is HTML, and not one that only speaks of it."""
    if "<" not in text or "```" in text:
        return False
    return bool(_BEGINS.match(text)) or len(list(islice(_BREAKS.finditer(text), LEAST_TAGS))) == LEAST_TAGS


def as_text(source: str) -> str:
    """Return what a person reads of HTML. Linear in the text, of which a bounded part is read.

    Tags that are not HTML's stay: they may frame the user's words.
    """
    source = source[:STRIP_CHARACTERS]
    said: list[str] = []
    hidden, depth, at = "", 0, 0  # the tag whose contents are not read, and how many of its name are open
    while found := _TAG.search(source, at):
        if not hidden:
            said.append(source[at : found.start()])
        name, rest = (found["name"] or "").lower(), found["rest"] or ""
        at = found.end()
        if not name:  # a comment, or what stands in "<! ... >"
            closing = "-->" if found[0] == "<!--" else ">"
            end = source.find(closing, at)
            at = len(source) if end < 0 else end + len(closing)
        elif hidden:
            if name == hidden:
                depth += -1 if found["end"] else 1
                hidden = hidden if depth else ""
        elif not found["end"] and name not in _VOID and (name in _SILENT or _QUOTED.search(rest)):
            if _REST_IS_OLDER.search(rest):
                at = len(source)
                break
            hidden, depth = name, 1
            said.append("\n")
        elif name in _CELLS:
            said.append("\t")
        elif name in _BLOCKS and not (name == "dt" and found["end"]):
            said.append("\n")
        elif name not in HTML_TAGS and ":" not in name:  # Word's own tags have a colon
            said.append(found[0])
    if not hidden:
        said.append(source[at:])
    text = _TABS.sub("\t", _SPACES.sub(" ", html.unescape("".join(said))))
    return _LINES.sub("\n\n", "\n".join(line.strip() for line in text.split("\n"))).strip()
