"""A pack and the packs that it starts from, merged into one draft.

Rules. `extends` names a sibling pack, or is a path relative to the pack; either way the other pack lies in the folder
that holds the outermost pack. The pack that extends has the last word, task by task and key by key: its list of
instructions for a level replaces the other list, its tests of a task replace the other tests, its cues, snippets,
metrics, signals and rules replace those of the same name, its judge replaces the judge, its settings, parameters and
levels by complexity replace single values. Examples, those of the files beside a pack too, `unrelated`, `boilerplate`,
`user_words` and `dialogues` are added. A task that is `off` in the end is left out with all below it, with the
dialogues about it and as a place where a signal is met. A file of examples may name any task that one of these packs
describes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from router.core.errors import Fault, did_you_mean
from router.core.policy import ROOT, Level, lineage
from router.packs.accepted import in_todays_words
from router.packs.cues import CueForm
from router.packs.dialogues import DialogueDraft
from router.packs.encoders import located, model_files
from router.packs.example_files import is_examples
from router.packs.files import PackFiles
from router.packs.forms import AuxiliaryForm, InstructionForm
from router.packs.outcomes import JudgeForm, MetricForm, SignalForm
from router.packs.reading import YamlNode
from router.packs.tree import (
    OWN,
    SUFFIXES,
    MoreExamples,
    PackSource,
    PlacedText,
    TaskSource,
    in_order,
    own_file,
    read_layer,
)
from router.packs.trial import TrialForm

LEVEL_KEYS = ("required", "brief", "guided", "detailed")
"""The keys under which a task keeps instructions, in the order in which they are said."""


@dataclass(frozen=True, slots=True)
class InstructionDraft:
    """One instruction as written. `listed` says that it stood in a list, and is therefore said with a dash."""

    form: InstructionForm
    listed: bool
    node: YamlNode


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """A task with the word of every layer taken into account. `levels` are by complexity, "" for all.

    `tests` is a list where the pack has any: a list replaces the other list, while tuples are added to one another.
    """

    path: str
    node: YamlNode
    about: str | None
    when_asked: str | None
    complexity: str | None
    stakes: str | None
    courtesy: bool | None
    levels: Mapping[str, Level]
    off: bool | None
    model: Mapping[str, Any]
    examples: tuple[PlacedText, ...]
    said: Mapping[str, tuple[InstructionDraft, ...]]
    tests: list[tuple[TrialForm, YamlNode]] | None


@dataclass(frozen=True, slots=True)
class PackDraft:
    """A pack, merged but not yet understood. Forms come with the node that they were read from.

    `name` is None where the pack gives itself none; `title` is what its folder or file is called. `older` are the keys
    of earlier releases, and what to write instead. `whole` is False where something that others may refer to had to be
    left out, since it could not be read.
    """

    name: str | None
    title: str
    settings: Mapping[str, Any]
    settings_node: YamlNode
    cues: Mapping[str, tuple[CueForm, YamlNode]]
    snippets: Mapping[str, tuple[str, YamlNode]]
    metrics: Mapping[str, tuple[MetricForm, YamlNode]]
    signals: Mapping[str, tuple[SignalForm, YamlNode]]
    judge: tuple[JudgeForm, YamlNode] | None
    auxiliary: Mapping[str, tuple[AuxiliaryForm, YamlNode]]
    boilerplate: tuple[PlacedText, ...]
    user_words: tuple[PlacedText, ...]
    unrelated: tuple[PlacedText, ...]
    dialogues: tuple[DialogueDraft, ...]
    tasks: Mapping[str, TaskDraft]
    more: tuple[MoreExamples, ...]
    older: tuple[Fault, ...]
    whole: bool


_Draft = TypeVar("_Draft", PackDraft, TaskDraft)


def read_draft(where: Path, files: PackFiles, faults: list[Fault]) -> PackDraft | None:
    """Return the pack at `where` with all that it extends, tasks in pre-order, without what has a fault.

    None when there is nothing to go on with.
    """
    layers = _read_layers(where, files, faults)
    if not layers:
        return None
    draft = _draft(layers[-1], faults)
    for layer in reversed(layers[:-1]):
        draft = _merge(draft, _draft(layer, faults))
    for model in model_files(draft.settings):
        files.watch(model)
    return _prune(_with_more(draft, faults if draft.whole else []), faults)


def _read_layers(where: Path, files: PackFiles, faults: list[Fault]) -> list[PackSource]:
    """Return the pack and what it extends, outermost first."""
    bounds = _holder(where).resolve()
    layers: list[PackSource] = []
    names: dict[Path, str] = {}
    at: Path | None = where
    while at is not None:
        names[at.resolve()] = str(at)
        layer = read_layer(at, files, faults)
        if layer is not None:
            layers.append(layer)
        at = _extended(layer, bounds, names, faults) if layer is not None else None
        if layers and at is None and (layer is None or layer.root.extends is not None):
            layers[0] = replace(layers[0], whole=False)
    return layers


def _extended(layer: PackSource, bounds: Path, names: Mapping[Path, str], faults: list[Fault]) -> Path | None:
    """Return where the pack lies that a layer extends, or None. `names` are the packs on the way here."""
    word = layer.root.extends
    if word is None:
        return None
    node = layer.node.at("extends")
    siblings = _holder(layer.where)
    candidates = [layer.home / word] if "/" in word else [siblings / f"{word}{suffix}" for suffix in ("", *SUFFIXES)]
    found = next((Path(os.path.normpath(path)) for path in candidates if path.exists()), None)
    if found is None:
        hint = did_you_mean(word, _packs_in(siblings) - {layer.title})
        faults.append(node.fault(f'there is no pack "{word}" to extend', hint))
        return None
    real = found.resolve()
    if not real.is_relative_to(bounds):
        hint = "it must lie in the folder that holds this pack"
        faults.append(node.fault(f'the pack "{word}" lies outside of {bounds.name}/', hint))
    elif real in names:
        way = [*list(names.values())[list(names).index(real) :], names[real]]
        hint = "one of them must not extend the next"
        faults.append(node.fault(f"packs extend each other in a circle: {' -> '.join(way)}", hint))
    else:
        return found
    return None


def _holder(where: Path) -> Path:
    """Return the folder that a pack lies in, by name: a link lies where it is, not where it leads."""
    return where.parent if where.name not in ("", "..") else Path(os.path.abspath(where)).parent


def _packs_in(folder: Path) -> set[str]:
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    files = {
        path.stem for path in visible if path.suffix in SUFFIXES and path.stem != OWN and not is_examples(path.stem)
    }
    return files | {path.name for path in visible if path.is_dir() and own_file(path, [])}


def _draft(layer: PackSource, faults: list[Fault]) -> PackDraft:
    """Return a layer as a draft of its own."""
    root, node = layer.root, layer.node
    older: list[Fault] = []
    settings = in_todays_words(root.settings.given() if root.settings else {}, node.at("settings"), older)
    if root.judge and root.judge.audit is not None:
        message = "judge.audit changes nothing any more: the judge is taken at its word"
        hint = "remove audit; to have people's word instead, make a metric primary that they say"
        older.append(node.at("judge", "audit").fault(message, hint))

    def named(key: str) -> dict[str, Any]:
        return {name: (form, node.at(key, name)) for name, form in (getattr(root, key) or {}).items()}

    def placed(key: str) -> tuple[PlacedText, ...]:
        return tuple(PlacedText(text, node.at(key, i).place) for i, text in enumerate(getattr(root, key) or []))

    return PackDraft(
        name=root.name,
        title=layer.title,
        settings=located(settings, node.at("settings"), faults),
        settings_node=node.at("settings"),
        cues=named("cues"),
        snippets=named("snippets"),
        metrics=named("metrics"),
        signals=named("signals"),
        judge=(root.judge, node.at("judge")) if root.judge else None,
        auxiliary=_rules(root.auxiliary or [], node.at("auxiliary"), faults),
        boilerplate=placed("boilerplate"),
        user_words=placed("user_words"),
        unrelated=layer.unrelated,
        dialogues=layer.dialogues,
        tasks={path: _task(source) for path, source in layer.tasks.items()},
        more=layer.more,
        older=tuple(older),
        whole=layer.whole,
    )


def _rules(
    forms: list[AuxiliaryForm], node: YamlNode, faults: list[Fault]
) -> dict[str, tuple[AuxiliaryForm, YamlNode]]:
    rules: dict[str, tuple[AuxiliaryForm, YamlNode]] = {}
    for i, form in enumerate(forms):
        here = node.at(i)
        if form.name in rules:
            hint = f"rename one; the other stands in line {rules[form.name][1].line}"
            faults.append(here.fault(f'there are two rules with the name "{form.name}"', hint))
        rules[form.name] = (form, here)
    return rules


def _task(source: TaskSource) -> TaskDraft:
    form, node = source.form, source.node
    given = form.given()
    levels, tests = given.get("level", {}), form.tests
    return TaskDraft(
        path=source.path,
        node=node,
        about=form.about,
        when_asked=form.when_asked,
        complexity=form.complexity,
        stakes=form.stakes,
        courtesy=form.courtesy,
        levels=levels if isinstance(levels, dict) else {"": levels},
        off=form.off,
        model=given.get("model", {}),
        examples=source.examples,
        said={key: tuple(_instructions(given[key], node.at(key))) for key in LEVEL_KEYS if key in given},
        tests=None if tests is None else [(test, node.at("tests", i)) for i, test in enumerate(tests)],
    )


def _instructions(lines: str | list[str | InstructionForm], node: YamlNode) -> Iterator[InstructionDraft]:
    listed = not isinstance(lines, str)
    for i, line in enumerate([lines] if isinstance(lines, str) else lines):
        form = InstructionForm(text=line) if isinstance(line, str) else line
        yield InstructionDraft(form, listed, node.at(i) if listed else node)


def _merged(base: _Draft, over: _Draft) -> _Draft:
    """Return two drafts as one: mappings merged by key, tuples added, and of all else the last word."""
    found: dict[str, Any] = {}
    for name in (field.name for field in fields(base)):
        below, above = getattr(base, name), getattr(over, name)
        if isinstance(above, Mapping):
            found[name] = {**below, **above}
        elif isinstance(above, tuple) and isinstance(below, tuple):
            found[name] = below + above
        else:
            found[name] = below if above is None else above
    return replace(base, **found)


def _merge(base: PackDraft, over: PackDraft) -> PackDraft:
    tasks = dict(base.tasks)
    for path, task in over.tasks.items():
        tasks[path] = _merge_task(tasks[path], task) if path in tasks else task
    settings = dict(base.settings)
    for key, value in over.settings.items():
        settings[key] = {**settings.get(key, {}), **value} if isinstance(value, dict) else value
    return replace(
        _merged(base, over),
        name=over.name,
        settings=settings,
        settings_node=over.settings_node if over.settings else base.settings_node,
        judge=over.judge or base.judge,
        tasks=tasks,
        whole=base.whole and over.whole,
    )


def _merge_task(base: TaskDraft, over: TaskDraft) -> TaskDraft:
    merged = _merged(base, over)
    return replace(merged, levels=over.levels) if "" in over.levels else merged


def _with_more(draft: PackDraft, faults: list[Fault]) -> PackDraft:
    """Return the draft with what files of examples add to its tasks."""
    added: dict[str, list[PlacedText]] = {}
    for each in draft.more:
        if each.path in draft.tasks:
            added.setdefault(each.path, []).extend(each.texts)
        else:
            hint = did_you_mean(each.path, draft.tasks)
            faults.append(each.node.fault(f"there is no task {each.path}", hint))
    tasks = dict(draft.tasks)
    for path, texts in added.items():
        tasks[path] = replace(tasks[path], examples=tasks[path].examples + in_order(texts))
    return replace(draft, tasks=tasks)


def _prune(draft: PackDraft, faults: list[Fault]) -> PackDraft:
    """Leave out what is off, and bring the tasks into pre-order, siblings by name."""
    off = {path for path, task in draft.tasks.items() if task.off}
    if ROOT in off:
        faults.append(draft.tasks[ROOT].node.fault("the root cannot be off", "set settings: {level: off} instead"))
        off.discard(ROOT)
    paths = sorted(draft.tasks, key=lambda path: path.split("/"))
    kept = {path: draft.tasks[path] for path in paths if not off.intersection(lineage(path))}
    return replace(
        draft,
        tasks=kept,
        dialogues=tuple(d for d in draft.dialogues if not d.is_about(off)),
        signals=dict(_met_somewhere(draft.signals, off)),
    )


def _met_somewhere(
    signals: Mapping[str, tuple[SignalForm, YamlNode]], off: set[str]
) -> Iterator[tuple[str, tuple[SignalForm, YamlNode]]]:
    """Yield the signals without the tasks that are off; one that has no other is left out."""
    for name, (form, node) in signals.items():
        gone = [path for path in form.tasks or () if off.intersection(lineage(path))]
        if not gone:
            yield name, (form, node)
        elif len(gone) < len(form.tasks or ()):
            left = [path for path in form.tasks or () if path not in gone]
            yield name, (form.model_copy(update={"tasks": tuple(left)}), node)


def distinct(lines: Iterable[PlacedText]) -> tuple[PlacedText, ...]:
    """Return the lines without those whose text came before. What a customer wrote, too, is not generated."""
    first: dict[str, PlacedText] = {}
    for line in lines:
        before = first.setdefault(line.text, line)
        if before.generated and not line.generated:
            first[line.text] = replace(before, generated=False)
    return tuple(first.values())
