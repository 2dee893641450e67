"""What the shipped help desk's pack sends for messages as people write them: by style, by language, and in frames.

Every figure is read off decisions, as a user of the library gets them. *reach*: the text of a task that the message is
about is sent, plainly or as a case; *unconditional*: text of another task is said plainly; *error*: that, or a shortlist
without any of its tasks; *general only*: no task's text at all. A cell has a figure for each half that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from router import Router
from router.core.decision import Decision, breach
from router.core.policy import ROOT
from tests.bench.messages.grid import Cell
from tests.bench.messages.texts import ALL, FOREIGN, Frame, Message
from tests.bench.recognition_metrics import percent, plain, share
from tests.bench.report import print_table

REACH, ERROR, UNCONDITIONAL = 0.88, 0.05, 0.03
"""Wanted. The rates are what the pack itself accepts, the reach is what the product aims at."""

EXPOSURE = 0.7
OF_ENGLISH = 0.85
"""Wanted of a language: so much of what English reaches."""

RETRIEVED, FRAMED, FRAMED_WRONG = 0.8, 0.95, 0.03
"""Wanted of turns in which others than the user speak: not more get another task's text."""


class Verdict(NamedTuple):
    """How a decision fits the tasks that a message is about."""

    any: bool
    all: bool
    plainly: bool
    wrong: bool
    general: bool
    tokens: int

    @property
    def told(self) -> bool:
        """Whether any task's text is sent."""
        return not self.general


def judge(decision: Decision, truth: Sequence[str]) -> Verdict:
    """Return how a decision fits a message about these tasks; about none where there are none."""
    plainly, wrong = breach(decision.tasks, decision.listed, truth)
    reached = [task in decision.reached for task in truth]
    general = decision.tasks == (ROOT,) and not decision.listed
    return Verdict(any(reached), bool(reached) and all(reached), plainly, wrong, general, decision.tokens)


Judged: TypeAlias = tuple[Message | Frame | Cell, Verdict]


def ask(router: Router, *parts: str, earlier: Iterable[tuple[str, str]] = ()) -> Decision:
    """Return the decision at a turn of these parts, after earlier turns."""
    content = parts[0] if len(parts) == 1 else [{"type": "text", "text": part} for part in parts]
    said: list[dict[str, object]] = [{"role": role, "content": text} for role, text in earlier]
    return router.wrap([*said, {"role": "user", "content": content}]).decision


def mean(judged: Iterable[Judged], field: str, half: str = ALL) -> float:
    """Return the mean of a verdict's field over a half, nan of nothing."""
    return share([float(getattr(verdict, field)) for row, verdict in judged if half in (ALL, row.half)])


def cell(judged: Sequence[Judged], halves: Sequence[str], field: str, said: Callable[[float], str] = percent) -> str:
    """Return a table's cell: the mean for each half."""
    return "/".join(said(mean(judged, field, half)) for half in halves)


def styles_table(router: Router, rows: Sequence[Message], halves: Sequence[str]) -> None:
    """Print what is sent for messages, by style, and how many that no task answers are told something."""
    judged = [(row, judge(ask(router, row.text), row.tasks)) for row in rows]
    own = [one for one in judged if one[0].style != FOREIGN]
    foreign = [one for one in judged if one[0].style == FOREIGN]
    print(f"\n## Messages as people write them ({len(own)}, and {len(foreign)} that no task answers)\n")

    def line(title: str, some: Sequence[Judged]) -> list[str]:
        shares = [cell(some, halves, field) for field in ("any", "all", "wrong", "plainly", "general")]
        return [title, str(len(some)), *shares, cell(some, halves, "tokens", lambda value: plain(value, 0))]

    styles = sorted({row.style for row, _ in own})
    lines = [line(style, [one for one in own if one[0].style == style]) for style in styles]
    wanted = ["wanted", "", _least(REACH), "", _most(ERROR), _most(UNCONDITIONAL), "", ""]
    head = ["style", "messages", "reach %", "all tasks %", "error %", "unconditional %", "general only %", "tokens"]
    print_table(head, [*lines, line("**all**", own), wanted])
    told = cell(foreign, halves, "told")
    print(f"\nOf messages that no task answers {told} % are told something of one (wanted: {_most(EXPOSURE)}).")


def languages_table(router: Router, rows: Mapping[str, Sequence[Message]], halves: Sequence[str]) -> None:
    """Print what is sent in each language. English comes first: the others are held against its reach."""
    judged = {
        language: [(row, judge(ask(router, row.text), row.tasks)) for row in said if row.tasks]
        for language, said in rows.items()
    }
    print(f"\n## Languages ({sum(map(len, judged.values()))} messages that a task answers)\n")
    english = judged[next(iter(judged))]

    def line(language: str, some: Sequence[Judged]) -> list[str]:
        of_english = [mean(some, "any", half) / max(mean(english, "any", half), 1e-9) for half in halves]
        shares = [cell(some, halves, field) for field in ("any", "wrong", "general")]
        return [language, str(len(some)), *shares, "/".join(percent(value, 0) for value in of_english)]

    wanted = ["wanted", "", "", _most(ERROR), "", _least(OF_ENGLISH)]
    head = ["language", "messages", "reach %", "error %", "general only %", "of English's reach %"]
    print_table(head, [*(line(language, some) for language, some in judged.items()), wanted])


def retrieved_table(router: Router, grid: Sequence[Cell]) -> None:
    """Print what is sent for questions that come with retrieved passages, frame by frame, and without any."""
    judged = [(one, judge(ask(router, one.turn), [one.task])) for one in grid]
    questions = {one.question: one for one in grid}
    bare = [(one, judge(ask(router, question), [one.task])) for question, one in questions.items()]
    print(f"\n## Retrieved passages around a question ({len(grid)} turns)\n")
    groups = [
        (frame, [one for one in judged if one[0].frame == frame]) for frame in dict.fromkeys(one.frame for one in grid)
    ]
    rows = [
        [title, str(len(some)), *(cell(some, [ALL], field) for field in ("any", "plainly", "wrong"))]
        for title, some in [*groups, ("**all**", judged), ("the questions alone", bare)]
    ]
    wanted = ["wanted", "", _least(RETRIEVED), _most(FRAMED_WRONG), ""]
    print_table(["frame", "turns", "own task reached %", "another's text %", "error %"], [*rows, wanted])


def frames_table(router: Router, rows: Sequence[Frame], halves: Sequence[str]) -> None:
    """Print what is sent for turns in which others than the user speak, beside the user's words alone."""
    judged = [(row, judge(ask(router, *row.parts, earlier=row.earlier), row.tasks)) for row in rows]
    asked, silent, kept = (
        [one for one in judged if one[0].expect == expected] for expected in ("reach", "back_off", "keep")
    )
    alone = [(row, judge(ask(router, row.own, earlier=row.earlier), row.tasks)) for row, _ in asked]
    print(f"\n## Other shapes around the user's words ({len(rows)} turns)\n")
    lines = [
        ("own task reached", asked, "any", _least(FRAMED)),
        ("own task reached by the user's words alone", alone, "any", ""),
        ("another task's text said plainly", asked, "plainly", _most(0.0)),
        ("another task's text, by the user's words alone", alone, "plainly", ""),
        ("nobody asks anything: general only", silent, "general", _least(FRAMED)),
        ("only a machine speaks: the task stays", kept, "any", _least(FRAMED)),
    ]
    print_table(
        ["what", "turns", "share %", "wanted"],
        [[title, str(len(some)), cell(some, halves, field), wanted] for title, some, field, wanted in lines],
    )


def _least(value: float) -> str:
    return f"≥ {percent(value, 0)} %"


def _most(value: float) -> str:
    return f"≤ {percent(value, 0)} %"
