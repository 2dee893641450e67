"""What the command line shows people: decisions as trees, findings as lines, a bar while they wait.

Programs read `--json` instead.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text
from rich.tree import Tree

from router.core.policy import ROOT, lineage

BAR_CELLS = 10

SEVERITIES = {"error": "bold red", "warning": "yellow", "hint": "dim"}
"""How bad findings are, the worst first, and how they are shown."""

SETTLED, LISTED = "bold green", "bold yellow"

PATIENCE_S = 1.0
"""Work that is done sooner shows no bar."""


def explanation_view(found: Mapping[str, Any]) -> RenderableType:
    """Return a decision as a tree of scores, followed by what was said, what was not, and why."""
    parts: list[RenderableType] = [_headline(found), _score_tree(found)]
    if found["shortlist"]:
        parts.append(_shortlist(found))
    if found["mix"]:
        parts.append(_mix_view(found))
    turns = [
        f"{', '.join(turn['tasks'])}  {turn['outcome']}, level {turn['level']}{_cases(turn)}" for turn in found["turns"]
    ]
    for title, lines in (
        ("turns", turns if len(turns) > 1 else []),
        ("cues", [f"{name} = {value}" for name, value in found["cues"].items()]),
        ("not said", [f"{drop['id']}  ({drop['reason']})" for drop in found["dropped"]]),
        ("why", [reason["text"] for reason in found["reasons"]]),
    ):
        if lines:
            parts.append(
                Text.assemble((f"{title}: ", "bold"), ("; " if title == "cues" else "\n  ").join(["", *lines])[2:])
            )
    if found["cache_lost_tokens"]:
        lost = f"about {found['cache_lost_tokens']:,} tokens are processed anew, by `on_switch: head`"
        parts.append(Text.assemble(("cost: ", "bold"), lost))
    if found["certificate"]:
        parts.append(_promise(found["certificate"]))
    return Group(*parts)


def _cases(turn: Mapping[str, Any]) -> str:
    return f"; one of {', '.join(turn['shortlist'])}" if turn["shortlist"] else ""


def _promise(told: Mapping[str, Any]) -> Text:
    """Return what is promised, by which thresholds, and what these do to the examples."""
    own, now = told["thresholds"], told["in_force"]
    moved = "" if all(now[name] == own[name] for name in now) else f"; after audits {_thresholds(now)}"
    shares = {name: f"{100 * told[name]:.1f} %" for name in ("reach", "sure", "error", "unconditional", "exposed")}
    text = Text.assemble(("promised: ", "bold"), told["promise"])
    text.append(f"\n  {_thresholds(own)}{moved}", style="dim")
    text.append(
        f"\n  of {told['rows']:,} examples {shares['reach']} get their task's text, {shares['sure']} one task alone;"
        f" {shares['error']} go wrong, {shares['unconditional']} plainly; of {told['foreign']:,} others"
        f" {shares['exposed']} get any",
        style="dim",
    )
    return text


def _thresholds(of: Mapping[str, float]) -> str:
    if of["shortlist"] > 1.0:
        return "silent, whatever a message weighs"
    together = f", where all tasks together have {of['known']:.4f} or more" if of["known"] else ""
    return f"one task alone from {of['sure']:.4f} on, a shortlist from {of['shortlist']:.4f} on{together}"


def _headline(found: Mapping[str, Any]) -> Text:
    line = Text.assemble(
        (", ".join(found["tasks"]), "bold green" if found["outcome"] == "classified" else "bold yellow")
    )
    sure = "" if found["tasks"] == [ROOT] else f"confidence {found['confidence']:.2f}, "  # / holds for every request
    line.append(f"  {found['outcome']}, {sure}level {found['level']}")
    line.append(f"  +{found['tokens']} tokens  {found['policy']}@{found['revision']}", style="dim")
    return line


def _score_tree(found: Mapping[str, Any]) -> Tree:
    """Return the masses down the tree against their thresholds, that of all tasks first; listed tasks are yellow."""
    styles = {path: LISTED for likely in found["shortlist"] for path in lineage(likely["task"])}
    styles |= {path: SETTLED for task in found["tasks"] for path in lineage(task)}
    least = found["certificate"]["in_force"]["known"] if found["certificate"] else 0.0
    by_sentence = {
        by["task"]: f'  {by["mass"]:.4f} ≥ {by["threshold"]:.4f} by "{by["sentence"]}"' for by in found["by_sentence"]
    }
    top = Tree(Text(ROOT, style=SETTLED).append(_mass(found["known"], least) if least else ""), guide_style="dim")
    branches = {ROOT: top}
    for score in found["scores"]:
        path = score["task"]
        text = Text(path.rpartition("/")[2], style=styles.get(path, "")).append(
            _mass(score["mass"], score["threshold"])
        )
        if path in by_sentence:
            text.append(by_sentence[path], style=SETTLED)
        branches[path] = branches.get(path.rpartition("/")[0] or ROOT, top).add(text)
    return top


def _mass(mass: float, threshold: float) -> Text:
    filled = round(mass * BAR_CELLS)
    text = Text("  " + "█" * filled + "·" * (BAR_CELLS - filled), style="cyan")
    return text.append(f" {mass:.4f} {'≥' if mass >= threshold else '<'} {threshold:.4f}", style="dim")


def _shortlist(found: Mapping[str, Any]) -> Text:
    """Return the masses of the shortlist, and their sum."""
    masses = [likely["mass"] for likely in found["shortlist"]]
    text = Text.assemble(("shortlist: ", "bold"), style="")
    for likely in found["shortlist"]:
        text.append(f"{likely['task']}", style=LISTED).append(f" {likely['mass']:.4f}, ")
    text.append(f"together {sum(masses):.4f}")
    least = found["certificate"] and found["certificate"]["in_force"]["shortlist"]
    return text.append(f" ≥ {least:.4f}" if least else "", style="dim")


def _mix_view(found: Mapping[str, Any]) -> Panel:
    """Return what is said: plain text by task, then the cases, each with all that is said under it."""
    body = Text()
    before = None
    for piece in found["mix"]:
        # Pieces of a case may belong to tasks above it; the sentence that opens the cases belongs to none.
        part = piece["case"] or piece["task"]
        if part != before:
            before = part
            case, style = ("case ", LISTED) if piece["case"] else ("", "bold cyan")
            named = f"{case}{part}  ({found['levels'][part]})\n" if part in found["levels"] else ""
            body.append(("\n" if body else "") + named, style=style)
        body.append(piece["text"] + ("  [required]" if piece["required"] else "") + "\n")
    body.rstrip()
    return Panel(body, title="instructions added", title_align="left", border_style="dim")


def wire_view(before: bytes, after: bytes) -> RenderableType:
    """Return the request body before and after as a diff of its readable form."""
    if before == after:
        return Text("the request leaves as it came, byte for byte", style="dim")
    lines = difflib.unified_diff(_pretty(before), _pretty(after), "before", "after", lineterm="", n=3)
    styles = {"+": "green", "-": "red", "@": "cyan"}
    return Group(*(Text(line, style=styles.get(line[:1], "")) for line in lines))


def _pretty(body: bytes) -> list[str]:
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False).replace("\\n", "\n    ").splitlines()


def finding_lines(findings: Sequence[Mapping[str, Any]]) -> Iterable[Text]:
    """Yield a line per finding, and its fix: errors, then warnings, then hints, of which those of a kind are one line.

    Within a severity they stay in their order.
    """
    alike = Counter(finding["code"] for finding in findings if finding["severity"] == "hint")
    told: set[str] = set()
    for finding in sorted(findings, key=lambda finding: list(SEVERITIES).index(finding["severity"])):
        severity, code = finding["severity"], finding["code"]
        if severity == "hint" and code in told:
            continue
        told.add(code)
        line = Text(f"{finding['file']}:{finding['line']}: ")
        line.append(f"{severity} {code}", style=SEVERITIES[severity])
        line.append(f"  {finding['message']}")
        if severity == "hint" and (more := alike[code] - 1):
            line.append(f", and {more} more like this (--json lists them)")
        if finding["fix"]:
            line.append(f"\n    {finding['fix']}", style="dim")
        yield line


def test_lines(results: Sequence[Mapping[str, Any]]) -> Iterable[Text]:
    """Yield a line per test that did not pass, with expected and got."""
    for result in results:
        if result["outcome"] == "passed":
            continue
        style = "red" if result["outcome"] == "failed" else "yellow"
        line = Text.assemble((result["outcome"].upper(), style), f"  {result['place']}  {result['name']}")
        for mismatch in result["mismatches"]:
            line.append(f"\n    {mismatch['what']}: expected {mismatch['expected']}", style="green")
            line.append(f"\n    {' ' * len(mismatch['what'])}       got {mismatch['got'] or 'nothing'}", style="red")
        yield line


def plain(text: str) -> str:
    """Return text with nothing in it that the console would take for markup."""
    return escape(text)


def console_for(json_wanted: bool) -> Console:
    """Return the console for people; on standard error where standard output belongs to a program."""
    return Console(stderr=json_wanted, highlight=False)


class _ProgressBar:
    """A bar on standard error for work that takes longer than a second; nothing where that is no terminal.

    It leaves no trace when it is gone. Its methods may be called from any thread, and close may be called twice.
    """

    def __init__(self, what: str) -> None:
        console = console_for(True)
        self._shown = sys.stderr.isatty() and console.is_interactive
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not self._shown)
        self._task = self._bar.add_task(what, total=1.0)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def tell(self, done: float) -> None:
        """Take the share that is done: 0 begins the wait, 1 ends it."""
        if not self._shown:
            return
        if done >= 1.0:
            self.close()
            return
        if done == 0.0:
            self.close()
            self._bar.reset(self._task)
            with self._lock:
                self._timer = threading.Timer(PATIENCE_S, self._appear)
                self._timer.daemon = True
                self._timer.start()
        self._bar.update(self._task, completed=done)

    def close(self) -> None:
        """Take the bar away."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
                self._bar.stop()

    def _appear(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._bar.start()


@contextlib.contextmanager
def waiting(what: str) -> Iterator[Callable[[float], None]]:
    """Show a bar while the share that the yielded function was last told is below 1."""
    bar = _ProgressBar(what)
    try:
        yield bar.tell
    finally:
        bar.close()
