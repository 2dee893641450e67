"""Tenants are kept apart on what the provider keeps: nobody goes on from an answer that was given to somebody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from router.assembly import WIRES
from router.core.errors import Degraded
from router.engine import threads
from router.engine.prepare import Call
from tests.support.application import Running, Start

ASKED = "My blender arrived broken and I want my money back"
SECRETS = {"shop": "pr-secret-of-the-shop", "bank": "pr-secret-of-the-bank", "reader": "pr-secret-of-a-reader"}


def key(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(SECRETS[name].encode()).hexdigest(), **more}


def keys(*listed: dict[str, Any]) -> str:
    return f"keys: {json.dumps(listed)}"


TWO = keys(key("shop"), key("bank"))
ONE = keys(key("shop"), key("bank", tenant="shop"), key("reader", scopes=["read", "feedback"]))


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "PATIENCE_S", (0.0, 0.0))


def sdk(running: Running, name: str) -> openai.AsyncOpenAI:
    """The official client with a tenant's key, speaking to this application."""
    return openai.AsyncOpenAI(
        api_key=SECRETS[name], base_url="http://127.0.0.1:8080/v1", http_client=running.client, max_retries=0
    )


async def ask(running: Running, name: str, **more: Any) -> Any:
    return await sdk(running, name).responses.create(model="echo", **{"input": ASKED, **more})


def reference(answer: str) -> dict[str, Any]:
    return {"input": [{"type": "item_reference", "id": answer}, {"role": "user", "content": "and then?"}]}


WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "previous_response_id": lambda answer: {"previous_response_id": answer},
    "conversation": lambda _: {"conversation": "conv_of_the_shop"},
    "conversation by object": lambda _: {"conversation": {"id": "conv_of_the_shop"}},
    "item_reference": reference,
    "untyped reference": lambda answer: {"input": [{"id": answer}, {"role": "user", "content": "and then?"}]},
    "prompt": lambda _: {"prompt": {"id": "pmpt_of_the_shop"}},
    "both": lambda answer: {"previous_response_id": answer, "conversation": "conv_of_the_shop"},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("way", WAYS)
async def test_what_was_given_to_another_tenant_does_not_exist(start: Start, way: str, stream: bool) -> None:
    running = await start(TWO)
    first = await ask(running, "shop")
    with pytest.raises(openai.NotFoundError) as refused:
        await ask(running, "bank", stream=stream, **WAYS[way](first.id))
    assert refused.value.code == "not_found" and refused.value.type == "not_found_error"
    assert ASKED not in str(refused.value)


@pytest.mark.parametrize("path", ["responses", "responses/input_tokens", "responses/compact"])
async def test_every_route_that_takes_such_an_id_asks_whose_it_is(start: Start, path: str) -> None:
    running = await start(TWO)
    first = await ask(running, "shop")
    body = {"model": "echo", "input": "and then?", "previous_response_id": first.id}
    for prefix in ("/v1/", "/", "/p/customer-support/v1/"):
        headers = {"authorization": f"Bearer {SECRETS['bank']}"}
        answer = await running.client.post(prefix + path, json=body, headers=headers)
        assert answer.status_code == 404 and answer.json()["error"]["param"] == "previous_response_id"


async def test_a_tenant_goes_on_from_its_own_answer_whole_or_streamed_by_any_of_its_keys(start: Start) -> None:
    config = keys(key("shop"), key("bank"), {**key("reader"), "tenant": "shop", "scopes": ["infer"]})
    running = await start(config)
    first = await ask(running, "shop")
    streamed = await ask(running, "shop", stream=True, previous_response_id=first.id)
    last = [event async for event in streamed][-1]
    third = await ask(running, "reader", previous_response_id=last.response.id)
    assert ASKED in third.output_text and third.previous_response_id == last.response.id


async def test_an_answer_is_its_tenants_while_it_is_still_being_streamed(start: Start) -> None:
    running = await start(TWO)
    body = json.dumps({"model": "echo", "input": ASKED, "stream": True}).encode()
    reply = await running.parts.pipeline.run(Call(WIRES["responses"], body, tenant="shop", id="dec_1"))
    assert reply.chunks is not None
    created = await anext(reply.chunks)
    answer = json.loads(created.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"]
    for name, error in (("shop", openai.BadRequestError), ("bank", openai.NotFoundError)):
        with pytest.raises(error):  # the echo answers at once, so there is nothing that it could cancel
            await sdk(running, name).responses.cancel(answer)
    await reply.chunks.aclose()
    assert (await sdk(running, "shop").responses.retrieve(answer)).id == answer


async def test_what_nobody_knows_does_not_exist_either(start: Start) -> None:
    running = await start(TWO)
    client = sdk(running, "bank")
    for unknown in ("resp_never_seen", "resp_" + "x" * 300, "resp_\0", "resp_\ud800"):
        with pytest.raises((openai.NotFoundError, UnicodeEncodeError)):
            await ask(running, "bank", previous_response_id=unknown)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            await call("resp_never_seen")


async def test_while_the_store_fails_nothing_can_be_proved(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start(TWO)
    first = await ask(running, "shop")

    def fail(answer: str) -> Any:
        raise Degraded("store_failed", "down")

    monkeypatch.setattr(running.parts.ownership, "_owners", fail)
    with pytest.raises(openai.NotFoundError):
        await ask(running, "shop", previous_response_id=first.id)
    with pytest.raises(openai.NotFoundError):
        await sdk(running, "shop").responses.retrieve(first.id)
    assert 'router_degraded_total{code="store_failed"} 2.0' in running.parts.metrics.text().decode()


async def test_an_id_that_two_tenants_were_given_is_nobodys(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start(TWO)  # some servers let clients choose the id of their answer
    monkeypatch.setattr(running.parts.ownership, "_owners", lambda answer: [("bank", "echo"), ("shop", "echo")])
    for name in ("shop", "bank"):
        with pytest.raises(openai.NotFoundError):
            await ask(running, name, previous_response_id="resp_chosen")


@pytest.mark.parametrize("config", ["", ONE], ids=["no keys", "keys of one tenant"])
async def test_one_tenant_may_name_whatever_the_provider_knows(start: Start, config: str) -> None:
    running = await start(config)
    first = await ask(running, "shop")
    for way in ("previous_response_id", "conversation", "item_reference", "prompt"):
        assert (await ask(running, "bank", **WAYS[way](first.id))).status == "completed"
    with pytest.raises(openai.BadRequestError):  # the echo itself does not know it
        await ask(running, "shop", previous_response_id="resp_never_seen")


async def test_ids_that_the_operator_lists_may_be_named(start: Start) -> None:
    ids = ["pmpt_of_the_shop", "conv_*", "resp_old*"]
    running = await start(keys(key("shop", provider_ids=ids), key("bank")))
    for way in ("conversation", "prompt"):
        assert (await ask(running, "shop", **WAYS[way](""))).status == "completed"
        with pytest.raises(openai.NotFoundError):
            await ask(running, "bank", **WAYS[way](""))
    with pytest.raises(openai.BadRequestError):  # the echo itself does not know it
        await ask(running, "shop", previous_response_id="resp_older")
    with pytest.raises(openai.NotFoundError):
        await ask(running, "shop", prompt={"id": "pmpt_of_the_shop_next_door"})
    foreign = await ask(running, "bank")
    with pytest.raises(openai.NotFoundError):
        await ask(running, "shop", previous_response_id=foreign.id)


async def test_requests_without_such_ids_are_not_asked_about(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start(TWO)
    monkeypatch.delattr(threads.Ownership, "require")
    assert (await ask(running, "shop")).status == "completed"
    items = [
        {"type": "message", "id": "msg_1", "role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Hi"},
    ]
    assert (await ask(running, "shop", input=items)).status == "completed"


async def test_a_refusal_is_recorded_as_what_it_was(start: Start) -> None:
    running = await start(TWO)
    with pytest.raises(openai.NotFoundError):
        await ask(running, "bank", previous_response_id="resp_never_seen")
    running.parts.recorder.flush()
    assert 'router_errors_total{backend="",code="not_found"} 1.0' in running.parts.metrics.text().decode()


async def test_a_refused_request_leaves_nothing_in_the_pins(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start(TWO)
    first = await ask(running, "shop")
    kept: list[object] = []
    for change in ("keep", "use"):
        monkeypatch.setattr(running.parts.pipeline.preparer.pins, change, lambda *pin: kept.append(pin))
    for way in WAYS.values():
        with pytest.raises(openai.NotFoundError):
            await ask(running, "bank", **way(first.id))
    assert not kept
    await ask(running, "shop", previous_response_id=first.id)
    assert kept
