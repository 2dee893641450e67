"""Markup as a tree of elements, and plots as inline SVG.

No text is ever taken for markup: what is written out escapes all of it. Plots are axes, lines, points; their colours
are classes of the page's style, so both schemes suit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

from router.evaluate.measures import CalibrationBin
from router.evaluate.wording import percent

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


WIDTH, HEIGHT = 440.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 12.0, 44.0
SERIES = ("one", "two")
"""Classes of the colours of several curves in one plot."""

ROOM = 3.0
"""A plot of rates shows them up to so many times what is accepted, where the decision is made."""


@dataclass(frozen=True, slots=True)
class _Axes:
    """The frame of a plot: the ranges that it shows, and where a value lies in it."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point, y upwards."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """Return the path through some points."""
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (self.at(*point) for point in points))


def calibration_plot(curves: Sequence[tuple[str, Sequence[CalibrationBin]]]) -> Element:
    """Return how often recognition is right against how sure it is; a point's area is its share of the rows."""
    axes = _Axes((0.0, 1.0), (0.0, 1.0))
    parts = [*_frame(axes, "probability given", "share that was right"), _line(axes, [(0, 0), (1, 1)], "ideal")]
    for series, (name, bins) in zip(SERIES, curves, strict=False):
        total = sum(part.rows for part in bins)
        parts += [
            _line(axes, [(part.confidence, part.confidence), (part.confidence, part.accuracy)], f"gap {series}")
            for part in bins
        ]
        parts.append(_line(axes, [(part.confidence, part.accuracy) for part in bins], f"curve thin {series}"))
        parts += [
            _dot(
                axes,
                part.confidence,
                part.accuracy,
                series,
                f"{name}: {part.rows:,} messages, {percent(part.confidence)} sure, {percent(part.accuracy)} right",
                radius=2.5 + 9.0 * (part.rows / total) ** 0.5,
            )
            for part in bins
        ]
    return _plot("Calibration curve", parts)


Point: TypeAlias = tuple[float, float]


def path_plot(
    title: str, up: str, curves: Sequence[tuple[str, Sequence[Point], Point | None]], limit: float
) -> Element:
    """Return a rate against reach along the path of all thresholds, a curve for each source.

    A ring stands where the thresholds in force are; the dashed line is the rate that is accepted.
    """
    chosen = [ring[1] for _, _, ring in curves if ring]
    top = min(1.0, max(ROOM * limit, 1.6 * max(chosen, default=0.0), 0.01))
    axes = _Axes((0.0, 1.0), (0.0, top))
    digits = 0 if top >= 0.04 else 1
    parts = _frame(axes, "reach", up, lambda value: percent(value, digits))
    parts.append(_line(axes, [(0.0, limit), (1.0, limit)], "limit one"))
    for series, (name, points, ring) in zip(SERIES, curves, strict=False):
        parts.append(_line(axes, list(_below(points, top)), f"curve {series}"))
        if ring:
            said = f"{name}: reach {percent(ring[0])}, {up} {percent(ring[1], 2)}"
            parts.append(_dot(axes, *ring, f"{series} ring", said, radius=6.5))
    return _plot(title, parts)


def _below(points: Sequence[Point], top: float) -> Iterator[Point]:
    """Yield the points of a way until it first rises above `top`, and where it does so."""
    before: Point | None = None
    for x, y in points:
        if y > top:
            if before is not None:
                part = (top - before[1]) / (y - before[1])
                yield before[0] + part * (x - before[0]), top
            return
        yield x, y
        before = x, y


def _plot(name: str, parts: Sequence[Element]) -> Element:
    return element(
        "svg", element("title", name), parts, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", role="img", class_="plot"
    )


def _inner(axes: _Axes) -> dict[str, float]:
    left, top = axes.at(axes.x[0], axes.y[1])
    right, bottom = axes.at(axes.x[1], axes.y[0])
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def _frame(
    axes: _Axes,
    across: str,
    up: str,
    label: Callable[[float], str] = lambda value: percent(value, 0),
) -> list[Element]:
    """Return grid lines, their labels, and the names of the axes."""
    parts = [element("rect", class_="ground", **_inner(axes))]
    for value in _ticks(*axes.y):
        parts.append(_line(axes, [(axes.x[0], value), (axes.x[1], value)], "grid"))
        x, y = axes.at(axes.x[0], value)
        parts.append(element("text", label(value), x=x - 7, y=y + 3.5, class_="tick end"))
    for value in _ticks(*axes.x):
        x, y = axes.at(value, axes.y[0])
        parts.append(_line(axes, [(value, axes.y[0]), (value, axes.y[1])], "grid"))
        parts.append(element("text", percent(value, 0), x=x, y=y + 16, class_="tick middle"))
    centre = TOP + (HEIGHT - TOP - BOTTOM) / 2
    parts.append(element("text", across, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, class_="name middle"))
    turn = f"rotate(-90 12 {centre:.0f})"
    parts.append(element("text", up, x=12, y=centre, class_="name middle", transform=turn))
    return parts


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values from low to high: steps of 1, 2 or 5 times a power of ten."""
    power = 10.0**-4
    while True:
        for step in (power, 2 * power, 5 * power):
            if (high - low) / step <= most:
                first = -(-low // step)
                count = int((high - first * step) / step + 1e-9)
                return [round((first + at) * step, 6) for at in range(count + 1)]
        power *= 10.0


def _line(axes: _Axes, points: Sequence[tuple[float, float]], class_: str) -> Element:
    return element("path", d=axes.path(points), class_=class_) if points else element("g")


def _dot(axes: _Axes, x: float, y: float, class_: str, said: str, *, radius: float) -> Element:
    across, down = axes.at(x, y)
    return element("circle", element("title", said), cx=across, cy=down, r=radius, class_=f"dot {class_}")
