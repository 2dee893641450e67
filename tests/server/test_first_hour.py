"""The first hour: addresses that are nearly right, servers that are down, keys with a line break; who is told what."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.core.errors import SettingsError
from router.server.backend_probe import BackendFinding, probe
from router.server.settings import BackendSettings, ModelSettings, Settings
from router.server.settings_source import load_settings
from tests.support.application import Start
from tests.support.litellm_warnings import LITELLM_WARNS
from tests.support.scripted_provider import Asked, chat, message, provider
from tests.support.serving import free_port, serving_router

PACK = "name: desk\nbrief: Be polite.\n"
pytestmark = LITELLM_WARNS

HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "desk.yaml"
    file.write_text(PACK)
    return file


def at_v1(asked: Asked) -> Any:
    """Answer as Ollama does: OpenAI's formats under /v1, other things elsewhere, a Go server's words for the rest."""
    if asked.path == "/v1/models":
        return 200, {"object": "list", "data": [{"id": "llama", "object": "model"}]}
    if asked.path == "/v1/chat/completions":
        if not asked.body.get("model"):
            return 400, {"error": {"message": "model is required", "type": "invalid_request_error"}}
        return 200, chat()
    if asked.path == "/v1/messages":
        return 200, message()
    return 404, b"404 page not found", {"content-type": "text/plain"}


def without_list(asked: Asked) -> Any:
    return (404, {"detail": "Not Found"}) if asked.path.endswith("/models") else at_v1(asked)


def a_page(asked: Asked) -> Any:
    """Answer as a web interface does that serves its page at every other path."""
    known = asked.path.startswith("/v1/")
    return at_v1(asked) if known else (200, b"<!DOCTYPE html><html></html>", {"content-type": "text/html"})


async def found_at(base_url: str, call: bool = False, kind: Any = "openai", **more: Any) -> BackendFinding:
    chosen = BackendSettings(type=kind, base_url=base_url, **more)
    return await probe("up", chosen, {"*": ModelSettings(backend="up")}, call=call)


@pytest.mark.parametrize("server", [at_v1, without_list, a_page])
@pytest.mark.parametrize("path", ["", "/", "/api", "/v2"])
async def test_an_address_that_is_nearly_right_is_found_out(server: Callable[[Asked], Any], path: str) -> None:
    async with provider(server) as upstream:
        found = await found_at(upstream.url + path)
        assert not found.good and found.fix == f"write base_url: {upstream.url}/v1"
        assert (await found_at(upstream.url + "/v1/")).good


async def test_a_server_that_is_down_is_named_with_the_reason() -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    found = await found_at(address)
    assert not found.good and address in found.found and "refused" in found.found and "start the server" in found.fix


@pytest.mark.parametrize(
    ("kind", "answer", "good", "said", "fix"),
    [
        ("openai", at_v1, True, "model llama answered", ""),
        ("anthropic", at_v1, True, "model llama answered", ""),
        ("openai", lambda _: (401, {"error": {"message": "bad key"}}), False, "401", "api_key"),
        (
            "openai",
            lambda asked: at_v1(asked) if asked.method == "GET" else (429, {"error": {"message": "no credit left"}}),
            False,
            "no credit left",
            "quota",
        ),
    ],
)
async def test_doctor_makes_a_real_call_where_there_is_a_key(
    kind: str, answer: Callable[[Asked], Any], good: bool, said: str, fix: str
) -> None:
    async with provider(answer) as upstream:
        found = await found_at(upstream.url + "/v1", True, kind, api_key="sk-secret-0123456789")
    assert found.good is good and said in found.found and fix in found.fix
    assert "sk-secret-0123456789" in upstream.asked[-1].headers[{"openai": "authorization"}.get(kind, "x-api-key")] or (
        upstream.asked[-1].headers["authorization"] == "Bearer sk-secret-0123456789"
    )


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("format_", ["chat/completions", "responses", "messages"])
async def test_no_client_is_told_to_install_anything(
    format_: str, installed: bool, start: Start, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "litellm", None)
    async with provider(lambda _: (404, b"404 page not found", {"content-type": "text/plain"})) as upstream:
        running = await start(
            f'backends: {{up: {{type: openai, base_url: "{upstream.url}", api_key: x}}}}', packs=[pack]
        )
        body = {"responses": {"model": "m", "input": "hi"}}.get(format_, {**HI, "max_tokens": 5})
        reply = await running.client.post(f"/v1/{format_}", json=body)
    assert reply.status_code in (404, 503)
    if installed:
        assert reply.status_code == 404 and "does base_url lack /v1?" in reply.text
    assert "install " not in reply.text and "pip" not in reply.text and "[litellm]" not in reply.text
    assert "127.0.0.1" not in reply.text
    if format_ == "chat/completions":
        assert "answered 404 at /chat/completions" in reply.text and "does base_url lack /v1?" in reply.text


async def test_a_client_is_not_told_hosts_and_ports(start: Start, pack: Path) -> None:
    port = free_port()
    running = await start(
        f'backends: {{up: {{type: openai, base_url: "http://localhost:{port}/v1", speaks: [chat]}}}}\n'
        "retries: {attempts: 0}",
        packs=[pack],
    )
    reply = await running.client.post("/v1/chat/completions", json=HI)
    assert reply.status_code == 502 and reply.json()["error"]["code"] == "connect_failed"
    assert str(port) not in reply.text and "localhost" not in reply.text


@pytest.mark.parametrize("route", ["chat/completions", "completions", "responses", "messages", "embeddings/"])
def test_an_address_with_a_route_is_refused_at_start(route: str) -> None:
    with pytest.raises(ValueError, match=r"must end before .* write http://127.0.0.1:11434/v1"):
        BackendSettings(type="openai", base_url=f"http://127.0.0.1:11434/v1/{route}")


@pytest.mark.parametrize("wrapped", ["sk-1\n", "sk-1\r\n", "  sk-1 ", "\tsk-1"])
def test_what_stands_around_a_key_is_taken_off(wrapped: str) -> None:
    made = load_settings(None, {"OPENAI_API_KEY": wrapped}).backends["openai"].api_key
    assert made is not None and made.get_secret_value() == "sk-1"


@pytest.mark.parametrize("broken", ["sk-1\nsk-2", "sk\u20281", "sk\x001"])
def test_a_key_in_two_lines_is_refused_by_its_place(broken: str) -> None:
    with pytest.raises(SettingsError, match=r"backends\.openai\.api_key: holds a line break") as caught:
        load_settings(None, {"OPENAI_API_KEY": broken})
    assert "sk" not in str(caught.value).replace("backends", "")


def test_serve_says_in_its_log_what_to_write(tmp_path: Path, pack: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text(f'backends: {{up: {{type: openai, base_url: "http://127.0.0.1:{free_port()}/v1"}}}}')
    with serving_router("--config", str(config), "--pack", str(pack)) as server:
        while "backend up:" not in (said := server.said()):
            assert server.process.poll() is None
    assert "start the server at http://127.0.0.1" in said


def test_mistral_needs_no_setting() -> None:
    from router.server.model_table import ModelTable

    made = load_settings(None, {"MISTRAL_API_KEY": "sk-1"})
    assert not ModelTable(made.models, made.backends).resolve("mistral-small").capability.usage_in_streams
    assert Settings().backends["echo"].usage_in_streams is None
