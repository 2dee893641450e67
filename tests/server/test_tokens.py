"""Tokens from outside: ours let in, anything else does not, and what is said of it depends on nothing but the token."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import RequestError
from router.server.keys import LABEL, FeedbackTokens, Grant, looks_like_token

SECRET, OTHER = b"the first secret of all", b"the secret of last month"
DECISION = "dec_019aabbccdd0123456789abcdef"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> FeedbackTokens:
    return FeedbackTokens([SECRET, OTHER], 60.0, clock)


def refusal(tokens: FeedbackTokens, token: str) -> tuple[int, str]:
    with pytest.raises(RequestError) as caught:
        tokens.verify(token)
    assert caught.value.param == "token" and caught.value.headers["x-should-retry"] == "false"
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("tenant", ["local", "acme.eu", "Zürich-1", "a" * 64])
def test_a_token_allows_what_it_was_made_for(tokens: FeedbackTokens, tenant: str) -> None:
    token = tokens.sign(DECISION, tenant).decode()
    assert tokens.verify(token) == Grant(DECISION, tenant)
    assert looks_like_token(token)


def test_a_token_is_made_as_written_down(tokens: FeedbackTokens) -> None:
    version, decision, tenant, expiry, kid, signature = tokens.sign(DECISION, "local").decode().split(".")
    assert (version, decision, tenant, expiry) == ("v1", DECISION, "bG9jYWw", "1700000060")
    key = hmac.digest(SECRET, LABEL, "sha256")
    assert kid == urlsafe_b64encode(hashlib.sha256(key).digest()[:6]).decode()
    text = f"v1.{decision}.{tenant}.{expiry}.{kid}".encode()
    assert urlsafe_b64decode(signature + "=") == hmac.digest(key, text, "sha256")


def test_a_token_ends(tokens: FeedbackTokens, clock: Clock) -> None:
    token = tokens.sign(DECISION, "local").decode()
    clock.now_s += 59.9
    tokens.verify(token)
    clock.now_s += 0.1
    assert refusal(tokens, token) == (401, "token_expired")


def test_secrets_change_without_a_gap(clock: Clock) -> None:
    token = FeedbackTokens([OTHER], 60.0, clock).sign(DECISION, "local").decode()
    assert FeedbackTokens([SECRET, OTHER], 60.0, clock).verify(token).decision == DECISION
    assert FeedbackTokens([SECRET, OTHER], 60.0, clock).sign(DECISION, "local").decode() != token
    assert refusal(FeedbackTokens([SECRET], 60.0, clock), token) == (401, "invalid_token")


@pytest.mark.parametrize("part", range(6))
def test_no_part_can_be_changed(tokens: FeedbackTokens, clock: Clock, part: int) -> None:
    parts = tokens.sign(DECISION, "local").decode().split(".")
    others = FeedbackTokens([OTHER], 6000.0, clock).sign("dec_2", "acme").decode().split(".")
    swapped = ".".join([*parts[:part], others[part], *parts[part + 1 :]])
    if part:  # of the version there is but one
        assert refusal(tokens, swapped) == (401, "invalid_token")
    for character in "Ab0-":
        changed = [*parts[:part], character + parts[part][1:], *parts[part + 1 :]]
        if changed != parts:
            assert refusal(tokens, ".".join(changed)) == (401, "invalid_token")


def test_an_old_forgery_is_a_forgery(clock: Clock) -> None:
    token = FeedbackTokens([b"not ours, whoever it is"], 1.0, clock).sign(DECISION, "local").decode()
    clock.now_s += 100
    assert refusal(FeedbackTokens([SECRET], 60.0, clock), token) == (401, "invalid_token")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "v1",
        "v1.....",
        "v1.a.b.c.d.e",
        "v2.a.b.1.d.e",
        "v1.a.b.1.d.é",
        "v1.a.b.1.d.e\n",
        "v1.a.b.1.d.e.f",
        "v1." + "a" * 2000 + ".b.1.d.e",
        "pr-key",
    ],
    ids=range(10),
)
def test_what_is_no_token(tokens: FeedbackTokens, token: str) -> None:
    assert refusal(tokens, token) == (401, "invalid_token")


@given(st.text() | st.from_regex(r"v1(\.[A-Za-z0-9_-]{1,40}){5}", fullmatch=True))
def test_nothing_made_up_is_ever_let_in(token: str) -> None:
    with pytest.raises(RequestError):
        FeedbackTokens([SECRET], 60.0).verify(token)
