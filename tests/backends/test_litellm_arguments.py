"""What of a client's body becomes an argument of litellm's: only what is listed, and nothing that makes us call out."""

from __future__ import annotations

import sys

import pytest

from router.backends import LiteLLMBackend
from router.backends.litellm.arguments import CHAT, EMBEDDING, TEXT, arguments, chat_arguments
from router.core.errors import BackendError, SettingsError
from router.core.ports import BackendRequest

MESSAGES = [{"role": "user", "content": "Hi"}]

SMUGGLED = {
    "api_base": "http://evil.example/v1",
    "base_url": "http://evil.example/v1",
    "api_key": "sk-client",
    "api_version": "evil",
    "headers": {"x-evil": "1"},
    "extra_headers": {"x-evil": "1"},
    "default_headers": {"x-evil": "1"},
    "extra_body": {"evil": 1},
    "user_config": {"model_list": [{"litellm_params": {"api_base": "http://evil.example"}}]},
    "mock_response": "evil",
    "mock_tool_calls": [{"id": "evil"}],
    "mock_timeout": True,
    "custom_llm_provider": "ollama",
    "fallbacks": [{"model": "evil"}],
    "context_window_fallback_dict": {"m": "evil"},
    "model_list": [{"model_name": "m"}],
    "num_retries": 5,
    "max_retries": 5,
    "timeout": 0.001,
    "request_timeout": 0.001,
    "organization": "org-client",
    "metadata": {"evil": 1},
    "litellm_metadata": {"evil": 1},
    "litellm_call_id": "evil",
    "litellm_logging_obj": {},
    "litellm_params": {"api_base": "http://evil.example"},
    "callbacks": ["evil"],
    "success_callback": ["evil"],
    "azure_ad_token": "evil",
    "aws_access_key_id": "evil",
    "aws_bedrock_runtime_endpoint": "http://evil.example",
    "vertex_credentials": "/etc/passwd",
    "client": "evil",
    "http_client": "evil",
    "shared_session": {},
    "deployment_id": "evil",
    "engine": "evil",
    "caching": True,
    "cache": {"no-cache": False},
    "prompt_id": "evil",
    "input_cost_per_token": 1,
    "drop_params": False,
    "allowed_openai_params": ["evil"],
    "use_litellm_proxy": True,
    "guardrails": ["evil"],
    "ssl_verify": False,
    "proxy_server_request": {},
    "self": 1,
    "args": [1],
    "kwargs": {"api_base": "evil"},
    "acompletion": False,
    "stream_timeout": 0.001,
    "preset_cache_key": "evil",
    "no-log": True,
    "specific_deployment": True,
}


@pytest.mark.parametrize(
    ("names", "body"),
    [(CHAT, {"messages": MESSAGES}), (TEXT, {"prompt": "Hi"}), (EMBEDDING, {"input": "Hi"})],
    ids=["chat", "text", "embedding"],
)
def test_only_listed_names_are_taken(names, body):
    assert arguments(body | SMUGGLED, names, links=False) == body


@pytest.mark.parametrize("names", [CHAT, TEXT, EMBEDDING], ids=["chat", "text", "embedding"])
def test_no_list_names_what_could_be_smuggled(names):
    assert not set(names) & set(SMUGGLED)


def test_all_that_is_listed_is_taken_and_null_is_not():
    body = {"messages": MESSAGES, "temperature": 0, "seed": 7, "stop": None, "tools": [{"type": "function"}]}
    assert arguments(body, CHAT, links=False) == {key: value for key, value in body.items() if key != "stop"}


LINKS = [
    {"type": "image_url", "image_url": {"url": "http://127.0.0.1/secret.png"}},
    {"type": "image_url", "image_url": "http://169.254.169.254/latest"},
    {"type": "image_url", "image_url": {"url": " HTTPS://evil.example/x.png"}},
    {"type": "image_url", "image_url": {"url": "//evil.example/x.png"}},
    {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
    {"type": "image_url", "image_url": {"url": "gs://bucket/x.png"}},
    {"type": "image_url", "image_url": {"url": "\thttp:evil.example"}},
    {"type": "image_url", "image_url": {"url": "<http://evil.example/x.png>"}},
    {"type": "file", "file": {"file_id": "https://evil.example/x.pdf"}},
    {"type": "file", "file": {"file_data": "http://evil.example/x.pdf"}},
    {"type": "video_url", "video_url": {"url": "ftp://evil.example/x.mp4"}},
    {"type": "document", "source": {"type": "url", "url": "http://evil.example/"}},
    {"type": "image_url", "image_url": {"url": {"url": {"url": {"url": "http://evil.example/"}}}}},
    {"type": "text", "text": "See", "image_url": {"url": "http://evil.example/"}},
    {"type": "text", "text": ["http://evil.example/"]},
    "http://evil.example/",
]


@pytest.mark.parametrize("part", LINKS)
def test_links_are_refused_unless_the_operator_allows_them(part):
    body = {"messages": [*MESSAGES, {"role": "user", "content": [{"type": "text", "text": "See http://a.b/"}, part]}]}
    with pytest.raises(BackendError, match=r"messages\[1\].content\[1\]: links are not followed") as caught:
        arguments(body, CHAT, links=False)
    assert (caught.value.status, caught.value.retryable) == (400, False)
    assert arguments(body, CHAT, links=True) == body


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "See http://example.com/"},
        {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": 'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg"/>'}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-abc123", "filename": "a b.pdf"}},
    ],
)
def test_what_is_in_the_message_itself_is_fine(part):
    body = {"messages": [{"role": "user", "content": [part]}]}
    assert arguments(body, CHAT, links=False) == body


@pytest.mark.parametrize(
    ("names", "body", "said"),
    [
        (CHAT, {}, "no messages"),
        (CHAT, {"messages": "Hi"}, "must be a list"),
        (CHAT, {"messages": ["Hi"]}, "must be a list of objects"),
        (CHAT, {"messages": [{"role": "user", "content": {"url": "x"}}]}, "must be a text or a list"),
        (CHAT, {"messages": MESSAGES, "tools": {}}, "tools must be a list"),
        (CHAT, {"messages": MESSAGES, "tools": [{"type": "mcp", "server_url": "http://a.b"}]}, r"tools\[0\]"),
        (CHAT, {"messages": MESSAGES, "tools": [{"type": "function"}, "x"]}, r"tools\[1\]"),
        (TEXT, {"prompt": None}, "no prompt"),
        (EMBEDDING, {}, "no input"),
    ],
)
def test_what_cannot_be_asked(names, body, said):
    with pytest.raises(BackendError, match=said) as caught:
        arguments(body, names, links=False)
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (400, "invalid_request", False)


@pytest.mark.parametrize("prompt", ["Hi", ["Hi"]])
def test_a_text_completion_is_asked_as_a_chat(prompt):
    given = {"prompt": prompt, "logprobs": 2, "echo": True, "best_of": 2, "temperature": 0.5, "api_key": "ours"}
    assert chat_arguments(given) == {"messages": MESSAGES, "temperature": 0.5, "api_key": "ours"}


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1]], [], 7])
def test_but_only_one_with_one_text(prompt):
    with pytest.raises(BackendError, match="one prompt"):
        chat_arguments({"prompt": prompt})


@pytest.fixture
def backend(monkeypatch):
    """One that must not get as far as to need litellm."""
    monkeypatch.setitem(sys.modules, "litellm", None)
    return LiteLLMBackend(name="main", provider="anthropic")


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"messages":[]}', b'{"messages":[],"model":7}', b'{"model":"m"}'],
)
async def test_what_is_no_request(backend, raw):
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest("/chat/completions", raw))
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (400, "invalid_request", False)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/models"), ("POST", "/moderations"), ("DELETE", "/chat/completions")]
)
async def test_what_is_not_served(backend, method, path):
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(path, b"{}", method=method))
    assert (caught.value.status, caught.value.code) == (404, "unknown_path")


@pytest.mark.parametrize("provider", ["", "openai/gpt"])
def test_a_provider_must_be_named(provider):
    with pytest.raises(SettingsError, match="provider must be one of litellm's names"):
        LiteLLMBackend(name="main", provider=provider)
