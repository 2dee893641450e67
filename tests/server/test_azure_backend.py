"""`type: azure`: where a deployment is asked, and how the router shows who it is."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from router.core.errors import SettingsError
from router.server.composition import backend_of
from router.server.settings import BackendSettings
from router.server.settings_source import load_settings
from tests.support.application import Running, Start
from tests.support.litellm_warnings import LITELLM_WARNS
from tests.support.provider import Asked, Provider, said

pytestmark = LITELLM_WARNS

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-5",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}
TALK = [{"role": "user", "content": "hello"}]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "desk.yaml"
    file.write_text("name: desk\nbrief: Be brief.\n")
    return file


async def begun(start: Start, pack: Path, provider: Provider, **backend: Any) -> Running:
    settings = {
        "backends": {"azure": {"type": "azure", "base_url": provider.url, "api_key": "azure-key-of-ours", **backend}},
        "models": {"fast": {"backend": "azure", "model": "gpt 5/eu"}, "*": {"backend": "azure"}},
    }
    return await start(json.dumps(settings), packs=[pack])


def as_azure(asked: Asked) -> bytes:
    if asked.path.partition("?")[0].endswith("/chat/completions"):
        return said(CHAT)
    if asked.path.partition("?")[0].endswith("/models"):
        return said({"object": "list", "data": [{"id": "gpt-5"}]})
    return said({"error": {"code": "404", "message": "Resource not found"}}, 404)


VERSIONS = {
    "": ("/openai/v1/chat/completions", "/openai/v1/models"),
    "preview": ("/openai/v1/chat/completions?api-version=preview", "/openai/v1/models?api-version=preview"),
    "2024-10-21": (
        "/openai/deployments/gpt%205%2Feu/chat/completions?api-version=2024-10-21",
        "/openai/models?api-version=2024-10-21",
    ),
}


async def test_a_deployment_is_asked_at_its_address_with_the_key(start: Start, pack: Path) -> None:
    for version, (chat, models) in VERSIONS.items():
        for suffix in ("", "/openai/v1/", "/openai"):
            async with Provider(as_azure) as provider:
                running = await begun(start, pack, provider, api_version=version, base_url=provider.url + suffix)
                answer = await running.client.post("/v1/chat/completions", json={"model": "fast", "messages": TALK})
                assert answer.status_code == 200
                assert "gpt-5" in (await running.client.get("/v1/models")).text
                first, second = provider.asked
                assert (first.path, second.path) == (chat, models)
                assert first.headers["api-key"] == "azure-key-of-ours" and "authorization" not in first.headers
                assert first.json["model"] == "gpt 5/eu"
                await running.stop()


@pytest.mark.parametrize("version", ["", "2024-10-21"])
async def test_other_formats_are_bridged(start: Start, pack: Path, version: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("eyJ-of-entra")
    for more in ({}, {"api_key": None, "token_file": str(token)}):
        async with Provider(as_azure) as provider:
            running = await begun(start, pack, provider, api_version=version, **more)
            body = {"model": "gpt-5", "max_tokens": 50, "messages": TALK}
            answer = await running.client.post("/v1/messages", json=body)
            assert answer.status_code == 200 and answer.json()["content"][0]["text"] == "Yes."
            asked = provider.asked[-1]
            assert asked.path.startswith("/openai/deployments/gpt-5/chat/" if version else "/openai/v1/chat/")
            if more:
                assert asked.headers["authorization"] == "Bearer eyJ-of-entra"
            else:
                shown = asked.headers.get("api-key") or asked.headers["authorization"].removeprefix("Bearer ")
                assert shown == "azure-key-of-ours"
            await running.stop()


async def test_a_token_of_entra_is_read_again_when_it_has_expired(start: Start, pack: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("token-one\n")

    def answer(asked: Asked) -> bytes:
        good = asked.headers["authorization"] == f"Bearer {token.read_text().strip()}"
        return said(CHAT) if good else said({"error": {"message": f"expired: {asked.headers['authorization']}"}}, 401)

    async with Provider(answer) as provider:
        running = await begun(start, pack, provider, api_key=None, token_file="token")
        ask = {"model": "gpt-5", "messages": TALK}
        assert (await running.client.post("/v1/chat/completions", json=ask)).status_code == 200
        token.write_text("token-two")
        answers = await asyncio.gather(*(running.client.post("/v1/chat/completions", json=ask) for _ in range(3)))
        assert [each.status_code for each in answers] == [200] * 3
        token.unlink()
        assert (await running.client.get("/v1/models")).status_code == 200
        assert "api-key" not in provider.asked[-1].headers


WRONG = {
    "target of the portal": (
        {"base_url": "https://x.openai.azure.com/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21"},
        "must end before /openai",
    ),
    "no address": ({"base_url": ""}, "needs base_url"),
    "no version": ({"api_version": "v2"}, "a version such as 2024-10-21"),
    "key and token": ({"api_key": "k", "token_file": "token"}, "only in place of api_key"),
    "version of another": ({"type": "openai", "api_version": "2024-10-21"}, "litellm takes it under options"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_is_told_with_the_way_out(name: str, tmp_path: Path) -> None:
    given, words = WRONG[name]
    file = tmp_path / "router.yaml"
    backend = {"type": "azure", "base_url": "https://x.openai.azure.com", **given}
    file.write_text(json.dumps({"backends": {"azure": backend}}))
    with pytest.raises(SettingsError, match=r"router.yaml:1: backends.azure") as caught:
        load_settings(file, {})
    assert words in str(caught.value)


@pytest.mark.parametrize("held", [None, "", "two words", "line\nbreak"])
def test_a_file_without_a_token_is_an_error_at_the_start(held: str | None, tmp_path: Path) -> None:
    token = tmp_path / "token"
    if held is not None:
        token.write_text(held)
    settings = BackendSettings(type="azure", base_url="https://x.openai.azure.com", token_file=token)
    with pytest.raises(SettingsError, match=r"backends.main.token_file: .*token"):
        backend_of("main", settings)
