"""How many tokens an Anthropic request costs: asked of Anthropic, or estimated here for everybody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.backends.litellm.loading import Library

_COUNTED = ("thinking", "tool_choice", "output_config")


def count_here(library: Library, asked: Mapping[str, Any], model: str) -> dict[str, int]:
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
