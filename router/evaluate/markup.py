"""Markup as a tree of elements, and plots as inline SVG.

No text is ever taken for markup: what is written out escapes all of it. Plots are axes, lines, points; their colours
are classes of the page's style, so both schemes suit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring

from router.evaluate.measures import CalibrationBin, RocPoint
from router.evaluate.suggestions import LearningCurve
from router.evaluate.summary import DepthRisk
from router.evaluate.wording import depth_names, percent

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
SERIES = ("one", "two", "three", "four")
"""Classes of the colours of several curves in one plot."""

ROOM = 3.0
"""The risk plot shows rates up to so many times the highest promise, where the decision is made."""


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


def risk_plot(risks: Sequence[DepthRisk], name_of_frame: str) -> Element:
    """Return wrong text against what is acted on, a curve for each depth, with its promise and its threshold.

    `name_of_frame` is an id that no other plot of the page has.
    """
    alphas = [risk.certificate.alpha for risk in risks]
    chosen = [risk.at_threshold.wrong for risk in risks if risk.at_threshold]
    worst = max((risk.curve[-1].wrong for risk in risks if risk.curve), default=0.0)
    top = min(max([ROOM * max(alphas, default=0.0), 1.6 * max(chosen, default=0.0), 0.01]), max(worst * 1.08, 0.01))
    axes = _Axes((0.0, 1.0), (0.0, top))
    digits = 0 if top >= 0.04 else 1
    parts = _frame(axes, "share of messages acted on", "share sent wrong text", lambda value: percent(value, digits))
    clip = element("clipPath", element("rect", **_inner(axes)), id=name_of_frame)
    names = depth_names([risk.certificate for risk in risks])
    for series, name, risk in zip(SERIES, names, risks, strict=False):
        points = [(0.0, 0.0), *((point.coverage, point.wrong) for point in risk.curve)]
        curve = _line(axes, points, f"curve {series}")
        curve.set("clip-path", f"url(#{name_of_frame})")
        parts.append(curve)
        if (alpha := risk.certificate.alpha) <= top and risk.certificate.basis != "hand":
            parts.append(_line(axes, [(0.0, alpha), (1.0, alpha)], f"limit {series}"))
            x, y = axes.at(0.0, alpha)
            parts.append(element("text", f"α {name}", x=x + 5, y=y - 4, class_=f"tick {series}"))
        if risk.at_threshold and risk.at_threshold.wrong <= top:
            at = risk.at_threshold
            said = (
                f"{name}: threshold {at.threshold:.3f}, {percent(at.coverage)} acted on, {percent(at.wrong, 2)} wrong"
            )
            parts.append(_dot(axes, at.coverage, at.wrong, f"{series} ring", said, radius=6.5))
    return _plot("Risk against coverage", [element("defs", clip), *parts])


def passing_plot(curves: Sequence[tuple[str, Sequence[RocPoint], float]]) -> Element:
    """Return what passes in scope against what passes out of scope, and where the threshold in force stands."""
    axes = _Axes((0.0, 1.0), (0.0, 1.0))
    parts = [*_frame(axes, "out of scope that passes", "in scope that passes"), _line(axes, [(0, 0), (1, 1)], "ideal")]
    for series, (name, points, threshold) in zip(SERIES, curves, strict=False):
        if not points:
            continue
        way = [(0.0, 0.0), *((point.outside, point.inside) for point in points), (1.0, 1.0)]
        if series == SERIES[0]:
            parts.append(element("path", d=axes.path([*way, (1.0, 0.0)]) + "Z", class_=f"area {series}"))
        parts.append(_line(axes, way, f"curve {series}"))
        here = [point for point in points if point.threshold >= threshold]
        if here:
            at = here[-1]
            said = (
                f"{name}: at {threshold:.3f} passes {percent(at.inside)} in scope, {percent(at.outside)} out of scope"
            )
            parts.append(_dot(axes, at.outside, at.inside, f"{series} ring", said, radius=6.5))
    return _plot("Out of scope", parts)


def growth_plot(growth: LearningCurve, more: int) -> Element:
    """Return the probability given to the right task against the examples of a task, and where it leads."""
    (few, low), (many, high) = growth.points
    last = many + more

    def curve(examples: float) -> float:
        return 1.0 - (1.0 - high) * math.pow(examples / many, -growth.power)

    floor = max(0.0, int(10 * min(low, curve(few)) - 0.5) / 10)
    axes = _Axes((0.0, last * 1.05), (floor, 1.0))
    parts = _frame(axes, "examples of a task", "probability of the right task", xlabel=lambda value: f"{value:.0f}")
    steps = [few / 2 + at * (last - few / 2) / 40 for at in range(41)]
    known = [(x, curve(x)) for x in steps if x <= many] + [(many, high)]
    parts.append(_line(axes, [point for point in known if point[1] >= floor], "curve one"))
    parts.append(_line(axes, [(many, high), *((x, curve(x)) for x in steps if x > many)], "curve one guess"))
    for examples, value in growth.points:
        parts.append(_dot(axes, examples, value, "one", f"{examples:.1f} examples: {percent(value)}", radius=5.0))
    parts.append(
        _dot(axes, last, curve(last), "one ring", f"{last:.1f} examples: {percent(curve(last))} expected", radius=6.0)
    )
    return _plot("Learning curve", parts)


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
    xlabel: Callable[[float], str] = lambda value: percent(value, 0),
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
        parts.append(element("text", xlabel(value), x=x, y=y + 16, class_="tick middle"))
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
