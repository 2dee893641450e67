"""An evaluation as a page for a browser: one file, no script, nothing fetched, for light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from xml.etree.ElementTree import Element

from router.core.policy import ROOT
from router.evaluate import markup
from router.evaluate.evaluation import ASSUMPTION, Evaluation
from router.evaluate.markup import Content, document, element
from router.evaluate.suggestions import MORE, LabelIssue
from router.evaluate.summary import ConfusedExample, ConfusedPair, Summary
from router.evaluate.wording import (
    MEANINGS,
    figures,
    languages,
    number,
    percent,
    plural,
    thresholds_in_force,
    trade,
)

TASKS_OPEN, MOST_PAIRS, MOST_GAINS, SUSPECTS_OPEN = 15, 12, 12, 12


def page(found: Evaluation) -> str:
    """Return the whole page."""
    main = element(
        "main",
        element("h1", found.policy, element("small", f"@{found.revision}")),
        element(
            "p",
            "How many messages get the instructions of their task, and what else is sent: ",
            found.origin,
            ".",
            class_="lead",
        ),
        [element("p", note, class_="note") for note in found.notes],
        _tiles(found),
        [_promise(found), _advice(found), _grids(found)] if found.own.summary.rows else None,
        _plots(found),
        _tasks(found),
        _pairs(found),
        _suggestions(found),
        _method(found),
    )
    style = resources.files("router.evaluate").joinpath("page.css").read_text("utf-8")
    return document(f"{found.policy}: evaluation", style, main)


def _tiles(found: Evaluation) -> Content:
    parts: list[Element] = []
    for one in found.sources:
        sent, skipped = one.summary.reach, sum(one.unknown.values())
        counts = f": {plural(sent.in_scope, 'message')} in scope, {sent.out_of_scope:,} out of scope"
        left_out = f", {plural(skipped, 'unknown label')} skipped" if skipped else ""
        parts.append(element("p", element("b", one.title), counts, left_out, class_="origin"))
        tiles = [
            element(
                "div",
                element("div", label, class_="label"),
                element("div", value, class_="value long" if "/" in value else "value"),
                element("div", MEANINGS[label], class_="says"),
                class_="card tile",
            )
            for label, value in figures(one.summary, one.latency).items()
        ]
        parts.append(element("div", tiles, class_="tiles"))
    return parts


def _promise(found: Evaluation) -> Content:
    told = found.certificate
    badge = element("span", told.basis, class_=f"badge {told.basis}")
    return [
        element("h2", "What may be relied on"),
        element(
            "p", "A task's text is sent where recognition is sure enough: ", thresholds_in_force(told), class_="hint"
        ),
        element("div", element("p", badge, told.promise), element("p", ASSUMPTION, class_="assumes"), class_="card"),
    ]


def _grids(found: Evaluation) -> Iterator[Content]:
    for one in found.sources:
        for said in (trade(found.budgets, one.summary.trade), languages(one.summary)):
            rows = [
                [element("b", each) if at == said.bold else each for each in row] for at, row in enumerate(said.rows)
            ]
            yield element("h2", f"{said.title}, {one.title}")
            yield element("div", _grid(said.headings, rows), class_="card")


def _plots(found: Evaluation) -> Content:
    names = [one.title for one in found.sources]
    cards = []
    if found.own.summary.calibration.bins:
        curves = [(one.title, one.summary.calibration.bins) for one in found.sources]
        said = "Points on the diagonal are as often right as they are sure; below it, recognition is too sure."
        cards.append(_card("Calibration", said, names, markup.calibration_plot(curves)))
    accepted = found.certificate.accepted
    for rate, limit, path in (("error", accepted.error, "path"), ("exposure", accepted.exposure, "known_path")):
        paths = [(one.title, *_path_of(one.summary, rate, path)) for one in found.sources]
        if any(points for _, points, _ in paths):
            said = "Ring: the thresholds in force. Dashed: the rate that is accepted. Shown up to where it matters."
            plot = markup.path_plot(f"{rate.capitalize()} against reach", rate, paths, limit)
            cards.append(_card(f"{rate.capitalize()} against reach", said, names, plot))
    return [element("h2", "Curves"), element("div", cards, class_="plots")] if cards else None


def _path_of(summary: Summary, rate: str, path: str) -> tuple[list[markup.Point], markup.Point | None]:
    """Return a rate of a summary against reach along the path, and where the thresholds in force are."""
    at = [(one.reach, getattr(one, rate)) for one in (*getattr(summary, path), summary.reach)]
    points = [(reach, value) for reach, value in at if reach is not None and value is not None]
    return (points[:-1], points[-1]) if len(points) == len(at) else ([], None)


def _card(title: str, hint: str, names: Sequence[str], plot: Element) -> Element:
    marks = zip(names, markup.SERIES, strict=False)
    legend = element("p", [element("span", element("i", class_=mark), name) for name, mark in marks], class_="legend")
    shown = legend if len(names) > 1 else None
    return element("div", element("h3", title), element("p", hint, class_="hint"), shown, plot, class_="card")


def _tasks(found: Evaluation) -> Content:
    parts: list[Element] = []
    for one in found.sources:
        ordered = sorted(one.summary.tasks, key=lambda score: (score.f1, score.task))
        rows: list[Sequence[Content]] = [
            [
                _path(score.task),
                f"{score.rows:,}",
                *map(number, (score.recall, score.precision, score.f1)),
                [_path(score.taken_for), f" ({score.times})"] if score.taken_for else "",
            ]
            for score in ordered
        ]
        headings = ["task", "rows#", "recall#", "precision#", "F1#", "most often taken for"]
        parts.append(_rows(one.title, "", headings, rows[:TASKS_OPEN], rows[TASKS_OPEN:]))
    return [element("h2", "Tasks, the weakest first"), parts] if found.own.summary.tasks else None


def _pairs(found: Evaluation) -> Content:
    parts: list[Element] = []
    for one in found.sources:
        if one.summary.pairs:
            said = "messages of the one that were taken for the other, and the other's example most like each."
            shown = [_pair(pair) for pair in one.summary.pairs[:MOST_PAIRS]]
            parts += [element("p", f"{one.title}: {said}", class_="hint"), element("div", shown, class_="pairs")]
    return [element("h2", "Confused with one another"), *parts] if parts else None


def _pair(pair: ConfusedPair) -> Element:
    there, back = pair.counts
    rows = sum(pair.rows)
    said = f"{plural(there + back, 'mistake')} in {plural(rows, 'message')} ({percent(pair.rate)})"
    return element(
        "section",
        element("header", element("h3", pair.first, " and ", pair.second), element("span", said, class_="lead")),
        element(
            "div",
            _side(pair.first, pair.second, there, pair.first_as_second),
            _side(pair.second, pair.first, back, pair.second_as_first),
            class_="sides",
        ),
        class_="card pair",
    )


def _side(task: str, other: str, count: int, texts: Sequence[ConfusedExample]) -> Element:
    items = [
        element(
            "li",
            _quoted(confused.text),
            element("span", f"like {other}: ", _quoted(confused.like), class_="like") if confused.like else None,
        )
        for confused in texts
    ]
    more = count - len(texts)
    items += [element("li", f"and {more:,} more", class_="none")] if more > 0 else []
    listed = element("ul", items) if items else element("p", f"never taken for {other}", class_="none")
    return element("div", _path(task), listed, class_="side")


def _quoted(text: str, most: int = 240) -> Element:
    line = " ".join(text.split())
    return element("q", line if len(line) <= most else line[: most - 1] + "…", dir="auto")


def _path(path: str) -> Element:
    """Return a path, or a place in a file, that may be broken where its names begin."""
    first, *names = re.split(r"(?<=[/_])", path)
    return element("span", first, [[element("wbr"), name] for name in names], class_="path")


def _suggestions(found: Evaluation) -> Content:
    parts: list[Content] = []
    if found.merges:
        rows: list[Sequence[Content]] = [
            [_path(merge.first), _path(merge.second), f"{sum(merge.counts)} of {sum(merge.rows)}", percent(merge.rate)]
            for merge in found.merges
        ]
        said = "Each is often taken for the other: make one task of them, or give examples that tell them apart."
        parts.append(_rows("Merge, or tell apart", said, ["task", "task", "mistakes#", "rate#"], rows))
    if found.label_issues:
        said = (
            "Models that had not seen these examples are sure that they belong elsewhere. Some are mislabelled; others "
            "are right, and say that their task lacks examples like them."
        )
        rows = [_suspect(suspect) for suspect in found.label_issues]
        headings = ["example", "labelled", "looks like", "sure#", "where"]
        parts.append(_rows("Look at these labels again", said, headings, rows[:SUSPECTS_OPEN], rows[SUSPECTS_OPEN:]))
    gains = [gain for gain in found.growth.gains if gain.gain > 0.0] if found.growth else []
    if gains:
        said = f"What {MORE} more examples may add to the probability that a task gets on its own messages."
        rows = [
            [_path(gain.task), f"{gain.examples}", number(gain.now), number(gain.then), f"+{gain.gain:.3f}"]
            for gain in gains[:MOST_GAINS]
        ]
        parts.append(_rows("Where more examples pay most", said, ["task", "has#", "now#", "then#", "gain#"], rows))
    return [element("h2", "What would make it better"), element("div", parts, class_="pairs")] if parts else None


def _suspect(suspect: LabelIssue) -> list[Content]:
    where = _path(f"{suspect.file}:{suspect.line}" if suspect.file else "")
    labelled, looks = ("no task" if path == ROOT else _path(path) for path in (suspect.task, suspect.guess))
    return [_quoted(suspect.text), labelled, looks, f"{suspect.confidence:.2f}", where]


def _advice(found: Evaluation) -> Content:
    listed = element("ul", [element("li", one.text) for one in found.advice])
    return [element("h2", "What to do"), element("div", listed, class_="card")] if found.advice else None


def _rows(
    title: str,
    said: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Content]],
    more: Sequence[Sequence[Content]] = (),
) -> Element:
    rest = None
    if more:
        rest = element("details", element("summary", f"{len(more):,} more"), _grid(headings, more))
    hint = element("p", said, class_="hint")
    return element("div", element("h3", title), hint, _grid(headings, rows), rest, class_="card")


def _grid(headings: Sequence[str], rows: Sequence[Sequence[Content]]) -> Element:
    """Return a table. A heading that ends in "#" is of a column of numbers."""
    kinds = ["figure" if heading.endswith("#") else None for heading in headings]
    head = [element("th", name.rstrip("#"), class_=kind) for name, kind in zip(headings, kinds, strict=True)]
    body = [
        element("tr", [element("td", value, class_=kind) for value, kind in zip(row, kinds, strict=True)])
        for row in rows
    ]
    return element("table", element("tr", head), body)


def _method(found: Evaluation) -> Element:
    texts = [
        "Held-out examples: each was judged by a model that had not seen it (stratified cross-validation). Those out "
        f"of scope are the pack's own unrelated texts and {found.shipped:,} shipped ones that no task answers.",
        "Calibration error: over bins of equal numbers of messages, for the most probable task, of messages in scope.",
        ASSUMPTION,
    ]
    return element("footer", [element("p", text) for text in texts])
