"""Whatever can be set, written, typed, sent or met has its place in the documentation.

The lists are derived from the code: settings and pack keys from their models, commands and options from the parser of
the command line, headers, codes, metrics and variables from what is written in the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from router.core.errors import Fault
from router.packs.dialogues import DialogueForm
from router.packs.example_files import ExamplesForm
from router.packs.forms import PackForm
from router.packs.reading import read_tree
from router.packs.reference import SECTIONS, reference
from router.server.settings import Settings
from tests.docs import scan
from tests.docs.commands import parsed_commands
from tests.docs.pages import everything, first_cells, page, rows, spans, words

OPTION = re.compile(r"--[a-z][a-z-]*")

COMMON_HEADERS = frozenset({"content-length", "allow", "vary", "accept-encoding"})
"""Headers that are HTTP's own and mean here what they mean everywhere."""


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def settings_of(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings; NAME stands for a name of the operator's, [] for an item of a list."""
    for name, field in model.model_fields.items():
        dotted = f"{before}{field.alias or name}"
        inner = next(models_in(field.annotation), None)
        if inner is None:
            yield dotted
        else:
            kind = str(field.annotation)
            step = ".NAME." if kind.startswith("dict") else "[]." if kind.startswith("tuple") else "."
            yield from settings_of(inner, dotted + step)


def forms_below(model: type[BaseModel], seen: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """Return all forms that a form is made of, itself included."""
    name = model.__name__.lstrip("_")
    if name not in seen:
        seen[name] = model
        for field in model.model_fields.values():
            for inner in models_in(field.annotation):
                forms_below(inner, seen)
            for inner in (each for data in field.metadata for each in models_in(data)):
                forms_below(inner, seen)
    return seen


def options_of(command: Any) -> set[str]:
    """Return the options that a command takes, but for `--help`."""
    return {name for each in command.params for name in each.opts if name.startswith("--")} - {"--help"}


FORMS_FOUND = forms_below(PackForm, forms_below(DialogueForm, forms_below(ExamplesForm, {})))
COMMANDS = parsed_commands()


def test_every_setting_is_explained() -> None:
    settings = set(settings_of(Settings))
    assert {"listen.host", "backends.NAME.timeouts.idle_s", "keys[].scopes", "log.json"} <= settings
    assert settings <= first_cells(page("settings.md"))


def test_no_setting_is_explained_that_does_not_exist() -> None:
    told = {name for name in first_cells(page("settings.md")) if not name.isupper()}
    assert told <= set(settings_of(Settings))


def test_every_variable_of_the_environment_is_explained() -> None:
    found = scan.variables()
    assert {"ROUTER_API_KEY", "OPENAI_API_KEY", "ROUTER_PACK"} <= found
    assert found <= first_cells(page("settings.md"))


def test_every_form_of_a_pack_has_a_section() -> None:
    assert set(FORMS_FOUND.values()) == {part.form for parts in SECTIONS.values() for part in parts}


def test_the_reference_of_packs_is_up_to_date() -> None:
    assert {"boilerplate", "mentions_any", "with", "from", "json", "turns", "audit"} <= first_cells(
        page("pack-keys.md")
    )
    assert page("pack-keys.md") == reference(), "run: make schema"


@pytest.mark.parametrize("name", FORMS_FOUND)
def test_the_example_of_every_key_is_one(name: str) -> None:
    schema = FORMS_FOUND[name].model_json_schema(by_alias=True)
    keys = (schema if "properties" in schema else schema["$defs"][name])["properties"]  # tasks hold tasks
    assert keys and not {key for key, told in keys.items() if not told.get("examples")}
    for key, told in keys.items():
        (example,) = told["examples"]
        errors = Draft202012Validator({**told, "$defs": schema.get("$defs", {})}).iter_errors(example)
        assert [(key, error.message) for error in errors] == []


def test_the_examples_of_the_reference_are_what_they_look_like() -> None:
    for row in rows(page("pack-keys.md")):
        if row.startswith("| `"):
            text = row.rpartition(" | ")[2].removesuffix(" |").strip("`").replace("\\|", "|")
            faults: list[Fault] = []
            node = read_tree(text, "", faults)
            assert node is not None and isinstance(node.value, dict) and len(node.value) == 1 and not faults, text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_with_all_its_options(name: str) -> None:
    told = [row for row in rows(page("commands.md")) if any(f"{span} ".startswith(f"{name} ") for span in spans(row))]
    own = [row for row in told if not any(f"`{longer}" in row for longer in COMMANDS if longer.startswith(f"{name} "))]
    assert len(own) == 1
    assert options_of(COMMANDS[name]) == {word for word in words(own[0]) if OPTION.fullmatch(word)}


def test_the_options_of_the_command_itself_are_explained() -> None:
    assert {"router serve", "router audit draw", "router tune", "router tune accept"} <= set(COMMANDS)
    assert {"--version", "--help"} <= {word for span in spans(page("commands.md")) for word in span.split()}


def test_every_header_is_explained() -> None:
    found = scan.headers() - COMMON_HEADERS
    assert {"x-router-decision", "x-router-policy", "authorization", "x-session-id", "retry-after"} <= found
    assert found <= words(page("proxy.md")) | words(page("feedback.md"))


def test_every_code_is_explained() -> None:
    found = scan.codes()
    assert {"invalid_json", "timeout_idle", "recogniser_late", "thread_unknown", "dead_cue", "unlikely"} <= found
    told = words(everything())
    assert {code for code in found if not any(fits(word, code) for word in told)} == set()


def test_every_metric_is_explained() -> None:
    found = scan.metrics()
    assert {"router_requests_total", "router_stage_seconds", "router_tuned_level"} <= found
    assert found == {name for name in first_cells(page("operations.md")) if name.startswith("router_")}


def fits(word: str, code: str) -> bool:
    """Say whether a word of the documentation names a code; `...` in a code stands for anything."""
    head, dots, tail = code.partition("...")
    return word == code if not dots else word.startswith(head) and word.endswith(tail) and len(word) > len(head + tail)
