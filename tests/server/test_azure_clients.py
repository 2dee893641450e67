"""Clients of Azure: they change their endpoint and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import openai
import pytest

from tests.support.application import Running, Start

SECRET = "pr-secret-of-an-azure-app"
KEYS = json.dumps({"keys": [{"name": "app", "sha256": hashlib.sha256(SECRET.encode()).hexdigest()}]})
ASKED = [{"role": "user", "content": "My blender arrived broken and I want my money back"}]
VERSION = "2024-10-21"


def azure(running: Running, prefix: str = "", **more: Any) -> openai.AsyncAzureOpenAI:
    given = {"api_key": SECRET} | more
    return openai.AsyncAzureOpenAI(
        azure_endpoint=f"http://127.0.0.1:8080{prefix}",
        api_version=VERSION,
        http_client=running.client,
        max_retries=0,
        **given,
    )


async def test_the_official_client_asks_as_it_asks_azure(start_small: Start) -> None:
    running = await start_small(KEYS)
    for prefix in ("", "/", "/p/customer-support"):
        for deployment in (None, "desk", "vendor/desk"):
            client = azure(running, prefix, azure_deployment=deployment)
            raw = await client.chat.completions.with_raw_response.create(model="written", messages=ASKED)
            assert raw.headers["x-router-revision"]
            assert raw.parse().model == (deployment or "written")
    client = azure(running)
    stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
    assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"
    assert (await client.embeddings.create(model="m", input="a")).data
    assert (await client.responses.create(model="m", input="a refund please")).output_text
    assert (await client.models.list()).object == "list"


async def test_the_v1_address_works_with_the_ordinary_client_too(start_small: Start) -> None:
    running = await start_small(KEYS)
    client = openai.AsyncOpenAI(
        base_url="http://127.0.0.1:8080/openai/v1/", api_key=SECRET, http_client=running.client, max_retries=0
    )
    assert (await client.chat.completions.create(model="m", messages=ASKED)).model == "m"


async def test_a_body_without_a_model_gets_the_deployment_and_keeps_the_rest(start_small: Start) -> None:
    running = await start_small()
    path = f"/openai/deployments/desk/chat/completions?api-version={VERSION}"
    answer = await running.client.post(path, json={"messages": ASKED, "user": "ann"})
    assert answer.status_code == 200 and answer.json()["model"] == "desk"
    broken = await running.client.post(path, content=b'{"messages": [')
    assert broken.status_code == 400 and broken.json()["error"]["code"] == "invalid_json"
    doubled = await running.client.post(path, content=b'{"model": "a", "Model": "b", "messages": []}')
    assert doubled.status_code == 400


async def test_the_key_is_taken_from_either_header(start_small: Start) -> None:
    running = await start_small(KEYS)
    entra = azure(running, api_key=None, azure_ad_token="eyJ-of-entra", default_headers={"x-api-key": SECRET})
    assert (await entra.chat.completions.create(model="m", messages=ASKED)).choices
    with pytest.raises(openai.AuthenticationError):
        await azure(running, api_key="wrong").chat.completions.create(model="m", messages=ASKED)
