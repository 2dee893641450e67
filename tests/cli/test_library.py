"""The library call, and the public face of the package."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import router
from router import RequestError, Router
from tests.support.doubtful import EITHER, LISTED, PACK

BODY: dict[str, Any] = {
    "model": "gpt-5",
    "temperature": 0.25,
    "messages": [
        {"role": "system", "content": "You are Kim."},
        {"role": "user", "content": "My blender arrived broken and I want my money back"},
    ],
    "metadata": {"x": 1},
    "unknown": [1.0, {"deep": None}],
}


@pytest.fixture(scope="module")
def desk(support_pack: Path, recognisers: Path) -> Router:
    return Router.load(support_pack, cache=recognisers)


def test_wrap_gives_a_new_body_with_everything_kept_and_leaves_the_old_one(desk: Router) -> None:
    before = copy.deepcopy(BODY)
    wrapped = desk.wrap(BODY, wire="chat", context={"tier": "pro"})
    assert before == BODY
    assert {k: v for k, v in wrapped.body.items() if k != "messages"} == {
        k: v for k, v in BODY.items() if k != "messages"
    }
    assert wrapped.body["messages"][1:] == BODY["messages"][1:]
    assert wrapped.body["messages"][0]["content"] == "You are Kim.\n\n" + wrapped.decision.text
    assert wrapped.decision.task.startswith("/")


def test_a_message_that_may_be_about_several_tasks_tells_which(tmp_path: Path, recognisers: Path) -> None:
    (tmp_path / "desk.yaml").write_text(PACK)
    router = Router.load(tmp_path / "desk.yaml", cache=recognisers)
    wrapped = router.wrap([{"role": "user", "content": EITHER}])
    assert (wrapped.decision.outcome, wrapped.decision.task) == ("shortlisted", "/order")
    assert set(wrapped.decision.listed) == LISTED
    said = wrapped.body["messages"][0]["content"]
    assert said == wrapped.decision.text and "Case: The customer waits for a parcel" in said


LISTS = {"chat": "messages", "responses": "input", "messages": "messages"}


@pytest.mark.parametrize("wire", LISTS)
def test_messages_alone_are_wrapped_too(desk: Router, wire: str) -> None:
    messages = [{"role": "user", "content": "My blender arrived broken and I want my money back"}]
    alone, whole = (desk.wrap(given, wire).body for given in (messages, {"model": "m", LISTS[wire]: messages}))
    assert alone | {"model": "m"} == whole and "model" not in alone
    assert "Help the customer get a refund." in str(alone) and len(messages) == 1


def test_a_switch_is_said_as_the_models_take_it(support_pack: Path, recognisers: Path) -> None:
    said = ("I want my money back for the broken lamp", "Sure.", "and where is my other parcel, order 4711?")
    talk = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    roles = {}
    for where in ("user_block", "system", "developer"):
        router = Router.load(support_pack, cache=recognisers, mid_conversation=where)
        roles[where] = [message["role"] for message in router.wrap(talk).body["messages"]][2:]
    assert roles["user_block"] == ["assistant", "user"]
    assert roles["system"] == ["assistant", "system", "user"]
    assert roles["developer"] == ["assistant", "developer", "user"]


def test_context_gives_cues_by_name_or_by_field_and_headers(desk: Router) -> None:
    for context in ({"name": "Ann"}, {"customer_name": "Ann"}):
        assert "Ann" in desk.wrap(BODY, context=context).decision.text
    assert desk.explain(BODY, context={"headers": {"X-Channel": "phone"}})["cues"]["channel"] == "phone"


def test_equal_calls_give_equal_answers(desk: Router, support_pack: Path, recognisers: Path) -> None:
    again = Router.load(support_pack, cache=recognisers)
    assert desk.wrap(BODY).body == again.wrap(BODY).body == desk.wrap(BODY).body


@pytest.mark.parametrize(
    "body", [{}, {"model": "m", "messages": []}, {"model": "m", "messages": [{"role": "user", "content": {1}}]}]
)
def test_a_bad_body_is_a_request_error(desk: Router, body: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        desk.wrap(body)


def test_an_unknown_wire_is_named_with_the_nearest(desk: Router) -> None:
    with pytest.raises(RequestError, match="did you mean"):
        desk.wrap(BODY, wire="chats")


def test_the_public_surface_is_this_list_and_no_more() -> None:
    assert router.__all__ == [
        "BackendError",
        "Decision",
        "FeedbackError",
        "PolicyError",
        "RequestError",
        "Router",
        "RouterError",
        "SettingsError",
        "Wrapped",
        "__version__",
        "send_feedback",
    ]
    for name in router.__all__:
        assert getattr(router, name)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import router", ["numpy", "fastapi", "pydantic"]),
        ("from router import Router", ["sklearn", "fastapi", "litellm", "scipy"]),
        ("import router.server.serving", ["sklearn", "litellm", "scipy"]),
    ],
)
def test_importing_brings_in_only_what_is_needed(statement: str, absent: list[str]) -> None:
    program = f"import sys; {statement}; print(*[m for m in {absent} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""
