"""What is known of models: against litellm's table of them, and overruled by the operator."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from router.core.ports import Capability
from router.server.model_table import bridged, capability_of, speaks, speaks_at_first
from router.server.settings import BackendSettings, ModelSettings

OPENAI = BackendSettings(type="openai", base_url="https://api.openai.com/v1")
ANTHROPIC = BackendSettings(type="anthropic")
LOCAL = BackendSettings(type="openai", base_url="http://127.0.0.1:11434/v1")
ECHO = BackendSettings(type="echo")


def of(backend: BackendSettings, name: str, **model: Any) -> Capability:
    return capability_of(backend, ModelSettings(backend="b", **model), name)


def table(provider: str) -> dict[str, dict[str, Any]]:
    """Return litellm's table of one provider's models, without importing litellm."""
    found = find_spec("litellm")
    if found is None or found.origin is None:
        pytest.skip("litellm is not installed")
    models = json.loads(Path(found.origin).with_name("model_prices_and_context_window_backup.json").read_text())
    return {name: about for name, about in models.items() if about.get("litellm_provider") == provider}


def test_claude_models_take_and_cache_what_litellms_table_says() -> None:
    models = {name: about for name, about in table("anthropic").items() if about.get("mode") == "chat"}
    assert len(models) > 15
    for name, about in models.items():
        known = of(ANTHROPIC, name)
        assert (known.mid_conversation == "system") == about.get("supports_mid_conversation_system", False), name
        assert known.cache_min_tokens == about.get("prompt_cache_min_tokens", 1024), name
        assert known.cache_marks == "auto", name


def test_openai_models_take_breakpoints_where_litellms_table_says_so() -> None:
    marked = {name for name, about in table("openai").items() if about.get("supports_prompt_cache_breakpoint")}
    assert marked
    assert {name for name in marked if of(OPENAI, name).cache_marks != "auto"} == set()
    assert {
        name for name in ("gpt-4o", "gpt-5", "gpt-5.5", "o4-mini") if of(OPENAI, name).cache_marks != "off"
    } == set()


@pytest.mark.parametrize(("backend", "name"), [(LOCAL, "claude-opus-5"), (LOCAL, "gpt-5.6"), (ECHO, "gpt-5.6")])
def test_of_other_servers_nothing_is_taken_for_granted(backend: BackendSettings, name: str) -> None:
    assert of(backend, name) == Capability()


def test_the_operator_has_the_last_word_the_models_before_the_backends() -> None:
    backend = LOCAL.model_copy(update={"mid_conversation": "system", "cache_marks": "auto", "cache_min_tokens": 256})
    assert of(backend, "m").mid_conversation == "system" and of(backend, "m").cache_min_tokens == 256
    model = of(backend, "m", mid_conversation="developer", cache_marks="off", roles=frozenset({"user"}))
    assert (model.mid_conversation, model.cache_marks, model.roles) == ("developer", "off", {"user"})


@pytest.mark.parametrize(
    ("backend", "spoken", "first"),
    [
        (OPENAI, {"chat", "responses"}, {"chat", "responses", "input_tokens"}),
        (ANTHROPIC, {"messages"}, {"messages", "count_tokens"}),
        (LOCAL, None, {"chat"}),
        (LOCAL.model_copy(update={"speaks": ("messages",)}), {"messages"}, {"messages", "count_tokens"}),
    ],
)
def test_which_formats_a_backend_speaks(backend: BackendSettings, spoken: set[str] | None, first: set[str]) -> None:
    assert speaks(backend) == spoken
    assert speaks_at_first(speaks(backend)) == first


def test_a_bridge_takes_what_is_safe() -> None:
    assert bridged(of(OPENAI, "gpt-5.6")) == Capability()
