"""Backends by environment: which provider answers for which name, and where no key ever goes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from router.core.errors import SettingsError
from router.server.model_table import ModelTable
from router.server.settings import Settings
from router.server.settings_source import PROVIDERS, load_settings

CANARY = "sk-canary-0123456789"
ADDRESSED = [provider for provider in PROVIDERS if provider.base_url]


def settings(environ: dict[str, str], backend: str | None = None) -> Settings:
    return load_settings(None, environ, {"backend": backend})


def key_of(chosen: Settings, name: str) -> str | None:
    secret = chosen.backends[name].api_key
    return secret.get_secret_value() if secret else None


def test_without_a_key_the_echo_answers() -> None:
    chosen = settings({"PATH": "/bin", "OPENAI_API_KEY": ""})
    assert {name: backend.type for name, backend in chosen.backends.items()} == {"echo": "echo"}
    assert chosen.models["*"].backend == "echo"


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_one_key_one_backend(provider) -> None:
    chosen = settings({provider.variable: CANARY})
    assert list(chosen.backends) == [provider.name]
    assert chosen.backends[provider.name].base_url == provider.base_url
    assert key_of(chosen, provider.name) == CANARY
    assert ModelTable(chosen.models, chosen.backends).resolve("some-model").model == "some-model"


@pytest.mark.parametrize(("first", "second"), list(pairwise(PROVIDERS)), ids=lambda provider: provider.name)
def test_the_first_in_the_list_takes_every_name_and_the_second_its_prefix(first, second) -> None:
    chosen = settings({second.variable: "key-two", first.variable: "key-one"})
    aliases = ModelTable(chosen.models, chosen.backends)
    assert aliases.resolve("anything").backend == first.name
    route = aliases.resolve(f"{second.name}/some-model")
    assert (route.backend, route.model) == (second.name, "some-model")
    assert (key_of(chosen, first.name), key_of(chosen, second.name)) == ("key-one", "key-two")


def test_a_name_that_begins_with_the_only_providers_own_prefix_stays_whole() -> None:
    chosen = settings({"GROQ_API_KEY": CANARY})
    assert ModelTable(chosen.models, chosen.backends).resolve("groq/compound").model == "groq/compound"


def test_addresses_of_the_environment_are_not_followed() -> None:
    chosen = settings({"OPENAI_API_KEY": CANARY, "OPENAI_BASE_URL": "http://localhost:8080/v1"})
    assert chosen.backends["openai"].base_url == "https://api.openai.com/v1"


def test_the_command_line_replaces_all_backends() -> None:
    chosen = settings({"OPENAI_API_KEY": CANARY}, "echo")
    assert list(chosen.backends) == ["echo"]
    assert list(chosen.models) == ["*"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:11434/v1", "http://127.0.0.1:11434", "https://llm.example/v1/"])
def test_an_address_is_used_as_given(address: str) -> None:
    chosen = settings({"OPENAI_API_KEY": CANARY, "ROUTER_BACKEND_API_KEY": "own"}, address)
    assert chosen.backends["backend"].base_url == address.rstrip("/")
    assert key_of(chosen, "backend") == "own"


@pytest.mark.parametrize("provider", ADDRESSED, ids=lambda provider: provider.name)
def test_a_provider_gets_its_own_key_at_its_own_address(provider) -> None:
    assert key_of(settings({provider.variable: CANARY}, provider.base_url), "backend") == CANARY


FOREIGN = [
    "http://127.0.0.1:8000/v1",
    "https://evil.example/v1",
    "http://api.openai.com/v1",
    "https://api.openai.com:8443/v1",
    "https://api.openai.com.evil.example/v1",
    "https://evil.example/https://api.openai.com/v1",
    "https://xapi.openai.com/v1",
    "https://api.groq.com/openai/v1",
]


@pytest.mark.parametrize("address", FOREIGN)
def test_a_providers_key_goes_to_no_other_address(address: str) -> None:
    assert key_of(settings({"OPENAI_API_KEY": CANARY}, address), "backend") is None


@pytest.mark.parametrize(
    "option", ["", "openai", "localhost:8000", "ftp://x", "http://", "https://u:p@x/v1", "http://x:y/v1"]
)
def test_what_is_no_backend(option: str) -> None:
    with pytest.raises(SettingsError, match="backend"):
        settings({}, option)
