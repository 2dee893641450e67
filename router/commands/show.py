"""What the command line shows people: decisions as trees, findings as lines, a bar while they wait.

Programs read `--json` instead.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text
from rich.tree import Tree

from router.core.audit import SILENT
from router.core.policy import ROOT, lineage

BAR_CELLS = 10

PATIENCE_S = 1.0
"""Work that is done sooner shows no bar."""


def explanation_view(found: Mapping[str, Any]) -> RenderableType:
    """Return a decision as a tree of scores, followed by what was said, what was not, and why."""
    parts: list[RenderableType] = [_headline(found), _score_tree(found)]
    if found["mix"]:
        parts.append(_mix_view(found))
    for title, lines in (
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
    if found["certificates"]:
        parts.append(_promises(found["certificates"]))
    return Group(*parts)


def _promises(certificates: Sequence[Mapping[str, Any]]) -> Text:
    """Return what is promised at each depth, and by what."""
    text = Text.assemble(("promised: ", "bold"))
    for found in certificates:
        below = " and below" if found is certificates[-1] and len(certificates) > 1 else ""
        text.append(f"\n  depth {found['depth']}{below}: {found['promise']}")
        moved = "" if found["in_force"] == found["threshold"] else f", now {found['in_force']:.3f} after audits"
        if found["in_force"] == SILENT:
            moved = ", now silent after audits"
        text.append(
            f"\n    threshold {found['threshold']:.3f}{moved}; of {found['rows']:,} examples it acts on"
            f" {100 * found['coverage']:.0f} %, wrongly on {100 * found['wrong']:.1f} %",
            style="dim",
        )
    return text


def _headline(found: Mapping[str, Any]) -> Text:
    line = Text.assemble(
        (", ".join(found["tasks"]), "bold green" if found["outcome"] == "classified" else "bold yellow")
    )
    line.append(f"  {found['outcome']}, confidence {found['confidence']:.2f}, level {found['level']}")
    line.append(f"  +{found['tokens']} tokens  {found['policy']}@{found['revision']}", style="dim")
    return line


def _score_tree(found: Mapping[str, Any]) -> Tree:
    settled = {path for task in found["tasks"] for path in lineage(task)}
    top = Tree(_node(ROOT, 1.0, 0.0, settled), guide_style="dim")
    branches = {ROOT: top}
    for score in found["scores"]:
        path = score["task"]
        parent = branches.get(path.rpartition("/")[0] or ROOT, top)
        branches[path] = parent.add(_node(path, score["mass"], score["threshold"], settled))
    return top


def _node(path: str, mass: float, threshold: float, settled: set[str]) -> Text:
    name = path if path == ROOT else path.rpartition("/")[2]
    text = Text(name, style="bold green" if path in settled else "")
    if path != ROOT:
        filled = round(mass * BAR_CELLS)
        text.append("  " + "█" * filled + "·" * (BAR_CELLS - filled), style="cyan")
        relation = "≥" if mass >= threshold else "<"
        text.append(f" {mass:.2f} {relation} {threshold:.2f}", style="dim")
    return text


def _mix_view(found: Mapping[str, Any]) -> Panel:
    body = Text()
    task = None
    for piece in found["mix"]:
        if piece["task"] != task:
            task = piece["task"]
            level = found["levels"].get(task, "")
            body.append(("\n" if body else "") + f"{task}  ({level})\n", style="bold cyan")
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
    """Yield a line per finding, and its fix."""
    styles = {"error": "bold red", "warning": "yellow", "hint": "dim"}
    for finding in findings:
        place = f"{finding['file']}:{finding['line']}: "
        line = Text(place)
        line.append(f"{finding['severity']} {finding['code']}", style=styles.get(finding["severity"], ""))
        line.append(f"  {finding['message']}")
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
            line.append(f"\n    {' ' * len(mismatch['what'])}       got {mismatch['got']}", style="red")
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
