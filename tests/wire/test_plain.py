"""Routes that are passed through."""

from __future__ import annotations

import pytest

from router.core.conversation import Conversation
from router.core.errors import RequestError
from router.core.ports import Weaving
from router.wire.plain import COMPLETIONS, EMBEDDINGS, MODERATIONS

BODY = b'{ "input": ["a", "b"], "model" : "m", "dimensions": 1e2, "user": "u1" }'


def test_what_passing_on_needs_is_read():
    request = EMBEDDINGS.parse(BODY)
    assert (request.body, request.model, request.stream, request.user) == (BODY, "m", False, "u1")
    assert request.conversation == Conversation("", ())
    assert dict(request.metadata) == {}
    assert COMPLETIONS.parse(b'{"model":"m","prompt":"x","stream":true}').stream


@pytest.mark.parametrize("model", ["", "m"])
def test_with_the_clients_model_the_body_is_the_very_same(model):
    request = EMBEDDINGS.parse(BODY)
    assert EMBEDDINGS.weave(request, (), Weaving(model=model)) is request.body


def test_the_model_is_replaced_and_nothing_else():
    request = EMBEDDINGS.parse(BODY)
    assert EMBEDDINGS.weave(request, (), Weaving(model="big-ü", parameters={"n": 2})) == BODY.replace(
        b'"m"', '"big-ü"'.encode()
    )


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"[]", "invalid_type", None),
        (b'{"input": "x"}', "missing_model", "model"),
        (b'{"model": ""}', "missing_model", "model"),
        (b'{"model": null}', "invalid_type", "model"),
        (b'{"model": ["m"]}', "invalid_type", "model"),
        (b'{"model": "m", "stream": "yes"}', "invalid_type", "stream"),
        (b'{"model": "m", "user": 5}', "invalid_type", "user"),
        (b'{"model": "m", "input": NaN}', "invalid_json", None),
        (b'{"model": "m", "input": ' + b"[" * 200 + b"]" * 200 + b"}", "json_too_deep", None),
    ],
)
def test_bad_bodies(body, code, param):
    with pytest.raises(RequestError) as caught:
        COMPLETIONS.parse(body)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


def test_paths():
    assert (COMPLETIONS.name, COMPLETIONS.path) == ("completions", "/completions")
    assert (EMBEDDINGS.name, EMBEDDINGS.path) == ("embeddings", "/embeddings")
    assert (MODERATIONS.name, MODERATIONS.path) == ("moderations", "/moderations")


def test_moderations_need_no_model_and_are_not_given_one():
    request = MODERATIONS.parse(b'{"input": "x"}')
    assert request.model == "omni-moderation-latest"
    assert MODERATIONS.weave(request, (), Weaving(model="other")) is request.body
    named = MODERATIONS.parse(b'{"input": "x", "model": "m"}')
    assert MODERATIONS.weave(named, (), Weaving(model="other")) == b'{"input": "x", "model": "other"}'


@pytest.mark.parametrize(
    ("wire", "more", "told"),
    [
        (COMPLETIONS, "", True),
        (COMPLETIONS, ',"stream":true', False),
        (COMPLETIONS, ',"stream":true,"stream_options":{"include_usage":true}', True),
        (EMBEDDINGS, "", True),
        (MODERATIONS, "", True),
    ],
)
def test_usage_is_never_asked_for(wire, more, told):
    request = wire.parse(('{"model":"m"' + more + "}").encode())
    assert request.tells_usage == told
    assert wire.weave(request, (), Weaving(ask_usage=True)) is request.body
    assert wire.prompt(request.body) == ()
