"""API keys: who is calling, what they may do, and how much of it.

A key is 256 random bits, shown once; the settings hold its SHA-256. An incoming key is hashed and looked up by half of
its digest, then compared as a whole in constant time. Looking up by digest gives nothing away: without the key, nobody
can steer its digest towards a stored one. A plain hash is enough, since nobody can try out 256 random bits.

Without any key configured, everybody is the local operator; `require_safe_binding` sees to it that then only programs
on this machine get in.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import get_args

from router.core.errors import RequestError, SettingsError
from router.engine.rate_limiter import RateLimiter
from router.server.settings import KeySettings, Scope, Settings

KEY_BYTES = 32
PREFIX_BYTES = 16
SCOPES: frozenset[str] = frozenset(get_args(Scope))
_NO_RETRY = {"x-should-retry": "false"}
_FREE: AbstractContextManager[None] = nullcontext()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who holds a key and what they may do.

    `policy` is the policy their requests get, empty for the default one; `policies` are those they may name, None for
    all. `trusted_headers` may name the end user.
    """

    name: str
    tenant: str
    scopes: frozenset[str] = SCOPES
    policy: str = ""
    policies: frozenset[str] | None = None
    may_turn_off: bool = False
    trusted_headers: tuple[str, ...] = ()

    def policy_for(self, asked: str | None) -> str:
        """Return the policy for a request that asks for `asked`, or for none. Raises RequestError (403)."""
        if not asked or asked == self.policy:
            return self.policy
        if self.policies is not None and asked not in self.policies:
            raise RequestError(
                f'This API key may not use the policy "{asked[:100]}".',
                status=403,
                code="policy_not_allowed",
                kind="permission_error",
                headers=_NO_RETRY,
            )
        return asked


LOCAL = Caller("local", "local", may_turn_off=True)
"""Whoever calls while no key is configured."""


class Keyring:
    """The configured keys. `clock` counts seconds and never goes back."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        self._quotas: dict[str, Quota] = {}
        self.tenants = frozenset(key.tenant or key.name for key in settings.keys if "infer" in key.scopes)
        """Those whose keys may ask for answers; none where no key is configured, and all that ask are one."""
        self.provider_ids: dict[str, frozenset[str]] = {}
        """The ids of what providers keep that each tenant may name without proof that it is theirs."""
        for key in settings.keys:
            digest = bytes.fromhex(key.sha256)
            caller = _caller(key)
            self._callers[digest[:PREFIX_BYTES]] = (digest, caller)
            self.provider_ids[caller.tenant] = self.provider_ids.get(caller.tenant, frozenset()) | key.provider_ids
            if key.requests_per_minute or key.concurrent:
                self._quotas[key.name] = Quota(key.requests_per_minute, key.concurrent, clock)

    def admit(self, headers: Mapping[str, str], scope: Scope) -> Caller:
        """Return who sent these headers (by lower-case name). Raises RequestError: 401 no key, 403 no scope."""
        if not self._callers:
            return LOCAL
        secret = _secret(headers)
        if not secret:
            raise _unknown("You did not provide an API key. Send it as `Authorization: Bearer KEY`.")
        digest = hashlib.sha256(secret.encode("latin-1", "replace")).digest()
        stored, caller = self._callers.get(digest[:PREFIX_BYTES], (b"", LOCAL))
        if not hmac.compare_digest(stored, digest):
            raise _unknown("Incorrect API key provided.")
        if scope not in caller.scopes:
            raise RequestError(
                f'This API key lacks the scope "{scope}".',
                status=403,
                code="missing_scope",
                kind="permission_error",
                headers=_NO_RETRY,
            )
        return caller

    def slot(self, caller: Caller) -> AbstractContextManager[None]:
        """Return the context in which one request of this caller is served. Entering raises RequestError (429)."""
        return self._quotas.get(caller.name, _FREE)


class Quota(AbstractContextManager[None]):
    """What one key may use: requests in a minute, as a bucket that fills evenly, and requests at once.

    One object serves all requests of the key; each of them enters and leaves it.
    """

    def __init__(self, per_minute: int | None, at_once: int | None, clock: Callable[[], float]) -> None:
        self._bucket = RateLimiter(per_minute, clock) if per_minute else None
        self._at_once = at_once
        self._open = 0

    def __enter__(self) -> None:
        if self._at_once is not None and self._open >= self._at_once:
            raise _too_many(f"This API key may have {self._at_once} requests open at once.", 1)
        if self._bucket is not None:
            wait_s = math.ceil(self._bucket.take("requests"))
            if wait_s:
                raise _too_many(f"This API key may send {self._bucket.per_minute} requests a minute.", wait_s)
        self._open += 1

    def __exit__(self, *_: object) -> None:
        self._open -= 1


def new_key() -> tuple[str, str]:
    """Return a new secret, to be shown once, and its SHA-256 for the settings."""
    secret = "pr-" + secrets.token_urlsafe(KEY_BYTES)
    return secret, hashlib.sha256(secret.encode()).hexdigest()


def require_safe_binding(settings: Settings) -> None:
    """Raise SettingsError when anybody on the network could use the proxy without a key."""
    if not settings.keys and not settings.listen.loopback:
        raise SettingsError(
            f"listen.host: {settings.listen.host} can be reached from other machines, and no API key is configured."
            " Set ROUTER_API_KEY to a key of your own, or list keys in router.yaml, or listen on 127.0.0.1."
        )


def _caller(key: KeySettings) -> Caller:
    named = key.policies is not None or key.policy is not None
    return Caller(
        name=key.name,
        tenant=key.tenant or key.name,
        scopes=key.scopes,
        policy=key.policy or "",
        policies=frozenset(key.policies or ()) if named else None,
        may_turn_off=key.may_turn_off,
        trusted_headers=key.trust_headers,
    )


def _secret(headers: Mapping[str, str]) -> str:
    """Return the key that the headers carry, as OpenAI's SDKs send it or as Anthropic's do."""
    sent = headers.get("authorization", "")
    if sent[:7].lower() == "bearer ":
        return sent[7:].strip()
    return headers.get("x-api-key", "")


def _unknown(message: str) -> RequestError:
    return RequestError(
        message, status=401, code="invalid_api_key", headers={"www-authenticate": "Bearer", **_NO_RETRY}
    )


def _too_many(message: str, wait_s: int) -> RequestError:
    return RequestError(
        f"{message} Try again in {wait_s} s.",
        status=429,
        code="rate_limit_exceeded",
        kind="rate_limit_error",
        headers={"retry-after": str(wait_s)},
    )
