"""The model table: names of clients in, routes out."""

from __future__ import annotations

import pytest

from router.core.errors import RequestError
from router.core.ports import Capability
from router.server.model_table import REMEMBERED_NAMES, ModelTable
from router.server.settings import BackendSettings, ModelSettings

BACKENDS = {
    "main": BackendSettings(type="openai", base_url="https://api.example.com/v1", mid_conversation="system"),
    "groq": BackendSettings(type="openai", base_url="https://groq.example.com/v1"),
    "claude": BackendSettings(type="litellm"),
}
MODELS = {
    "careful": ModelSettings(backend="main", model="big-2026", fallback=("fast", "groq/llama")),
    "fast": ModelSettings(backend="groq", model="small", mid_conversation="developer", roles={"developer", "user"}),
    "plain": ModelSettings(backend="main"),
    "groq/*": ModelSettings(backend="groq", model="*"),
    "groq/big-*": ModelSettings(backend="main", model="huge-*-v2"),
    "anthropic/*": ModelSettings(backend="claude"),
}


@pytest.fixture
def aliases() -> ModelTable:
    return ModelTable(MODELS, BACKENDS)


@pytest.mark.parametrize(
    ("name", "backend", "model"),
    [
        ("careful", "main", "big-2026"),
        ("plain", "main", "plain"),
        ("groq/llama", "groq", "llama"),
        ("groq/a/b", "groq", "a/b"),
        ("groq/big-70b", "main", "huge-70b-v2"),
        ("groq/*", "groq", "*"),
        ("anthropic/claude", "claude", "anthropic/claude"),
    ],
)
def test_names(aliases: ModelTable, name: str, backend: str, model: str) -> None:
    route = aliases.resolve(name)
    assert (route.backend, route.model) == (backend, model)
    assert aliases.resolve(name) == route


def test_a_star_takes_every_name_as_it_is() -> None:
    aliases = ModelTable({"*": ModelSettings(backend="main"), **MODELS}, BACKENDS)
    assert aliases.resolve("gpt-anything").model == "gpt-anything"
    assert aliases.resolve("fast").model == "small"


def test_fallback_models_in_order(aliases: ModelTable) -> None:
    route = aliases.resolve("careful")
    assert [(step.backend, step.model) for step in route.fallback] == [("groq", "small"), ("groq", "llama")]
    assert all(step.fallback == () for step in route.fallback)


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("careful", Capability(mid_conversation="system")),
        ("fast", Capability(mid_conversation="developer", roles=frozenset({"developer", "user"}))),
        ("groq/x", Capability()),
    ],
)
def test_what_a_model_takes(aliases: ModelTable, name: str, capability: Capability) -> None:
    assert aliases.resolve(name).capability == capability


@pytest.mark.parametrize(("name", "hint"), [("carefull", 'did you mean "careful"'), ("", "known: "), ("*", "known: ")])
def test_unknown_names(aliases: ModelTable, name: str, hint: str) -> None:
    with pytest.raises(RequestError, match=hint) as caught:
        aliases.resolve(name)
    error = caught.value
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")


def test_an_endless_name_is_not_repeated(aliases: ModelTable) -> None:
    with pytest.raises(RequestError) as caught:
        aliases.resolve("x" * 10_000)
    assert len(str(caught.value)) < 300


def test_listed_are_the_aliases_that_name_one_model(aliases: ModelTable) -> None:
    assert aliases.names == ("careful", "fast", "plain")


def test_made_up_names_do_not_fill_the_memory() -> None:
    aliases = ModelTable({"*": ModelSettings(backend="main")}, BACKENDS)
    for number in range(3 * REMEMBERED_NAMES):
        aliases.resolve(f"name-{number}")
    aliases.resolve("x" * 100_000)
    assert len(aliases._remembered) <= REMEMBERED_NAMES
    assert max(map(len, aliases._remembered)) < 1000
