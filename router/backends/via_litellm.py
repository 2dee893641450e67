"""The backend for every provider that does not speak the OpenAI format, by way of litellm (the only import of it).

litellm is big (an import of 3 to 8 s, some 160 MB) and wide open, hence four rules. It is imported in a thread, when it
is first needed or by `prepare`. Before that, its environment is set so that it reaches neither for the network nor for
a `.env` file. It is called with a constant list of arguments (`litellm_arguments`), and with the provider that the
operator named, whatever a model's name looks like. And it never tries again: retries have one owner, and it is not
this.

What cannot be seen through litellm. It joins or splits events, so a stream is not byte for byte the provider's. Where
a provider's stream ends without a reason, litellm invents `stop`; this is detected by what it has received, and becomes
the failure `truncated`. Not detected: a stream that ends with its own mark (`[DONE]`) but gave no reason, and a few old
providers for which litellm's parser takes the end of the bytes for a reason. An answer for which litellm asks a
blocking SDK in a thread (SageMaker) cannot be stopped, only left. And for some providers its HTTP client sends a
request once more when the connection closes before any answer, which no argument turns off.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from router.backends.litellm_arguments import CHAT, EMBEDDING, TEXT, arguments, chat_arguments
from router.backends.litellm_errors import translated
from router.backends.litellm_stream import LiteLLMStream, as_text, plain
from router.backends.transport import Timeouts, failed
from router.core.errors import BackendError, SettingsError
from router.core.ports import Answer, Outgoing

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "DISABLE_AIOHTTP_TRANSPORT": "True",  # its sessions outlive close_litellm_async_clients; httpx's do not
}
_ROUTES = {
    "/chat/completions": ("acompletion", CHAT),
    "/completions": ("atext_completion", TEXT),
    "/embeddings": ("aembedding", EMBEDDING),
}
_BUILT_IN_ERRORS = (
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

_JSON = ("content-type", "application/json")
_EVENTS = ("content-type", "text/event-stream; charset=utf-8")


class LiteLLMBackend:
    """Implements `core.ports.Backend` for one provider that litellm knows, such as `anthropic` or `bedrock`.

    A model is named as the provider names it; the prefix `provider/` may stand before it. Without `api_key` litellm
    looks for the provider's own variable in the environment. `options` are further arguments of litellm's that the
    operator sets, such as `api_version` or `aws_region_name`. `links` lets litellm fetch pictures and files whose
    links stand in a message: off, since a client chooses them.

    Parameters that a provider does not know are dropped. Raises SettingsError for a provider that is not named.
    """

    def __init__(
        self,
        *,
        name: str,
        provider: str,
        api_key: str = "",
        api_base: str = "",
        headers: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        timeouts: Timeouts | None = None,
        links: bool = False,
    ) -> None:
        if not provider or "/" in provider:
            raise SettingsError(f'backend "{name}": provider must be one of litellm\'s names, such as anthropic')
        self.name = name
        self._provider = provider
        self._secrets = tuple(word for word in (api_key, *(headers or {}).values()) if word)
        self._timeouts = timeouts or Timeouts()
        self._links = links
        self._fixed: dict[str, Any] = dict(options or {}) | {
            "custom_llm_provider": provider,
            "drop_params": True,
            "max_retries": 0,
            "num_retries": 0,
            "timeout": self._timeouts.first_byte_s,
        }
        given = {"api_key": api_key, "api_base": api_base, "extra_headers": dict(headers or {})}
        self._fixed |= {argument: value for argument, value in given.items() if value}
        self._litellm: Any = None
        self._errors: tuple[type[Exception], ...] = ()

    async def prepare(self) -> None:
        """Import litellm now, so that the first request need not wait. Raises BackendError when it is missing."""
        if self._litellm is None:
            try:
                self._litellm, self._errors = await asyncio.to_thread(_import_litellm)
            except ImportError as error:
                message = f'backend "{self.name}" needs litellm, which cannot be imported: {error}'
                hint = "install prompt-router[litellm]"
                raise BackendError(f"{message}; {hint}", status=503, code="not_installed", retryable=False) from error

    async def send(self, outgoing: Outgoing) -> Answer:
        """Send and return as soon as the answer, or the first chunk of a stream, is there. Raises BackendError."""
        route = _ROUTES.get(outgoing.path)
        if route is None or outgoing.method != "POST":
            message = f"{self.name} does not serve {outgoing.method} {outgoing.path[:128]}"
            raise BackendError(message, status=404, code="unknown_path", retryable=False)
        function, names = route
        body = _decoded(outgoing.body)
        asked = arguments(body, names, links=self._links) | self._fixed | {"model": self._model(body.get("model"))}
        if "tools" in asked:
            # Otherwise every call with tools imports litellm.proxy, which needs packages that only its proxy installs.
            asked["_skip_mcp_handler"] = True
        await self.prepare()
        if asked.get("stream") is True and names is not EMBEDDING:
            return await self._stream(asked, text=names is TEXT)
        return Answer(200, (_JSON,), msgspec.json.encode(plain(await self._call(function, asked))))

    async def _stream(self, asked: dict[str, Any], *, text: bool) -> Answer:
        if text:
            # What atext_completion gives can be neither stopped nor checked. It asks a chat model all the same.
            asked = chat_arguments(asked)
        ends = asyncio.get_running_loop().time() + self._timeouts.total_s
        options = asked.get("stream_options")
        stream = LiteLLMStream(
            await self._call("acompletion", asked),
            failure=self._failure,
            errors=self._errors,
            timeouts=self._timeouts,
            ends=ends,
            usage=isinstance(options, Mapping) and options.get("include_usage") is True,
            shape=as_text if text else None,
        )
        await stream.start()
        return Answer(200, (_EVENTS,), chunks=stream)

    async def aclose(self) -> None:
        """Close the connections that litellm holds for the event loop."""
        if self._litellm is not None:
            await self._litellm.close_litellm_async_clients()

    async def _call(self, function: str, asked: dict[str, Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeouts.first_byte_s):
                return await getattr(self._litellm, function)(**asked)
        except TimeoutError:
            message = f"{self.name} sent nothing within {self._timeouts.first_byte_s:g} s"
            raise failed("timeout_first_byte", message) from None
        except self._errors as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> BackendError:
        return translated(self.name, error, self._secrets)

    def _model(self, model: Any) -> str:
        if not isinstance(model, str) or not model:
            raise BackendError("the body names no model", status=400, code="invalid_request", retryable=False)
        # Always with the provider before it: litellm lets some names, such as azure/..., choose another one.
        return f"{self._provider}/{model.removeprefix(self._provider + '/')}"


def _import_litellm() -> tuple[Any, tuple[type[Exception], ...]]:
    """Return litellm and what its functions raise. Takes seconds; runs in a thread."""
    for variable, value in _ENVIRONMENT.items():
        os.environ[variable] = value
    import litellm  # noqa: PLC0415
    import openai.resources  # noqa: PLC0415  the root of litellm's errors; its client would load the rest in the loop
    from litellm.llms.base_llm.chat.transformation import BaseLLMException  # noqa: PLC0415

    litellm.suppress_debug_info = True  # it prints to standard output
    litellm.disable_hf_tokenizer_download = True  # it would fetch a vocabulary to count tokens
    litellm.turn_off_message_logging = True
    return litellm, (openai.OpenAIError, BaseLLMException, *_BUILT_IN_ERRORS)


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise BackendError(message, status=400, code="invalid_request", retryable=False) from None
    if not isinstance(body, dict):
        raise BackendError("the body is not a JSON object", status=400, code="invalid_request", retryable=False)
    return body
