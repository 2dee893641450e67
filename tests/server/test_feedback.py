"""Feedback as clients send it, good and bad, through the whole application and into the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core.errors import Degraded
from router.server.feedback_forms import BATCH_MOST, COMMENT_CHARS
from tests.support.feedback_desk import PACK, Begin, Desk, bearer, config, desks


@pytest.fixture
async def begin(tmp_path: Path, recognisers: Path) -> AsyncIterator[Begin]:
    async with AsyncExitStack() as stack:
        yield desks(stack, tmp_path, recognisers)


# --------------------------------------------------------------------------------------------------------- what is taken


async def test_a_thumb_is_stored_and_shown_with_its_decision(begin: Begin) -> None:
    desk = await begin()
    decision = await desk.decide()
    answer = await desk.send({"id": "t1", "decision": decision, "metric": "resolved", "value": True, "comment": "ta"})
    told = answer.json()
    assert (answer.status_code, told["object"], told["id"], told["status"]) == (200, "feedback", "t1", "recorded")
    assert told["decision"] == decision
    shown = await desk.shown(decision)
    assert told["conversation"] == shown["conversation"] and told["policy"] == "desk"
    (said,) = shown["feedback"]
    assert (said["id"], said["metric"], said["value"], said["source"]) == ("t1", "resolved", True, "user")
    assert (said["about"], said["comment"]) == ("decision", "ta")


async def test_three_ways_to_name_what_it_is_about(begin: Begin) -> None:
    desk = await begin()
    answer = await desk.ask(metadata={"conversation_id": "chat 7"})
    decision, response = answer.headers["x-router-decision"], answer.json()["id"]
    hashed = (await desk.shown(decision))["conversation"]
    for target in (
        {"decision": decision},
        {"response_id": response},
        {"conversation": "chat 7"},
        {"conversation": hashed},
    ):
        told = (await desk.send({**target, "metric": "csat", "value": 4, "source": "agent"})).json()
        assert told["status"] == "recorded", told
        assert told["decision"] == (None if "conversation" in target else decision)
        assert told["conversation"] == hashed
    assert [each["about"] for each in (await desk.shown(decision))["feedback"]] == ["decision"] * 2 + [
        "conversation"
    ] * 2


@pytest.mark.parametrize(
    ("at", "said_at_ms"),
    [
        ("2026-11-22T10:15:00Z", 1_795_342_500_000),
        ("2026-11-22T11:15:00.250+01:00", 1_795_342_500_250),
        (1_795_342_500, 1_795_342_500_000),
        (0.5, 500),
        (None, None),
    ],
)
async def test_when_it_was_said_is_kept_and_decides_nothing(begin: Begin, at: Any, said_at_ms: int | None) -> None:
    desk = await begin()
    decision = await desk.decide()
    await desk.send({"decision": decision, "metric": "csat", "value": 2, "at": at})
    (row,) = desk.stored()
    assert row.said_at_ms == said_at_ms and row.at_ms > 1_700_000_000_000


async def test_comments_are_cleaned_of_what_people_do_not_see(begin: Begin) -> None:
    desk = await begin()
    comment = "  Fine\r\n\tI\u202eguess\x00\x1b[31m \U000e0041\U0001f44d "
    await desk.send({"decision": await desk.decide(), "metric": "csat", "value": 2, "comment": comment})
    assert desk.stored()[0].comment == "Fine\n\tI guess [31m  \U0001f44d"


# -------------------------------------------------------------------------------------------------------- what is refused

BAD: dict[str, tuple[Any, tuple[int, str, str | None]]] = {
    "empty": (b"", (400, "invalid_json", None)),
    "not json": (b"hello", (400, "invalid_json", None)),
    "half": (b'{"metric":', (400, "invalid_json", None)),
    "a number": (b"5", (400, "invalid_type", None)),
    "half a character": (b'{"comment": "\\ud800"}', (400, "lone_surrogate", None)),
    "not utf-8": (b'{"comment": "\xff"}', (400, "invalid_encoding", None)),
    "too deep": (b'{"value": ' + b"[" * 80 + b"]" * 80 + b"}", (400, "json_too_deep", None)),
    "nothing said": ({}, (400, "missing_target", "decision")),
    "unknown key": ({"metrc": "csat"}, (400, "unknown_field", "metrc")),
    "no target": ({"metric": "csat", "value": 2}, (400, "missing_target", "decision")),
    "two targets": ({"decision": "D", "response_id": "x", "metric": "csat", "value": 2}, (400, "ambiguous_target", "response_id")),
    "decision no text": ({"decision": 5, "metric": "csat", "value": 2}, (400, "invalid_type", "decision")),
    "decision empty": ({"decision": "", "metric": "csat", "value": 2}, (400, "invalid_value", "decision")),
    "decision not printed": ({"decision": "a\x00b", "metric": "csat", "value": 2}, (400, "invalid_value", "decision")),
    "conversation too long": ({"conversation": "a" * 2001, "metric": "csat", "value": 2}, (400, "invalid_value", "conversation")),
    "no metric": ({"decision": "D", "value": 2}, (400, "missing_field", "metric")),
    "unknown metric": ({"decision": "D", "metric": "csatt", "value": 2}, (400, "unknown_metric", "metric")),
    "no value": ({"decision": "D", "metric": "csat"}, (400, "missing_field", "value")),
    "value null": ({"decision": "D", "metric": "csat", "value": None}, (400, "missing_field", "value")),
    "value a text": ({"decision": "D", "metric": "csat", "value": "2"}, (400, "invalid_type", "value")),
    "value a list": ({"decision": "D", "metric": "csat", "value": [2]}, (400, "invalid_type", "value")),
    "value of the wrong type": ({"decision": "D", "metric": "resolved", "value": 1}, (400, "invalid_type", "value")),
    "value true for a rating": ({"decision": "D", "metric": "csat", "value": True}, (400, "invalid_type", "value")),
    "value out of range": ({"decision": "D", "metric": "csat", "value": 6}, (400, "out_of_range", "value")),
    "value far out of range": ({"decision": "D", "metric": "csat", "value": 10**300}, (400, "out_of_range", "value")),
    "unknown source": ({"decision": "D", "metric": "csat", "value": 2, "source": "usr"}, (400, "invalid_value", "source")),
    "checks by a user": ({"decision": "D", "metric": "checks", "value": 1}, (400, "source_not_allowed", "source")),
    "id empty": ({"id": "", "decision": "D", "metric": "csat", "value": 2}, (400, "invalid_value", "id")),
    "id too long": ({"id": "a" * 201, "decision": "D", "metric": "csat", "value": 2}, (400, "invalid_value", "id")),
    "comment too long": (
        {"decision": "D", "metric": "csat", "value": 2, "comment": "a" * (COMMENT_CHARS + 1)},
        (400, "too_long", "comment"),
    ),
    "at no time": ({"decision": "D", "metric": "csat", "value": 2, "at": "yesterday"}, (400, "invalid_value", "at")),
    "at without a zone": ({"decision": "D", "metric": "csat", "value": 2, "at": "2026-11-22T10:15:00"}, (400, "invalid_value", "at")),
    "at in milliseconds": ({"decision": "D", "metric": "csat", "value": 2, "at": 1_795_342_500_000}, (400, "invalid_value", "at")),
    "at before the epoch": ({"decision": "D", "metric": "csat", "value": 2, "at": -1}, (400, "invalid_value", "at")),
    "at true": ({"decision": "D", "metric": "csat", "value": 2, "at": True}, (400, "invalid_type", "at")),
    "unknown decision": ({"decision": "dec_nope", "metric": "csat", "value": 2}, (404, "decision_not_found", "decision")),
    "unknown answer": ({"response_id": "x", "metric": "csat", "value": 2}, (404, "response_not_found", "response_id")),
    "unknown conversation": ({"conversation": "x", "metric": "csat", "value": 2}, (404, "conversation_not_found", "conversation")),
    "forged token": ({"token": "v1.a.b.1.c.d", "metric": "csat", "value": 2}, (401, "invalid_token", "token")),
    "an empty batch": ([], (400, "empty_batch", "feedback")),
    "a batch and more": ({"feedback": [{}], "metric": "csat"}, (400, "invalid_request", "feedback")),
    "a batch of one that is wrong": ([{"decision": "D", "metric": "csat", "value": 9}], (400, "out_of_range", "feedback[0].value")),
    "too many at once": ([{}] * (BATCH_MOST + 1), (400, "too_many_items", "feedback")),
}  # fmt: skip


async def test_what_is_wrong_is_told_and_nothing_is_stored(begin: Begin) -> None:
    desk = await begin()
    decision = await desk.decide()
    for name, (body, told) in BAD.items():
        content = body if isinstance(body, bytes) else json.dumps(body).replace('"D"', json.dumps(decision)).encode()
        assert (name, await desk_refused(desk, content)) == (name, told)


async def desk_refused(desk: Desk, content: bytes) -> tuple[int, str, str | None]:
    answer = await desk.send(content)
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
    assert desk.stored() == []
    return answer.status_code, error["code"], error["param"]


async def test_unknown_words_get_a_hint(begin: Begin) -> None:
    desk = await begin()
    said = [
        (await desk.send(body)).json()["error"]["message"]
        for body in ({"metrc": 1}, {"decision": "x", "metric": "csat", "value": 1, "source": "agnet"}, [{"vlaue": 1}])
    ]
    for message, word in zip(said, ("metric", "agent", "value"), strict=True):
        assert f'did you mean "{word}"?' in message


async def test_another_tenant_s_decision_is_told_as_one_that_does_not_exist(begin: Begin) -> None:
    desk = await begin()
    theirs = await desk.decide("acme")
    none = theirs[:-1] + ("0" if theirs[-1] != "0" else "1")
    told = [(await desk.send({"decision": name, "metric": "csat", "value": 2})) for name in (theirs, none)]
    assert [answer.status_code for answer in told] == [404, 404]
    assert told[0].text.replace(theirs, "X") == told[1].text.replace(none, "X")
    assert (await desk.send({"decision": theirs, "metric": "csat", "value": 2}, "acme")).status_code == 200


async def test_keys_need_the_scope(begin: Begin) -> None:
    desk = await begin()
    body = {"decision": await desk.decide("ask"), "metric": "csat", "value": 2}
    assert await desk.refused(body, "ask") == (403, "missing_scope", None)
    assert await desk.refused(body, "pr-unknown") == (401, "invalid_api_key", None)
    assert await desk.refused(body, None) == (401, "invalid_api_key", None)
    assert (await desk.send(body)).status_code == 200


async def test_without_keys_programs_on_this_machine_may(begin: Begin) -> None:
    desk = await begin("{headers: true}")
    decision = await desk.decide()
    assert (await desk.send({"decision": decision, "metric": "csat", "value": 2}, None)).status_code == 200


async def test_other_methods(begin: Begin) -> None:
    desk = await begin()
    answer = await desk.client.get("/v1/feedback")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert (await desk.client.post("/v1/feedback.js")).status_code == 405
    assert (await desk.client.post("/feedback/", content=b"{}", headers=bearer("full"))).status_code == 400


async def test_feedback_under_a_policy_that_is_gone_names_it(begin: Begin) -> None:
    first = await begin()
    decision = await first.decide()
    await first.stop()
    desk = await begin(pack=PACK.replace("name: desk", "name: shop"))
    answer = await desk.send({"decision": decision, "metric": "csat", "value": 2})
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "policy_not_served")
    assert '"desk"' in answer.json()["error"]["message"]
    assert (await desk.shown(decision))["feedback"] == []


# ---------------------------------------------------------------------------------------------------- duplicates, batches


async def test_an_id_counts_once_for_a_tenant_and_contradictions_are_all_kept(begin: Begin) -> None:
    desk = await begin()
    decision, theirs = await desk.decide(), await desk.decide("acme")

    async def say(id_: str | None, value: int, key: str = "full") -> str:
        about = decision if key == "full" else theirs
        given = {"decision": about, "metric": "csat", "value": value} | ({"id": id_} if id_ else {})
        return str((await desk.send(given, key)).json()["status"])

    said = [await say("a", 1), await say("a", 1), await say("a", 5), await say(None, 4), await say(None, 4)]
    assert said == ["recorded", "duplicate", "duplicate", "recorded", "recorded"]
    assert await say("a", 2, "acme") == "recorded"
    assert [row.value for row in desk.stored()] == [1, 4, 4, 2]


@pytest.mark.parametrize("form", ["list", "object"])
async def test_a_batch_stores_what_is_right_and_names_what_is_wrong(begin: Begin, form: str) -> None:
    desk = await begin()
    decision = await desk.decide()
    items: list[Any] = [
        {"id": "a", "decision": decision, "metric": "csat", "value": 5},
        {"id": "b", "decision": decision, "metric": "csat", "value": 6},
        {"id": "c", "decision": "nope", "metric": "csat", "value": 5},
        {"id": "a", "decision": decision, "metric": "csat", "value": 1},
        "what",
        {"id": "d", "decision": decision, "metric": "resolved", "value": False},
    ]
    body = items if form == "list" else {"feedback": items}
    answer = await desk.send(body)
    told = answer.json()
    assert answer.status_code == 207
    assert (told["recorded"], told["duplicates"], told["refused"]) == (2, 1, 3)
    assert [each["status"] for each in told["results"]] == [
        "recorded", "refused", "refused", "duplicate", "refused", "recorded",
    ]  # fmt: skip
    faults = [(each["http_status"], each["error"]["param"]) for each in told["results"] if each["status"] == "refused"]
    assert faults == [(400, "feedback[1].value"), (404, "feedback[2].decision"), (400, "feedback[4]")]
    again = (await desk.send(body)).json()
    assert (again["recorded"], again["duplicates"], again["refused"]) == (0, 3, 3)
    assert [row.id for row in desk.stored()] == ["a", "d"]


async def test_a_batch_of_the_largest_size(begin: Begin) -> None:
    desk = await begin()
    decision = await desk.decide()
    items = [
        {"id": str(n), "decision": decision, "metric": "csat", "value": 3, "source": "agent"} for n in range(BATCH_MOST)
    ]
    answer = await desk.send(items)
    assert (answer.status_code, answer.json()["recorded"]) == (200, BATCH_MOST)
    assert len(desk.stored()) == BATCH_MOST


@pytest.mark.parametrize(("values", "status"), [((9, 9), 400), ((None, None), 404), ((None, 9), 400)])
async def test_a_batch_of_which_nothing_is_stored_is_an_error(
    begin: Begin, values: tuple[Any, ...], status: int
) -> None:
    desk = await begin()
    decision = await desk.decide()
    items = [
        {"decision": "nope" if value is None else decision, "metric": "csat", "value": value or 1} for value in values
    ]
    answer = await desk.send(items)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith("None of the 2 items was stored.")
    assert len(answer.json()["results"]) == 2 and desk.stored() == []


# ----------------------------------------------------------------------------------------------------------------- faults


async def test_a_store_that_fails_is_a_503_and_nothing_is_acknowledged(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await begin()
    said = {"id": "a", "decision": await desk.decide(), "metric": "csat", "value": 1}

    def fail(rows: Any) -> Any:
        raise Degraded("feedback_failed", "database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(desk.feedback.store, "record", fail)
        for body in (said, [said, {"metric": "csat"}]):
            answer = await desk.send(body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "feedback_unavailable")
            assert answer.headers["retry-after"] == "1" and "disk" not in answer.text
    assert desk.stored() == []
    assert (await desk.send(said)).json()["status"] == "recorded"


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.sampled_from(["resolved", "csat", "user", "system", "DECISION", "TOKEN", "2026-11-22T10:15:00Z"])
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_fields = st.sampled_from(
    ["id", "decision", "response_id", "conversation", "metric", "value", "source", "comment", "at", "token", "feedback", "x"]
)  # fmt: skip
_objects = st.dictionaries(_fields, _values, max_size=7)
_bodies = (
    _objects
    | st.lists(_objects | _values, max_size=4)
    | st.fixed_dictionaries({"feedback": st.lists(_objects)})
    | _values
)


async def test_no_body_whatever_is_a_fault_of_ours(begin: Begin) -> None:
    desk = await begin(config(feedback={"per_minute": 1_000_000}))
    answer = await desk.ask()
    names = {"DECISION": answer.headers["x-router-decision"], "TOKEN": answer.headers["x-router-feedback"]}
    loop = asyncio.get_running_loop()

    @settings(suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.binary(max_size=60) | _bodies, st.sampled_from([None, "full"]))
    def fuzz(body: Any, key: str | None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        for word, name in names.items():
            content = content.replace(word.encode(), name.encode())
        told = asyncio.run_coroutine_threadsafe(desk.send(content, key), loop).result(30)
        assert told.status_code in {200, 207, 400, 401, 403, 404, 409}, told.text
        if told.status_code >= 400:
            assert set(told.json()["error"]) == {"message", "type", "param", "code"}

    await asyncio.to_thread(fuzz)
