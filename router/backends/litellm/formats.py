"""Responses and Anthropic Messages as chats, and back, by litellm's own translators; and how many tokens they cost.

One way for all providers: what a client asks in either format becomes the arguments of a chat, the chat is asked as any
other (`backend`), and its answer becomes one of the client's format. litellm has ways of its own from format to
format; they are not taken, since they import its proxy, run tools, or go on reading for the bill when the client has
left.

A chat carries less, so this is lost on the way:

- Responses: whatever a server keeps. `previous_response_id`, `conversation`, `background`, `prompt` and items that only
  name a kept one are refused with the way out; `store`, `include`, `truncation`, `max_tool_calls`, `top_logprobs` and
  `metadata` have no effect, and an answer says `store: false`. Encrypted reasoning is not passed on.
- Messages: `container`, `context_management`, `mcp_servers`, `service_tier`, citations, and of `metadata` all but the
  user. The input tokens of a stream are told at its end. Signed thinking survives only where the provider is Anthropic.
- Both: tools that are run by the provider, and tools of the type `mcp`, are refused.
- Client headers (`anthropic-beta`) stay below: litellm sets its own.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from router.backends.litellm.arguments import (
    CHAT,
    EMBEDDING,
    TEXT,
    arguments,
    chat_arguments,
    check_messages,
    check_tools,
    invalid,
)
from router.backends.litellm.library import BUILT_IN_ERRORS, LoadedLiteLLM
from router.backends.litellm.stream import LiteLLMChunks, Payload, as_text, chat_events, plain
from router.backends.sse import named_event

MESSAGES = tuple(
    """
    messages max_tokens output_config output_format stop_sequences system temperature thinking tool_choice tools
    top_k top_p
    """.split()
)
RESPONSES = tuple(
    """
    input instructions max_output_tokens parallel_tool_calls reasoning safety_identifier temperature text
    tool_choice tools top_p user
    """.split()
)
_KEPT_ELSEWHERE = {
    "previous_response_id": "send the whole conversation as `input` instead",
    "conversation": "send the whole conversation as `input` instead",
    "background": "ask for a stream instead",
    "prompt": "send its text as `instructions` and `input` instead",
}
_ITEMS = (
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
)
_BLOCKS = ("text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking")
"""What a translator knows. It drops the rest without a word; and litellm fetches what an `image_url` names."""

_CUSTOM = (None, "custom")
_COUNTED = ("thinking", "tool_choice", "output_config")


@dataclass(frozen=True, slots=True)
class Translation:
    """A request as a call of litellm, and how its answer becomes one of the client's format.

    `function` is litellm's, `asked` its arguments. `whole` takes its answer, `events` its stream.
    """

    asked: dict[str, Any]
    whole: Callable[[Any], Payload]
    events: Callable[[LiteLLMChunks], AsyncIterator[bytes]]
    function: str = "acompletion"


def from_chat(body: Mapping[str, Any], model: str, *, links: bool) -> Translation:
    """Take a chat as it is. Raises BackendError (400)."""
    given = arguments(body, CHAT, links=links)
    return Translation(given, plain, partial(chat_events, usage=_wants_usage(given)))


def from_text(body: Mapping[str, Any], model: str, *, links: bool) -> Translation:
    """Translate a text completion where it is to be streamed, else take it as it is. Raises BackendError (400)."""
    given = arguments(body, TEXT, links=links)
    events = partial(chat_events, usage=_wants_usage(given), shape=as_text)
    if given.get("stream") is not True:
        return Translation(given, plain, events, "atext_completion")
    # What atext_completion gives can be neither stopped nor checked. It asks a chat model all the same.
    return Translation(chat_arguments(given), plain, events)


def from_embedding(body: Mapping[str, Any], model: str, *, links: bool) -> Translation:
    """Take a request for embeddings as it is; there is no stream of them. Raises BackendError (400)."""
    return Translation(arguments(body, EMBEDDING, links=links), plain, partial(chat_events, usage=False), "aembedding")


def from_messages(body: Mapping[str, Any], model: str, *, links: bool) -> Translation:
    """Translate an Anthropic request. Raises BackendError (400)."""
    from litellm.llms.anthropic.pass_through.adapters.streaming_iterator import (  # noqa: PLC0415
        AnthropicStreamWrapper,
    )
    from litellm.llms.anthropic.pass_through.adapters.transformation import AnthropicAdapter  # noqa: PLC0415

    given = _given(body, MESSAGES)
    check_messages(given["messages"])
    for at, message in enumerate(given["messages"]):
        _check_content(message.get("content"), f"messages[{at}].content")
    check_tools(given.get("tools"), _CUSTOM)
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("user_id"), str):
        given["metadata"] = {"user_id": metadata["user_id"]}
    adapter = AnthropicAdapter()
    try:
        chat, names = adapter.translate_completion_input_params_with_tool_mapping({**given, "model": model})
    except BUILT_IN_ERRORS as error:
        raise _untranslatable(error, "messages") from error

    def whole(answer: Any) -> Payload:
        said: Payload = dict(adapter.translate_completion_output_params(answer, tool_name_mapping=names) or {})
        return said | {"id": f"msg_{_bare(said.get('id'))}", "model": body.get("model")}

    async def events(chunks: Any) -> AsyncIterator[bytes]:
        async for payload in AnthropicStreamWrapper(chunks, model=str(body.get("model")), tool_name_mapping=names):
            if payload["type"] == "message_delta":
                payload["delta"].setdefault("stop_sequence", None)
            yield named_event(payload)

    return Translation(_asked(chat or {}, body, links), whole, events)


def from_responses(body: Mapping[str, Any], model: str, *, links: bool) -> Translation:
    """Translate a Responses request. Raises BackendError (400)."""
    from litellm.responses.litellm_completion_transformation.streaming_iterator import (  # noqa: PLC0415
        LiteLLMCompletionStreamingIterator,
    )
    from litellm.responses.litellm_completion_transformation.transformation import (  # noqa: PLC0415
        LiteLLMCompletionResponsesConfig as Translator,
    )

    given = {"input": [], **_given(body, RESPONSES, "instructions")}
    _check_responses(body, given["input"])
    check_tools(given.get("tools"))
    request: Any = {name: value for name, value in given.items() if name != "input"}
    try:
        chat = Translator.transform_responses_api_request_to_chat_completion_request(
            model=model, input=given["input"], responses_api_request=request
        )
    except BUILT_IN_ERRORS as error:
        raise _untranslatable(error, "input") from error
    verbosity = given.get("text", {}).get("verbosity")
    further = {"prompt_cache_key": body.get("prompt_cache_key"), "verbosity": verbosity}
    fixed = {
        "id": f"resp_{uuid.uuid4().hex}",
        "model": body.get("model"),
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "store": False,
        "text": {"format": {"type": "text"}} | given.get("text", {}),
    }

    def whole(answer: Any) -> Payload:
        said = Translator.transform_chat_completion_response_to_responses_api_response(
            request_input=given["input"], responses_api_request=request, chat_completion_response=answer
        )
        return _said(said) | fixed

    async def events(chunks: Any) -> AsyncIterator[bytes]:
        source = LiteLLMCompletionStreamingIterator(
            model=model,
            litellm_custom_stream_wrapper=chunks,
            request_input=given["input"],
            responses_api_request=request,
        )
        number = 0
        async for event in source:
            payload: Payload = _said(event)
            if isinstance(payload.get("response"), dict):
                payload["response"] |= fixed
            yield named_event(payload | {"sequence_number": number})  # not all that litellm makes have one
            number += 1

    return Translation(_asked({**chat, **further}, body, links), whole, events)


TRANSLATORS = MappingProxyType(
    {
        "/chat/completions": from_chat,
        "/completions": from_text,
        "/embeddings": from_embedding,
        "/messages": from_messages,
        "/messages/count_tokens": from_messages,
        "/responses": from_responses,
    }
)
"""What becomes of a request for each path."""


def _given(body: Mapping[str, Any], names: tuple[str, ...], instead: str = "") -> dict[str, Any]:
    """Return the fields that are translated. Raises BackendError (400) without the first, unless `instead` is there."""
    given = {name: body[name] for name in names if body.get(name) is not None}
    if not (given.get(names[0]) or given.get(instead)):
        raise invalid(f"the body has no {names[0]}", names[0])
    return given


def _asked(chat: Mapping[str, Any], body: Mapping[str, Any], links: bool) -> dict[str, Any]:
    # A translator is somebody else's code: what it made of a client's words passes the same list as a client's chat.
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if body.get("stream") is True else {}
    return arguments(chat, CHAT, links=links) | streamed


def _wants_usage(given: Mapping[str, Any]) -> bool:
    options = given.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True


def _check_content(content: Any, place: str) -> None:
    if isinstance(content, str | None):
        return
    if not isinstance(content, list):
        raise invalid("content must be a text or a list of blocks", place)
    for number, block in enumerate(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in _BLOCKS:
            known = ", ".join(_BLOCKS)
            raise invalid(f"blocks of this type cannot go to this model; known: {known}", f"{place}[{number}].type")
        if kind == "tool_result":
            _check_content(block.get("content"), f"{place}[{number}].content")


def _check_responses(body: Mapping[str, Any], items: Any) -> None:
    for name, way_out in _KEPT_ELSEWHERE.items():
        if body.get(name):
            raise invalid(f"{name} needs a model whose own server keeps answers; {way_out}", name)
    if not isinstance(items, str | list):
        raise invalid("input must be a text or a list of items", "input")
    if not isinstance(body.get("text"), dict | None):
        raise invalid("text must be an object", "text")
    for at, item in enumerate(items if isinstance(items, list) else ()):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind not in _ITEMS:
            known = ", ".join(_ITEMS)
            raise invalid(f"items of this type cannot go to this model; known: {known}", f"input[{at}].type")


def _said(made: Any) -> Payload:
    """Return what litellm made of an answer, as JSON-ready data."""
    payload: Payload = made.model_dump(mode="json", exclude_none=True)
    return payload


def _bare(chat_id: Any) -> str:
    return str(chat_id or uuid.uuid4().hex).removeprefix("chatcmpl-").removeprefix("resp_")


def _untranslatable(error: Exception, param: str) -> Exception:
    return invalid(f"the body does not have the shape of its format: {type(error).__name__}", param)


def count_here(library: LoadedLiteLLM, asked: Mapping[str, Any], model: str) -> dict[str, int]:
    """Estimate the tokens of a chat with the vocabularies that litellm brings along. Takes milliseconds: for a thread.

    Pictures count as litellm estimates them without looking at them.
    """
    return {
        "input_tokens": library.litellm.token_counter(
            model=model,
            messages=asked["messages"],
            tools=asked.get("tools"),
            tool_choice=asked.get("tool_choice"),
            use_default_image_token_count=True,  # otherwise it fetches them for their size
        )
    }


async def count_by_anthropic(body: Mapping[str, Any], model: str, fixed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask Anthropic. Raises what litellm raises."""
    from litellm.llms.anthropic.common_utils import AnthropicModelInfo  # noqa: PLC0415
    from litellm.llms.anthropic.count_tokens.handler import AnthropicCountTokensHandler  # noqa: PLC0415

    key = fixed.get("api_key")
    counted: Mapping[str, Any] = await AnthropicCountTokensHandler().handle_count_tokens_request(
        model=model,
        messages=body["messages"],
        auth_header=AnthropicModelInfo.get_auth_header(key) or {},
        api_base=fixed.get("api_base"),
        timeout=fixed["timeout"],
        tools=body.get("tools"),
        system=body.get("system"),
        optional_params={name: body[name] for name in _COUNTED if body.get(name) is not None},
    )
    return counted
