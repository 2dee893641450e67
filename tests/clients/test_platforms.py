"""The requests of Chatwoot, Dify, n8n, LibreChat and Open WebUI, byte for byte, through the shipped packs.

A turn of a conversation gets the pack's text and loses nothing; what a platform asks on its own behalf (titles, tags,
credentials) gains required text alone, and what is no conversation arrives at the backend as it was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.assembly import recogniser_for
from router.core.compose import CASES, NOTHING_MORE
from router.packs import load_pack
from tests.clients.lossless import added
from tests.clients.platform_calls import PlatformCall, platform_call, platform_calls
from tests.clients.script import TEXT
from tests.clients.upstream import Upstream
from tests.support.serving import Server, serving_router

CONFIG = Path(__file__).parent / "platforms.router.yaml"
PACKS = {"customer_support": "Never invent order data", "assistant": "Invent no facts"}
"""The shipped packs, each with words that it says in every conversation."""

HELP_DESKS, HELP_DESK_PACKS = ("chatwoot",), ("customer_support",)
"""Platforms of help desks only, and the packs that know them."""


@pytest.fixture(scope="session")
def desk(
    upstream_server: Upstream, project: Path, recognisers: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """`router serve` with the shipped packs."""
    data = tmp_path_factory.mktemp("desk")
    (data / "recognisers").symlink_to(recognisers, target_is_directory=True)
    for name in PACKS:  # here, where it may take its time: a server is waited for no longer than people would
        recogniser_for(load_pack(project / "policies" / name).policy, recognisers)
    words = [word for name in PACKS for word in ("--pack", str(project / "policies" / name))]
    words += ["--config", str(CONFIG), "--data", str(data)]
    with serving_router(*words, env={"UPSTREAM": upstream_server.url}) as server:
        yield server


def replay(desk: Server, call: PlatformCall, pack: str = "customer_support") -> httpx.Response:
    """Send a call as it stands."""
    prefix = {"customer_support": ""}.get(pack, f"/p/{pack}")
    return httpx.request(
        call.method, f"{desk.url}{prefix}{call.path}", headers=call.headers, content=call.body, trust_env=False
    )


def calls(*kinds: str) -> pytest.MarkDecorator:
    """Run a test for every call of these kinds."""
    return pytest.mark.parametrize("call", [pytest.param(call, id=call.id) for call in platform_calls(*kinds)])


def check_answer(answer: httpx.Response) -> None:
    """Hold an answer to what the platforms ask of one: status, kind, and an end that says so."""
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.headers["cache-control"] == "no-cache"
        ends = ("data: [DONE]", '"type": "response.completed"')
        assert any(end in answer.text for end in ends)
        assert '"finish_reason": "' in answer.text or "response.completed" in answer.text
    else:
        assert answer.json()["object"] in ("chat.completion", "response", "text_completion", "list")


@pytest.mark.parametrize("pack", PACKS)
@calls("conversation")
def test_a_conversation_gets_the_pack_s_text_and_loses_nothing(
    call: PlatformCall, pack: str, desk: Server, upstream: Upstream
) -> None:
    answer = replay(desk, call, pack)
    check_answer(answer)
    assert answer.headers["x-router-outcome"] in ("classified", "shortlisted", "unclassified")
    (taken,) = upstream.taken
    assert taken.path == call.path
    assert PACKS[pack] in "\n".join(added(json.loads(call.body), taken.body))


@pytest.mark.parametrize(
    ("call", "pack"),
    [
        pytest.param(call, pack, id=f"{call.id}-{pack}")
        for call in platform_calls("machine")
        for pack in (HELP_DESK_PACKS if call.platform in HELP_DESKS else PACKS)
    ],
)
def test_a_machine_s_own_call_gains_nothing_but_required_text(
    call: PlatformCall, pack: str, desk: Server, upstream: Upstream, project: Path
) -> None:
    answer = replay(desk, call, pack)
    check_answer(answer)
    (taken,) = upstream.taken
    tasks = load_pack(project / "policies" / pack).policy.tasks.values()
    required = {line for task in tasks for i in task.instructions if i.required for line in i.text.splitlines()}
    said = [line for text in added(json.loads(call.body), taken.body) for line in text.splitlines() if line]
    # The role of the message, where ours is one; and where it may be about several tasks, what frames their cases.
    frame = {"system", CASES, NOTHING_MORE, *(line for line in said if line.startswith("Case: "))}
    assert PACKS[pack] in "\n".join(said) and set(said) - frame <= required
    assert answer.headers["x-router-outcome"] == "skipped"


@calls("plain")
def test_what_is_no_conversation_passes_untouched(call: PlatformCall, desk: Server, upstream: Upstream) -> None:
    check_answer(replay(desk, call))
    (taken,) = upstream.taken
    assert (taken.path, taken.raw) == (call.path, call.body)


@calls("models")
@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/models/"])
def test_the_list_of_models_is_one(call: PlatformCall, path: str, desk: Server) -> None:
    answer = replay(desk, replace(call, path=path))
    assert answer.status_code == 200
    listed = answer.json()
    assert listed["object"] == "list"
    assert [(model["object"], model["id"]) for model in listed["data"]] == [("model", "scripted")]


# ---------------------------------------------------------------------------------------------------------- identity


def conversation(desk: Server, call: PlatformCall) -> tuple[str, str]:
    """Return under which conversation and unit a call was recorded."""
    decision = replay(desk, call).headers["x-router-decision"]
    stored: dict[str, Any] = httpx.get(f"{desk.url}/v1/router/decisions/{decision}", trust_env=False).json()
    return stored["conversation"], stored["unit"]


@pytest.mark.parametrize(
    ("platform", "turn", "header"),
    [
        ("open_webui", "first_turn", "x-openwebui-chat-id"),
        ("librechat", "first_turn", "x-conversation-id"),
    ],
)
def test_a_conversation_is_known_by_the_platform_s_header(platform: str, turn: str, header: str, desk: Server) -> None:
    call = platform_call(platform, turn)
    other = replace(call, headers={**call.headers, header: "another-chat"})
    assert conversation(desk, call) == conversation(desk, call)
    assert conversation(desk, call)[0] != conversation(desk, other)[0]


def test_turns_of_one_chat_are_one_conversation(desk: Server) -> None:
    first, later = (
        platform_call("open_webui", name) for name in ("first_turn", "later_turn_with_system_text_and_parameters")
    )
    assert conversation(desk, first)[0] == conversation(desk, later)[0]


def test_the_user_of_the_body_is_the_unit(desk: Server) -> None:
    call = platform_call("dify", "chat_app")
    other = replace(call, body=call.body.replace(b"abc-123", b"def-456"))
    assert conversation(desk, call)[1] != conversation(desk, other)[1]


def test_the_same_words_come_back(desk: Server) -> None:
    answer = replay(desk, platform_call("n8n", "chain_in_chat_completions"))
    assert answer.json()["choices"][0]["message"]["content"] == TEXT
