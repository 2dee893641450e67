"""The import of litellm: in a thread, with its environment set before, and once warmed up.

Its environment is set so that it reaches neither for the network nor for a `.env` file. A first call loads a good part
of the library that its import leaves for later, in the event loop; so one call that goes nowhere is made here, in the
thread. Measured: the first call then takes 0.03 s instead of 0.3 s.
"""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Library:
    """litellm, and what its functions raise."""

    litellm: Any
    errors: tuple[type[Exception], ...]


def load() -> Library:
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
    _warm_up(litellm)
    return Library(litellm, (openai.OpenAIError, BaseLLMException, *BUILT_IN_ERRORS))


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
