"""An evaluation as people see it on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from router.evaluate.evaluation import ASSUMPTION, Evaluation, Measured
from router.evaluate.markup import fit_text
from router.evaluate.summary import ConfusedPair, Summary, weakest
from router.evaluate.wording import (
    MEANINGS,
    figures,
    in_words,
    languages,
    number,
    percent,
    plural,
    thresholds_in_force,
    trade,
)

MOST_TASKS, MOST_PAIRS, MOST_SUGGESTIONS = 10, 5, 8
EXAMPLES_A_PAIR = 2
MOST_BINS = 12


def table(found: Evaluation, details: bool = False) -> RenderableType:
    """Return what was found in words: what is known, how sure that is, what to do. With `details` the figures too."""
    head = Text.assemble((found.policy, "bold"), (f"@{found.revision}", "dim"), f"  {found.origin}")
    parts: list[RenderableType] = [head, *(Text(f"note: {note}", style="yellow") for note in found.notes)]
    if found.own.summary.rows:
        parts += [_figures(found)] if details else [_known(found)]
        parts += [_promise(found, details), *(_grids(found) if details else ())]
    shown = found.sources[-1]
    if unknown := shown.unknown:
        parts.append(
            Text(
                f"{plural(sum(unknown.values()), 'label')} of {plural(len(unknown), 'unknown task')} skipped", "yellow"
            )
        )
    where = "" if found.served is None else f" in {found.served.title}"
    parts += [*_suggestions(found), *(_calibration(found.own.summary) if details else ())]
    parts += _missed(found.served) if found.served else ()
    parts += [*_weakest(shown.summary, where, details), *_pairs(shown.summary.pairs, where)]
    return Group(*parts)


def _section(title: str, body: RenderableType) -> RenderableType:
    return Group(Text(fit_text(f"\n{title}"), style="bold"), Padding(body, (0, 0, 0, 2)))


def _grid(*headings: str) -> Table:
    """Return a table without rows. A heading that ends in "#" is of a column of numbers."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        side: Literal["left", "right"] = "right" if heading.endswith("#") else "left"
        grid.add_column(Text(fit_text(heading.removesuffix("#"))), justify=side, overflow="fold")
    return grid


def _figures(found: Evaluation) -> RenderableType:
    grid = _grid("", *(f"{each.title}#" for each in found.sources), "")
    columns = [figures(each.summary, each.latency) for each in found.sources]
    for name, meaning in MEANINGS.items():
        grid.add_row(name, *(Text(values[name], style="bold cyan") for values in columns), Text(meaning, style="dim"))
    counts = [_counts(each.summary) for each in found.sources]
    grid.add_row("messages", *counts, Text("in scope + out of scope", style="dim"))
    return _section("What reaches the model, and how well messages are recognised", grid)


def _counts(summary: Summary) -> str:
    return f"{summary.reach.in_scope:,} + {summary.reach.out_of_scope:,}"


def _known(found: Evaluation) -> RenderableType:
    """Return the figures that matter, in sentences."""
    lines = [Text(line) for one in found.sources for line in in_words(one.title, one.summary.reach)]
    return _section("What is known", Group(*lines))


def _promise(found: Evaluation, details: bool) -> RenderableType:
    told = found.certificate
    style = "green" if told.basis == "certified" else "yellow"
    lines = [Text(f"promised: {told.promise}", style), *([Text(thresholds_in_force(told), "dim")] if details else [])]
    return _section("How sure", Group(*lines, Text(ASSUMPTION, "italic")))


def _missed(served: Measured) -> Iterator[RenderableType]:
    """Yield every line that was wrong or backed off."""
    if not served.missed:
        return
    grid = _grid("line#", "", "is", "got", "message")
    for one in served.missed:
        style = "yellow" if one.outcome == "wrong" else "dim"
        wanted, got = (" and ".join(paths) or "no task" for paths in (one.truth, one.said))
        got = got if one.said else "general text"
        grid.add_row(str(one.line), Text(one.outcome, style), Text(wanted), Text(got), Text(_short(one.text)))
    wrong = sum(one.outcome == "wrong" for one in served.missed)
    yield _section(f"{wrong:,} wrong and {len(served.missed) - wrong:,} backed off in {served.title}", grid)


def _grids(found: Evaluation) -> Iterator[RenderableType]:
    for one in found.sources:
        for said in (trade(found.budgets, one.summary.trade), languages(one.summary)):
            grid = _grid(*said.headings)
            for at, row in enumerate(said.rows):
                grid.add_row(*row, style="bold" if at == said.bold else "")
            yield _section(f"{said.title}, {one.title}", grid)


def _calibration(summary: Summary) -> Iterator[RenderableType]:
    bins = summary.calibration.bins
    if bins:
        some = bins[:: -(-len(bins) // MOST_BINS)]
        grid = _grid("sure", *(percent(part.confidence, 0) for part in some))
        grid.add_row("right", *(percent(part.accuracy, 0) for part in some))
        yield _section("Calibration: how sure, and how often right", grid)


def _weakest(summary: Summary, where: str, details: bool) -> Iterator[RenderableType]:
    scores = weakest(summary.tasks, MOST_TASKS)
    if not scores:
        return
    figures = ("F1#", "recall#", "precision#", "rows#") if details else ("recognised#", "of messages#")
    grid = _grid("task", *figures, "most often taken for")
    for score in scores:
        taken = f"{score.taken_for} ({score.times})" if score.taken_for else ""
        cells = map(number, (score.f1, score.recall, score.precision)) if details else (percent(score.recall, 0),)
        grid.add_row(Text(score.task), *cells, str(score.rows), Text(taken))
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
    lines = [Text(one.text, style="bold") for one in found.advice]
    lines += [
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
    if lines:
        yield _section("What to do", Group(*lines))


def _whose(task: str) -> str:
    return "of no task" if task == "/" else f"of {task}"


def _short(text: str, most: int = 90) -> str:
    line = fit_text(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
