"""The model table: which backend answers for the name a client asks for.

A client names a model, never a destination. Its word is looked up as it is; else the longest alias that ends in `*` and
fits decides, so that `groq/*` comes before `*`. What no alias fits is a 404 with the nearest known name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from router.core.errors import RequestError, did_you_mean
from router.core.ports import Capability
from router.server.capabilities import capability_of, speaks
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


class Aliases:
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
