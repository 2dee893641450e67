"""Every error has a status and OpenAI's shape; nothing of the operator's leaks."""

from __future__ import annotations

import json

import pytest

from router.core.errors import (
    BackendError,
    Degraded,
    Fault,
    PolicyError,
    RequestError,
    RouterError,
    SettingsError,
)
from router.wire.faults import SHAPES, error_body, error_event, status_of


class Own(BackendError):
    """A subclass that some room may define."""


SECRET = PolicyError([Fault("/etc/packs/a.yaml", 3, "bad key sk-123")])

ERRORS = {
    "request": (
        RequestError("No.", code="invalid_type", param="messages[3].content"),
        400,
        {"message": "No.", "type": "invalid_request_error", "param": "messages[3].content", "code": "invalid_type"},
    ),
    "key": (
        RequestError("Who?", status=401, code="invalid_api_key", kind="authentication_error"),
        401,
        {"message": "Who?", "type": "authentication_error", "param": None, "code": "invalid_api_key"},
    ),
    "backend": (
        BackendError("Gone."),
        502,
        {"message": "Gone.", "type": "server_error", "param": None, "code": "backend_error"},
    ),
    "backend slow": (
        BackendError("Slow.", status=504, code="timeout"),
        504,
        {"message": "Slow.", "type": "timeout_error", "param": None, "code": "timeout"},
    ),
    "backend busy": (
        Own("Busy.", status=429),
        429,
        {"message": "Busy.", "type": "rate_limit_error", "param": None, "code": "backend_error"},
    ),
    "backend refuses": (
        BackendError("Bad.", status=422, body=b"<html>"),
        422,
        {"message": "Bad.", "type": "invalid_request_error", "param": None, "code": "backend_error"},
    ),
    "a redirect is no status for an error": (
        BackendError("Elsewhere.", status=302),
        502,
        {"message": "Elsewhere.", "type": "server_error", "param": None, "code": "backend_error"},
    ),
    "half a character": (
        BackendError("x\ud800"),
        502,
        {"message": "x?", "type": "server_error", "param": None, "code": "backend_error"},
    ),
    "nothing said": (
        BackendError(""),
        502,
        {"message": "The request failed.", "type": "server_error", "param": None, "code": "backend_error"},
    ),
}


@pytest.mark.parametrize(("error", "status", "told"), ERRORS.values(), ids=ERRORS)
def test_shape(error, status, told):
    assert status_of(error) == status
    assert json.loads(error_body(error)) == {"error": told}
    event = error_event(error)
    assert event.startswith(b"data: {") and event.endswith(b"\n\n") and event.count(b"\n") == 2
    assert json.loads(event[6:]) == {"error": told}


@pytest.mark.parametrize(
    ("error", "status"),
    [(SECRET, 500), (SettingsError("sk-123"), 500), (Degraded("store", "sk-123"), 503), (RouterError("sk-123"), 500)],
)
def test_the_operators_words_stay_inside(error, status):
    assert status_of(error) == status
    told = json.loads(error_body(error))["error"]
    assert told["type"] == "server_error"
    assert b"sk-123" not in error_body(error) + error_event(error)
    assert b"yaml" not in error_body(error)


def test_every_class_of_error_has_its_row():
    kinds = {kind for kind in RouterError.__subclasses__() if kind.__module__ == RouterError.__module__}
    assert {RouterError, *kinds} == set(SHAPES)


PROVIDERS = b'{\n "error": {"message": "Rate limit", "extra": 1.50, "type": "tokens"}\n}'


def test_a_providers_body_is_relayed_as_it_came():
    error = BackendError("busy", status=429, body=PROVIDERS)
    assert error_body(error) == PROVIDERS
    assert error_event(error) == (b'data: {"error":{"message":"Rate limit","extra":1.50,"type":"tokens"}}\n\n')


@pytest.mark.parametrize("body", [b'{"detail": "x"}', b'{"error": null}', b'{"error": {}}', b'{"error": ""}'])
def test_in_a_stream_a_body_that_no_sdk_would_raise_on_is_told_in_our_words(body):
    error = BackendError("Out.", body=body)
    assert error_body(error) == body
    assert json.loads(error_event(error)[6:])["error"]["message"] == "Out."


@pytest.mark.parametrize("body", [b"", b"[1]", b"null", b"<html>", b'{"a": "\xff"}', b'{"a":' * 100_000])
def test_a_body_that_is_no_json_object_is_not_relayed(body):
    assert json.loads(error_body(BackendError("Out.", body=body)))["error"]["message"] == "Out."
