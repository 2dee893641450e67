"""What `router examples` does: which texts are missing, asking a model for them, and writing what is good enough.

Everything is on disk as soon as a call has brought it, so a run that ends early has lost nothing, and the next one asks
only for what is missing then. A line is asked for once more when it does not pass; after that it stays missing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from router.assembly import WIRES
from router.core.errors import BackendError, SettingsError
from router.core.policy import ROOT, count_tokens
from router.core.ports import BackendRequest
from router.cues.detectors import detect_language
from router.engine.send import BackendSender, BackendTarget, RetryBudget
from router.packs import Pack
from router.packs.adding import UNRELATED, form_of, new_file, origin, with_examples
from router.packs.example_files import EXAMPLES, is_examples
from router.packs.more_examples import Wish, alike, language_name, objection, read_lines
from router.packs.tree import OWN, SUFFIXES
from router.server.composition import backend_of, target_finder
from router.server.model_table import ModelTable
from router.server.settings import Settings

LINES_A_CALL = 20
"""Texts of one call: small models lose the thread of more."""

LOOK_EVERY = 4096
"""Bytes of a stream after which it is looked at again: some twenty tokens."""

_CUT = re.compile(rb'"finish_reason"\s*:\s*"length"')

ATTEMPTS = 2

MORE = "more"

Ask = Callable[[Wish], Awaitable[tuple[str, bool]]]
"""Takes what the model is to write; returns its answer, and whether that was cut off. Raises BackendError."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What one file is still to get. `language` is what the file says of itself, "" where it says nothing."""

    file: Path
    language: str
    wishes: tuple[Wish, ...]

    @property
    def lines(self) -> int:
        """How many texts are missing."""
        return sum(wish.lines for wish in self.wishes)

    def tokens(self) -> tuple[int, int]:
        """Return about how many tokens go up, and come back: other languages take more of them than English."""
        up = sum(count_tokens(wish.prompt()) for wish in self.wishes)
        back = sum(wish.lines * (3 + _mean([2 * count_tokens(text) for text in wish.texts])) for wish in self.wishes)
        return up, round(back)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not taken, and why; or the beginning of an answer without lines.

    `original` is the text that it was to translate, if any.
    """

    language: str
    task: str
    original: str
    line: str
    why: str


@dataclass(slots=True)
class RunResult:
    """What came of a run: texts written by file, lines that were not taken, and how many texts are still missing."""

    written: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)
    missing: int = 0


def plan_for(pack: Pack, where: Path, languages: Sequence[str], more: int) -> tuple[FilePlan, ...]:
    """Return what is missing of a pack, file by file. Raises SettingsError for a file that is of another language."""
    texts = _Texts(pack)
    found = [_translations(texts, _file(where, language), language) for language in languages]
    if more:
        found.append(_paraphrases(texts, _file(where, MORE), more))
    return tuple(found)


def _file(where: Path, tag: str) -> Path:
    """Return the file of examples beside a pack, the one that is there or the one that is to be."""
    home = where if where.is_dir() else where.parent
    stem = f"{EXAMPLES}.{tag}" if where.is_dir() or where.stem == OWN else f"{where.stem}.{EXAMPLES}.{tag}"
    files = [home / f"{stem}{suffix}" for suffix in SUFFIXES]
    return next((file for file in files if file.exists()), files[0])


class _Texts:
    """The texts of a pack by task: its own, and those of its files of examples."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        groups = [(path, f"{path}:example", task.examples) for path, task in pack.policy.tasks.items() if path != ROOT]
        groups.append((UNRELATED, "pack:unrelated", pack.policy.unrelated))
        self.placed = {
            task: [(text, *pack.places[f"{place}.{i}"]) for i, text in enumerate(texts, 1)]
            for task, place, texts in groups
            if texts
        }
        self.own = {
            task: [
                " ".join(text.split())
                for text, file, _ in placed
                if text not in pack.policy.languages and not is_examples(Path(file).stem)
            ]
            for task, placed in self.placed.items()
        }
        spoken = Counter(filter(None, (detect_language(text) for texts in self.own.values() for text in texts)))
        clear = spoken.total()
        self.languages = [language for language, times in spoken.most_common() if 5 * times >= clear]
        """What the pack itself is written in, the commonest first."""

    def about(self, task: str) -> str:
        """Return what a task is about, in a sentence."""
        return "" if task == UNRELATED else self.pack.policy.tasks[task].case

    def there(self, task: str, file: Path, language: str = "") -> list[str]:
        """Return the texts of a task that a file holds, or any file in this language."""
        known = self.pack.policy.languages
        return [t for t, name, _ in self.placed[task] if Path(name) == file or (language and known.get(t) == language)]

    def origins(self, task: str, file: Path) -> set[str]:
        """Return what the texts of a task in a file were made from."""
        here = [line for _, name, line in self.placed[task] if Path(name) == file]
        lines = file.read_text(encoding="utf-8").split("\n") if here else []
        return {origin(lines[line - 1].rstrip("\r")) for line in here}


def _translations(texts: _Texts, file: Path, language: str) -> FilePlan:
    _require(file, language)
    wishes: list[Wish] = []
    for task, own in texts.own.items():
        originals = [text for text in own if detect_language(text) != language]
        done = texts.origins(task, file)
        missing = [text for text in originals if text not in done]
        missing = missing[: max(0, len(originals) - len(texts.there(task, file, language)))]
        wishes += [
            Wish(task, language, tuple(missing[at : at + LINES_A_CALL]), texts.about(task))
            for at in range(0, len(missing), LINES_A_CALL)
        ]
    return FilePlan(file, language, tuple(wishes))


def _paraphrases(texts: _Texts, file: Path, more: int) -> FilePlan:
    """Return what is missing of so many texts a task, in the languages of the pack as it uses them at that task."""
    _require(file, "")
    wishes: list[Wish] = []
    first = texts.languages[0] if texts.languages else ""
    for task, own in texts.own.items():
        if task == UNRELATED or not own:
            continue
        spoken: dict[str, list[str]] = {}
        for text in own:
            found = detect_language(text)
            spoken.setdefault(found if found in texts.languages else first, []).append(text)
        missing = more - len(texts.there(task, file))
        for number, (language, some) in enumerate(spoken.items()):
            share = missing if number == len(spoken) - 1 else min(missing, round(more * len(some) / len(own)))
            missing -= max(0, share)
            wishes += [
                Wish(task, language, tuple(some[:LINES_A_CALL]), texts.about(task), min(LINES_A_CALL, share - at))
                for at in range(0, share, LINES_A_CALL)
            ]
    return FilePlan(file, first if len(texts.languages) == 1 else "", tuple(wishes))


def _require(file: Path, language: str) -> None:
    """Refuse a file that holds another language, or that cannot be written, before anything is asked."""
    if file.exists():
        said = form_of(_read(file), str(file)).language
        if language and said not in (None, language):
            raise SettingsError(
                f"{file} says that it is in {language_name(str(said))}; rename it, or correct language:"
            )
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise SettingsError(f"{file} cannot be written; copy the pack to a folder of your own")


def _read(file: Path) -> str:
    return file.read_bytes().decode("utf-8")  # not read_text, which would forget how lines end


async def fulfil(
    plans: Sequence[FilePlan],
    pack: Pack,
    ask: Ask,
    outcome: RunResult,
    tell: Callable[[Wish, int, list[Rejected]], None],
) -> None:
    """Ask for all that is planned, and write what is good enough after each call. Raises BackendError, PolicyError."""
    taken = {alike(text) for task in pack.policy.tasks.values() for text in task.examples}
    taken.update(map(alike, pack.policy.unrelated))
    for plan in plans:
        for wish in plan.wishes:
            missing, turned_down = wish, []
            kept = 0
            for _ in range(ATTEMPTS):
                reply, cut = await ask(missing)
                lines, rejected, missing = _judged(missing, reply, cut, taken)
                if lines:
                    write(plan, wish.task, lines)
                outcome.written[str(plan.file)] += len(lines)
                outcome.rejected += rejected
                turned_down += rejected
                kept += len(lines)
                if not missing.lines:
                    break
            outcome.missing += missing.lines
            tell(wish, kept, turned_down)


def _judged(wish: Wish, reply: str, cut: bool, taken: set[str]) -> tuple[list[tuple[str, str]], list[Rejected], Wish]:
    """Return the lines of a reply that are taken with their originals, those that are not, and what is missing."""
    lines = read_lines(reply, wish.lines, cut=cut)
    if not lines:
        said = " ".join(reply.split())[:80]
        why = "the answer has no numbered lines" if said else "the answer is empty, or no chat completion"
        return [], [Rejected(wish.language, wish.task, "", said, why)], wish
    kept: list[tuple[str, str]] = []
    rejected: list[Rejected] = []
    missing: list[str] = []
    for number in range(1, wish.lines + 1):
        original = "" if wish.more else wish.texts[number - 1]
        line = lines.get(number, "")
        why = objection(line, wish, original, taken, detect_language) if line else ""
        if why:
            rejected.append(Rejected(wish.language, wish.task, original, line, why))
        if why or not line:
            missing.append(original)
        else:
            taken.add(alike(line))
            kept.append((line, original))
    left = replace(wish, more=len(missing)) if wish.more else replace(wish, texts=tuple(missing))
    if wish.more and not missing:
        left = replace(wish, more=0, texts=())
    return kept, rejected, left


def write(plan: FilePlan, task: str, lines: Sequence[tuple[str, str]]) -> None:
    """Add lines to a file of examples. It is read anew each time: people may be reviewing it already."""
    file = plan.file.resolve()
    title = language_name(plan.language) if plan.language else "More"
    before = _read(file) if file.exists() else new_file(plan.language, f"{title}, written by a model: for review")
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(with_examples(before, str(plan.file), task, lines).encode())
        if file.exists():
            shutil.copymode(file, unfinished)
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise SettingsError(f"{plan.file}: {error.strerror or error}") from error


class Model:
    """The model that is asked: an alias of the settings, by way of the backends that serve it."""

    def __init__(self, settings: Settings, alias: str) -> None:
        aliases = ModelTable(settings.models, settings.backends)
        self.route = aliases.resolve(alias)
        self.settings = settings.backends[self.route.backend]
        self._alias = alias
        self._backends = {name: backend_of(name, chosen) for name, chosen in settings.backends.items()}
        self._targets = target_finder(aliases, self._backends)
        self._sender = BackendSender(settings.retries.attempts, lambda: RetryBudget(settings.retries.budget))

    @property
    def address(self) -> str:
        """Where it is asked, for people."""
        return self.settings.base_url or self.settings.provider or self.route.backend

    async def ask(self, wish: Wish) -> tuple[str, bool]:
        """Return the words of the answer, and whether it was cut off. Raises BackendError.

        It comes as a stream, and is ended by us as soon as all lines are there, or far more than all: small models do
        not stop by themselves, and no parameter that limits an answer is understood by all.
        """
        chat = WIRES["chat"]
        asked = {"messages": [{"role": "user", "content": wish.prompt()}], "stream": True}

        def outgoing(target: BackendTarget) -> BackendRequest:
            named = target.model or self._alias
            body = json.dumps({"model": named, **asked}).encode()
            return BackendRequest(chat.path, body, model=named, stream=True)

        sent = await self._sender.send(self._targets(self._alias), outgoing)
        if sent.answer.chunks is None:
            return chat.spoken(sent.answer.body, stream=False), bool(_CUT.search(sent.answer.body))
        guard, body, looked_at = chat.guard(), b"", 0
        try:
            body += guard.release(sent.first)
            async for chunk in sent.answer.chunks:
                body += guard.release(chunk)
                if len(body) > looked_at + LOOK_EVERY:
                    looked_at = len(body)
                    said = chat.spoken(body, stream=True)
                    if (enough := wish.answered_by(said)) is not None:
                        return said, not enough
            body += guard.finish(not sent.answer.until_close)
        finally:
            await sent.answer.aclose()
        return chat.spoken(body, stream=True), not guard.complete or bool(_CUT.search(body))

    async def aclose(self) -> None:
        """Close the connections."""
        for backend in self._backends.values():
            await backend.aclose()


_ADVICE: Mapping[str, str] = {
    "connect_failed": "start the server, or correct --base-url",
    "timeout_connect": "start the server, or correct --base-url",
    "timeout_first_byte": "wait longer with --timeout, or ask a faster model",
    "timeout_total": "wait longer with --timeout, or ask a faster model",
}
_STATUS: Mapping[int, str] = {
    401: "correct the key: ROUTER_BACKEND_API_KEY with --base-url, else api_key of the backend in router.yaml",
    403: "correct the key, or ask whoever gave it what it may do",
    404: "correct --model to a name that this server knows, or the address: it usually ends in /v1",
    429: "wait a while: the provider lets you ask only so often",
}


def advice_for(error: BackendError, model: Model) -> str:
    """Return what went wrong with a model and what to do about it, in a line."""
    said = "".join(_said_by_provider(error))
    hint = _ADVICE.get(error.code) or _STATUS.get(error.status, "try again later") if error.code else ""
    return f"{model.route.model} at {model.address}: {error.message}{said} ({hint})"


def _said_by_provider(error: BackendError) -> Iterator[str]:
    try:
        found = json.loads(error.body)["error"]
        yield f': "{str(found["message"] if isinstance(found, dict) else found)[:300]}"'
    except (ValueError, TypeError, KeyError):
        return


def _mean(numbers: Sequence[int]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0
