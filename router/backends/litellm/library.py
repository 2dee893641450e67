"""The import of litellm, and what it raises as a BackendError.

It is imported in a thread, with its environment set before so that it reaches neither for the network nor for a `.env`
file. A first call loads a good part of the library that its import leaves for later, in the event loop; so one call
that goes nowhere is made here, in the thread. Measured: the first call then takes 0.03 s instead of 0.3 s.

litellm's errors carry the provider's status, but also use 500 for a provider that could not be reached and 408 for its
own patience; so what lies beneath is looked at first. Classes are known by name, since litellm may not be imported yet.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from router.backends.http.limits import failed
from router.backends.passthrough import RELAYED_HEADERS
from router.core.errors import BackendError

ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "DISABLE_AIOHTTP_TRANSPORT": "True",  # its sessions outlive close_litellm_async_clients; httpx's do not
}
_GATEWAY = "litellm.responses.mcp.litellm_proxy_mcp_handler"

BUILT_IN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""litellm wraps most of what goes wrong in errors of its own; what it does not wrap is one of these."""

_CODES = {
    "MidStreamFallbackError": "truncated",
    "IncompleteRead": "truncated",
    "RemoteProtocolError": "reset",
    "ReadError": "reset",
    "Timeout": "timeout_first_byte",
    "APITimeoutError": "timeout_first_byte",
    "ReadTimeout": "timeout_first_byte",
    "ConnectTimeout": "timeout_connect",
    "ConnectError": "connect_failed",
    "ClientConnectorError": "connect_failed",
    "ConnectionRefusedError": "connect_failed",
}
_SAID = {
    "truncated": "the provider closed the connection in the middle of its answer",
    "reset": "the provider closed the connection without an answer",
    "timeout_first_byte": "the provider sent nothing in time",
    "timeout_connect": "the provider could not be reached in time",
    "connect_failed": "the provider could not be reached",
}
_RETRYABLE = frozenset({408, 409, 429})
_LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class LoadedLiteLLM:
    """litellm, and what its functions raise."""

    litellm: Any
    errors: tuple[type[Exception], ...]


def load() -> LoadedLiteLLM:
    """Import litellm. Takes seconds: for a thread. Raises ImportError."""
    os.environ.update(ENVIRONMENT)
    _stand_in_for_the_gateway()
    import litellm  # noqa: PLC0415
    import openai.resources  # noqa: PLC0415  the root of litellm's errors; its client would load the rest in the loop
    from litellm.llms.base_llm.chat.transformation import BaseLLMException  # noqa: PLC0415
    from litellm.llms.base_llm.responses.transformation import BaseResponsesAPIConfig  # noqa: PLC0415
    from litellm.llms.openai.responses.transformation import OpenAIResponsesAPIConfig  # noqa: PLC0415

    # It would ask for a whole answer and play a stream, twice over where tools are called, for models unknown to it.
    OpenAIResponsesAPIConfig.should_fake_stream = BaseResponsesAPIConfig.should_fake_stream  # type: ignore[method-assign]
    warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)  # they quote what was said
    litellm.suppress_debug_info = True  # it prints to standard output
    litellm.disable_hf_tokenizer_download = True  # it would fetch a vocabulary to count tokens
    litellm.turn_off_message_logging = True
    logging.getLogger("LiteLLM").setLevel(logging.WARNING)  # below, it writes down what was said
    _warm_up(litellm)
    return LoadedLiteLLM(litellm, (openai.OpenAIError, BaseLLMException, *BUILT_IN_ERRORS))


def _warm_up(litellm: Any) -> None:
    asked = {"model": "openai/m", "messages": [{"role": "user", "content": "Hi"}], "mock_response": "Hi"}
    fixed = {"api_key": "none", "max_retries": 0, "num_retries": 0}
    litellm.completion(**asked, **fixed)
    for _ in litellm.completion(**asked, **fixed, stream=True):
        pass
    litellm.token_counter(model="openai/m", text="Hi")


def _stand_in_for_the_gateway() -> None:
    """Put an empty module where litellm looks for its gateway to MCP servers, unless that is loaded.

    litellm looks there on every call in the Responses format, whatever is asked. The module itself imports its proxy,
    and with it packages that only the proxy installs; and no client shall reach a tool that way.
    """
    if _GATEWAY not in sys.modules:
        module = ModuleType(_GATEWAY, "Says that no tool belongs to a gateway.")
        module.LiteLLM_Proxy_MCP_Handler = _NoGateway  # type: ignore[attr-defined]
        sys.modules[_GATEWAY] = module


class _NoGateway:
    @staticmethod
    def should_use_litellm_mcp_gateway(**_: Any) -> bool:
        return False


def translated(backend: str, error: BaseException, secrets: Iterable[str]) -> BackendError:
    """Return the BackendError for whatever litellm raised, with every one of `secrets` struck out."""
    for beneath in _causes(error):
        for kind in type(beneath).__mro__:
            if code := _CODES.get(kind.__name__):
                return failed(code, f"{backend}: {_SAID[code]}")
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 400 <= status < 600:
        # A stack of somebody else's frames helps no client, and may show addresses and keys.
        message = f"{backend}: litellm failed with {type(error).__name__}"
        return BackendError(message, code="backend_error")
    return BackendError(
        f"{backend}: {_said(error, secrets)}",
        status=status,
        code="backend_status",
        headers=_headers(error),
        retryable=status in _RETRYABLE or status >= 500,
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(error: BaseException, secrets: Iterable[str]) -> str:
    message = str(getattr(error, "message", "") or error)
    message = message.removeprefix(f"litellm.{type(error).__name__}: ").partition("\nTraceback")[0]
    for secret in secrets:
        message = message.replace(secret, "[hidden]")
    return message[:_LONGEST_MESSAGE]


def _headers(error: BaseException) -> list[tuple[str, str]]:
    headers = getattr(error, "litellm_response_headers", None) or {}
    pairs = [(str(name).lower(), str(value)) for name, value in headers.items()]
    return [(name, value) for name, value in pairs if name != "content-type" and RELAYED_HEADERS.fullmatch(name)]
