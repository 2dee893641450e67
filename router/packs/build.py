"""From a draft to a policy: every word understood, everything worked out that a request would else have to work out.

Faults found here are of meaning, not of form: a cue that nobody declared, a value that a cue cannot have, an id that
is given twice. All are collected; a policy with faults is never handed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, cast

from router.core.errors import Fault, did_you_mean
from router.core.policy import (
    ROOT,
    AuxiliaryRule,
    Check,
    Cue,
    Instruction,
    Level,
    Policy,
    PolicySettings,
    Task,
    count_tokens,
    lineage,
)
from router.packs.accepted import accepted
from router.packs.cues import conditions, declare_cue, misfit, unknown_cue
from router.packs.dialogues import build_dialogues
from router.packs.encoders import chosen
from router.packs.extends import LEVEL_KEYS, InstructionDraft, PackDraft, TaskDraft, distinct
from router.packs.forms import CheckForm
from router.packs.outcomes import declare_judge, declare_metric, declare_signals
from router.packs.reading import YamlNode
from router.packs.tree import PlacedText
from router.packs.trial import Expected, PackTest, TrialForm

Place = tuple[str, int]

_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_-]*)\}")
"""What looks like a cue in a text. Braces around anything else, such as JSON, are plain text."""

_TITLE_LENGTH = 60

_RESOLVED = ("encoder", "cascade", "error", "thresholds")
"""Settings that are worked out from what is written."""


@dataclass
class _Parts:
    """A policy in the making, and where each of its parts stands."""

    faults: list[Fault]
    snippets: Mapping[str, tuple[str, YamlNode]]
    cues: dict[str, Cue] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    notes: list[tuple[str, Fault]] = field(default_factory=list)


def build(
    draft: PackDraft, faults: list[Fault]
) -> tuple[Policy, tuple[PackTest, ...], Mapping[str, Place], tuple[tuple[str, Fault], ...]]:
    """Return the policy, its tests, its places by instruction id, task path, `cue:name` and so on, and its notes.

    With faults appended, the result is not to be served.
    """
    notes = [("older_key", fault) for fault in draft.older]
    notes += [("unused_snippet", fault) for fault in _unused(draft)] if draft.whole else []
    notes += [("cut_instruction", fault) for fault in _cut(node for _, node in draft.snippets.values())]
    built = _Parts(faults, draft.snippets, notes=notes)
    for name, (cue_form, node) in sorted(draft.cues.items()):
        built.cues[name] = declare_cue(name, cue_form, node, faults)
        built.places[f"cue:{name}"] = node.place
    metrics = {}
    for name, (metric_form, node) in sorted(draft.metrics.items()):
        metrics[name] = declare_metric(name, metric_form, node, faults)
        built.places[f"metric:{name}"] = node.place
    built.places.update({f"signal:{name}": node.place for name, (_, node) in draft.signals.items()})
    built.places.update({f"pack:auxiliary.{name}": node.place for name, (_, node) in draft.auxiliary.items()})
    if draft.judge:
        built.places["pack:judge"] = draft.judge[1].place
    built.places["pack:settings"] = draft.settings_node.place
    for key, lines in (
        ("boilerplate", draft.boilerplate),
        ("user_words", draft.user_words),
        ("unrelated", draft.unrelated),
    ):
        built.places.update({f"pack:{key}.{i}": line.place for i, line in enumerate(distinct(lines), 1)})
    dialogues = build_dialogues(draft.dialogues, draft.tasks, faults)
    built.places.update({f"pack:dialogues.{i}": place for i, place in enumerate(dialogues.values(), 1)})
    children = _children(draft.tasks)
    policy = Policy(
        name=draft.name or draft.title,
        revision="",
        tasks=MappingProxyType({path: _task(task, children[path], built) for path, task in draft.tasks.items()}),
        about=draft.tasks[ROOT].about or "",
        settings=_settings(draft.settings, draft.settings_node, faults),
        cues=MappingProxyType(built.cues),
        metrics=MappingProxyType(metrics),
        auxiliary=tuple(AuxiliaryRule(**form.given()) for form, _ in draft.auxiliary.values()),
        boilerplate=tuple(line.text for line in distinct(draft.boilerplate)),
        user_words=tuple(line.text for line in distinct(draft.user_words)),
        unrelated=tuple(line.text for line in distinct(draft.unrelated)),
        generated=frozenset(
            (path, line.text)
            for path, task in draft.tasks.items()
            for line in distinct((*task.examples, *draft.unrelated) if path == ROOT else task.examples)
            if line.generated
        ),
        languages=MappingProxyType(
            {
                line.text: line.language
                for lines in (draft.unrelated, *(task.examples for task in draft.tasks.values()))
                for line in lines
                if line.language
            }
        ),
        dialogues=tuple(dialogues),
        signals=declare_signals(draft.signals, metrics, draft.tasks, faults),
        judge=declare_judge(*draft.judge, metrics, faults) if draft.judge else None,
    )
    tests = tuple(_test(path, *test, built) for path, task in draft.tasks.items() for test in task.tests or ())
    return policy, tests, MappingProxyType(built.places), tuple(built.notes)


def _unused(draft: PackDraft) -> Iterator[Fault]:
    """Find named sentences that no instruction says."""
    said = {line.form.snippet for task in draft.tasks.values() for lines in task.said.values() for line in lines}
    for name, (_, node) in draft.snippets.items():
        if name not in said:
            yield node.fault(f"the snippet {name} is said nowhere", f"say it with {{snippet: {name}}}, or remove it")


def _children(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {path: [] for path in paths}
    for path in found:
        if path != ROOT:
            found[lineage(path)[-2]].append(path)
    return {path: tuple(below) for path, below in found.items()}


def _task(draft: TaskDraft, children: tuple[str, ...], built: _Parts) -> Task:
    built.places[draft.path] = draft.node.place
    examples = distinct(draft.examples)
    built.places.update({f"{draft.path}:example.{i}": line.place for i, line in enumerate(examples, 1)})
    built.notes += (("repeated_example", fault) for fault in _repeated(draft.examples))
    built.notes += (("split_instruction", fault) for said in draft.said.values() for fault in _split(said))
    texts = (line.node.at("text") for said in draft.said.values() for line in said)
    built.notes += (("cut_instruction", fault) for fault in _cut(texts))
    model = dict(draft.model)
    use = model.pop("use", None)
    return Task(
        path=draft.path,
        about=draft.about or "",
        when_asked=draft.when_asked or "",
        instructions=tuple(
            _instruction(draft.path, key, index, written, built)
            for key in LEVEL_KEYS
            for index, written in enumerate(draft.said.get(key, ()), 1)
        ),
        examples=tuple(line.text for line in examples),
        complexity=cast(Literal["core", "standard", "complex"] | None, draft.complexity),
        stakes=cast(Literal["normal", "high"], draft.stakes or "normal"),
        courtesy=bool(draft.courtesy),
        model=use,
        parameters=MappingProxyType(model),
        children=children,
        levels=MappingProxyType(draft.levels),
    )


def _repeated(examples: Iterable[PlacedText]) -> Iterator[Fault]:
    """Yield the examples that a task has already.

    Languages share words, and of a machine's example and a customer's one of a customer's is made: both are meant.
    """
    first: dict[tuple[str, bool, str], Place] = {}
    for line in examples:
        key = (line.text.casefold(), line.generated, line.language)
        if key in first:
            file, number = first[key]
            message = f'the task has the example "{_shortened(line.text)}" already ({file}:{number})'
            yield Fault(*line.place, message, "remove one: it counts once")
        first.setdefault(key, line.place)


_ENDED = re.compile(r"[.!?:;…][)\]\"'”’»*_]*$")
"""How an instruction ends that is one."""


def _split(said: Sequence[InstructionDraft]) -> Iterator[Fault]:
    """Yield the instructions that look like what follows a comma in the one before: brackets end a text there."""
    for before, written in pairwise(said):
        earlier, text = before.form.text or "", written.form.text or ""
        bare = all(each.node.flow and isinstance(each.node.value, str) for each in (before, written))
        if bare and text[0].islower() and not _ENDED.search(earlier):
            message = (
                f'"{_shortened(text)}" is an instruction of its own here: a comma in brackets ends the one before it'
            )
            hint = "write the list as lines with a dash each, or put each text in quotes"
            yield written.node.fault(message, hint)


def _cut(texts: Iterable[YamlNode]) -> Iterator[Fault]:
    """Yield the texts without quotes of which YAML makes less, or more, than their author meant."""
    for node in texts:
        text = str(node.value)
        if node.cut == "-":
            message = f'"{_shortened(text)}" takes in the next line, which begins with a dash'
            yield node.fault(message, "begin the dashes of a list in one column, or put the text in quotes")
        elif node.cut and not _ENDED.search(text):
            message = f'"{_shortened(text)}" ends before a #: the rest of the line is a comment, and is not said'
            yield node.fault(message, "put the text in quotes, or two spaces before a # that is meant as a comment")


def _shortened(text: str) -> str:
    return text if len(text) <= _TITLE_LENGTH else text[: _TITLE_LENGTH - 1] + "…"


def _instruction(path: str, key: str, index: int, written: InstructionDraft, built: _Parts) -> Instruction:
    form, node = written.form, written.node
    identity = form.id or f"{path}:{key}.{index}"
    if identity in built.places:
        file, line = built.places[identity]
        message = f'the id "{identity}" is given twice; the other place is {file}:{line}'
        built.faults.append(node.at("id").fault(message, "ids are unique in a pack; change one"))
    built.places[identity] = node.place
    said, where = (form.text or "", node.at("text")) if form.snippet is None else _snippet(form.snippet, node, built)
    text = f"- {said}" if written.listed else said
    when = conditions(form.when, node.at("when"), built.cues, built.faults)
    unless = conditions(form.unless, node.at("unless"), built.cues, built.faults)
    spoken = _placeholders(text, where, built)
    used = {*spoken, *(clause.cue for clause in when + unless)}
    return Instruction(
        id=identity,
        task=path,
        level=Level.BRIEF if key == "required" else Level[key.upper()],
        text=text,
        tokens=count_tokens(text) + 1,
        required=key == "required",
        when=when,
        unless=unless,
        check=_check(form.check),
        cues=spoken,
        volatile=any(built.cues[name].volatile for name in used if name in built.cues),
    )


def _snippet(name: str, node: YamlNode, built: _Parts) -> tuple[str, YamlNode]:
    """Return the sentence that a pack has named, and where it stands."""
    if name not in built.snippets:
        hint = did_you_mean(name, built.snippets) if built.snippets else f"add {name}: ... under snippets: at the root"
        built.faults.append(node.at("snippet").fault(f'there is no snippet "{name}"', hint))
    return built.snippets.get(name, ("", node))


def _placeholders(text: str, node: YamlNode, built: _Parts) -> tuple[str, ...]:
    """Return the cues that a text names in braces, in the order of their first mention."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
    for name in names:
        cue = built.cues.get(name)
        if cue is None:
            fault = unknown_cue(name, node, built.cues)
            hint = f"{fault.hint.rstrip('?')}; for literal braces write {{ {name} }}, with spaces"
            built.faults.append(replace(fault, message=f"{fault.message}, as in {{{name}}}", hint=hint))
        elif cue.kind == "text":
            hint = f'give the cue a line of its own: say: "... {{value}}" under cues: {name}:'
            built.faults.append(node.fault(f"{{{name}}} is free text and may not stand in a sentence", hint))
    return tuple(name for name in names if name in built.cues)


def _check(form: CheckForm | None) -> Check | None:
    if form is None:
        return None
    ((kind, value),) = form.given().items()
    return Check(kind, tuple(value) if isinstance(value, list) else value)


def _settings(given: Mapping[str, Any], node: YamlNode, faults: list[Fault]) -> PolicySettings:
    """Return the settings; what is not given keeps its default."""
    fields = {key: value for key, value in given.items() if key not in _RESOLVED}
    fields |= accepted(given, node, faults)
    fields["levels"] = MappingProxyType(fields.get("levels", {}))
    if "pin_idle" in fields:
        fields["pin_idle_s"] = fields.pop("pin_idle")
    return PolicySettings(**fields, **chosen(given, node, faults))


def _test(path: str, form: TrialForm, node: YamlNode, built: _Parts) -> PackTest:
    texts = [form.ask] if form.ask is not None else form.talk or []
    cues = form.with_ or {}
    for name, value in cues.items():
        here = node.at("with", name)
        if name in built.cues:
            here.refuse(misfit(built.cues[name], value), built.faults)
        else:
            built.faults.append(unknown_cue(name, here, built.cues))
    name = form.name or texts[-1]
    return PackTest(
        name=name if form.name else _shortened(name),
        task=path,
        file=node.file,
        line=node.line,
        turns=tuple(texts),
        expected=Expected(**form.expect.given()),
        cues=MappingProxyType(dict(cues)),
        todo=form.todo or name.startswith("todo_"),
    )
