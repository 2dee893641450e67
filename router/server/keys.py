"""API keys and feedback tokens: who is calling, what they may do, and how much of it.

A key is 256 random bits, shown once; the settings hold its SHA-256. An incoming key is hashed and looked up by half of
its digest, then compared as a whole in constant time. Looking up by digest gives nothing away: without the key, nobody
can steer its digest towards a stored one. A plain hash is enough, since nobody can try out 256 random bits.

Without any key configured, everybody is the local operator; `require_safe_binding` sees to it that then only programs
on this machine get in.

A feedback token is signed, and what a web page may hold in place of a key:

    v1.ID.TENANT.EXPIRY.KID.SIGNATURE

ID is the decision's, TENANT is in base64url, EXPIRY is in Unix seconds, KID names the secret, and SIGNATURE is the
HMAC-SHA256 (RFC 2104) of all before its dot, in base64url (RFC 4648, 5). A token is returned with every answer, and
allows an end user's feedback on that decision and its conversation; whoever holds it can read nothing with it.

The first secret signs, all of them verify, so secrets can be changed without a gap. Without any the salt makes one,
under a label of its own: it must never be the key of anything else. Nothing is said of a token before its signature is
found to be ours.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, get_args

from router.core.errors import RequestError, SettingsError
from router.engine.rate_limiter import RateLimiter
from router.server.settings import KeySettings, Scope, Settings

KEY_BYTES = 32
PREFIX_BYTES = 16
KEY_HEADERS = ("authorization", "x-api-key", "api-key")
"""Where a key is looked for: as OpenAI's SDKs send it, as Anthropic's do, and as Azure's clients do."""

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
        self._quotas: dict[str, _Quota] = {}
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
                self._quotas[key.name] = _Quota(key.requests_per_minute, key.concurrent, clock)

    def admit(self, headers: Mapping[str, str], scope: Scope) -> Caller:
        """Return who sent these headers (by lower-case name). Raises RequestError: 401 no key, 403 no scope."""
        if not self._callers:
            return LOCAL
        lacking = False
        secrets = _secrets(headers)
        for secret in secrets:
            digest = hashlib.sha256(secret.encode("latin-1", "replace")).digest()
            stored, caller = self._callers.get(digest[:PREFIX_BYTES], (b"", LOCAL))
            if hmac.compare_digest(stored, digest):
                if scope in caller.scopes:
                    return caller
                lacking = True
        if lacking:
            raise RequestError(
                f'This API key lacks the scope "{scope}".',
                status=403,
                code="missing_scope",
                kind="permission_error",
                headers=_NO_RETRY,
            )
        if not any(secrets):
            raise _unknown("You did not provide an API key. Send it as `Authorization: Bearer KEY`.")
        raise _unknown("Incorrect API key provided.")

    def slot(self, caller: Caller) -> AbstractContextManager[None]:
        """Return the context in which one request of this caller is served. Entering raises RequestError (429)."""
        return self._quotas.get(caller.name, _FREE)


class _Quota(AbstractContextManager[None]):
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


def _secrets(headers: Mapping[str, str]) -> list[str]:
    """Return what stands where a key may: beside ours, a client may send the key that it has for the provider."""
    sent = headers.get("authorization", "")
    found = [sent[7:].strip()] if sent[:7].lower() == "bearer " else []
    return found + [value.strip() for name in KEY_HEADERS[1:] if (value := headers.get(name))]


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


VERSION = "v1"
LABEL = b"prompt-router feedback token v1"
KID_BYTES = 6
TOKEN_CHARS = 1000
"""A token is about 110 characters; more than this is none, and is not looked at."""

_BLOCK_BYTES = 64  # of SHA-256, RFC 2104
_SHAPE = re.compile(r"v1(?:\.[A-Za-z0-9_-]+){5}")
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


class Grant(NamedTuple):
    """What a token allows: feedback on one decision of one tenant."""

    decision: str
    tenant: str


class _Secret:
    """One key. Signs in 1.3 microseconds: both halves of the HMAC have the key in them already (`hmac.digest`: 2.1)."""

    def __init__(self, secret: bytes) -> None:
        key = hmac.digest(secret, LABEL, "sha256")
        padded = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(padded.translate(_INNER))
        self._outer = hashlib.sha256(padded.translate(_OUTER))
        self.kid = _base64url(hashlib.sha256(key).digest()[:KID_BYTES])

    def sign(self, text: bytes) -> bytes:
        """Return the signature of a text, in base64url."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False).translate(_URLSAFE, b"=")


class FeedbackTokens:
    """Signs and verifies tokens that are good for `expires_s`. `clock` is the wall clock in seconds."""

    def __init__(self, secrets: Sequence[bytes], expires_s: float, clock: Callable[[], float] = time.time) -> None:
        made = [_Secret(secret) for secret in secrets]
        self._first = made[0]
        self._secrets = {secret.kid: secret for secret in reversed(made)}
        self._expires_s = expires_s
        self._clock = clock

    def sign(self, decision: str, tenant: str) -> bytes:
        """Return the token for a decision of a tenant."""
        expiry = int(self._clock() + self._expires_s)
        text = f"{VERSION}.{decision}.{_encoded(tenant)}.{expiry}.{self._first.kid}".encode()
        return text + b"." + self._first.sign(text)

    def verify(self, token: str) -> Grant:
        """Return what a token allows. Raises RequestError (401): `invalid_token`, or `token_expired` for an old one."""
        if len(token) > TOKEN_CHARS or not _SHAPE.fullmatch(token):
            raise _refused("This is no feedback token.", "invalid_token")
        text, _, signature = token.rpartition(".")
        _, decision, tenant, expiry, kid = text.split(".")
        # Where there is no secret of this name, the first one's signature takes the same time, and does not fit.
        expected = self._secrets.get(kid, self._first).sign(text.encode())
        if not hmac.compare_digest(expected, signature.encode()):
            raise _refused("The token's signature is not ours.", "invalid_token")
        if int(expiry) <= self._clock():
            raise _refused("The token has expired.", "token_expired")
        return Grant(decision, _decoded(tenant))


def looks_like_token(secret: str) -> bool:
    """Say whether what stands in place of a key is meant to be a token."""
    return secret.startswith(VERSION + ".") and secret.count(".") == 5


def _base64url(data: bytes) -> str:
    return b2a_base64(data, newline=False).translate(_URLSAFE, b"=").decode()


@lru_cache(1024)
def _encoded(tenant: str) -> str:
    return _base64url(tenant.encode())


def _decoded(tenant: str) -> str:
    return urlsafe_b64decode(tenant + "=" * (-len(tenant) % 4)).decode()


def _refused(message: str, code: str) -> RequestError:
    return RequestError(
        message,
        status=401,
        code=code,
        param="token",
        kind="authentication_error",
        headers={"www-authenticate": "Bearer", "x-should-retry": "false"},
    )
