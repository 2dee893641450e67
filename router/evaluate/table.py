"""An evaluation as people see it on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from router.evaluate.evaluation import ASSUMPTION, Evaluation
from router.evaluate.markup import fit_text
from router.evaluate.measures import CalibrationBin, RiskPoint, RocPoint
from router.evaluate.summary import ConfusedPair, DepthRisk, Summary, weakest
from router.evaluate.wording import MEANINGS, depth_names, figures, number, origin, percent, plural, promise

MOST_TASKS, MOST_PAIRS, MOST_SUGGESTIONS = 10, 5, 8
EXAMPLES_A_PAIR = 2
CURVE_ROWS = 6
KEPT_SHARES = (0.8, 0.9, 0.95, 0.99)


def table(found: Evaluation) -> RenderableType:
    """Return everything that was found, in the order of its weight."""
    head = Text.assemble((found.policy, "bold"), (f"@{found.revision}", "dim"), f"  {origin(found)}")
    parts: list[RenderableType] = [head, *(Text(f"note: {note}", style="yellow") for note in found.notes)]
    if found.own.summary.rows:
        parts += [_figures(found), *_certificates(found), *_curves(found.own.summary)]
    shown = found.sources[-1]
    if unknown := shown.unknown:
        parts.append(
            Text(
                f"{plural(sum(unknown.values()), 'label')} of {plural(len(unknown), 'unknown task')} skipped", "yellow"
            )
        )
    where = "" if found.served is None else f" in {found.served.title}"
    parts += [*_weakest(shown.summary, where), *_pairs(shown.summary.pairs, where), *_suggestions(found)]
    return Group(*parts)


def _section(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(fit_text(f"\n{title}"), style="bold"), Padding(body, (0, 0, 0, 2)))


def _grid(*headings: str, right: Sequence[int] = ()) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for at, heading in enumerate(headings):
        grid.add_column(Text(fit_text(heading)), justify="right" if at in right else "left", overflow="fold")
    return grid


def _figures(found: Evaluation) -> RenderableType:
    grid = _grid("", *(each.title for each in found.sources), "", right=range(1, len(found.sources) + 1))
    columns = [figures(each) for each in found.sources]
    for name, meaning in MEANINGS.items():
        grid.add_row(name, *(Text(values[name], style="bold cyan") for values in columns), Text(meaning, style="dim"))
    counts = [_counts(each.summary) for each in found.sources]
    grid.add_row("messages", *counts, Text("in scope + out of scope", style="dim"))
    return _section("Recognition", grid)


def _counts(summary: Summary) -> str:
    return f"{summary.in_scope:,} + {summary.rows - summary.in_scope:,}"


def _certificates(found: Evaluation) -> Iterator[RenderableType]:
    grid = _grid("depth", "threshold", "acted on", "wrong", "promise", right=(1, 2, 3))
    served = found.served.summary.risks if found.served is not None else ()
    for at, name in enumerate(depth_names(found.certificates)):
        risk = found.own.summary.risks[at]
        style = "green" if risk.certificate.basis == "certified" else "yellow"
        said = Text(promise(risk.certificate), style)
        grid.add_row(name, f"{risk.certificate.threshold:.3f}", *_acted(risk.at_threshold), said)
        if served:
            grid.add_row(Text("  labelled data", "dim"), "", *_acted(served[at].at_threshold), "")
    yield _section("Certificates", grid)
    yield Padding(Text(ASSUMPTION, style="italic"), (0, 0, 0, 2))


def _acted(risk: RiskPoint | None) -> tuple[str, str]:
    return (percent(risk.coverage), percent(risk.wrong, 2)) if risk is not None else (percent(None), percent(None))


def _curves(summary: Summary) -> Iterator[RenderableType]:
    if summary.calibration.bins:
        grid = _grid("sure", *(percent(part.confidence, 0) for part in _spread(summary.calibration.bins)))
        grid.add_row("right", *(percent(part.accuracy, 0) for part in _spread(summary.calibration.bins)))
        yield _section("Calibration: how sure, and how often right", grid)
    if summary.risks:
        grid = _grid("depth", "threshold", "acted on", "wrong", right=(1, 2, 3))
        for name, risk in zip(depth_names([risk.certificate for risk in summary.risks]), summary.risks, strict=True):
            for point in _around(risk):
                style = "bold" if point is risk.at_threshold else "dim"
                grid.add_row(name, f"{point.threshold:.3f}", *_acted(point), style=style)
        yield _section("Risk against coverage, the threshold in force in bold", grid)
    if summary.passing:
        points = [_keeping(summary.passing, kept) for kept in KEPT_SHARES]
        grid = _grid("in scope kept", *(percent(point.inside, 0) for point in points))
        grid.add_row("out of scope passed", *(percent(point.outside, 0) for point in points))
        yield _section("Out of scope", grid)


def _spread(bins: Sequence[CalibrationBin]) -> list[CalibrationBin]:
    step = max(1, -(-len(bins) // (2 * CURVE_ROWS)))
    return list(bins[::step])


def _around(risk: DepthRisk) -> list[RiskPoint]:
    """Return points of a curve spread over its coverage, and the threshold in force among them."""
    curve = risk.curve
    points = [curve[round(at * (len(curve) - 1) / (CURVE_ROWS - 1))] for at in range(CURVE_ROWS)] if curve else []
    found = [point for point in dict.fromkeys(points) if point.threshold != risk.certificate.threshold]
    if risk.at_threshold is not None:
        found.append(risk.at_threshold)
    return sorted(found, key=lambda point: -point.threshold)


def _keeping(points: Sequence[RocPoint], kept: float) -> RocPoint:
    return next((point for point in points if point.inside >= kept), points[-1])


def _weakest(summary: Summary, where: str) -> Iterator[RenderableType]:
    scores = weakest(summary.tasks, MOST_TASKS)
    if not scores:
        return
    grid = _grid("task", "F1", "recall", "precision", "rows", "most often taken for", right=(1, 2, 3, 4))
    for score in scores:
        taken = f"{score.taken_for} ({score.times})" if score.taken_for else ""
        grid.add_row(
            Text(score.task),
            number(score.f1),
            number(score.recall),
            number(score.precision),
            str(score.rows),
            Text(taken),
        )
    yield _section(f"Weakest tasks{where}", grid)


def _pairs(pairs: Sequence[ConfusedPair], where: str) -> Iterator[RenderableType]:
    if not pairs:
        return
    grid = _grid("taken for the other", "most like it there")
    for pair in pairs[:MOST_PAIRS]:
        for own, other, texts in (
            (pair.first, pair.second, pair.first_as_second),
            (pair.second, pair.first, pair.second_as_first),
        ):
            if texts:
                grid.add_row(Text(own, "cyan"), Text(other, "cyan"))
            for confused in texts[:EXAMPLES_A_PAIR]:
                grid.add_row(Text(f"  {_short(confused.text)}"), Text(f"  {_short(confused.like)}", "dim"))
        grid.add_row("", "")
    yield _section(f"Confused pairs{where}", grid)


def _suggestions(found: Evaluation) -> Iterator[RenderableType]:
    lines = [
        Text(
            f"merge, or tell apart: {merge.first} and {merge.second} "
            f"({sum(merge.counts)} of {sum(merge.rows)} rows taken for the other)"
        )
        for merge in found.merges[:MOST_SUGGESTIONS]
    ]
    for suspect in found.label_issues[:MOST_SUGGESTIONS]:
        place = f"{suspect.file}:{suspect.line}: " if suspect.file else ""
        looks = "no task at all" if suspect.guess == "/" else suspect.guess
        lines.append(
            Text.assemble(
                "look again: ",
                (place, "dim"),
                f'"{_short(suspect.text)}" is {_whose(suspect.task)} but looks like {looks} ({suspect.confidence:.2f})',
            )
        )
    if len(found.label_issues) > MOST_SUGGESTIONS:
        more = f"... and {plural(len(found.label_issues) - MOST_SUGGESTIONS, 'more example')}: --json, --html"
        lines.append(Text(more, style="dim"))
    for gain in found.growth.gains[:MOST_SUGGESTIONS] if found.growth else ():
        if gain.gain > 0.0:
            lines.append(
                Text(
                    f"ten more examples of {gain.task} (has {gain.examples}): "
                    f"{gain.now:.2f} -> {gain.then:.2f} given to it on its own messages"
                )
            )
    if lines:
        yield _section("Suggestions", Group(*lines))


def _whose(task: str) -> str:
    return "of no task" if task == "/" else f"of {task}"


def _short(text: str, most: int = 90) -> str:
    line = fit_text(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
