"""The backend for every provider that speaks none of the client's formats, by way of litellm.

litellm is big (an import of 3 to 8 s, some 160 MB) and wide open, hence four rules. It is imported in a thread, when it
is first needed or by `prepare` (`library`). It is called with a constant list of arguments
(`arguments`), never with a client's body, and with the provider that the operator named, whatever a model's
name looks like. It fetches nothing and runs no tools for a client. And it never tries again: retries have one owner,
and it is not this.

Chat completions, text completions and embeddings are its own. Responses and Anthropic Messages become chats and come
back as what they were (`formats` says what is lost); tokens are counted by the provider where that is
Anthropic, else estimated here. So it is a bridge too: `bridge_to` makes one to a server that speaks a single format.

What cannot be seen through litellm. It joins or splits events, so a stream is not byte for byte the provider's. Where
a provider's stream ends without a reason, litellm invents `stop`; this is detected by what it has received, and becomes
the failure `truncated`. Not detected: a stream that ends with its own mark (`[DONE]`) but gave no reason, and a few old
providers for which litellm's parser takes the end of the bytes for a reason. An answer for which litellm asks a
blocking SDK in a thread (SageMaker) cannot be stopped, only left. And for some providers its HTTP client sends a
request once more when the connection closes before any answer, which no argument turns off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from router.backends.http.limits import Timeouts, failed
from router.backends.litellm.formats import TRANSLATORS, Translation, count_by_anthropic, count_here
from router.backends.litellm.library import LoadedLiteLLM, load, translated
from router.backends.litellm.stream import EventStream, LiteLLMChunks
from router.core.errors import BackendError, SettingsError
from router.core.ports import BackendAnswer, BackendRequest

log = logging.getLogger("router.backends")

_OWN = ("/chat/completions", "/completions", "/embeddings")
_COUNT = "/messages/count_tokens"
_OVER = ("", "/chat/completions", "/responses")

_JSON = ("content-type", "application/json")
_EVENTS = ("content-type", "text/event-stream; charset=utf-8")


class LiteLLMBackend:
    """Implements `core.ports.Backend` for one provider that litellm knows, such as `anthropic` or `bedrock`.

    A model is named as the provider names it; the prefix `provider/` may stand before it. Without `api_key` litellm
    looks for the provider's own variable in the environment. `options` are further arguments of litellm's that the
    operator sets, such as `api_version` or `aws_region_name`. `links` lets litellm fetch pictures and files whose
    links stand in a message: off, since a client chooses them. `over` is the path by which a provider of OpenAI's
    format is asked, `/chat/completions` or `/responses`; empty leaves it to what litellm knows of the model. `token`
    gives a bearer token for each call, in place of `api_key`.

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
        over: str = "",
        token: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        if not provider or "/" in provider:
            raise SettingsError(f'backend "{name}": provider must be one of litellm\'s names, such as anthropic')
        if over not in _OVER or (over == "/responses" and provider not in ("openai", "azure")):
            raise SettingsError(f'backend "{name}": provider {provider} cannot be asked over "{over}"')
        if provider == "anthropic":
            api_base = api_base.rstrip("/").removesuffix("/v1")  # litellm puts /v1/messages behind it
        self.name = name
        self._provider = provider
        self._prefix = "responses/" if over == "/responses" else ""
        address = urlsplit(api_base).netloc  # hosts and ports are no client's affair
        self._secrets = tuple(word for word in (api_key, address, *(headers or {}).values()) if word)
        self._timeouts = timeouts or Timeouts()
        self._links = links
        self._token = token
        self._token_name = "azure_ad_token" if provider == "azure" else "api_key"
        self._fixed: dict[str, Any] = dict(options or {}) | {
            "custom_llm_provider": provider,
            "drop_params": True,
            "max_retries": 0,
            "num_retries": 0,
            "timeout": self._timeouts.first_byte_s,
        }
        given = {"api_key": api_key, "api_base": api_base, "extra_headers": dict(headers or {})}
        self._fixed |= {argument: value for argument, value in given.items() if value}
        self._skip = {"_skip_responses_api_bridge": True} if over == "/chat/completions" else {}
        # A chat is not kept by the provider unless it says so; in the Responses format it is the other way round.
        self._unless_given = {"store": False} if over == "/responses" else {}
        self._library: LoadedLiteLLM | None = None

    async def prepare(self) -> None:
        """Import litellm now, so that the first request need not wait. Raises BackendError when it is missing."""
        await self._loaded()

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        """Send and return as soon as the answer, or the first chunk of a stream, is there. Raises BackendError."""
        path = outgoing.path
        translate = TRANSLATORS.get(path)
        if translate is None or outgoing.method != "POST":
            message = f"{self.name} does not serve {outgoing.method} {path[:128]}"
            raise BackendError(message, status=404, code="unknown_path", retryable=False)
        body = _decoded(outgoing.body)
        model = self._model(body.get("model"))
        if path not in _OWN:
            await self._loaded()  # the translators are litellm's
        translation = translate(body, model, links=self._links)
        library = await self._loaded()
        if path == _COUNT:
            return await self._count(library, translation, body, model)
        ends = asyncio.get_running_loop().time() + self._timeouts.total_s
        answer = await self._call(library, translation, model)
        if translation.asked.get("stream") is True:
            chunks = LiteLLMChunks(
                answer, named=self._failure, errors=library.errors, timeouts=self._timeouts, ends=ends
            )
            await chunks.start()
            return BackendAnswer(200, (_EVENTS,), chunks=EventStream(chunks, translation.events(chunks)))
        try:
            return _whole(translation.whole(answer))
        except library.errors as error:
            raise self._failure(error) from error

    async def aclose(self) -> None:
        """Close the connections that litellm holds for the event loop."""
        if self._library is not None:
            await self._library.litellm.close_litellm_async_clients()

    async def _count(
        self, library: LoadedLiteLLM, counted: Translation, body: dict[str, Any], model: str
    ) -> BackendAnswer:
        try:
            if self._provider != "anthropic":
                return _whole(await asyncio.to_thread(count_here, library, counted.asked, model))
            async with asyncio.timeout(self._timeouts.first_byte_s):
                return _whole(await count_by_anthropic(body, model.removeprefix("anthropic/"), self._fixed))
        except TimeoutError:
            raise self._too_slow() from None
        except library.errors as error:
            raise self._failure(error) from error

    async def _call(self, library: LoadedLiteLLM, translation: Translation, model: str) -> Any:
        asked = translation.asked | self._fixed | {"model": model}
        if self._token is not None:
            asked[self._token_name] = await self._token()
        if "tools" in asked:
            # Otherwise every call with tools imports litellm.proxy, which needs packages that only its proxy installs.
            asked["_skip_mcp_handler"] = True
        if translation.function == "acompletion":
            asked = self._unless_given | asked | self._skip
        try:
            async with asyncio.timeout(self._timeouts.first_byte_s):
                return await getattr(library.litellm, translation.function)(**asked)
        except TimeoutError:
            raise self._too_slow() from None
        except library.errors as error:
            raise self._failure(error) from error

    async def _loaded(self) -> LoadedLiteLLM:
        if self._library is None:
            try:
                self._library = await asyncio.to_thread(load)
            except ImportError as error:
                # What to install is the operator's affair, and no client's.
                log.error('backend "%s" needs litellm (%s): pip install "prompt-router[litellm]"', self.name, error)
                message = f'backend "{self.name}" cannot be asked: a part of the router is missing; its log says which'
                raise BackendError(message, status=503, code="not_installed", retryable=False) from error
        return self._library

    def _too_slow(self) -> BackendError:
        return failed("timeout_first_byte", f"{self.name} sent nothing within {self._timeouts.first_byte_s:g} s")

    def _failure(self, error: Exception) -> BackendError:
        return translated(self.name, error, self._secrets)

    def _model(self, model: Any) -> str:
        if not isinstance(model, str) or not model:
            raise BackendError("the body names no model", status=400, code="invalid_request", retryable=False)
        # Always with the provider before it: litellm lets some names, such as azure/..., choose another one.
        return f"{self._provider}/{self._prefix}{model.removeprefix(self._provider + '/')}"


def bridge_to(
    path: str,
    *,
    name: str,
    base_url: str,
    api_key: str = "",
    headers: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    timeouts: Timeouts | None = None,
    links: bool = False,
    token: Callable[[], Awaitable[str]] | None = None,
) -> LiteLLMBackend:
    """Return a backend that takes all three formats and asks the server at `base_url` over `path` alone.

    `path` is one that the server speaks: `/chat/completions`, `/responses` or `/messages`. Raises SettingsError for
    another, and for an address that litellm would change.
    """
    anthropic = path == "/messages"
    if anthropic and not base_url.rstrip("/").endswith("/v1"):
        hint = "litellm asks for /v1/messages there"
        raise SettingsError(f'backend "{name}": a base_url that is bridged over /messages must end with /v1; {hint}')
    return LiteLLMBackend(
        name=name,
        provider="anthropic" if anthropic else "openai",
        api_base=base_url,
        api_key=api_key or "none",  # otherwise litellm takes one from the environment, which is not this server's
        headers=headers,
        options=options,
        timeouts=timeouts,
        links=links,
        over="" if anthropic else path,
        token=token,
    )


def _whole(payload: Mapping[str, Any]) -> BackendAnswer:
    return BackendAnswer(200, (_JSON,), msgspec.json.encode(payload))


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise BackendError(message, status=400, code="invalid_request", retryable=False) from None
    if not isinstance(body, dict):
        raise BackendError("the body is not a JSON object", status=400, code="invalid_request", retryable=False)
    return body
