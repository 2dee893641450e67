"""Which backend gets a request, and what an unknown path looks like from outside."""

from __future__ import annotations

import asyncio
import json

import pytest

from router.backends.bridged import BRIDGED, BridgedBackend, is_unknown_route
from router.core.errors import BackendError, SettingsError
from router.core.ports import BackendAnswer, BackendRequest

CHAT, RESPONSES, MESSAGES, COUNT = "/chat/completions", "/responses", "/messages", "/messages/count_tokens"
EVENTS = (("content-type", "text/event-stream"),)
JSON = (("content-type", "application/json"),)


def status(code, body=None):
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return BackendError("no", status=code, code="backend_status", body=raw, retryable=code >= 500)


class Scripted:
    """A backend that gives the next of its answers, or raises it."""

    def __init__(self, name, *answers):
        self.name = name
        self.answers = list(answers)
        self.asked = []
        self.prepared = self.closed = 0

    async def prepare(self):
        self.prepared += 1

    async def send(self, outgoing):
        self.asked.append(f"{outgoing.method} {outgoing.path}")
        answer = self.answers.pop(0) if self.answers else BackendAnswer(200, body=self.name.encode())
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def aclose(self):
        self.closed += 1


@pytest.fixture
def pair():
    def make(*native, bridge=(), speaks=None):
        ours, other = Scripted("native", *native), Scripted("bridge", *bridge)
        return BridgedBackend(ours, other, speaks), ours, other

    return make


async def body_of(backend, path=MESSAGES, method="POST", **more):
    answer = await backend.send(BackendRequest(path, b"{}", method=method, **more))
    return answer.body if answer.chunks is None else b"".join([chunk async for chunk in answer.chunks])


@pytest.mark.parametrize("path", sorted(BRIDGED))
@pytest.mark.parametrize("speaks", [frozenset({CHAT}), frozenset({MESSAGES, COUNT}), BRIDGED, frozenset()])
async def test_the_operator_says_what_is_spoken(pair, path, speaks):
    backend, native, bridge = pair(speaks=speaks)
    assert await body_of(backend, path) == (b"native" if path in speaks else b"bridge")
    assert len(native.asked) + len(bridge.asked) == 1 and backend.name == "native"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/embeddings"),
        ("POST", "/completions"),
        ("POST", "/moderations"),
        ("GET", "/models"),
        ("GET", "/responses/resp_1"),
        ("DELETE", "/responses/resp_1"),
        ("POST", "/responses/resp_1/cancel"),
        ("GET", "/chat/completions"),
    ],
)
async def test_all_else_is_native(pair, method, path):
    for speaks in (frozenset(), None):
        backend, native, bridge = pair(status(404, {"detail": "Not Found"}), speaks=speaks)
        with pytest.raises(BackendError):
            await body_of(backend, path, method)
        assert native.asked == [f"{method} {path}"] and not bridge.asked and not (speaks is None and backend.bridged)


def test_a_path_that_cannot_be_spoken(pair):
    with pytest.raises(SettingsError, match=r'no path "/message"; did you mean "/messages"\?'):
        pair(speaks={"/message"})


def error(message, kind=None, code=None, param=None):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


UNKNOWN = {
    "openai": (404, error("Invalid URL (POST /v1/messages)", "invalid_request_error")),
    "openai, newer": (404, error("Invalid URL (POST /v1/messages)", "invalid_request_error", "unknown_url")),
    "groq": (404, error("Unknown request URL: POST /openai/v1/messages. Please check the URL.", code="unknown_url")),
    "anthropic": (404, {"type": "error", "error": {"type": "not_found_error", "message": "Not Found"}}),
    "llama.cpp": (404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}),
    "vllm, fastapi": (404, {"detail": "Not Found"}),
    "vllm, newer": (404, error("Not Found", "Not Found", 404)),
    "ollama, as text": (404, b"404 page not found"),
    "ollama, wrapped": (404, {"error": {"message": "404 page not found", "code": 404, "status": "Not Found"}}),
    "azure": (404, error("Resource not found", code="404")),
    "kong": (404, {"message": "no Route matched with those values"}),
    "lm studio": (404, {"error": "Unexpected endpoint or method. (POST /v1/messages)"}),
    "express": (404, b"<pre>Cannot POST /v1/messages</pre>"),
    "a page": (404, None),
    "an empty object": (404, {}),
    "method": (405, {"detail": "Method Not Allowed"}),
    "method, bare": (405, None),
    "not implemented": (501, error("The model does not support Chat Completions API", "NotImplementedError", 501)),
}
KNOWN = {
    "openai, model": (
        404,
        error("The model `x` does not exist or you do not have access to it.", code="model_not_found"),
    ),
    "anthropic, model": (404, {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}}),
    "vllm, model": (404, error("The model `x` does not exist.", "NotFoundError", 404, "model")),
    "vllm, older": (404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"}),
    "ollama, model": (404, error('model "x" not found, try pulling it first', "api_error")),
    "ollama, old": (404, {"error": "model 'x' not found"}),
    "azure, deployment": (404, error("The API deployment does not exist.", code="DeploymentNotFound")),
    "terse, model": (404, error("Not Found", code="model_not_found")),
    "terse, param": (404, error("Not found", param="model")),
    "a conversation": (404, error("Conversation with id 'conv_1' not found.", "invalid_request_error")),
    "a list": (404, [{"error": {"code": 404, "message": "Not Found"}}]),
    "another status": (400, error("Invalid URL (POST /v1/messages)")),
    "overloaded": (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "unauthorised": (401, {"detail": "Not Found"}),
    "no sense": (404, {"error": {"message": 7}}),
}


@pytest.mark.parametrize(("code", "body"), UNKNOWN.values(), ids=UNKNOWN)
async def test_an_unknown_path_is_learnt(pair, code, body):
    backend, native, bridge = pair(status(code, body))
    for _ in range(3):
        assert await body_of(backend) == b"bridge"
    assert len(native.asked) == 1 and len(bridge.asked) == 3
    assert backend.bridged == {MESSAGES}
    assert await body_of(backend, CHAT) == b"native"


@pytest.mark.parametrize(("code", "body"), KNOWN.values(), ids=KNOWN)
async def test_any_other_refusal_is_the_answer(pair, code, body):
    refusal = status(code, body)
    backend, _, bridge = pair(refusal, refusal)
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            await body_of(backend)
        assert caught.value is refusal
    assert not bridge.asked and not backend.bridged


@pytest.mark.parametrize("code", ["connect_failed", "timeout_first_byte", "truncated", "redirect"])
def test_a_failure_is_no_word_about_the_path(code):
    assert not is_unknown_route(BackendError("no", status=404, code=code))


NO_ROUTE = status(404, {"detail": "Not Found"})


async def test_nothing_is_learnt_until_the_bridge_has_answered(pair):
    backend, native, bridge = pair(NO_ROUTE, NO_ROUTE, bridge=[status(429), BackendAnswer(200, body=b"bridge")])
    with pytest.raises(BackendError) as caught:
        await body_of(backend)
    assert caught.value.status == 429 and not backend.bridged
    assert await body_of(backend) == b"bridge" and backend.bridged == {MESSAGES}
    assert len(native.asked) == 2 and len(bridge.asked) == 2


async def test_what_has_worked_is_never_bridged(pair):
    backend, _, bridge = pair(BackendAnswer(200, body=b"native"), NO_ROUTE)
    assert await body_of(backend) == b"native"
    with pytest.raises(BackendError) as caught:
        await body_of(backend)
    assert caught.value is NO_ROUTE and not bridge.asked


async def test_nor_when_the_two_cross(pair):
    backend, native, bridge = pair()
    bridging, answer = asyncio.Event(), asyncio.Event()
    native.answers = [NO_ROUTE]

    async def slow(_):
        bridging.set()
        await answer.wait()
        return BackendAnswer(200, body=b"bridge")

    bridge.send = slow
    first = asyncio.create_task(body_of(backend))
    await bridging.wait()
    assert await body_of(backend) == b"native"
    answer.set()
    assert await first == b"bridge" and not backend.bridged


class Chunks:
    def __init__(self, *chunks):
        self.chunks = list(chunks)
        self.closed = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.chunks:
            raise StopAsyncIteration
        chunk = self.chunks.pop(0)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    async def aclose(self):
        self.closed = True


UNEXPECTED = b'{"error":"Unexpected endpoint or method. (POST /v1/messages)"}'


async def test_an_unknown_path_with_status_200(pair):
    streamed = Chunks(UNEXPECTED)
    for answer in (BackendAnswer(200, JSON, UNEXPECTED), BackendAnswer(200, JSON, chunks=streamed)):
        backend, _, _ = pair(answer)
        assert await body_of(backend) == b"bridge" and backend.bridged == {MESSAGES}
    assert streamed.closed


@pytest.mark.parametrize("headers", [EVENTS, JSON, ()])
async def test_a_stream_comes_as_it_is(pair, headers):
    chunks = Chunks(b"data: 1\n\n", b"data: 2\n\n")
    backend, _, _ = pair(BackendAnswer(200, headers, chunks=chunks))
    answer = await backend.send(BackendRequest(MESSAGES, b"{}", stream=True))
    assert [chunk async for chunk in answer.chunks] == [b"data: 1\n\n", b"data: 2\n\n"]
    await answer.aclose()
    assert chunks.closed and answer.headers == headers


async def test_a_stream_that_fails_at_once_is_closed(pair):
    chunks = Chunks(BackendError("cut", code="truncated"))
    backend, _, bridge = pair(BackendAnswer(200, JSON, chunks=chunks))
    with pytest.raises(BackendError, match="cut"):
        await body_of(backend)
    assert chunks.closed and not bridge.asked


@pytest.mark.parametrize(("speaks", "prepared"), [(None, 0), (BRIDGED, 0), ({CHAT}, 1)])
async def test_the_bridge_is_made_ready_where_it_is_needed(pair, speaks, prepared):
    backend, _, bridge = pair(speaks=speaks)
    await backend.prepare()
    assert bridge.prepared == prepared


async def test_both_are_closed(pair):
    backend, native, bridge = pair()
    await backend.aclose()
    assert (native.closed, bridge.closed) == (1, 1)
