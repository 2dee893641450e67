"""The plug-in alone, called as the LiteLLM proxy calls it: what it does when something is wrong, and whose is what."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from fastapi import HTTPException

from router.core.errors import PolicyError, SettingsError
from router.litellm_plugin import PromptRouter, from_environment
from router.packs import load_pack
from tests.support.doubtful import EITHER, LISTED, PACK

REFUND = "Help the customer get a refund."
WISH = {"role": "user", "content": "I want my money back"}
KEY = SimpleNamespace(api_key="hash-1", request_route="/v1/chat/completions")


class Unwritable:
    """No JSON value."""


@pytest.fixture(scope="module")
def plugin(pack: Path, cache: Path) -> PromptRouter:
    return PromptRouter(load_pack(pack), cache)


@pytest.fixture(scope="module")
def lenient(pack: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> PromptRouter:
    """The same pack without a required instruction."""
    content = yaml.safe_load(pack.read_text(encoding="utf-8"))
    del content["required"]
    written = tmp_path_factory.mktemp("lenient") / "shop.yaml"
    written.write_text(yaml.safe_dump(content), encoding="utf-8")
    return PromptRouter(load_pack(written), cache)


async def ask(plugin: PromptRouter, data: dict[str, Any], call_type: str = "acompletion", key: Any = KEY) -> Any:
    """Return what LiteLLM would go on with, and the headers of the answer."""
    woven = await plugin.async_pre_call_hook(key, None, data, call_type)
    return woven, await plugin.async_post_call_response_headers_hook(woven, key, None)


async def test_the_decision_goes_into_headers_and_the_log_of_spending(plugin: PromptRouter) -> None:
    metadata = {"user_api_key": object(), "spend_logs_metadata": {"team": "blue"}}
    woven, headers = await ask(plugin, {"model": "gpt", "messages": [WISH], "metadata": metadata})
    assert REFUND in woven["messages"][0]["content"]
    assert headers["x-router-task"] == "/refund"
    logged = woven["metadata"]["spend_logs_metadata"]
    assert logged["team"] == "blue"
    assert {f"x-router-{name}": value for name, value in logged["prompt_router"].items()} == headers


async def test_headers_and_log_name_the_tasks_of_a_shortlist(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(PACK, encoding="utf-8")
    desk = PromptRouter(load_pack(tmp_path / "desk.yaml"), cache)
    woven, headers = await ask(desk, {"model": "gpt", "messages": [{"role": "user", "content": EITHER}]})
    assert (headers["x-router-outcome"], headers["x-router-task"]) == ("shortlisted", "/order")
    assert set(headers["x-router-shortlist"].split(", ")) == LISTED
    logged = woven["metadata"]["spend_logs_metadata"]["prompt_router"]
    assert logged["shortlist"] == headers["x-router-shortlist"]
    _, headers = await ask(desk, {"model": "gpt", "messages": [WISH]})
    assert headers["x-router-outcome"] == "classified" and "x-router-shortlist" not in headers


async def test_a_relayed_body_gets_no_field_of_ours(plugin: PromptRouter) -> None:
    key = SimpleNamespace(api_key="hash-1", request_route="/openai/v1/chat/completions")
    data = {"model": "gpt", "messages": [WISH], "litellm_logging_obj": object(), "temperature": 1}
    names = set(data)
    woven, headers = await ask(plugin, data, "pass_through_endpoint", key)
    assert REFUND in woven["messages"][0]["content"]
    assert set(woven) == names
    assert headers["x-router-task"] == "/refund"


@pytest.mark.parametrize(
    ("call_type", "route"),
    [
        ("atext_completion", "/v1/completions"),
        ("aembedding", "/v1/embeddings"),
        ("acreate_batch", "/v1/batches"),
        ("_arealtime", "/v1/realtime"),
        ("pass_through_endpoint", "/vertex_ai/v1/projects/p/models/m:rawPredict"),
    ],
)
async def test_what_has_no_known_form_is_left_alone(call_type: str, route: str, plugin: PromptRouter) -> None:
    data = {"model": "gpt", "messages": [WISH], "prompt": "x", "input": "x"}
    before = copy.deepcopy(data)
    key = SimpleNamespace(api_key="hash-1", request_route=route)
    assert await ask(plugin, data, call_type, key) == (before, None)


async def test_a_fault_of_ours_lets_the_request_pass(lenient: PromptRouter) -> None:
    broken = {"model": "gpt", "messages": [WISH, {"role": "user", "content": Unwritable()}]}
    woven, headers = await ask(lenient, broken)
    assert woven is broken
    assert woven["messages"][0] is WISH
    assert headers is None


async def test_but_never_without_what_is_required(plugin: PromptRouter) -> None:
    with pytest.raises(HTTPException) as refusal:
        await ask(plugin, {"model": "gpt", "messages": [{"role": "user", "content": Unwritable()}]})
    assert refusal.value.status_code == 503
    assert refusal.value.detail["code"] == "required_instructions_unavailable"


async def test_what_the_operator_of_litellm_has_set_stays(plugin: PromptRouter) -> None:
    came = {"model": "gpt", "messages": [WISH]}
    data = {**came, "temperature": 0.7, "proxy_server_request": {"body": came}}
    woven, _ = await ask(plugin, data)
    assert woven["temperature"] == 0.7
    assert REFUND in woven["messages"][0]["content"]


async def test_what_another_callback_has_changed_is_what_is_woven_into(plugin: PromptRouter) -> None:
    masked = {"role": "user", "content": "I want my money back, says [NAME]"}
    request = {"body": {"model": "gpt", "messages": [{**masked, "content": "I want my money back, says Ann"}]}}
    woven, _ = await ask(plugin, {"model": "gpt", "messages": [masked], "proxy_server_request": request})
    assert woven["messages"][-1] == masked


async def test_kept_conversations_belong_to_one_key(plugin: PromptRouter) -> None:
    async def settled(key: Any, **more: Any) -> str:
        woven = await plugin.async_pre_call_hook(key, None, {"model": "gpt", **more}, "aresponses")
        told = await plugin.async_post_call_response_headers_hook(woven, key, SimpleNamespace(id="resp_1"))
        return told["x-router-task"]

    other = SimpleNamespace(api_key="hash-2", request_route="/v1/responses")
    assert await settled(KEY, input=WISH["content"]) == "/refund"
    assert await settled(other, input="and now?", previous_response_id="resp_1") == "/"
    assert await settled(KEY, input="and now?", previous_response_id="resp_1") == "/refund"


async def test_the_environment_says_what_models_take(pack: Path, cache: Path) -> None:
    environment = {"ROUTER_PACK": str(pack), "ROUTER_CACHE": str(cache), "ROUTER_MID_CONVERSATION": "system"}
    talk = [WISH, {"role": "assistant", "content": "Which one?"}, {"role": "user", "content": "Where is my parcel?"}]
    woven, _ = await ask(from_environment(environment), {"model": "gpt", "messages": talk})
    assert [message["role"] for message in woven["messages"]] == ["system", "user", "assistant", "system", "user"]


@pytest.mark.parametrize(
    ("environment", "error", "words"),
    [
        ({"ROUTER_MID_CONVERSATION": "sytem"}, SettingsError, 'ROUTER_MID_CONVERSATION: "sytem".*system'),
        ({"ROUTER_PACK": "nowhere"}, PolicyError, "nowhere"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told(
    environment: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        from_environment(environment)
