"""From the files of one pack to its tasks as written: the folder is the tree.

Rules. `policy.yaml` in a folder describes the folder's own task, the topmost one the root; any other `<name>.yaml`
describes the task `<name>` below it, which may have a folder of that name beside it. `tasks:` inside a file describes
tasks below that file's own. A pack that is one file is the same without folders. One task is described in one place.
Hidden files, and files that are not YAML, are no part of the tree; folders without YAML are no tasks.

Nothing is merged or resolved here, save that files of examples are read: those that a pack names, and those that lie
beside it (`example_files.py`), which are no part of the tree either.

Whatever breaks a rule is a Fault; a load that is too large as a whole ends at once, so that no pack costs more memory
or time than the limits here and in `files.py` allow.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from router.core.errors import Fault, PolicyError
from router.core.policy import ROOT, depth, lineage
from router.packs.dialogues import DialogueDraft, DialogueFile, DialogueForm, DialogueLines
from router.packs.example_files import EXAMPLES, ExamplesForm, example_files, is_examples
from router.packs.files import PackFiles
from router.packs.forms import Example, ExampleFile, PackForm, TaskForm
from router.packs.reading import CONTROL, MAX_DEPTH, YamlNode, read_tree
from router.packs.validate import mended, read_form
from router.packs.words import NAME

OWN = "policy"
SUFFIXES = (".yaml", ".yml")
MAX_EXAMPLES = 100_000
"""Examples of one pack. It bounds memory: 5 MiB of lines of two letters would be 1.7 million examples."""

_MAX_LISTED = 20_000
"""Entries of folders that are looked at; ten times the files that a pack may have."""


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A text and its place (file and line), whether no customer wrote it, and its language where its file says it."""

    text: str
    place: tuple[str, int]
    generated: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class TaskSource:
    """One task as its file describes it. `examples` are its texts, those of files included."""

    path: str
    form: TaskForm
    node: YamlNode
    examples: tuple[PlacedText, ...] = ()


@dataclass(frozen=True, slots=True)
class MoreExamples:
    """What a file of examples adds to one task, which this pack or one that it extends has to describe."""

    path: str
    texts: tuple[PlacedText, ...]
    node: YamlNode


@dataclass(frozen=True, slots=True)
class PackSource:
    """One pack as written. `home` is where its relative paths begin; `tasks` has every task and every ancestor.

    `unrelated` are all such texts, `more` what files of examples add to tasks. `whole` is False where something that
    others may refer to had to be left out.
    """

    where: Path
    home: Path
    root: PackForm
    node: YamlNode
    tasks: Mapping[str, TaskSource]
    unrelated: tuple[PlacedText, ...]
    dialogues: tuple[DialogueDraft, ...]
    more: tuple[MoreExamples, ...]
    whole: bool = True

    @property
    def title(self) -> str:
        """The name that its folder or file gives it, in the letters of names."""
        where = Path(os.path.abspath(self.where))  # links keep their own name; "." has none until then
        word = where.stem if where.suffix in SUFFIXES else where.name
        return re.sub(r"[^a-z0-9_-]+", "-", word.lower()).strip("_-") or "pack"


def own_file(folder: Path, faults: list[Fault]) -> Path | None:
    """Return the file that describes a folder's own task, or None. Two of them are a fault."""
    found = [file for suffix in SUFFIXES if (file := folder / f"{OWN}{suffix}").exists()]
    if len(found) > 1:
        faults.append(Fault(str(found[1]), 1, f"{found[0].name} stands beside it", "keep one of the two"))
    return found[0] if found else None


def read_layer(where: Path, files: PackFiles, faults: list[Fault]) -> PackSource | None:
    """Return the pack at a folder or file, or None. Faults are appended, all that can be found in one go."""
    folder = where.is_dir()
    home = where if folder else where.parent
    root_file = own_file(where, faults) if folder else where
    if root_file is None:
        hint = f"a pack is a folder with {OWN}.yaml in it, or one YAML file"
        faults.append(Fault(str(where), 1, f"there is no {OWN}.yaml in this folder", hint))
        return None
    described = list(_task_files(where, files, faults)) if folder else []
    reader = _Reader(home, files, faults)
    root = reader.file(root_file, ROOT, PackForm)
    if not folder:
        _refuse_half_a_pack(where, root, faults)
    for file, path in described:
        if path != ROOT:
            reader.file(file, path, TaskForm)
    files.watch(root_file.parent)
    for file in example_files(root_file, OWN, SUFFIXES, faults):
        reader.examples_beside(file)
    if root is None or not isinstance(root.form, PackForm):
        return None
    unrelated = reader.lines(root.form.unrelated or [], root.node.at("unrelated"), home) + in_order(reader.unrelated)
    dialogues = reader.dialogues(root.form.dialogues or [], root.node.at("dialogues"), home)
    tasks = _with_ancestors(reader.entries, home)
    return PackSource(where, home, root.form, root.node, tasks, unrelated, dialogues, tuple(reader.more), reader.whole)


def in_order(texts: Iterable[PlacedText]) -> tuple[PlacedText, ...]:
    """Return texts of files of examples in the order that they have whatever file they stand in."""
    return tuple(sorted(texts, key=lambda line: (line.text, line.place)))


def _refuse_half_a_pack(file: Path, root: TaskSource | None, faults: list[Fault]) -> None:
    """Loading only the root of a folder pack would silently drop all its tasks."""
    if root is None or root.form.tasks or file.stem != OWN:
        return
    if any(own.suffix in SUFFIXES for own in file.parent.glob("*/*") if not own.parent.name.startswith(".")):
        faults.append(Fault(str(file), 1, "this is the root file of a folder", f"give the folder: {file.parent}"))


def _task_files(home: Path, files: PackFiles, faults: list[Fault]) -> Iterator[tuple[Path, str]]:
    """Yield the YAML files of a folder pack and the tasks that they describe, in the order of their names."""
    listed = 0
    stack = [(home, ROOT)]
    while stack:
        folder, path = stack.pop()
        files.watch(folder)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            faults.append(Fault(str(folder), 1, f"the folder cannot be read: {error.strerror}"))
            continue
        listed += len(entries)
        if listed > _MAX_LISTED:
            hint = "keep other files out of the pack's folder"
            raise PolicyError(
                [Fault(str(folder), 1, f"the pack has more than {_MAX_LISTED:,} files and folders", hint)]
            )
        below = []
        for entry in entries:
            here = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    hint = "use extends to share tasks between packs"
                    faults.append(Fault(str(here), 1, "a folder of a pack may not be a link", hint))
                elif depth(_join(path, entry.name)) > MAX_DEPTH:
                    faults.append(Fault(str(here), 1, f"more than {MAX_DEPTH} folders inside of each other"))
                else:
                    below.append((here, _join(path, entry.name)))
            elif here.suffix in SUFFIXES and not (path == ROOT and here.stem.startswith(f"{EXAMPLES}.")):
                yield here, path if here.stem == OWN else _join(path, here.stem)
        stack += reversed(below)


class _Reader:
    """Reads files into entries by path; what is described twice, or has no proper name, becomes a fault."""

    def __init__(self, home: Path, files: PackFiles, faults: list[Fault]) -> None:
        self.entries: dict[str, TaskSource] = {}
        self.more: list[MoreExamples] = []
        self.unrelated: list[PlacedText] = []
        self.whole = True
        self._home = home
        self._grounds = home.resolve()
        self._files = files
        self._faults = faults
        self._bad_names: set[Path] = set()
        self._examples = 0

    def file(self, file: Path, path: str, kind: type[TaskForm]) -> TaskSource | None:
        """Read one file; return the entry of the file's own task."""
        self._check_names(file, path)
        text = self._files.read(file, self._grounds, self._faults)
        node = read_tree(text, str(file), self._faults) if text is not None else None
        form = read_form(node, kind, self._faults) if node is not None else None
        if node is not None and form is None:
            node, form, whole = mended(node, kind)
            self.whole &= whole
        if node is None or form is None:
            self.whole = False
            return None
        stack = [(path, form, node)]
        while stack:
            at, task, here = stack.pop()
            self._add(TaskSource(at, task, here, self.lines(task.examples or [], here.at("examples"), file.parent)))
            below = [(_join(at, name), child, here.at("tasks", name)) for name, child in (task.tasks or {}).items()]
            stack += reversed(below)
        return self.entries[path]

    def examples_beside(self, file: Path) -> None:
        """Read a file of examples that lies beside the pack."""
        text = self._files.read(file, self._grounds, self._faults)
        node = read_tree(text, str(file), self._faults) if text is not None else None
        form = read_form(node, ExamplesForm, self._faults) if node is not None else None
        if node is not None and form is None:
            node, form, _ = mended(node, ExamplesForm)
        if node is None or form is None:
            return

        def lines(examples: list[Example], *steps: str) -> tuple[PlacedText, ...]:
            found = self.lines(examples, node.at(*steps), file.parent, form.generated)
            return tuple(replace(line, language=form.language or "") for line in found)

        self.more += (
            MoreExamples(path, lines(examples, "examples", path), node.at("examples", path))
            for path, examples in (form.examples or {}).items()
        )
        self.unrelated += lines(form.unrelated or [], "unrelated")

    def lines(
        self, examples: list[Example], node: YamlNode, folder: Path, generated: bool = False
    ) -> tuple[PlacedText, ...]:
        """Return the texts of a list of examples; each file that it names is read.

        `generated` holds for those that do not say themselves whether a customer wrote them.
        """
        found: list[PlacedText] = []
        for i, example in enumerate(examples):
            place = node.at(i).place
            if isinstance(example, str):
                found.append(PlacedText(example, place, generated))
                continue
            made = example.generated if "generated" in example.model_fields_set else generated
            if isinstance(example, ExampleFile):
                found += self._example_file(example.file, place, folder, made)
            else:
                found.append(PlacedText(example.text, place, made))
        self._count(len(found), node)
        return tuple(found)

    def dialogues(self, written: list[DialogueLines], node: YamlNode, folder: Path) -> tuple[DialogueDraft, ...]:
        """Return the dialogues of a list; each file that it names is read."""
        found: list[DialogueDraft] = []
        for i, dialogue in enumerate(written):
            here = node.at(i)
            if isinstance(dialogue, DialogueFile):
                path, text = self._named_file(dialogue.file, here.place, folder)
                found += _dialogue_lines(text, str(path), self._faults)
            else:
                found.append(DialogueDraft(tuple(dialogue), here))
        self._count(sum(len(dialogue.turns) for dialogue in found), node)
        return tuple(found)

    def _count(self, texts: int, node: YamlNode) -> None:
        self._examples += texts
        if self._examples > MAX_EXAMPLES:
            hint = "keep fewer: some dozens a task are plenty"
            message = f"the pack has more than {MAX_EXAMPLES:,} examples, turns of dialogues included"
            raise PolicyError([Fault(*node.place, message, hint)])

    def _example_file(self, name: str, place: tuple[str, int], folder: Path, generated: bool) -> Iterator[PlacedText]:
        path, text = self._named_file(name, place, folder)
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield PlacedText(line.strip(), (str(path), number), generated)

    def _named_file(self, name: str, place: tuple[str, int], folder: Path) -> tuple[Path, str]:
        """Return the path and the text of a file that the pack names; nothing of one that may not be read."""
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            hint = "name a file in this folder or below it"
            self._faults.append(Fault(*place, f'the file "{name}" may lie outside of the pack', hint))
            return path, ""
        return path, self._files.read(path, self._grounds, self._faults, place) or ""

    def _add(self, entry: TaskSource) -> None:
        before = self.entries.setdefault(entry.path, entry)
        if before is not entry:
            (file, line), (other, there) = entry.node.place, before.node.place
            message = f"the task {entry.path} is described twice; the other place is {other}:{there}"
            self._faults.append(Fault(file, line, message, "put both into one of them"))

    def _check_names(self, file: Path, path: str) -> None:
        """Names of files and folders become names of tasks. A folder is only named once as a fault."""
        place = self._home
        for name in [] if path == ROOT else path[1:].split("/"):
            place = place / name
            if not re.fullmatch(NAME, name) and place not in self._bad_names:
                self._bad_names.add(place)
                near = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_-")
                hint = f'rename it, for example "{near}"' if near else ""
                if is_examples(name) or name.startswith("example."):
                    hint = f"files of examples are called {EXAMPLES}.TAG.yaml and lie beside {self._home / OWN}.yaml"
                message = f'"{name}" is no name for a task: only a-z, 0-9, _ and -, with a letter or digit first'
                self._faults.append(Fault(str(file), 1, message, hint))


def _with_ancestors(entries: dict[str, TaskSource], home: Path) -> dict[str, TaskSource]:
    """Return the entries with empty ones for folders that have no file of their own."""
    every = {ancestor for path in entries for ancestor in lineage(path)}
    return {
        path: entries.get(path) or TaskSource(path, TaskForm(), YamlNode({}, str(home / path[1:]), 1)) for path in every
    }


def _join(path: str, name: str) -> str:
    return f"/{name}" if path == ROOT else f"{path}/{name}"


def _dialogue_lines(text: str, file: str, faults: list[Fault]) -> Iterator[DialogueDraft]:
    """Yield the dialogues of a file of JSON lines; a line that cannot be used becomes faults."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_without_repeats, parse_constant=_no_number)
            node = _node(value, file, number)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} (column {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)
            hint = 'one dialogue a line: {"turns": [{"user": "...", "task": "/..."}, {"assistant": "..."}]}'
            faults.append(Fault(file, number, f"the line cannot be read as JSON: {reason}", hint))
            continue
        if isinstance(node.value, list):
            node = YamlNode({"turns": node}, file, number)
        form = read_form(node, DialogueForm, faults)
        if form is not None:
            yield DialogueDraft(tuple(form.turns), node.at("turns"))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'duplicate key "{key[:60]}"')
        found[key] = value
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a finite number")


def _node(value: Any, file: str, line: int, depth: int = 0) -> YamlNode:
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels inside of each other")
    if isinstance(value, dict):
        return YamlNode({key: _node(part, file, line, depth + 1) for key, part in value.items()}, file, line)
    if isinstance(value, list):
        return YamlNode([_node(part, file, line, depth + 1) for part in value], file, line)
    if isinstance(value, str) and CONTROL.search(value):
        raise ValueError("a text holds a control character, or half a surrogate pair")
    return YamlNode(value, file, line)
