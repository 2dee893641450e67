"""Read the settings: router.yaml, then the environment, then the command line; the last word wins.

`${NAME}` in a text stands for a variable of the environment, `${NAME:-default}` for one that may be missing or empty,
`$${` for the characters themselves. Keys are never replaced. Relative paths in the file are relative to its folder,
those of the command line to the folder one stands in.

Without a router.yaml the environment names the backends. The first provider of PROVIDERS whose key is set answers to
every model name, as the client wrote it; the others are reached by a prefix that is taken off, as in
`groq/llama-3.3-70b-versatile`. A key is only ever sent to the host of its own provider. Without any key, the echo
backend answers. Variables that name an address, such as OPENAI_BASE_URL, are not read: where an app uses the router,
they name us.

Every fault is reported with its place, all of them at once, and none repeats what was written: it may be a secret.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr, ValidationError

from router.core.errors import Fault, SettingsError, did_you_mean
from router.engine.identity import kept_salt
from router.packs.reading import YamlNode, plain, read_tree
from router.packs.validate import forms_at, known_keys
from router.server.settings import ANTHROPIC_ADDRESS, BackendSettings, Place, Settings

MAX_FILE_BYTES = 1 << 20
KEY_VARIABLE = "ROUTER_API_KEY"
DATABASE_VARIABLE = "ROUTER_DATABASE"
MIN_KEY_CHARS = 20

_OVERRIDDEN: tuple[tuple[Place, str], ...] = (
    (("listen", "host"), "host"),
    (("listen", "port"), "port"),
    (("data",), "data"),
    (("packs",), "packs"),
)
_VARIABLE = re.compile(r"\$(\$\{|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\{(?P<broken>))")


def load_settings(
    path: Path | None = None, environ: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Return the settings. Without a file, and where a file names no backend, the environment decides on backends.

    `overrides` is what the command line says: `host`, `port`, `data`, `packs`, and `backend`, which is `echo` or the
    address of an OpenAI-compatible server. None counts as not said.

    ROUTER_DATABASE is the address of the database where the file names none.
    ROUTER_API_KEY adds a key named `environment` that may infer, give feedback and read, unless the file has that key.
    Raises SettingsError.
    """
    environ = os.environ if environ is None else environ
    said = {name: value for name, value in (overrides or {}).items() if value is not None}
    source = _Source(path)
    written = source.read(environ)
    _choose_backends(written, environ, said.get("backend"))
    _add_environment_key(written, environ)
    if environ.get(DATABASE_VARIABLE) and not written.get("database"):
        written["database"] = environ[DATABASE_VARIABLE]
    source.raise_faults()
    for place, name in _OVERRIDDEN:
        if name in said:
            source.override(written, place, said[name])
    try:
        settings = Settings.model_validate(written)
    except ValidationError as error:
        for place, message, hint in _complaints(error):
            source.fault(place, message, hint)
        source.raise_faults()
        raise  # never reached: an error without a complaint would be pydantic's own fault
    for place, message in settings.contradictions():
        source.fault(place, message)
    source.raise_faults()
    return _resolved(settings, path, said, environ)


def load_salt(settings: Settings) -> bytes:
    """Return the secret that keys all stored hashes; made once, readable by its owner alone. Raises SettingsError.

    It must survive restarts: with another salt, every conversation and every user is a new one.
    """
    if settings.salt is not None:
        return settings.salt.get_secret_value().encode()
    try:
        return kept_salt(settings.data)
    except OSError as error:
        raise SettingsError(
            f"the data folder {settings.data} cannot be used: {error.strerror or error}. Name another with --data."
        ) from error


class _Source:
    """A file with the places of its values, what the command line put over them, and the faults found so far."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._root = YamlNode({}, str(path or "settings"), 1)
        self._overridden: set[Place] = set()
        self._faults: list[str] = []

    def read(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """Return what the file says, variables replaced; nothing without a file."""
        if self._path is None:
            return {}
        faults: list[Fault] = []
        root = read_tree(_text(self._path), str(self._path), faults)
        self._faults += map(str, faults)
        self.raise_faults()
        if root is None or not isinstance(root.value, dict):
            raise SettingsError(f"{self._path}:1: router.yaml must hold settings such as `listen:` and `models:`")
        self._root = root
        replaced = self._replaced(root, (), environ)
        assert isinstance(replaced, dict)
        return replaced

    def override(self, written: dict[str, Any], place: Place, value: object) -> None:
        """Put a value of the command line in its place."""
        self._overridden.add(place)
        *groups, name = place
        here: Any = written
        for group in groups:
            if here.get(group) is None:
                here[group] = {}
            here = here[group]
            if not isinstance(here, dict):
                return  # the file has something else there, which validation will report
        here[name] = value

    def fault(self, place: Place, message: str, hint: str = "") -> None:
        """Note a fault at a place."""
        name = ".".join(map(str, place))
        said = f"{name}: {message}" if name else message
        if hint:
            said += f" ({hint})"
        if place in self._overridden:
            self._faults.append(f"command line: {said}")
        elif self._path is None:
            self._faults.append(said)
        else:
            node = self._root.at(*place)
            self._faults.append(f"{node.file}:{node.line}: {said}")

    def raise_faults(self) -> None:
        """Raise SettingsError if there are any."""
        if self._faults:
            raise SettingsError("\n".join(self._faults))

    def _replaced(self, node: YamlNode, place: Place, environ: Mapping[str, str]) -> Any:
        value = node.value
        if isinstance(value, dict):
            return {key: self._replaced(child, (*place, key), environ) for key, child in value.items()}
        if isinstance(value, list):
            return [self._replaced(child, (*place, number), environ) for number, child in enumerate(value)]
        return self._filled(value, place, environ) if isinstance(value, str) and "$" in value else plain(node)

    def _filled(self, text: str, place: Place, environ: Mapping[str, str]) -> str:
        def fill(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match["broken"] is not None:
                self.fault(place, "${ without a variable's name and }", "write $${ for the characters themselves")
                return ""
            if name is None:
                return "${"
            value = environ.get(name)
            if not value and default is not None:
                return default
            if value is None:
                self.fault(place, f"the environment has no variable {name}", f"set it, or write ${{{name}:-default}}")
                return ""
            return value

        return _VARIABLE.sub(fill, text)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(f"{path} is larger than 1 MiB, which no settings need")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: the file is not UTF-8") from error


def _choose_backends(written: dict[str, Any], environ: Mapping[str, str], option: Any) -> None:
    """Fill in `backends` and `models` where the file leaves them open, or replace them as --backend says."""
    if option is not None:
        written |= from_option(option, environ)
    elif not written.get("backends") and not written.get("models"):
        written |= from_environment(environ)
    elif not written.get("backends"):
        written["backends"] = from_environment(environ)["backends"]
    elif not written.get("models") and isinstance(written["backends"], dict):
        names = list(written["backends"])
        written["models"] = {"*": {"backend": names[0]}} if len(names) == 1 else {}


def _add_environment_key(written: dict[str, Any], environ: Mapping[str, str]) -> None:
    secret = environ.get(KEY_VARIABLE, "").strip()
    if not secret:
        return
    if len(secret) < MIN_KEY_CHARS:
        raise SettingsError(
            f"{KEY_VARIABLE} is shorter than {MIN_KEY_CHARS} characters, so it could be guessed; make one with"
            " `python3 -c \"import secrets; print('pr-' + secrets.token_urlsafe(32))\"`"
        )
    digest = hashlib.sha256(secret.encode()).hexdigest()
    keys = written.get("keys") or []
    if isinstance(keys, list) and not any(isinstance(key, dict) and key.get("sha256") == digest for key in keys):
        key = {"name": "environment", "sha256": digest, "scopes": ["infer", "feedback", "read"]}
        written["keys"] = [*keys, key]


def _complaints(error: ValidationError) -> Iterator[tuple[Place, str, str]]:
    """Yield place, message and hint of everything pydantic found, in our words and without the values."""
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        place = tuple(step for step in found["loc"] if step != "[key]")
        if found["type"] == "extra_forbidden":
            yield place, "unknown key", did_you_mean(str(place[-1]), known_keys(forms_at(Settings, place[:-1])))
        elif found["type"] == "missing":
            yield place, "is missing", ""
        elif found["type"] in ("model_type", "dict_type", "tuple_type", "frozen_set_type"):
            yield place, "must be a mapping" if found["type"][0] in "md" else "must be a list", ""
        else:
            message = found["msg"].removeprefix("Value error, ").replace("Input should", "must")
            yield place, message[:1].lower() + message[1:], ""


def _resolved(
    settings: Settings, path: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str]
) -> Settings:
    """Make paths absolute, and say which proxy each backend is reached through."""
    folder = Path.cwd() if path is None else path.resolve().parent
    data = Path.cwd() if "data" in overrides else folder
    packs = Path.cwd() if "packs" in overrides else folder
    return settings.model_copy(
        update={
            "data": data / settings.data.expanduser(),
            "packs": tuple(packs / pack.expanduser() for pack in settings.packs),
            "backends": {name: _reached(each, folder, environ) for name, each in settings.backends.items()},
        }
    )


def _reached(backend: BackendSettings, folder: Path, environ: Mapping[str, str]) -> BackendSettings:
    """Return a backend with the proxy that it is reached through, if any, and the absolute paths of its files."""
    if backend.type not in ("openai", "anthropic", "azure"):
        return backend
    proxy = backend.proxy
    if proxy is None:
        proxy = SecretStr(proxy_for(backend.base_url or ANTHROPIC_ADDRESS, environ))
    bare = proxy.get_secret_value()
    files = {
        name: folder / file.expanduser()
        for name, file in (("ca_file", backend.ca_file), ("token_file", backend.token_file))
        if file
    }
    return backend.model_copy(update={"proxy": SecretStr("") if bare == "none" else proxy, **files})


def proxy_for(address: str, environ: Mapping[str, str]) -> str:
    """Return the proxy that the environment names for an address, or nothing.

    The variables are those of curl and of Python's own libraries: the scheme's own before ALL_PROXY, small letters
    before capitals. NO_PROXY lists hosts, domains, addresses and networks (10.0.0.0/8), each perhaps with a port.

    >>> proxy_for("https://api.example.com/v1", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".internal"})
    'http://proxy:3128'
    """
    told = {
        name: environ.get(name) or environ.get(name.upper()) or ""
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    }
    where = urlsplit(address)
    if any(_covers(each.strip().lower(), where) for each in told["no_proxy"].split(",")):
        return ""
    return told[f"{where.scheme}_proxy"] or told["all_proxy"]


def _covers(entry: str, where: SplitResult) -> bool:
    """Say whether an entry of NO_PROXY covers an address."""
    host = where.hostname or ""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, _, port = entry.partition(":")
    if port and port != str(where.port or {"http": 80, "https": 443}[where.scheme]):
        return False
    name = name.removeprefix("*").removeprefix(".")
    return bool(name) and (host == name or host.endswith("." + name))


BACKEND_KEY = "ROUTER_BACKEND_API_KEY"


@dataclass(frozen=True, slots=True)
class _Provider:
    """A provider, the variable that holds its key, and where it is asked in OpenAI's formats.

    Without an address, litellm asks it; `type` may say otherwise.
    """

    name: str
    variable: str
    base_url: str = ""
    type: str = ""


PROVIDERS = (
    _Provider("openai", "OPENAI_API_KEY", "https://api.openai.com/v1"),
    _Provider("anthropic", "ANTHROPIC_API_KEY", type="anthropic"),
    _Provider("gemini", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com/v1beta/openai"),
    _Provider("mistral", "MISTRAL_API_KEY", "https://api.mistral.ai/v1"),
    _Provider("groq", "GROQ_API_KEY", "https://api.groq.com/openai/v1"),
    _Provider("openrouter", "OPENROUTER_API_KEY", "https://openrouter.ai/api/v1"),
    _Provider("deepseek", "DEEPSEEK_API_KEY", "https://api.deepseek.com/v1"),
    _Provider("xai", "XAI_API_KEY", "https://api.x.ai/v1"),
    _Provider("cerebras", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    _Provider("cohere", "COHERE_API_KEY"),
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
    provider = provider_at(option)
    key = environ.get(BACKEND_KEY) or (environ.get(provider.variable) if provider else None)
    if key:
        backend["api_key"] = key
    return _one("backend", backend)


def _one(name: str, backend: dict[str, Any]) -> Sections:
    return {"backends": {name: backend}, "models": {"*": {"backend": name}}}


def _backend(provider: _Provider, key: str) -> dict[str, Any]:
    if not provider.base_url:
        return {"type": provider.type or "litellm", "api_key": key}
    return {"type": "openai", "base_url": provider.base_url, "api_key": key}


def provider_at(address: str) -> _Provider | None:
    """Return the known provider that is asked at an address, if any."""
    try:
        wanted = urlsplit(address)
        port = wanted.port
    except ValueError:
        return None  # the settings will say what is wrong with it
    if wanted.scheme != "https" or port not in (None, 443):
        return None
    hosts = {urlsplit(provider.base_url).hostname: provider for provider in PROVIDERS if provider.base_url}
    return hosts.get(wanted.hostname)
