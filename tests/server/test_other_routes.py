"""What else is asked of the same base URL: passed through both ways as it comes, by the official client, over sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn

from router.server.app import build_app
from router.server.protocol import protocol_for
from tests.support.application import Running, Start
from tests.support.provider import Asked, Provider, said

PATIENCE_S = 60
SECRETS = {"shop": "pr-secret-of-the-shop", "bank": "pr-secret-of-the-bank", "reader": "pr-secret-of-a-reader"}
SOUND = bytes(range(256)) * 40


def key(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(SECRETS[name].encode()).hexdigest(), **more}


def answer(asked: Asked) -> bytes:
    path = asked.path.partition("?")[0].removeprefix("/v1")
    if path == "/audio/speech":
        return said(SOUND, kind="audio/mpeg")
    if path == "/audio/transcriptions":
        return said({"text": "hello"})
    if path == "/files" and asked.method == "POST":
        return said({"id": "file-1", "object": "file", "bytes": len(asked.body)})
    if path.endswith("/content"):
        return said(SOUND, kind="application/octet-stream")
    if path == "/broken":
        return said({}, 500)
    return said({"id": "x-1", "object": "thing", "data": [], "results": [], "asked": path}, x_request_id="theirs")


class Served:
    """The application on a port of its own, and the official client for it."""

    def __init__(self, running: Running, url: str) -> None:
        self.running = running
        self.url = url

    def sdk(self, name: str = "shop") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=SECRETS[name], base_url=f"{self.url}/v1", max_retries=0)


@pytest.fixture
async def serve(start: Start, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    pack = tmp_path / "desk.yaml"
    pack.write_text("name: desk\nbrief: Be brief.\nrequired: [Never guess.]\n")

    @asynccontextmanager
    async def served(provider: Provider, **settings: Any) -> AsyncIterator[Served]:
        given = {
            "backends": {
                "main": {"type": "openai", "base_url": f"{provider.url}/v1", "api_key": "sk-of-the-operator"},
                "echo": {"type": "echo"},
            },
            "models": {"voice": {"backend": "main", "model": "whisper-1"}, "*": {"backend": "main"}},
            **settings,
        }
        running = await start(json.dumps(given), packs=[pack])
        config = uvicorn.Config(
            build_app(running.parts),
            port=0,
            http=protocol_for(running.parts.settings.limits),
            ws="none",
            lifespan="off",
            log_config=None,
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        await_start = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Served(running, f"http://127.0.0.1:{port}")
        finally:
            server.should_exit = True
            await await_start
            await running.stop()

    yield served


async def test_the_official_client_finds_its_other_routes(serve: Any) -> None:
    async with Provider(answer) as provider, serve(provider) as served, served.sdk() as client:
        assert (await client.audio.transcriptions.create(model="voice", file=("a.mp3", SOUND))).text == "hello"
        assert b'name="model"\r\n\r\nwhisper-1\r\n' in provider.asked[-1].body and SOUND in provider.asked[-1].body
        assert (await client.audio.speech.create(model="voice", voice="alloy", input="hi")).content == SOUND
        assert provider.asked[-1].json == {"model": "whisper-1", "voice": "alloy", "input": "hi"}
        assert (await client.files.create(file=("b.jsonl", SOUND), purpose="batch")).id == "file-1"
        assert (await client.files.content("file-1")).content == SOUND
        await client.files.delete("file-1")
        await client.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
        conversation = await client.conversations.create(items=[{"role": "user", "content": "hello"}])
        await client.conversations.items.list(conversation.id, limit=5)
        await client.images.generate(model="made-up", prompt="a cat")
        await client.images.edit(model="voice", image=("a.png", SOUND), prompt="a dog")
        assert [(each.method, each.path) for each in provider.asked[2:]] == [
            ("POST", "/v1/files"),
            ("GET", "/v1/files/file-1/content"),
            ("DELETE", "/v1/files/file-1"),
            ("POST", "/v1/batches"),
            ("POST", "/v1/conversations"),
            ("GET", "/v1/conversations/x-1/items?limit=5"),
            ("POST", "/v1/images/generations"),
            ("POST", "/v1/images/edits"),
        ]
        for asked in provider.asked:
            assert asked.headers["authorization"] == "Bearer sk-of-the-operator"
            assert b"Never guess" not in asked.body and SECRETS["shop"] not in str(asked.headers)
        azure = openai.AsyncAzureOpenAI(
            api_key="k", api_version="2024-10-21", azure_endpoint=served.url, azure_deployment="voice", max_retries=0
        )
        assert (await azure.audio.transcriptions.create(model="x", file=("a.mp3", SOUND))).text == "hello"
        assert b"whisper-1" in provider.asked[-1].body and "api-version" not in provider.asked[-1].path
        await azure.close()


async def test_other_spellings_and_what_no_client_of_openai_asks(serve: Any) -> None:
    async with Provider(answer) as provider, serve(provider) as served, httpx.AsyncClient() as client:
        for path in ("/rerank", "/v1/rerank/", "/openai/v1/rerank", "/p/desk/v1/rerank"):
            told = await client.post(served.url + path, json={"model": "voice", "query": "a", "documents": ["b"]})
            assert told.json()["asked"] == "/rerank" and provider.asked[-1].json["model"] == "whisper-1"
        form = {"file": ("a", b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nevil\r\n--x')}
        # the model behind the file, as curl sends it when it is written last
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--x\r\n' % SOUND
        body += b'Content-Disposition: form-data; name="model"\r\n\r\nvoice\r\n--x--\r\n'
        headers = {"content-type": "multipart/form-data; boundary=x"}
        await client.post(f"{served.url}/v1/audio/transcriptions", content=body, headers=headers)
        assert provider.asked[-1].body == body.replace(b"\r\nvoice\r\n", b"\r\nwhisper-1\r\n")
        await client.post(f"{served.url}/v1/audio/transcriptions", files=form)
        assert b"\r\nevil\r\n" in provider.asked[-1].body  # what a file holds is no field of the form
        for path, status in (("/v1/realtime", 404), ("/v1/organization/users", 404), ("/v1/files/..%2Fmodels", 400)):
            assert (await client.get(served.url + path)).status_code == status
        assert (await client.put(f"{served.url}/v1/files")).status_code == 405
        refused = await client.post(f"{served.url}/v1/rerank", content=b'{"model": [')
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")


async def test_an_upload_flows_while_it_is_sent_and_stops_with_its_sender(serve: Any) -> None:
    limits = {"body_bytes": 200_000, "upload_bytes": 5_000_000}
    async with Provider(answer) as provider, serve(provider, limits=limits) as served, httpx.AsyncClient() as client:
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        headers = {"content-type": "multipart/form-data; boundary=x"}
        gate = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield head
            for _ in range(10):
                yield b"s" * 100_000
            await gate.wait()
            yield b"\r\n--x--\r\n"

        asking = asyncio.create_task(client.post(f"{served.url}/v1/files", content=slowly(), headers=headers))
        asked = await asyncio.wait_for(provider.came.get(), PATIENCE_S)
        await asyncio.wait_for(asked.began.wait(), PATIENCE_S)  # long before its end
        assert not asking.done()
        gate.set()
        assert (await asking).json()["bytes"] == len(head) + 1_000_000 + 9

        gate.clear()
        asking = asyncio.create_task(client.post(f"{served.url}/v1/files", content=slowly(), headers=headers))
        asked = await asyncio.wait_for(provider.came.get(), PATIENCE_S)
        await asyncio.wait_for(asked.began.wait(), PATIENCE_S)
        asking.cancel()
        await asyncio.wait_for(asked.gone.wait(), PATIENCE_S)

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"s" * 100_000

        for content in (b"s" * 5_000_001, endless()):
            try:
                refused = await client.post(f"{served.url}/v1/files", content=content, headers=headers)
            except httpx.TransportError:
                continue  # an endless body was cut
            assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
        too_large = await client.post(f"{served.url}/v1/embeddings", content=b" " * 200_001)
        assert too_large.status_code == 413


async def test_an_answer_that_breaks_off_never_looks_whole(serve: Any) -> None:
    cut: dict[str, bytes] = {
        "audio": b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\nx-hang-up: 1\r\ncontent-length: 999\r\n\r\nsound",
        "events": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-hang-up: 1\r\ncontent-length: 999\r\n\r\n"
        b'data: {"type":"transcript.text.delta","delta":"a"}\n\n',
    }
    kind = "audio"
    async with Provider(lambda _: cut[kind]) as provider, serve(provider) as served, served.sdk() as client:
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            await client.audio.speech.create(model="voice", voice="alloy", input="hi")
        kind = "events"
        stream = await client.audio.transcriptions.create(model="voice", file=("a.mp3", SOUND), stream=True)
        with pytest.raises(openai.APIError):
            [event async for event in stream]


async def test_keys_scopes_tenants_and_the_switch(serve: Any) -> None:
    keys = [key("shop", provider_ids=["conv_shop_*"]), key("bank"), key("reader", scopes=["read"])]
    async with Provider(answer) as provider, serve(provider, keys=keys) as served:
        shop, bank, reader = served.sdk(), served.sdk("bank"), served.sdk("reader")
        with pytest.raises(openai.PermissionDeniedError):
            await reader.files.list()
        await shop.conversations.retrieve("conv_shop_1")
        await bank.files.create(file=("b.jsonl", SOUND), purpose="batch")
        known = len(provider.asked)
        with pytest.raises(openai.NotFoundError):
            await bank.conversations.retrieve("conv_shop_1")
        with pytest.raises(openai.NotFoundError):
            await bank.batches.create(input_file_id="file-1", endpoint="/v1/embeddings", completion_window="24h")
        with pytest.raises(openai.PermissionDeniedError):
            await bank.files.list()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{served.url}/v1/files/file-1")).status_code == 401
        assert len(provider.asked) == known
        for each in (shop, bank, reader):
            await each.close()
    async with Provider(answer) as provider, serve(provider, other_routes=False) as served, served.sdk() as client:
        with pytest.raises(openai.NotFoundError, match="other_routes"):
            await client.files.list()
        assert not provider.asked


async def test_a_backend_without_such_routes_says_so(serve: Any) -> None:
    models = {"echo": {"backend": "echo"}, "*": {"backend": "main"}}
    async with Provider(answer) as provider, serve(provider, models=models) as served, served.sdk() as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.images.generate(model="echo", prompt="a cat")
        assert caught.value.status_code in (400, 404)
