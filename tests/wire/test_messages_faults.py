"""Errors in Anthropic's shape: the type by the status, the message wherever the provider put it."""

from __future__ import annotations

import json

import pytest

from router.core.errors import BackendError, Degraded, PolicyError, RequestError, SettingsError
from router.wire.faults import anthropic_body as error_body
from router.wire.faults import anthropic_event as error_event

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def told(error):
    body = json.loads(error_body(error))
    assert body.keys() == {"type", "error"}
    assert body["type"] == "error"
    return body["error"]


@pytest.mark.parametrize(("status", "kind"), TYPES.items())
@pytest.mark.parametrize("error", [RequestError, BackendError])
def test_the_type_follows_the_status(error, status, kind):
    said = told(error("No.", status=status, code="some_code"))
    assert said == {"type": kind, "message": "No.", "details": {"error_code": "some_code"}}


def test_the_place_is_told():
    said = told(RequestError("messages[3].content: no.", code="invalid_type", param="messages[3].content"))
    assert said["details"] == {"error_code": "invalid_type", "param": "messages[3].content"}


@pytest.mark.parametrize("error", [PolicyError([]), SettingsError("sk-123"), Degraded("store", "sk-123")])
def test_the_operators_words_stay_inside(error):
    assert told(error)["type"] in ("api_error", "overloaded_error")
    assert b"sk-123" not in error_body(error) + error_event(error)


OWN = b'{\n "type":"error","error":{"type":"overloaded_error","message":"Overloaded", "x":1.50},"request_id":"req_1"}'


def test_a_providers_own_body_is_relayed_as_it_came():
    error = BackendError("busy", status=529, body=OWN)
    assert error_body(error) == OWN
    assert error_event(error) == (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded","x":1.50},'
        b'"request_id":"req_1"}\n\n'
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "Rate limit", "type": "tokens", "code": null}}', "Rate limit"),
        (b'{"error": {"code": 500, "message": "\'messages\' is required", "type": "server_error"}}', "'messages' is required"),
        (b'{"error": "model not found"}', "model not found"),
        (b'{"message": "Forbidden"}', "Forbidden"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"loc": []}]}', "Ours."),
        (b'{"error": {}}', "Ours."),
        (b'{"type": "error", "error": {"message": "no type"}}', "no type"),
        (b'{"type": "error", "error": {"type": "x", "message": "\xff"}}', "Ours."),
        (b"<html>", "Ours."),
        (b"[1]", "Ours."),
        (b'{"a":' * 100_000, "Ours."),
        (b"", "Ours."),
    ],
)  # fmt: skip
def test_a_body_in_another_shape_is_told_in_this_one(body, message):
    said = told(BackendError("Ours.", status=429, body=body))
    assert (said["type"], said["message"]) == ("rate_limit_error", message)


def test_an_event_is_two_lines():
    event = error_event(BackendError("Cut\noff.\ud800"))
    name, data = event.removesuffix(b"\n\n").split(b"\n")
    assert name == b"event: error"
    assert json.loads(data.removeprefix(b"data: "))["error"]["message"] == "Cut\noff.?"
