"""Markup as a tree of elements, so that no text is ever taken for markup: what is written out escapes all of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

Content: TypeAlias = "str | Element | Iterable[Content] | None"

# Characters that HTML allows in no text (https://infra.spec.whatwg.org/#control and #surrogate) or that steer a
# terminal,
# and those that turn the direction of the text around them: a hostile message must not rearrange what is shown.
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


def element(tag: str, *content: Content, **attributes: str | float | None) -> Element:
    """Return an element. An attribute is written `class_` or `stroke_width`; one that is None is left out.

    >>> tostring(element("p", "a < b ", element("b", "c"), class_="x"), encoding="unicode", method="html")
    '<p class="x">a &lt; b <b>c</b></p>'
    """
    made = Element(tag, {_name(name): _value(value) for name, value in attributes.items() if value is not None})
    _add(made, content)
    return made


def document(title: str, style: str, *body: Content) -> str:
    """Return a whole HTML page that asks nobody for anything: no script, and the policy forbids to fetch."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    page = element("html", head, element("body", *body), lang="en")
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def fit_text(text: str) -> str:
    """Return a text without the characters that may not stand in a page or on a terminal."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


def _add(parent: Element, content: Content) -> None:
    if content is None:
        return
    if isinstance(content, Element):
        parent.append(content)
    elif not isinstance(content, str):
        for part in content:
            _add(parent, part)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + fit_text(content)
    else:
        parent.text = (parent.text or "") + fit_text(content)


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-") if name != "viewBox" else name


def _value(value: str | float) -> str:
    return fit_text(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
