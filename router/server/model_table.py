"""The model table: which backend answers for the name a client asks for, and what the model behind it takes.

A client names a model, never a destination. Its word is looked up as it is; else the longest alias that ends in `*` and
fits decides, so that `groq/*` comes before `*`. What no alias fits is a 404 with the nearest known name.

What a model takes is the operator's word for it, else for its backend, else what is known of it, else what is safe.
What is known holds only where the model is asked in its maker's own format; a request that is bridged into another one
gets the default. The table of the known is small on purpose: a model that is not in it works, only less well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from router.backends.azure import is_classic
from router.core.errors import RequestError, did_you_mean
from router.core.ports import Capability
from router.server.settings import BackendSettings, ModelSettings

REMEMBERED_NAMES = 1024
REMEMBERED_CHARS = 100
"""Names that a `*` has answered for are remembered, so many and so long: clients may make up any."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request for one model name goes. `model` is the name the backend knows.

    `capability` holds in the formats that the backend is known to speak. `fallback` are the routes to take, in order,
    when this one does not answer; they have no further ones.
    """

    alias: str
    backend: str
    model: str
    capability: Capability
    speaks: frozenset[str] | None
    fallback: tuple[Route, ...] = ()


class ModelTable:
    """The model table, looked up by the names of clients. Expects settings without contradictions."""

    def __init__(self, models: Mapping[str, ModelSettings], backends: Mapping[str, BackendSettings]) -> None:
        self._models = dict(models)
        self._backends = dict(backends)
        self._prefixes = sorted((alias[:-1] for alias in models if alias.endswith("*")), key=len, reverse=True)
        self._known = {alias: self._routed(alias, alias) for alias in models if not alias.endswith("*")}
        self._remembered: dict[str, Route] = {}
        self.names = tuple(self._known)
        """The aliases that name one model, in the order of the settings: what `/v1/models` lists."""

    def resolve(self, name: str) -> Route:
        """Return the route for a client's model name. Raises RequestError (404, model_not_found)."""
        route = self._known.get(name) or self._remembered.get(name)
        if route is None:
            route = self._routed(self._alias_of(name), name)
            if len(name) <= REMEMBERED_CHARS:
                if len(self._remembered) >= REMEMBERED_NAMES:
                    self._remembered.clear()
                self._remembered[name] = route
        return route

    def _alias_of(self, name: str) -> str:
        if name in self._models and not name.endswith("*"):
            return name
        for prefix in self._prefixes:
            if name.startswith(prefix):
                return prefix + "*"
        hint = did_you_mean(name[:100], self.names)
        raise RequestError(
            f'The model "{name[:100]}" does not exist here' + (f" ({hint})." if hint else "."),
            status=404,
            code="model_not_found",
            param="model",
            headers={"x-should-retry": "false"},
        )

    def _routed(self, alias: str, name: str) -> Route:
        model = self._models[alias]
        others = tuple(self._step(self._alias_of(other), other) for other in model.fallback)
        first = self._step(alias, name)
        return replace(first, fallback=others)

    def _step(self, alias: str, name: str) -> Route:
        model = self._models[alias]
        rest = name[len(alias) - 1 :] if alias.endswith("*") else ""
        upstream = model.model.replace("*", rest) if model.model else name
        backend = self._backends[model.backend]
        return Route(alias, model.backend, upstream, capability_of(backend, model, upstream), speaks(backend))


def named_models(models: Mapping[str, ModelSettings]) -> frozenset[str]:
    """Return the model names that the settings spell out, the clients' and the backends'."""
    return frozenset(name for alias, row in models.items() for name in (alias, row.model) if name and "*" not in name)


OPENAI_HOST = "api.openai.com"
_STRICT = re.compile(r"(?:.*\.)?mistral\.ai")
"""Hosts whose streams tell the usage unasked, and that refuse fields they do not know: `stream_options`."""

OPENAI_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

FORMATS = MappingProxyType(
    {
        "chat": ("/chat/completions",),
        "responses": ("/responses",),
        "messages": ("/messages", "/messages/count_tokens"),
    }
)
"""The formats by the names that settings use, and where they are asked."""


COUNTED = MappingProxyType({"messages": "count_tokens", "responses": "input_tokens"})
"""The wire in which tokens of a format are counted."""


class _Known(NamedTuple):
    pattern: re.Pattern[str]
    mid_conversation: bool
    cache_min_tokens: int


_CLAUDE = tuple(
    _Known(re.compile(rf"(?:.*claude-)(?:{names})(?![0-9]).*"), system, least)
    for names, system, least in (
        ("opus-4-8|sonnet-5(?!-5)", True, 1024),
        ("fable-5|mythos-5|opus-5|sonnet-5-5|haiku-5-5", True, 512),
        ("mythos-preview", False, 512),
        ("opus-4-7", False, 2048),
        ("opus-4-[56]|haiku-4-5", False, 4096),
        ("3-5-haiku", False, 2048),
    )
)
"""Which Claude models take system messages in mid-conversation, and the least prefix that is cached. Others: 1,024.

From `supports_mid_conversation_system` and `prompt_cache_min_tokens` in litellm 1.106's table of models.
"""

_BREAKPOINTS = re.compile(r"gpt-(?:5\.[6-9]|[6-9]|[1-9]\d).*")
"""OpenAI's models that take explicit breakpoints: gpt-5.6 and later, by OpenAI's guide to prompt caching."""


def speaks(backend: BackendSettings) -> frozenset[str] | None:
    """Return the formats that a backend speaks itself; None where that is found out by asking it."""
    if backend.speaks is not None:
        return frozenset(backend.speaks)
    if backend.type == "anthropic":
        return frozenset({"messages"})
    if backend.type == "azure":
        return None if is_classic(backend.api_version) else frozenset({"chat", "responses"})
    if backend.type == "openai":
        return frozenset({"chat", "responses"}) if _is_openai(backend) else None
    return frozenset(FORMATS)


def speaks_at_first(formats: frozenset[str] | None) -> frozenset[str]:
    """Return the wires in which a backend's capabilities hold, before it has been asked anything.

    Tokens are counted as they will be sent, so what holds for a format holds for counting in it.
    """
    spoken = frozenset({"chat"}) if formats is None else formats
    return spoken | {counting for format_, counting in COUNTED.items() if format_ in spoken}


def paths_of(formats: frozenset[str]) -> frozenset[str]:
    """Return the paths at which formats are asked."""
    return frozenset(path for name in formats for path in FORMATS[name])


def capability_of(backend: BackendSettings, model: ModelSettings, name: str) -> Capability:
    """Return what the model that the backend knows as `name` takes in a format that the backend speaks itself."""
    known = _known_of(backend, name)
    return Capability(
        mid_conversation=model.mid_conversation or backend.mid_conversation or known.mid_conversation,
        roles=next(roles for roles in (model.roles, backend.roles, known.roles) if roles is not None),
        cache_marks=model.cache_marks or backend.cache_marks or known.cache_marks,
        cache_min_tokens=model.cache_min_tokens or backend.cache_min_tokens or known.cache_min_tokens,
        usage_in_streams=known.usage_in_streams if backend.usage_in_streams is None else backend.usage_in_streams,
        lenient=backend.lenient,
        refuses=backend.refuses | model.refuses,
    )


def bridged(capability: Capability) -> Capability:
    """Return what of a capability is left where the request is bridged into another format on its way."""
    kept = ("usage_in_streams", "lenient", "refuses")
    return Capability(**{name: getattr(capability, name) for name in kept})


def _known_of(backend: BackendSettings, name: str) -> Capability:
    if backend.type == "anthropic":
        for known in _CLAUDE:
            if known.pattern.fullmatch(name):
                return Capability(
                    "system" if known.mid_conversation else "user_block",
                    cache_marks="auto",
                    cache_min_tokens=known.cache_min_tokens,
                )
        return Capability(cache_marks="auto")
    if backend.type == "openai" and _is_openai(backend):
        # OpenAI takes system and developer messages at any place; of others that is not known.
        return Capability("system", OPENAI_ROLES, cache_marks="auto" if _BREAKPOINTS.fullmatch(name) else "off")
    return Capability(usage_in_streams=not _STRICT.fullmatch(urlsplit(backend.base_url).hostname or ""))


def _is_openai(backend: BackendSettings) -> bool:
    return urlsplit(backend.base_url).hostname == OPENAI_HOST
