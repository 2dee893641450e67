"""What litellm is called with: a constant list of names, taken from a body that a client wrote.

litellm's functions take the address, the key, headers, files and mocks among the same keyword arguments as temperature.
So a body is never passed on; each argument is asked for by name. Two things inside allowed arguments could still make
*us* call an address that a client chose, and are refused: links to pictures and files, which litellm fetches itself for
providers that want the bytes, and tools of the type `mcp`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from router.core.errors import BackendError

CHAT = tuple(
    """
    messages audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens
    modalities n parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort response_format
    safety_identifier seed service_tier stop store stream stream_options temperature thinking tool_choice tools
    top_k top_logprobs top_p user verbosity web_search_options
    """.split()
)
TEXT = tuple(
    """
    prompt best_of echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed stop stream
    stream_options suffix temperature top_p user
    """.split()
)
EMBEDDING = ("input", "dimensions", "encoding_format", "user")

_TOOLS = ("function", "custom")  # the client runs these; all other types are run by somebody, somewhere
_LINK = re.compile(r"\s*(?!data:)(?:[A-Za-z][A-Za-z0-9+.-]*:|//|.{0,64}?://)", re.DOTALL)
_DEEPEST = 8


def arguments(body: Mapping[str, Any], names: tuple[str, ...], *, links: bool) -> dict[str, Any]:
    """Return the arguments among `names` that the body gives. Raises BackendError (400).

    `links` allows links to pictures and files elsewhere.

    >>> arguments({"prompt": "Hi", "api_base": "http://elsewhere"}, TEXT, links=False)
    {'prompt': 'Hi'}
    """
    given = {name: body[name] for name in names if body.get(name) is not None}
    if names[0] not in given:
        raise invalid(f"the body has no {names[0]}", names[0])
    if names is CHAT:
        check_messages(given["messages"])
        _check_content(given["messages"], links=links)
        check_tools(given.get("tools"))
    return given


def chat_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a text completion as those of a chat that asks the same. Raises BackendError (400).

    This is what litellm does itself for providers without text completions.
    """
    prompt = given["prompt"]
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise invalid("a stream takes one prompt, as text", "prompt")
    chat = {name: value for name, value in given.items() if name not in TEXT or name in CHAT}
    chat.pop("logprobs", None)  # a number there, a switch here
    return chat | {"messages": [{"role": "user", "content": prompt}]}


def check_messages(messages: Any) -> None:
    """Raise BackendError (400) for whatever is no list of objects."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise invalid("messages must be a list of objects", "messages")


def _check_content(messages: list[dict[str, Any]], *, links: bool) -> None:
    for at, message in enumerate(messages):
        content = message.get("content")
        if links or content is None or isinstance(content, str):
            continue
        if not isinstance(content, list):
            raise invalid("content must be a text or a list of parts", f"messages[{at}].content")
        for number, part in enumerate(content):
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
                part = {key: value for key, value in part.items() if key != "text"}
            if any(_LINK.match(text) for text in _texts(part)):
                place = f"messages[{at}].content[{number}]"
                way_out = "send the bytes as a data: URL"
                raise invalid(f"{place}: links are not followed for this model; {way_out}", place)


def check_tools(tools: Any, kinds: Collection[str | None] = _TOOLS) -> None:
    """Raise BackendError (400) for whatever is no list of tools of these kinds."""
    if tools is None:
        return
    if not isinstance(tools, list):
        raise invalid("tools must be a list", "tools")
    for at, tool in enumerate(tools):
        if not isinstance(tool, dict) or tool.get("type") not in kinds:
            known = " and ".join(filter(None, kinds))
            raise invalid(f"tools[{at}]: only tools of the type {known} go to this model", f"tools[{at}].type")


def _texts(part: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, list | dict):
        if depth > _DEEPEST:
            yield "too:deep"
            return
        for value in part.values() if isinstance(part, dict) else part:
            yield from _texts(value, depth + 1)


def invalid(message: str, param: str) -> BackendError:
    """Return the error for a request that cannot go to this model as it stands."""
    return BackendError(f"{message} ({param})", status=400, code="invalid_request", retryable=False)
