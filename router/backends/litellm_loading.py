"""The import of litellm: in a thread, with its environment set before, and once warmed up.

Its environment is set so that it reaches neither for the network nor for a `.env` file. A first call loads a good part
of the library that its import leaves for later, in the event loop; so one call that goes nowhere is made here, in the
thread, on a loop of its own.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "DISABLE_AIOHTTP_TRANSPORT": "True",  # its sessions outlive close_litellm_async_clients; httpx's do not
}
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
    import litellm  # noqa: PLC0415
    import openai.resources  # noqa: PLC0415  the root of litellm's errors; its client would load the rest in the loop
    from litellm.llms.base_llm.chat.transformation import BaseLLMException  # noqa: PLC0415

    litellm.suppress_debug_info = True  # it prints to standard output
    litellm.disable_hf_tokenizer_download = True  # it would fetch a vocabulary to count tokens
    litellm.turn_off_message_logging = True
    library = Library(litellm, (openai.OpenAIError, BaseLLMException, *BUILT_IN_ERRORS))
    asyncio.run(_warm_up(library))
    return library


async def _warm_up(library: Library) -> None:
    asked: dict[str, Any] = {"model": "openai/m", "messages": [{"role": "user", "content": "Hi"}]}
    await library.litellm.acompletion(**asked, api_key="none", mock_response="Hi", max_retries=0, num_retries=0)
