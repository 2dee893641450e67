"""Settings: addresses, secrets and limits. They never change a decision; what does belongs in a pack.

The models below are the reference of router.yaml: a key that is no field here is an error. Units stand in the names.
Secrets are SecretStr, so neither a repr nor an error shows them. `router.server.settings_source` reads them from a
file, the environment and the command line.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)

from router.core.errors import did_you_mean
from router.engine.identity import SALT_CHARS

Place: TypeAlias = tuple[str | int, ...]
"""Where a setting stands: `("models", "careful", "backend")`."""

Scope: TypeAlias = Literal["infer", "feedback", "read", "admin"]


def _like(pattern: str, words: str) -> AfterValidator:
    """Return the rule that a text matches `pattern`, which `words` say to people."""
    fits: Callable[[str], object] = re.compile(pattern).fullmatch

    def check(text: str) -> str:
        if not fits(text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


Name: TypeAlias = Annotated[
    str, _like(r"[A-Za-z0-9][\w.-]{0,63}", "a word of up to 64 letters, digits, dots, dashes and underscores")
]
Alias: TypeAlias = Annotated[
    str, _like(r"(?=.{1,200}$)[^\s*]*\*?", "a model name without spaces, with a * at its end or none")
]
HeaderName: TypeAlias = Annotated[
    str, _like(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "a header's name"), AfterValidator(str.lower)
]
Digest: TypeAlias = Annotated[
    str, _like(r"[0-9a-fA-F]{64}", "the SHA-256 of the key, 64 hexadecimal digits"), AfterValidator(str.lower)
]
ProviderId: TypeAlias = Annotated[
    str, _like(r"(?=.{1,200}$)[^\s*]+\*?", "an id without spaces, with a * at its end for all that begin so, or none")
]
Origin: TypeAlias = Annotated[
    str, _like(r"\*|null|[a-z][a-z0-9+.-]*://[^/?#\s*]+", "an origin such as https://shop.example.com, or *")
]
Salt: TypeAlias = Annotated[SecretStr, Field(min_length=SALT_CHARS)]


def _database(address: SecretStr) -> SecretStr:
    if not address.get_secret_value().startswith(("postgresql://", "postgresql+asyncpg://", "sqlite:///")):
        raise ValueError("must begin with postgresql:// or sqlite:///, as in postgresql://router:secret@db:5432/router")
    return address


Database: TypeAlias = Annotated[SecretStr, AfterValidator(_database)]

ANTHROPIC_ADDRESS = "https://api.anthropic.com/v1"

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "host.docker.internal")
"""Names by which a program on this machine, or in a container on it, calls a server that is bound to loopback."""

CONVERSATION_HEADERS = ("x-session-id", "x-conversation-id", "x-openwebui-chat-id", "x-litellm-session-id")


class _Strict(BaseModel):
    """A group of settings: immutable, every key known."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ListenSettings(_Strict):
    """Where the proxy listens. Other hosts than loopback need an API key."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class _TimeoutSettings(_Strict):
    """How long a backend may take: to connect, to the first byte, between bytes of a stream, and in all."""

    connect_s: PositiveFloat = 5.0
    first_byte_s: PositiveFloat = 600.0
    idle_s: PositiveFloat = 300.0
    total_s: PositiveFloat = 900.0


_ROUTE = re.compile(r"/(?:chat/completions|completions|responses|messages|embeddings)$")


class BackendSettings(_Strict):
    """What answers. `openai` is anything that speaks OpenAI's formats at `base_url`, and `anthropic` what speaks
    Anthropic's (by default Anthropic itself); `headers` are sent with every call. `azure` is an endpoint of Azure
    OpenAI: its v1 addresses, or with an `api_version` that is a date its classic ones; model names are deployments.

    `token_file` holds a bearer token that another program keeps fresh, in place of `api_key`.

    `speaks` names the formats that it answers itself; requests in the others are bridged by litellm. For `openai`
    without it, that is found out by asking.

    `litellm` is any other `provider`, by litellm's name for it (by default the backend's own name); `options` are
    further arguments for it, such as `api_version`; `links` lets it fetch what links in messages point to.

    `mid_conversation`, `roles`, `cache_marks` and `cache_min_tokens` say what its models take; a model may say
    otherwise for itself. `usage_in_streams` says that it takes `stream_options` in chat completions, `refuses` names
    parameters of packs that it does not take, `lenient` says that it ends its streams with `[DONE]` or a reason to
    finish, but not with both.

    `connections` are open at once, by default as many as `limits.in_flight`; a request beyond is refused, or sent to
    its fallback, at once.

    `proxy` is the address of a forward proxy, with its credentials, or `none`; by default it is what HTTPS_PROXY,
    HTTP_PROXY, ALL_PROXY and NO_PROXY say. `ca_file` holds certificates to trust besides the system's.
    """

    type: Literal["openai", "anthropic", "azure", "litellm", "echo"]
    base_url: str = ""
    speaks: tuple[Literal["chat", "responses", "messages"], ...] | None = None
    provider: str = ""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict, repr=False)  # may hold a secret
    links: bool = False
    api_key: SecretStr | None = None
    api_version: Annotated[
        str, _like(r"|preview|\d{4}-\d{2}-\d{2}(-preview)?", "a version such as 2024-10-21, or preview, or nothing")
    ] = ""
    token_file: Path | None = None
    headers: dict[HeaderName, SecretStr] = Field(default_factory=dict)
    mid_conversation: Literal["system", "developer", "user_block"] | None = None
    roles: frozenset[str] | None = None
    cache_marks: Literal["off", "auto", "always"] | None = None
    cache_min_tokens: PositiveInt | None = None
    usage_in_streams: bool | None = None
    lenient: bool = False
    connections: PositiveInt | None = None
    refuses: frozenset[str] = frozenset()
    proxy: SecretStr | None = None
    ca_file: Path | None = None
    timeouts: _TimeoutSettings = _TimeoutSettings()

    @field_validator("base_url")
    @classmethod
    def _ends_before_a_deployment(cls, url: str) -> str:
        if "/openai/deployments" in url or "api-version=" in url:
            raise ValueError(
                "must end before /openai, as in https://NAME.openai.azure.com; with type: azure the deployment is the"
                " model's name, and what stands behind api-version= goes into api_version"
            )
        return url

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        if not url:
            return url
        try:
            parts = urlsplit(url)
            host = parts.hostname
            _ = parts.port
        except ValueError as error:
            raise ValueError("is not an address") from error
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("must begin with http:// or https:// and name a host, as in https://api.openai.com/v1")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must hold no password, question mark or fragment; credentials go into api_key or headers")
        url = url.rstrip("/")
        if route := _ROUTE.search(url):
            shorter = url[: route.start()] or url
            raise ValueError(f"must end before {route[0]}, which the router adds itself: write {shorter}")
        return url

    @field_validator("api_key", "headers")
    @classmethod
    def _sendable(cls, secret: Any) -> Any:
        """Take off what a file or a shell has put around a secret; no header can carry a line break."""
        if isinstance(secret, dict):
            return {name: cls._sendable(value) for name, value in secret.items()}
        if secret is None:
            return None
        bare = secret.get_secret_value().strip()
        if not bare.isprintable():
            raise ValueError("holds a line break, or another character that no header can carry")
        return SecretStr(bare)

    @model_validator(mode="after")
    def _has_address(self) -> BackendSettings:
        if self.type == "openai" and not self.base_url:
            raise ValueError("a backend of type openai needs base_url, such as http://127.0.0.1:11434/v1")
        if self.type == "azure" and not self.base_url:
            raise ValueError("a backend of type azure needs base_url, such as https://NAME.openai.azure.com")
        if self.api_version and self.type != "azure":
            raise ValueError(f"api_version: a backend of type {self.type} has none (litellm takes it under options)")
        if self.token_file is not None and (self.type not in ("openai", "azure") or self.api_key is not None):
            raise ValueError("token_file: only in place of api_key, for a backend of type openai or azure")
        if self.speaks is not None and self.type not in ("openai", "anthropic", "azure"):
            raise ValueError(f"speaks: a backend of type {self.type} answers every format; leave it out")
        if self.connections is not None and self.type not in ("openai", "anthropic", "azure"):
            raise ValueError(f"connections: those of type {self.type} are not counted; leave it out")
        if self.type not in ("openai", "anthropic", "azure") and (self.proxy or self.ca_file):
            raise ValueError(f"proxy, ca_file: a backend of type {self.type} takes HTTPS_PROXY and SSL_CERT_FILE alone")
        if self.cache_marks not in (None, "off") and self.type not in ("openai", "anthropic", "azure"):
            raise ValueError(f"cache_marks: none can be sent to a backend of type {self.type}; leave it out")
        return self


class ModelSettings(_Strict):
    """One row of the model table: which backend answers for a model name, and which models after it.

    `model` is the name the backend knows; by default the client's own word. A `*` in it stands for what the `*` of the
    alias stood for, so that `groq/*: {backend: groq, model: "*"}` takes the prefix off.
    """

    backend: str
    model: str = ""
    fallback: tuple[str, ...] = ()
    mid_conversation: Literal["system", "developer", "user_block"] | None = None
    roles: frozenset[str] | None = None
    cache_marks: Literal["off", "auto", "always"] | None = None
    cache_min_tokens: PositiveInt | None = None
    refuses: frozenset[str] = frozenset()


class KeySettings(_Strict):
    """One API key, known by the SHA-256 of its secret, and what its holder may do.

    `tenant` is the key's name unless set. `policy` is the policy its requests get, `policies` the further ones it may
    ask for; with neither it may ask for all. `trust_headers` are the headers that may name the end user.

    `provider_ids` are ids of what the provider keeps that the tenant may name, or beginnings of such ids with a `*`:
    stored conversations (`conv_*`), prompts and items. Where several tenants have keys with the scope `infer`, others
    are not passed on, since nobody knows whose they are; answers that the router itself passed on need not be listed.
    """

    name: Name
    sha256: Digest
    tenant: Name | None = None
    scopes: frozenset[Scope] = frozenset({"infer"})
    policy: str | None = None
    policies: tuple[str, ...] | None = None
    may_turn_off: bool = False
    trust_headers: tuple[HeaderName, ...] = ()
    requests_per_minute: PositiveInt | None = None
    concurrent: PositiveInt | None = None
    provider_ids: frozenset[ProviderId] = frozenset()


class LimitSettings(_Strict):
    """What one client may cost. Sizes take units: `4MiB`.

    A form with files is passed on as it comes, up to `upload_bytes`; other bodies are held, up to `body_bytes`. A
    packed one may unpack to `body_bytes`, and, above 1 MiB, to `unpacked_ratio` times its size.

    A body must be there within `body_deadline_s` and, after a tenth of that, come at `body_bytes_per_s` or more.
    `in_flight` requests are served at once, whose bodies have `body_bytes_in_flight` together, or `body_bytes` where
    that is more; others are asked to come again. A stream in which nothing happens gets a comment every
    `stream_comment_s`, so that nobody on its way takes it for dead; 0 for none.
    """

    body_bytes: ByteSize = Field(default=ByteSize(32 << 20), gt=0)
    upload_bytes: ByteSize = Field(default=ByteSize(512 << 20), gt=0)
    unpacked_ratio: PositiveInt = 100
    body_bytes_in_flight: ByteSize = Field(default=ByteSize(256 << 20), gt=0)
    header_bytes: ByteSize = Field(default=ByteSize(16 << 10), ge=1024)
    header_deadline_s: PositiveFloat = 10.0
    body_deadline_s: PositiveFloat = 30.0
    body_bytes_per_s: PositiveInt = 1024
    in_flight: PositiveInt = 2048
    slow_reader_s: PositiveFloat = 60.0
    stream_comment_s: NonNegativeFloat = 15.0


class _RetrySettings(_Strict):
    """How often a failed call is sent again, and how large a share of all requests such calls may be."""

    attempts: NonNegativeInt = Field(default=2, le=10)
    budget: float = Field(default=0.1, ge=0, le=1)


class _RetentionSettings(_Strict):
    """How long decisions and what was said of them are kept: `days`, and no more than fits into a database of `size`.

    What levels were tuned by is kept; it names nobody.
    """

    days: PositiveInt = 90
    size: ByteSize = Field(default=ByteSize(2 << 30), ge=16 << 20)


class _FeedbackSettings(_Strict):
    """How feedback comes in. With `tokens`, answers carry a signed token with which a web page may send it.

    The first of `secrets` signs the tokens, all of them verify, so they can be changed without a gap; without any, the
    salt makes one. A token is good for `expires`, as 45s, 60m, 72h or 7d. `origins` are the web pages' (`*` for any).
    One end user may say so much `per_minute`.
    """

    tokens: bool = True
    secrets: tuple[Salt, ...] = ()
    expires: Annotated[str, _like(r"[1-9][0-9]{0,5}[smhd]", "a duration such as 45s, 60m, 72h or 7d")] = "7d"
    origins: tuple[Origin, ...] = ("*",)
    per_minute: PositiveInt = 30


class _ReloadSettings(_Strict):
    """How changed packs are taken up.

    `losses` says what becomes of one that lacks required text, more than half of the tasks, or all that is said to
    everybody, as the files of a pack do that are being written: the served revision stays, or it is taken up.
    """

    losses: Literal["refuse", "allow"] = "refuse"


class _LogSettings(_Strict):
    """How much is logged, whether as JSON, and whether there is a line for each request."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    as_json: bool = Field(default=False, alias="json")
    requests: bool = False


class Settings(_Strict):
    """All settings.

    `hosts` are the Host headers that are answered (`*.example.com` and `*` allowed). `origins` are the web pages that
    may use the router from a browser (`*` for any); without it those of `allowed_hosts`. `headers` says whether answers
    carry x-router-* headers. With `public_metrics`, what tells of the installation needs no key. `salt` keys the hashes
    under which conversations and users are stored; without one, it is made once and kept in the data folder. `database`
    is the address of a PostgreSQL server for several replicas, such as `postgresql://router:secret@db/router`; without
    it a SQLite file in the data folder is used. `other_routes` opens audio, images, files, batches, conversations and
    their like, which are passed on as they come, without a word of a policy.
    """

    listen: ListenSettings = ListenSettings()
    data: Path = Path("data")
    database: Database | None = None
    retention: _RetentionSettings = _RetentionSettings()
    packs: tuple[Path, ...] = ()
    reload: _ReloadSettings = _ReloadSettings()
    backends: dict[Name, BackendSettings] = Field(default_factory=lambda: {"echo": BackendSettings(type="echo")})
    models: dict[Alias, ModelSettings] = Field(default_factory=lambda: {"*": ModelSettings(backend="echo")})
    keys: tuple[KeySettings, ...] = ()
    limits: LimitSettings = LimitSettings()
    hosts: tuple[str, ...] | None = None
    origins: tuple[Origin, ...] | None = None
    retries: _RetrySettings = _RetrySettings()
    headers: bool = True
    public_metrics: bool = False
    other_routes: bool = True
    conversation_headers: tuple[HeaderName, ...] = CONVERSATION_HEADERS
    salt: Salt | None = None
    feedback: _FeedbackSettings = _FeedbackSettings()
    log: _LogSettings = _LogSettings()

    @property
    def allowed_hosts(self) -> frozenset[str] | None:
        """The Host headers that are answered; None for all.

        Without a key, anything that reaches the port is let in, and a web page can reach it through a name that it
        points at this machine (DNS rebinding). So then only names of this machine are answered, unless `hosts` says
        otherwise.
        """
        if self.hosts is not None:
            return None if "*" in self.hosts else frozenset(host.lower() for host in self.hosts)
        return None if self.keys else frozenset((*LOCAL_HOSTS, self.listen.host.lower()))

    def contradictions(self) -> Iterator[tuple[Place, str]]:
        """Yield where two settings do not fit together, and how."""
        if not self.models:
            names = ", ".join(self.backends)
            example = f'`models: {{"*": {{backend: {next(iter(self.backends), "...")}}}}}`'
            yield ("models",), f"say which of the backends ({names}) answers for which model name, as in {example}"
        for alias, model in self.models.items():
            if model.backend not in self.backends:
                hint = did_you_mean(model.backend, self.backends)
                yield ("models", alias, "backend"), f'unknown backend "{model.backend}" ({hint})'
            if "*" in model.model and "*" not in alias:
                yield ("models", alias, "model"), f'"*" stands for nothing here, since the alias {alias} has none'
            for number, other in enumerate(model.fallback):
                if other == alias:
                    yield ("models", alias, "fallback", number), "a model cannot fall back to itself"
                elif "*" in other or not any(_covers(known, other) for known in self.models):
                    hint = did_you_mean(other, (known for known in self.models if "*" not in known))
                    yield ("models", alias, "fallback", number), f'unknown model "{other}" ({hint or "no such alias"})'
        yield from _twice("name", [key.name for key in self.keys])
        yield from _twice("sha256", [key.sha256 for key in self.keys])


def _covers(alias: str, name: str) -> bool:
    return name.startswith(alias[:-1]) if alias.endswith("*") else name == alias


def _twice(field: str, values: list[str]) -> Iterator[tuple[Place, str]]:
    for number, value in enumerate(values):
        if value in values[:number]:
            yield ("keys", number, field), f"keys.{values.index(value)} has the same {field}"
