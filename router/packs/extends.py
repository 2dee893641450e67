"""A pack and the packs that it starts from, merged into one draft.

Rules. `extends` names a sibling pack, or is a path relative to the pack; either way the other pack lies in the folder
that holds the outermost pack. The pack that extends has the last word, task by task and key by key: its list of
instructions for a level replaces the other list, its tests of a task replace the other tests, its cues, metrics,
signals and rules replace those of the same name, its judge replaces the judge, its settings, parameters and levels by
complexity replace single values. Examples, `unrelated`, `boilerplate` and `dialogues` are added. A task that is `off`
in the end is left out with all below it, with the dialogues about it and as a place where a signal is met.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from router.core.errors import Fault, did_you_mean
from router.core.policy import ROOT, lineage
from router.packs.dialogues import WrittenDialogue
from router.packs.encoders import located, model_files
from router.packs.forms import AuxiliaryForm, CueForm, InstructionForm, LevelsForm, TrialForm
from router.packs.intake import Intake
from router.packs.outcome_forms import JudgeForm, MetricForm, SignalForm
from router.packs.reading import Node
from router.packs.tree import OWN, SUFFIXES, Entry, Layer, Line, own_file, read_layer

LEVEL_KEYS = ("required", "brief", "guided", "detailed")
"""The keys under which a task keeps instructions, in the order in which they are said."""


@dataclass(frozen=True, slots=True)
class Written:
    """One instruction as written. `listed` says that it stood in a list, and is therefore said with a dash."""

    form: InstructionForm
    listed: bool
    node: Node


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """A task with the word of every layer taken into account."""

    path: str
    place: tuple[str, int]
    about: str | None = None
    complexity: str | None = None
    stakes: str | None = None
    levels: Mapping[str, str] = field(default_factory=dict)
    off: bool | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[Line, ...] = ()
    said: Mapping[str, tuple[Written, ...]] = field(default_factory=dict)
    tests: tuple[tuple[TrialForm, Node], ...] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A pack, merged but not yet understood. Forms come with the node that they were read from.

    `name` is None where the pack gives itself none; `title` is what its folder or file is called.
    """

    name: str | None
    title: str
    settings: Mapping[str, Any]
    settings_node: Node
    cues: Mapping[str, tuple[CueForm, Node]]
    metrics: Mapping[str, tuple[MetricForm, Node]]
    signals: Mapping[str, tuple[SignalForm, Node]]
    judge: tuple[JudgeForm, Node] | None
    auxiliary: Mapping[str, tuple[AuxiliaryForm, Node]]
    boilerplate: tuple[Line, ...]
    unrelated: tuple[Line, ...]
    dialogues: tuple[WrittenDialogue, ...]
    tasks: Mapping[str, TaskDraft]


def read_draft(where: Path, intake: Intake, faults: list[Fault]) -> Draft | None:
    """Return the pack at `where` with all that it extends, tasks in pre-order. None when a file could not be used."""
    layers = _read_layers(where, intake, faults)
    if faults or not layers:
        return None
    draft = _draft(layers[-1], faults)
    for layer in reversed(layers[:-1]):
        draft = _merge(draft, _draft(layer, faults))
    for model in model_files(draft.settings):
        intake.watch(model)
    return None if faults else _prune(draft, faults)


def _read_layers(where: Path, intake: Intake, faults: list[Fault]) -> list[Layer]:
    """Return the pack and what it extends, outermost first."""
    bounds = _holder(where).resolve()
    layers: list[Layer] = []
    names: dict[Path, str] = {}
    at: Path | None = where
    while at is not None:
        names[at.resolve()] = str(at)
        layer = read_layer(at, intake, faults)
        if layer is None:
            break
        layers.append(layer)
        at = _extended(layer, bounds, names, faults)
    return layers


def _extended(layer: Layer, bounds: Path, names: Mapping[Path, str], faults: list[Fault]) -> Path | None:
    """Return where the pack lies that a layer extends, or None. `names` are the packs on the way here."""
    word = layer.root.extends
    if word is None:
        return None
    file, line = layer.node.at("extends").place
    siblings = _holder(layer.where)
    candidates = [layer.home / word] if "/" in word else [siblings / f"{word}{suffix}" for suffix in ("", *SUFFIXES)]
    found = next((Path(os.path.normpath(path)) for path in candidates if path.exists()), None)
    if found is None:
        hint = did_you_mean(word, _packs_in(siblings) - {layer.title})
        faults.append(Fault(file, line, f'there is no pack "{word}" to extend', hint))
        return None
    real = found.resolve()
    if not real.is_relative_to(bounds):
        hint = "it must lie in the folder that holds this pack"
        faults.append(Fault(file, line, f'the pack "{word}" lies outside of {bounds.name}/', hint))
    elif real in names:
        way = [*list(names.values())[list(names).index(real) :], names[real]]
        hint = "one of them must not extend the next"
        faults.append(Fault(file, line, f"packs extend each other in a circle: {' -> '.join(way)}", hint))
    else:
        return found
    return None


def _holder(where: Path) -> Path:
    """Return the folder that a pack lies in, by name: a link lies where it is, not where it leads."""
    return where.parent if where.name not in ("", "..") else Path(os.path.abspath(where)).parent


def _packs_in(folder: Path) -> set[str]:
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    files = {path.stem for path in visible if path.suffix in SUFFIXES and path.stem != OWN}
    return files | {path.name for path in visible if path.is_dir() and own_file(path, [])}


def _draft(layer: Layer, faults: list[Fault]) -> Draft:
    """Return a layer as a draft of its own."""
    root, node = layer.root, layer.node
    patterns = enumerate(root.boilerplate or [])
    return Draft(
        name=root.name,
        title=layer.title,
        settings=located(_given(root.settings), node.at("settings"), faults),
        settings_node=node.at("settings"),
        cues={name: (form, node.at("cues", name)) for name, form in (root.cues or {}).items()},
        metrics={name: (form, node.at("metrics", name)) for name, form in (root.metrics or {}).items()},
        signals={name: (form, node.at("signals", name)) for name, form in (root.signals or {}).items()},
        judge=(root.judge, node.at("judge")) if root.judge else None,
        auxiliary=_named(root.auxiliary or [], node.at("auxiliary"), faults),
        boilerplate=tuple(Line(pattern, node.at("boilerplate", i).place) for i, pattern in patterns),
        unrelated=layer.unrelated,
        dialogues=layer.dialogues,
        tasks={path: _task(entry) for path, entry in layer.entries.items()},
    )


def _given(form: Any) -> dict[str, Any]:
    """Return the keys that a form was given, and no default."""
    return form.model_dump(exclude_unset=True) if form is not None else {}


def _named(forms: list[AuxiliaryForm], node: Node, faults: list[Fault]) -> dict[str, tuple[AuxiliaryForm, Node]]:
    rules: dict[str, tuple[AuxiliaryForm, Node]] = {}
    for i, form in enumerate(forms):
        if form.name in rules:
            line = rules[form.name][1].line
            message = f'there are two rules with the name "{form.name}"'
            faults.append(Fault(*node.at(i).place, message, f"rename one; the other stands in line {line}"))
        rules[form.name] = (form, node.at(i))
    return rules


def _task(entry: Entry) -> TaskDraft:
    form, node = entry.form, entry.node
    lines = {key: getattr(form, key) for key in LEVEL_KEYS}
    return TaskDraft(
        path=entry.path,
        place=node.place,
        about=form.about,
        complexity=form.complexity,
        stakes=form.stakes,
        levels=_given(form.level) if isinstance(form.level, LevelsForm) else {"": form.level} if form.level else {},
        off=form.off,
        model=_given(form.model),
        examples=entry.examples,
        said={key: _written(value, node.at(key)) for key, value in lines.items() if value is not None},
        tests=None if form.tests is None else tuple((t, node.at("tests", i)) for i, t in enumerate(form.tests)),
    )


def _written(lines: str | list[str | InstructionForm], node: Node) -> tuple[Written, ...]:
    if isinstance(lines, str):
        return (Written(InstructionForm(text=lines), False, node),)
    return tuple(
        Written(InstructionForm(text=line) if isinstance(line, str) else line, True, node.at(i))
        for i, line in enumerate(lines)
    )


def _merge(base: Draft, over: Draft) -> Draft:
    tasks = dict(base.tasks)
    for path, task in over.tasks.items():
        tasks[path] = _merge_task(tasks[path], task) if path in tasks else task
    return Draft(
        name=over.name,
        title=over.title,
        settings=_merge_settings(base.settings, over.settings),
        settings_node=over.settings_node if over.settings else base.settings_node,
        cues={**base.cues, **over.cues},
        metrics={**base.metrics, **over.metrics},
        signals={**base.signals, **over.signals},
        judge=over.judge or base.judge,
        auxiliary={**base.auxiliary, **over.auxiliary},
        boilerplate=base.boilerplate + over.boilerplate,
        unrelated=base.unrelated + over.unrelated,
        dialogues=base.dialogues + over.dialogues,
        tasks=tasks,
    )


def _merge_settings(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def _merge_task(base: TaskDraft, over: TaskDraft) -> TaskDraft:
    return TaskDraft(
        path=over.path,
        place=over.place,
        about=over.about or base.about,
        complexity=over.complexity or base.complexity,
        stakes=over.stakes or base.stakes,
        levels=over.levels if "" in over.levels else {**base.levels, **over.levels},
        off=base.off if over.off is None else over.off,
        model={**base.model, **over.model},
        examples=base.examples + over.examples,
        said={**base.said, **over.said},
        tests=base.tests if over.tests is None else over.tests,
    )


def _prune(draft: Draft, faults: list[Fault]) -> Draft:
    """Leave out what is off, and bring the tasks into pre-order, siblings by name."""
    off = {path for path, task in draft.tasks.items() if task.off}
    if ROOT in off:
        faults.append(Fault(*draft.tasks[ROOT].place, "the root cannot be off", "set settings: {level: off} instead"))
    paths = sorted(draft.tasks, key=lambda path: path.split("/"))
    kept = {path: draft.tasks[path] for path in paths if not off.intersection(lineage(path))}
    return replace(
        draft,
        tasks=kept,
        dialogues=tuple(d for d in draft.dialogues if not d.is_about(off)),
        signals=dict(_met_somewhere(draft.signals, off)),
    )


def _met_somewhere(
    signals: Mapping[str, tuple[SignalForm, Node]], off: set[str]
) -> Iterator[tuple[str, tuple[SignalForm, Node]]]:
    """Yield the signals without the tasks that are off; one that has no other is left out."""
    for name, (form, node) in signals.items():
        gone = [path for path in form.tasks or () if off.intersection(lineage(path))]
        if not gone:
            yield name, (form, node)
        elif len(gone) < len(form.tasks or ()):
            left = [path for path in form.tasks or () if path not in gone]
            yield name, (form.model_copy(update={"tasks": left}), node)


def distinct(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines without those whose text came before."""
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line.text, line)
    return tuple(first.values())
