"""The page: well formed, complete, safe, and alone."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree.ElementTree import fromstring, tostring

import pytest

from router.evaluate import Evaluation, markup, page
from router.evaluate.advice import Advice
from router.evaluate.markup import document, element
from tests.evaluate.conftest import HOSTILE

VOID = {"meta", "wbr", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Checks that tags are closed in their order; keeps tags, texts and attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def html(evaluation: Evaluation) -> str:
    advised = Advice("exposure", "Let more of the foreign messages through", 0.5, None)
    return page(replace(evaluation, advice=(advised,)))


def test_it_is_well_formed_and_shows_every_part(html: str, evaluation: Evaluation) -> None:
    reader = read(html)
    said = " ".join(reader.texts)
    for part in (
        "customer-support",
        "What may be relied on",
        "assumes that traffic is like the examples",
        "Calibration",
        "Error against reach",
        "Exposure against reach",
        "What other budgets give",
        "By language",
        "What to do",
        "Tasks, the weakest first",
        "Confused with one another",
        "Look at these labels again",
        "left out (--quick)",
        "mail <b>.jsonl",
    ):
        assert part in said, part
    assert reader.tags.count("svg") == 3
    assert len(re.findall(r'class="dot [a-z]+ ring"', html)) >= 2, "the thresholds are marked"
    for suspect in evaluation.label_issues[:5]:
        assert suspect.task.rpartition("/")[2].split("_")[0] in said


def test_it_asks_nobody_for_anything(html: str) -> None:
    reader = read(html)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(reader.tags)
    assert not [
        pair for pair in reader.attributes if pair[0] in ("src", "href", "xlink:href") or pair[0].startswith("on")
    ]
    assert "http:" not in html and "https:" not in html and "@import" not in html
    assert "url(" not in html
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in reader.attributes
    assert "prefers-color-scheme: dark" in html


def test_hostile_words_stay_words(html: str) -> None:
    reader = read(html)
    assert "<script" not in html and "</style> ]]>" not in html and "<b>.jsonl" not in html
    assert any('<script>alert("x")</script>' in text for text in reader.texts), "shown, not run"
    assert not re.search("[\x00-\x08\x1b\u202e\ud800-\udfff]", html)
    html.encode("utf-8")


@pytest.mark.parametrize("text", [HOSTILE, "<", "&amp;", "\ud83d", "a\x00b", "\u2066evil\u2069", "plain"])
def test_any_text_can_be_written(text: str) -> None:
    html = document("t " + text, "p { color: red }", element("p", text, title=text))
    reader = read(html)
    assert [tag for tag in reader.tags if tag not in ("html", "head", "meta", "title", "style", "body")] == ["p"]
    fromstring(tostring(element("p", text, title=text)))
    html.encode("utf-8")


def test_elements_nest_and_attributes_are_left_out_when_there_are_none() -> None:
    made = element("p", "a", element("b", "c"), None, ["d", element("i")], class_="x", title=None, width=2.5, x=3.0)
    assert tostring(made, encoding="unicode") == '<p class="x" width="2.5" x="3">a<b>c</b>d<i /></p>'


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 0.03, [0.0, 0.01, 0.02, 0.03]),
        (0.6, 1.0, [0.6, 0.7, 0.8, 0.9, 1.0]),
        (0.0, 23.4, [0.0, 5.0, 10.0, 15.0, 20.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert markup._ticks(low, high) == ticks
