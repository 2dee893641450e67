"""Backends by environment: what to do when nobody has written a router.yaml.

The first provider of PROVIDERS whose key is set answers to every model name, as the client wrote it; the others are
reached by a prefix that is taken off, as in `groq/llama-3.3-70b-versatile`. A key is only ever sent to the host of its
own provider. Without any key, the echo backend answers.

Variables that name an address, such as OPENAI_BASE_URL, are not read: where an app uses the router, they name us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from router.core.errors import SettingsError

BACKEND_KEY = "ROUTER_BACKEND_API_KEY"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, the variable that holds its key, and where it is asked in OpenAI's formats.

    Without an address, litellm asks it; `type` may say otherwise.
    """

    name: str
    variable: str
    base_url: str = ""
    type: str = ""


PROVIDERS = (
    Provider("openai", "OPENAI_API_KEY", "https://api.openai.com/v1"),
    Provider("anthropic", "ANTHROPIC_API_KEY", type="anthropic"),
    Provider("gemini", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
    Provider("mistral", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    Provider("groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    Provider("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
    Provider("deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
    Provider("xai", "XAI_API_KEY", "https://api.x.ai/v1"),
    Provider("cerebras", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    Provider("cohere", "COHERE_API_KEY"),
)
"""In order of precedence. Addresses as the providers' own documentation gives them for OpenAI clients."""

Sections = dict[str, dict[str, Any]]
"""The sections `backends` and `models`, as they would stand in router.yaml."""


def from_environment(environ: Mapping[str, str]) -> Sections:
    """Return the backends and models for the keys that are set; the echo backend when none is."""
    present = [provider for provider in PROVIDERS if environ.get(provider.variable)]
    if not present:
        return _one("echo", {"type": "echo"})
    backends = {provider.name: _backend(provider, environ[provider.variable]) for provider in present}
    # The first one's names may begin with its own prefix (groq/compound), so there it is not taken off.
    models = {f"{provider.name}/*": {"backend": provider.name, "model": "*"} for provider in present[1:]}
    return {"backends": backends, "models": {"*": {"backend": present[0].name}, **models}}


def from_option(option: str, environ: Mapping[str, str]) -> Sections:
    """Return the one backend that `--backend` names: `echo`, or the address of anything that speaks OpenAI's format.

    The key is ROUTER_BACKEND_API_KEY. At the address of a known provider its own variable serves as well, and nowhere
    else. Raises SettingsError for anything that is neither.
    """
    if option == "echo":
        return _one("echo", {"type": "echo"})
    if not option.startswith(("http://", "https://")):
        raise SettingsError("--backend: neither echo nor an address that begins with http:// or https://")
    backend: dict[str, Any] = {"type": "openai", "base_url": option}
    provider = _provider_at(option)
    key = environ.get(BACKEND_KEY) or (environ.get(provider.variable) if provider else None)
    if key:
        backend["api_key"] = key
    return _one("backend", backend)


def _one(name: str, backend: dict[str, Any]) -> Sections:
    return {"backends": {name: backend}, "models": {"*": {"backend": name}}}


def _backend(provider: Provider, key: str) -> dict[str, Any]:
    if not provider.base_url:
        return {"type": provider.type or "litellm", "api_key": key}
    return {"type": "openai", "base_url": provider.base_url, "api_key": key}


def _provider_at(address: str) -> Provider | None:
    try:
        wanted = urlsplit(address)
        port = wanted.port
    except ValueError:
        return None  # the settings will say what is wrong with it
    if wanted.scheme != "https" or port not in (None, 443):
        return None
    hosts = {urlsplit(provider.base_url).hostname: provider for provider in PROVIDERS if provider.base_url}
    return hosts.get(wanted.hostname)
