"""Ask a backend whether it is where the settings say: what `router serve` logs about it and `router doctor` prints.

Nothing is answered for a question that costs nothing: the list of models, and where a server has none, an empty request
for an answer, which every server refuses that knows the route. Where it knows neither, the addresses that are usually
meant are asked in the same way, and the one that answers is the cure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from router.backends.bridged import is_unknown_route
from router.backends.http.pool import reason_of
from router.core.errors import BackendError, SettingsError
from router.core.ports import Backend, BackendRequest
from router.server.composition import backend_of
from router.server.settings import ANTHROPIC_ADDRESS, BackendSettings, ModelSettings

PATIENCE = {"connect_s": 3.0, "first_byte_s": 20.0, "idle_s": 20.0, "total_s": 30.0}
"""How long a probe waits, in seconds."""

_MEANT = ("/v1", "/api/v1", "/openai/v1", "/v1beta/openai", "")
_FIXES = {
    401: "correct its api_key",
    403: "correct its api_key, or what the key may do",
    404: "name a model that it has under `models`",
    429: "wait, or look at the quota of its account",
}


@dataclass(frozen=True, slots=True)
class BackendFinding:
    """Whether a backend is as the settings say, what was found, and what to do if not."""

    good: bool
    found: str
    fix: str = ""


async def probe(
    name: str, chosen: BackendSettings, models: Mapping[str, ModelSettings], *, call: bool
) -> BackendFinding:
    """Return what is found at a backend's address. With `call` a short answer is asked for, where there is a key."""
    if chosen.type == "litellm":
        return await _litellm(name, chosen, models) if call and chosen.api_key else BackendFinding(True, "not asked")
    address = chosen.base_url or ANTHROPIC_ADDRESS
    try:
        listed = await _listed(name, chosen, address)
        if listed is None:
            return await _misplaced(name, chosen, address)
    except SettingsError as error:
        return BackendFinding(False, str(error), "correct what it names")
    except BackendError as error:
        return _failure(chosen, address, error)
    if not (call and chosen.api_key):
        return BackendFinding(True, f"answers at {address}")
    model = _model_for(name, models) or next((each for each in listed if "embed" not in each), "")
    return await _answer(name, chosen, model)


async def _listed(name: str, chosen: BackendSettings, address: str) -> list[str] | None:
    """Return the models that are listed at an address; None where there is no API. Raises BackendError."""
    backend = _backend_at(name, chosen, address)
    path = "/messages" if chosen.type == "anthropic" else "/chat/completions"
    try:
        try:
            answer = await backend.send(BackendRequest("/models", b"", method="GET"))
            if answer.body.lstrip().startswith(b"{"):
                return _names_in(answer.body)
        except BackendError as error:
            if not is_unknown_route(error):
                if error.code == "backend_status" and error.status not in (401, 403):
                    return []  # busy, or not for us to know: but something is there
                raise
        try:
            answer = await backend.send(BackendRequest(path, b"{}"))
        except BackendError as error:
            if is_unknown_route(error):
                return None
            if error.code != "backend_status" or error.status in (401, 403):
                raise
            return []
        return [] if answer.body.lstrip().startswith(b"{") else None
    finally:
        await backend.aclose()


async def _misplaced(name: str, chosen: BackendSettings, address: str) -> BackendFinding:
    parts = urlsplit(address)
    root = f"{parts.scheme}://{parts.netloc}"
    found = f"a server answers at {address}, but it knows no API there"
    for other in dict.fromkeys([address + "/v1", *(root + path for path in _MEANT)]):
        if other != address and await _knows(name, chosen, other):
            return BackendFinding(False, found, f"write base_url: {other}")
    return BackendFinding(False, found, "correct base_url; for Ollama, vLLM and llama.cpp it ends with /v1")


async def _knows(name: str, chosen: BackendSettings, address: str) -> bool:
    try:
        return await _listed(name, chosen, address) is not None
    except BackendError as error:
        return error.code == "backend_status"


def _failure(chosen: BackendSettings, address: str, error: BackendError) -> BackendFinding:
    """Return what a failure means, and what helps."""
    if error.code == "backend_status":
        return BackendFinding(False, f"{address} answered with status {error.status}", _FIXES[error.status])
    cause = error.__cause__
    said = reason_of(cause) if isinstance(cause, OSError) and str(cause) else error.message
    fix = f"start the server at {address}, or correct base_url"
    if error.code == "redirect":
        fix = "write as base_url where it leads, often with https:// or without www"
    elif error.code == "tls_failed":
        fix = "write http:// if the server speaks no TLS; name its authority in `ca_file` if it has one of its own"
    elif error.code in ("reset", "protocol_error") and address.startswith("http://"):
        fix = "write https:// if the server speaks TLS"
    elif chosen.proxy and chosen.proxy.get_secret_value():
        fix = "correct the proxy (`proxy`, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY), or name the host in NO_PROXY"
    elif urlsplit(address).hostname in ("localhost", "127.0.0.1", "::1") and Path("/.dockerenv").exists():
        fix = f"{fix}; in a container, this machine's servers are at host.docker.internal"
    return BackendFinding(False, f"{address}: {said}", fix)


async def _litellm(name: str, chosen: BackendSettings, models: Mapping[str, ModelSettings]) -> BackendFinding:
    return await _answer(name, chosen, _model_for(name, models))


async def _answer(name: str, chosen: BackendSettings, model: str) -> BackendFinding:
    """Ask for the shortest answer."""
    if not model:
        hint = "" if chosen.type == "litellm" else ", and it lists none"
        return BackendFinding(True, f"no model of it is named under `models`{hint}, so none was asked")
    path = "/messages" if chosen.type == "anthropic" else "/chat/completions"
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 16}
    backend = _backend_at(name, chosen, chosen.base_url or (ANTHROPIC_ADDRESS if chosen.type == "anthropic" else ""))
    try:
        try:
            await backend.send(BackendRequest(path, json.dumps(asked).encode(), model=model))
        except BackendError as error:
            if error.status != 400 or b"max_tokens" not in error.body:
                raise
            del asked["max_tokens"]  # newer models know it under another name
            await backend.send(BackendRequest(path, json.dumps(asked).encode(), model=model))
    except BackendError as error:
        if error.code != "backend_status":
            return _failure(chosen, chosen.base_url or name, error)
        said = _message_in(error)
        fix = _FIXES.get(error.status, "look into what it says")
        return BackendFinding(False, f"model {model} answered with status {error.status}{said}", fix)
    finally:
        await backend.aclose()
    return BackendFinding(True, f"model {model} answered")


def _backend_at(name: str, chosen: BackendSettings, address: str) -> Backend:
    """Return a backend as the settings describe it, at an address, that bridges nothing and waits for less."""
    changes: dict[str, Any] = {"base_url": address, "timeouts": chosen.timeouts.model_copy(update=PATIENCE)}
    if chosen.type != "litellm":
        changes["speaks"] = ("chat", "responses", "messages")
    return backend_of(name, chosen.model_copy(update=changes))


def _model_for(name: str, models: Mapping[str, ModelSettings]) -> str:
    """Return the first model of a backend that the settings name outright."""
    for alias, model in models.items():
        upstream = model.model or alias
        if model.backend == name and "*" not in upstream:
            return upstream
    return ""


def _names_in(body: bytes) -> list[str]:
    try:
        rows = json.loads(body).get("data") or []
        return [row["id"] for row in rows if isinstance(row.get("id"), str)]
    except (ValueError, AttributeError, TypeError):
        return []


def _message_in(error: BackendError) -> str:
    try:
        told = json.loads(error.body)
        message = told["error"]["message"] if isinstance(told.get("error"), dict) else told.get("error")
    except (ValueError, AttributeError, KeyError):
        message = "" if error.body else error.message
    return f": {str(message)[:200]}" if message else ""
