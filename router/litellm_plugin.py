"""The router inside the LiteLLM proxy, for teams that already run that: the same decision, as one of its callbacks.

In LiteLLM's config.yaml, with this package installed beside it:

    litellm_settings:
      callbacks: [router.litellm_plugin.instance]

and in its environment:

    ROUTER_PACK              folder or file of the pack; without it, the shipped help desk
    ROUTER_CACHE             folder for the fitted recogniser; by default the user's cache
    ROUTER_MID_CONVERSATION  user_block (the default), system or developer: what all models behind the proxy take
    ROUTER_SALT              the secret of the words that mark our text; by default kept in ROUTER_CACHE

LiteLLM hands every request to `async_pre_call_hook` before it chooses a deployment, so retries and fallbacks send the
same words. What it does not hand over in a known form passes as it is: `tests/litellm_proxy` holds the list of routes.
A conversation that the provider keeps (`previous_response_id`) is known again if the answer before was no stream.

A pack that cannot be used stops the proxy at its start. Its models (`use`) are left alone: LiteLLM has checked by then
whether the key may use the model that was asked for.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger

from router.assembly import WIRES, default_cache, preparer_for, salt_for, shipped_pack, snapshot_of
from router.core.decision import Decision
from router.core.errors import Degraded, RequestError, SettingsError, did_you_mean
from router.core.policy import ROOT
from router.core.ports import Capability, Wire
from router.engine.decide_turns import blocked
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.prepare import Call, PreparedRequest
from router.engine.snapshot import PolicyRegistry
from router.packs import Pack, load_pack

log = logging.getLogger("router")

CONVERSATION_HEADERS = ("x-litellm-session-id", "x-session-id")
"""The first is LiteLLM's own word for it (docs.litellm.ai, "Session logs")."""

_MID_CONVERSATION: Mapping[str, Literal["user_block", "system", "developer"]] = MappingProxyType(
    {"user_block": "user_block", "system": "system", "developer": "developer"}
)
_WIRE_OF_CALL = {
    "completion": "chat",
    "acompletion": "chat",
    "responses": "responses",
    "aresponses": "responses",
    "anthropic_messages": "messages",
    "aanthropic_messages": "messages",
}
_PASS_THROUGH = "pass_through_endpoint"
_WIRE_OF_ROUTE = {"/chat/completions": "chat", "/responses": "responses", "/messages": "messages"}
"""Ends of the routes whose bodies LiteLLM relays as they are; it does not say more of their form."""

_OWN = frozenset({"metadata", "litellm_metadata", "litellm_logging_obj", "proxy_server_request", "secret_fields"})
"""What LiteLLM keeps beside a body's fields, or inside of one (`metadata`)."""
_TEXTS = ("model", "messages", "system", "instructions", "input")
"""What LiteLLM may have set although the client did not: a model in the path, a stored prompt."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SEEN: ContextVar[tuple[Call, PreparedRequest] | None] = ContextVar("seen", default=None)
"""What was seen of the request that this task serves, for the headers of its answer."""


class PromptRouter(CustomLogger):
    """Weaves a pack's instructions into the requests that the LiteLLM proxy serves. Safe with any number of workers."""

    def __init__(self, pack: Pack, cache: Path, capability: Capability | None = None, salt: str | None = None) -> None:
        super().__init__()
        fault_handler = FaultHandler(lambda code: log.warning("degraded: %s", code))
        snapshot = snapshot_of(pack, cache, fault_handler)
        self._must_speak = any(instruction.required for instruction in pack.policy.tasks[ROOT].instructions)
        self._capability = capability or Capability()
        self._preparer = preparer_for(
            PolicyRegistry({pack.policy.name: snapshot}, pack.policy.name),
            fault_handler,
            Identifier(salt_for(cache, salt), CONVERSATION_HEADERS),
        )

    async def async_pre_call_hook(
        self,
        user_api_key_dict: Any,
        cache: Any,
        data: dict[str, Any],
        call_type: str,
    ) -> dict[str, Any]:
        """Return the request with the mix woven in. Raises HTTPException for one that may not go out without it."""
        _SEEN.set(None)
        wire = _wire(call_type, getattr(user_api_key_dict, "request_route", None) or "")
        if wire is None:
            return data
        try:
            fields = _fields(data)
            call = Call(
                wire,
                msgspec.json.encode(fields),
                _headers(data),
                tenant=getattr(user_api_key_dict, "api_key", None) or "",
            )
            prepared = await self._preparer.prepare_in_time(call)
            woven = msgspec.json.decode(self._preparer.weave(prepared, wire, capability=self._capability).body)
        except RequestError as error:
            raise _refusal(error) from error
        except Exception as error:  # the border to a program that must not fail because of us
            fault = Degraded("plugin_failed", f"{type(error).__name__}: {error}")
            log.warning("degraded: %s: %s", fault.code, fault)
            if self._must_speak:
                raise _refusal(blocked(fault)) from error
            return data
        _put(woven, fields, data)
        _SEEN.set((call, prepared))
        if call_type != _PASS_THROUGH:  # there, whatever is in `data` goes to the provider
            _note(prepared.decision, data)
        return data

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,
        response: Any,
        request_headers: dict[str, str] | None = None,
        litellm_call_info: dict[str, Any] | None = None,
    ) -> dict[str, str] | None:
        """Return the headers that say what was decided, as the router's own proxy sends them.

        This is also where the answer's id is the one that the client gets, and will go on from.
        """
        seen = _SEEN.get()
        if seen is None:
            return None
        call, prepared = seen
        answered = getattr(response, "id", None)  # a stream has none yet
        if call.wire.chains and isinstance(answered, str):
            self._preparer.remember(call.tenant, prepared, answered)
        return {f"x-router-{name}": value for name, value in _told(prepared.decision).items()}


def from_environment(environment: Mapping[str, str] = os.environ) -> PromptRouter:
    """Return the callback that the environment describes. Raises SettingsError and PolicyError."""
    mid = environment.get("ROUTER_MID_CONVERSATION") or "user_block"
    if mid not in _MID_CONVERSATION:
        raise SettingsError(f'ROUTER_MID_CONVERSATION: "{mid}" is unknown. {did_you_mean(mid, _MID_CONVERSATION)}')
    cache = environment.get("ROUTER_CACHE")
    return PromptRouter(
        load_pack(environment.get("ROUTER_PACK") or shipped_pack()),
        Path(cache) if cache else default_cache(),
        Capability(mid_conversation=_MID_CONVERSATION[mid]),
        environment.get("ROUTER_SALT"),
    )


def __getattr__(name: str) -> PromptRouter:
    """Make `instance` when LiteLLM asks for it, so that to import this module loads no pack."""
    if name != "instance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    instance = globals()["instance"] = from_environment()
    return instance


def _wire(call_type: str, route: str) -> Wire | None:
    """Return the format of a request, where its instructions can be woven in."""
    if call_type != _PASS_THROUGH:
        return WIRES.get(_WIRE_OF_CALL.get(call_type, ""))
    return next((WIRES.get(wire) for end, wire in _WIRE_OF_ROUTE.items() if route.endswith(end)), None)


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as LiteLLM means to send it, without what is LiteLLM's own."""
    came: Mapping[str, Any] = _mapping(_mapping(data.get("proxy_server_request")).get("body")) or data
    fields = {name: data[name] for name in (*came, *_TEXTS) if name in data and name not in _OWN}
    # LiteLLM adds to the metadata of a chat completion, and keeps the client's own under a name inside of it.
    metadata = _mapping(data.get("metadata"))
    theirs = _mapping(metadata.get("requester_metadata")) if "requester_metadata" in metadata else metadata
    plain = {name: value for name, value in theirs.items() if isinstance(value, str | int | float | bool)}
    return {**fields, "metadata": plain} if plain else fields


def _headers(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the client's headers, in small letters and without its key; LiteLLM tells none for relayed bodies."""
    headers = _mapping(_mapping(data.get("proxy_server_request")).get("headers"))
    return {str(name).lower(): str(value) for name, value in headers.items()}


def _put(woven: Mapping[str, Any], fields: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Write what weaving changed; what LiteLLM or its operator has set beside the client's fields stays."""
    for name, value in woven.items():
        if name == "metadata":
            continue
        if name not in fields:
            data.setdefault(name, value)
        elif value != fields[name]:
            data[name] = value


def _note(decision: Decision, data: dict[str, Any]) -> None:
    """Put the decision where LiteLLM's logs, its own and those of other callbacks, look for such things."""
    name = "litellm_metadata" if "litellm_metadata" in data else "metadata"
    metadata = data.setdefault(name, {})
    logged = metadata.get("spend_logs_metadata") or {}
    metadata["spend_logs_metadata"] = {**logged, "prompt_router": _told(decision)}


def _told(decision: Decision) -> dict[str, str]:
    told = {
        "task": ", ".join(decision.tasks),
        "level": decision.level.word,
        "revision": decision.revision,
        "outcome": decision.outcome,
    }
    return told | {"shortlist": ", ".join(decision.listed)} if decision.shortlist else told


def _refusal(error: RequestError) -> HTTPException:
    detail = {"error": error.message, "code": error.code}
    return HTTPException(error.status, detail, headers=error.headers or None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NOTHING
