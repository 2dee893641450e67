"""Keys from outside: who gets in, what they may, and how much."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from router.core.errors import RequestError, SettingsError
from router.server.keys import LOCAL, SCOPES, Caller, Keyring, new_key, require_safe_binding
from router.server.settings import KeySettings, ListenSettings, Settings

SECRET = "pr-test-secret-of-the-app"
OTHER = "pr-test-secret-of-another"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def settings(**key: object) -> Settings:
    first = KeySettings(name="app", sha256=digest(SECRET), **key)
    return Settings(keys=(first, KeySettings(name="other", sha256=digest(OTHER).upper(), tenant="acme")))


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (bearer(SECRET), "app"),
        (bearer(OTHER), "other"),
        ({"authorization": f"bearer  {SECRET} "}, "app"),
        ({"x-api-key": SECRET}, "app"),
        ({"authorization": "Basic abc", "x-api-key": OTHER}, "other"),
        ({"api-key": SECRET}, "app"),
        (bearer("sk-of-the-provider") | {"x-api-key": OTHER}, "other"),
        (bearer("eyJ-of-entra") | {"api-key": SECRET}, "app"),
        (bearer(SECRET) | {"x-api-key": "sk-ant-of-the-provider", "api-key": "azure"}, "app"),
        ({"x-api-key": "sk-ant-of-the-provider", "api-key": OTHER}, "other"),
    ],
    ids=[
        "bearer",
        "upper-case digest",
        "spaces",
        "anthropic",
        "basic is no key",
        "azure",
        "behind another bearer",
        "azure behind a token",
        "before others",
        "behind anthropic's",
    ],
)
def test_known_keys(headers: dict, name: str) -> None:
    assert Keyring(settings()).admit(headers, "infer").name == name


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {SECRET}"},
        {"authorization": SECRET},
        bearer(SECRET[:-1]),
        bearer(SECRET + "x"),
        bearer(digest(SECRET)),
        bearer("\xe9\u4e2d"),
        {"x-api-key": "wrong"},
        {"x-api-key": "wrong", "api-key": "wrong too"},
    ],
    ids=[
        "none",
        "empty",
        "no secret",
        "basic",
        "bare",
        "short",
        "long",
        "the digest",
        "not latin-1",
        "anthropic",
        "two",
    ],
)
def test_unknown_keys(headers: dict) -> None:
    with pytest.raises(RequestError) as caught:
        Keyring(settings()).admit(headers, "infer")
    error = caught.value
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.headers == {"www-authenticate": "Bearer", "x-should-retry": "false"}
    assert SECRET not in str(error)


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_scopes(scope: str) -> None:
    ring = Keyring(settings(scopes=["feedback", "read"]))
    if scope in ("feedback", "read"):
        assert ring.admit(bearer(SECRET), scope).name == "app"
        return
    with pytest.raises(RequestError, match=scope) as caught:
        ring.admit(bearer(SECRET), scope)
    assert (caught.value.status, caught.value.code) == (403, "missing_scope")


def test_the_key_that_has_the_scope_is_taken() -> None:
    ring = Keyring(settings(scopes=["read"]))
    assert ring.admit(bearer(SECRET) | {"api-key": OTHER}, "infer").name == "other"
    assert ring.admit(bearer(SECRET) | {"api-key": OTHER}, "read").name == "app"


@pytest.mark.parametrize("headers", [{}, bearer("sk-whatever-the-app-sends")])
def test_without_keys_everybody_is_the_local_operator(headers: dict) -> None:
    caller = Keyring(Settings()).admit(headers, "admin")
    assert caller is LOCAL
    assert caller.may_turn_off
    assert caller.policy_for("any") == "any"


def test_a_caller_carries_what_its_key_says() -> None:
    ring = Keyring(settings(tenant="shop", policy="support", policies=["sales"], trust_headers=["X-User"]))
    assert ring.admit(bearer(SECRET), "infer") == Caller(
        name="app",
        tenant="shop",
        scopes=frozenset({"infer"}),
        policy="support",
        policies=frozenset({"sales"}),
        trusted_headers=("x-user",),
    )
    assert ring.admit(bearer(OTHER), "infer").tenant == "acme"
    assert Keyring(settings()).admit(bearer(SECRET), "infer").tenant == "app"


@pytest.mark.parametrize(
    ("key", "asked", "given"),
    [
        ({}, None, ""),
        ({}, "", ""),
        ({}, "sales", "sales"),
        ({"policy": "support"}, None, "support"),
        ({"policy": "support"}, "support", "support"),
        ({"policy": "support"}, "sales", None),
        ({"policies": ["sales"]}, "sales", "sales"),
        ({"policies": ["sales"]}, "support", None),
        ({"policies": ["sales"]}, None, ""),
        ({"policy": "support", "policies": ["sales"]}, "sales", "sales"),
        ({"policies": []}, "sales", None),
    ],
)
def test_policies(key: dict, asked: str | None, given: str | None) -> None:
    caller = Keyring(settings(**key)).admit(bearer(SECRET), "infer")
    if given is not None:
        assert caller.policy_for(asked) == given
        return
    with pytest.raises(RequestError) as caught:
        caller.policy_for(asked)
    assert (caught.value.status, caught.value.code) == (403, "policy_not_allowed")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def visit(clock: Clock) -> Callable[..., Callable[[], None]]:
    """Return the maker of a function that serves one request of a key with the given limits."""

    def limited(**limits: int) -> Callable[[], None]:
        ring = Keyring(settings(**limits), clock)
        caller = ring.admit(bearer(SECRET), "infer")

        def once() -> None:
            with ring.slot(caller):
                pass

        return once

    return limited


def test_requests_per_minute(visit: Callable, clock: Clock) -> None:
    once = visit(requests_per_minute=30)
    for _ in range(30):
        once()
    with pytest.raises(RequestError) as caught:
        once()
    assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
    assert caught.value.headers == {"retry-after": "2"}
    clock.now += 2
    once()
    with pytest.raises(RequestError):
        once()


def test_waiting_longer_saves_up_no_more_than_a_minute(visit: Callable, clock: Clock) -> None:
    once = visit(requests_per_minute=3)
    clock.now += 3600
    for _ in range(3):
        once()
    with pytest.raises(RequestError):
        once()


def test_requests_at_once_and_that_each_gives_its_place_back() -> None:
    ring = Keyring(settings(concurrent=2))
    caller = ring.admit(bearer(SECRET), "infer")
    with ring.slot(caller):
        with pytest.raises(ValueError, match="broken"), ring.slot(caller):
            raise ValueError("broken")
        with ring.slot(caller):
            with pytest.raises(RequestError, match="2 requests open") as caught, ring.slot(caller):
                pass
            assert caught.value.headers == {"retry-after": "1"}
        with ring.slot(caller):
            pass


def test_a_request_refused_for_its_number_costs_no_share_of_the_minute(clock: Clock) -> None:
    ring = Keyring(settings(concurrent=1, requests_per_minute=2), clock)
    caller = ring.admit(bearer(SECRET), "infer")
    with ring.slot(caller), pytest.raises(RequestError, match="at once"), ring.slot(caller):
        pass
    with ring.slot(caller):
        pass


def test_other_keys_are_not_limited(clock: Clock) -> None:
    ring = Keyring(settings(requests_per_minute=1, concurrent=1), clock)
    other = ring.admit(bearer(OTHER), "infer")
    for _ in range(5):
        with ring.slot(other), ring.slot(other):
            pass


def test_a_new_key_works_and_is_never_the_same() -> None:
    secret, sha256 = new_key()
    assert secret.startswith("pr-")
    assert len(secret) >= 43  # 256 bits in base 64
    ring = Keyring(Settings(keys=(KeySettings(name="new", sha256=sha256),)))
    assert ring.admit(bearer(secret), "infer").name == "new"
    assert new_key()[0] != secret


@pytest.mark.parametrize(
    ("host", "keys", "safe"),
    [
        ("127.0.0.1", False, True),
        ("127.8.8.8", False, True),
        ("::1", False, True),
        ("localhost", False, True),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("192.168.1.10", False, False),
        ("router.example", False, False),
        ("0.0.0.0", True, True),
        ("::", True, True),
    ],
)
def test_without_a_key_only_this_machine_gets_in(host: str, keys: bool, safe: bool) -> None:
    chosen = Settings(listen=ListenSettings(host=host), keys=settings().keys if keys else ())
    if safe:
        require_safe_binding(chosen)
        return
    with pytest.raises(SettingsError, match=r"no API key.*ROUTER_API_KEY.*127\.0\.0\.1"):
        require_safe_binding(chosen)
