"""What goes wrong becomes the client's own exception, whole or streamed, and nothing broken looks whole."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.clients.cases import ALL, KEY, Twice, raised, seen, spoken
from tests.clients.driver import MESSAGES, PATHS, RESPONSES
from tests.clients.upstream import MODEL, Upstream
from tests.support.serving import Server

COMMON = (400, 401, 404, 429, 503)
STATUSES = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504)

# The classes as the SDKs' own sources name them (openai/_exceptions.py, openai/core/error.ts, anthropic/_exceptions.py).
_COMMON = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    502: "InternalServerError",
    503: "InternalServerError",
    504: "InternalServerError",
}
OPENAI = dict.fromkeys(STATUSES, "APIStatusError") | _COMMON
OPENAI_NODE = dict.fromkeys(STATUSES, "APIError") | _COMMON
ANTHROPIC = OPENAI | {
    408: "RequestTimeoutError",
    413: "ContentTooLargeError",
    503: "ServiceUnavailableError",
    504: "GatewayTimeoutError",
}
LITELLM = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    408: "Timeout",
    429: "RateLimitError",
    500: "InternalServerError",
    502: "BadGatewayError",
    503: "ServiceUnavailableError",
    504: "Timeout",
}
"""LiteLLM (litellm/exceptions.py) has no class of its own for the others, and picks one by format and by words."""


def check_class(error: dict[str, Any], name: str, wire: str, status: int) -> None:
    """Hold an exception to the client's own table: its class, or the SDK's class it is one of or was raised from."""
    kinds = [*error["classes"], error.get("cause")]
    match name:
        case "ai-sdk":
            assert (error["class"], error["status"]) == ("APICallError", status)
        case "openai-node":
            assert (error["class"], error["status"]) == (OPENAI_NODE[status], status)
        case "litellm":
            expected = LITELLM.get(status)
            assert expected is None or error["class"] == f"litellm.{expected}" or error["status"] == status
        case _ if wire == MESSAGES:
            assert f"anthropic.{ANTHROPIC[status]}" in kinds
        case _:
            assert f"openai.{OPENAI[status]}" in kinds
    if name == "pydantic-ai":
        assert "pydantic_ai.ModelHTTPError" in kinds
        assert error["status"] == status


@spoken()
@pytest.mark.parametrize("status", STATUSES if ALL else COMMON)
def test_an_error_of_the_backend_becomes_the_client_s_own(status: int, twice: Twice, name: str, wire: str) -> None:
    outcome, _ = twice.compared(twice.whole, f"{MODEL}-status-{status}")
    error = raised(outcome)
    check_class(error, name, wire, status)
    assert "scripted" in error["says"]  # the provider's own words


@spoken()
@pytest.mark.parametrize("status", [400, 429, 503])
def test_an_error_before_the_first_word_of_a_stream(status: int, twice: Twice) -> None:
    outcome, _ = twice.compared(twice.streamed, f"{MODEL}-status-{status}")
    raised(outcome)


OURS: dict[str, tuple[int, dict[str, Any]]] = {
    "no_such_model": (404, {"model": "gpt-unknown"}),
    "a_wrong_key": (401, {"key": "sk-wrong"}),
    "no_such_policy": (404, {"headers": {"x-router-policy": "nobody-s"}}),
    "not_to_be_switched_off": (403, {"headers": {"x-router": "off"}}),
    "too_large": (413, {"system": 3000}),
    "nobody_there": (502, {"model": "nobody"}),
    "too_late": (504, {"model": "late"}),
}


@spoken()
@pytest.mark.parametrize("what", OURS)
def test_an_error_of_the_router_becomes_the_client_s_own(what: str, twice: Twice, name: str, wire: str) -> None:
    status, more = OURS[what]
    error = raised(twice.through(twice.whole, **more))
    check_class(error, name, wire, status)


@spoken()
@pytest.mark.parametrize("manner", ["late-error", "cut"])
def test_a_stream_that_breaks_off_never_looks_whole(manner: str, twice: Twice) -> None:
    error = raised(twice.through(twice.streamed, f"{MODEL}-{manner}"))
    assert "CancelledError" not in error["class"]


@spoken()
def test_a_stream_that_stops_talking_never_looks_whole(twice: Twice) -> None:
    raised(twice.through(twice.streamed, "late-in-stream"))


@spoken()
def test_the_client_works_on_after_all_that(twice: Twice) -> None:
    seen(twice.through(twice.whole))


def test_numbers_rise_up_to_the_router_s_own_error_event(upstream: Upstream, router: Server) -> None:
    body = {"model": f"{MODEL}-cut", "input": "hello", "stream": True}
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx.post(f"{router.url}{PATHS[RESPONSES]}", json=body, headers=headers, trust_env=False)
    numbers = [int(number) for number in re.findall(r'"sequence_number": ?(\d+)', answer.text)]
    assert numbers == sorted(set(numbers))
