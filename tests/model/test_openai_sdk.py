"""The official OpenAI SDK, through `router serve`, to a real model: it behaves as it does at the model itself.

What stands for "the same": the request that the library weaves, sent to the model directly. At temperature 0 and
without the model's prompt cache (`cache_prompt`, a field of llama.cpp's own, which must survive us) its answers are
equal to the letter.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Literal

import openai
import pydantic
import pytest

from router import Router

REFUND = "I want my money back, my blender arrived broken"
EXACT: dict[str, Any] = {"model": "smollm2", "temperature": 0, "seed": 1, "extra_body": {"cache_prompt": False}}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
TOOL = {
    "type": "function",
    "function": {
        "name": "find_order",
        "description": "Find an order",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find_order", "arguments": '{"number": "4711"}'}}
VERDICT = {
    "type": "object",
    "properties": {"refund": {"type": "boolean"}, "days": {"type": "integer"}},
    "required": ["refund", "days"],
    "additionalProperties": False,
}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


ASKED: dict[str, dict[str, Any]] = {
    "plain": {"messages": [user(REFUND)]},
    "nothing_of_ours": {"messages": [user("Which planet has the most moons?")]},
    "own_system_text": {"messages": [{"role": "system", "content": "You are Ada."}, user(REFUND)]},
    "developer_role": {"messages": [{"role": "developer", "content": "You are Ada."}, user(REFUND)]},
    "parts": {"messages": [user([{"type": "text", "text": "Good morning."}, {"type": "text", "text": REFUND}])]},
    "names": {"messages": [{**user(REFUND), "name": "ada"}]},
    "dialogue": {
        "messages": [user(REFUND), {"role": "assistant", "content": "What is the order number?"}, user("It is 4711.")]
    },
    "switch": {
        "messages": [user(REFUND), {"role": "assistant", "content": "Done."}, user("And where is my other parcel?")]
    },
    "tools": {"messages": [user(REFUND)], "tools": [TOOL], "tool_choice": "auto"},
    "tool_wanted": {"messages": [user(REFUND)], "tools": [TOOL], "tool_choice": "required"},
    "tool_turn": {
        "messages": [
            user(REFUND),
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"status": "delivered"}'},
        ],
        "tools": [TOOL],
    },
    "json_object": {"messages": [user(REFUND)], "response_format": {"type": "json_object"}},
    "json_schema": {
        "messages": [user(REFUND)],
        "response_format": {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT}},
    },
    "stop": {"messages": [user(REFUND)], "stop": [" "]},
    "logit_bias": {"messages": [user(REFUND)], "logit_bias": {"19556": -100}},
    "image": {
        "messages": [
            user(
                [{"type": "text", "text": REFUND}, {"type": "image_url", "image_url": {"url": f"data:;base64,{PIXEL}"}}]
            )
        ]
    },
    "wrong_type_of_its_own_field": {"messages": [user(REFUND)], "extra_body": {"n_predict": "many"}},
    "wrong_schema": {"messages": [user(REFUND)], "response_format": {"type": "json_schema"}},
}


def request(name: str, **more: Any) -> dict[str, Any]:
    """Return the SDK's arguments for one of ASKED."""
    parts = (EXACT, ASKED[name], more)
    extra = {key: value for part in parts for key, value in part.get("extra_body", {}).items()}
    return {"max_tokens": 12, **EXACT, **ASKED[name], **more, "extra_body": extra}


def says(text: str) -> dict[str, str]:
    """Return a grammar of llama.cpp's that lets the model say `text` and nothing else."""
    return {"grammar": f'root ::= "{text}"'}


def woven(pack: Router, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with what the router adds."""
    return {**arguments, "messages": pack.wrap(arguments).body["messages"]}


def outcome(client: openai.OpenAI, arguments: dict[str, Any]) -> Any:
    """Return what an app gets to see: the answer, or the error by class, status and words."""
    try:
        answer = client.chat.completions.create(**arguments)
    except openai.APIStatusError as error:
        return type(error), error.status_code, error.body
    said = [choice.model_dump() for choice in answer.choices]
    return said, answer.model, answer.usage and (answer.usage.prompt_tokens, answer.usage.completion_tokens)


@pytest.mark.parametrize("name", ASKED)
def test_the_answer_is_the_one_the_woven_request_gets(
    name: str, direct: openai.OpenAI, through: openai.OpenAI, pack: Router
) -> None:
    arguments = request(name)
    assert outcome(through, arguments) == outcome(direct, woven(pack, arguments))


def test_the_model_reads_our_instructions(direct: openai.OpenAI, through: openai.OpenAI) -> None:
    with_us, without = (client.chat.completions.create(**request("plain")) for client in (through, direct))
    assert with_us.usage and without.usage
    assert with_us.usage.prompt_tokens > without.usage.prompt_tokens


def test_the_headers_tell_what_was_decided(through: openai.OpenAI, pack: Router) -> None:
    arguments = request("plain", max_tokens=1)
    raw = through.chat.completions.with_raw_response.create(**arguments)
    decision = pack.wrap(arguments).decision
    assert decision.task == "/refund"
    assert {name: raw.headers[f"x-router-{name}"] for name in ("task", "level", "outcome", "revision")} == {
        "task": "/refund",
        "level": decision.level.word,
        "outcome": "classified",
        "revision": decision.revision,
    }
    assert raw.headers["x-router-decision"] == raw.headers["x-request-id"] == raw.parse()._request_id


# ---------------------------------------------------------------------------------------------------------- streams


def streamed(client: openai.OpenAI, arguments: dict[str, Any]) -> list[Any]:
    with client.chat.completions.create(**arguments, stream=True) as stream:
        return list(stream)


def words(chunks: list[Any], index: int = 0) -> list[str]:
    return [
        choice.delta.content
        for chunk in chunks
        for choice in chunk.choices
        if choice.index == index and choice.delta.content
    ]


def ends(chunks: list[Any]) -> list[tuple[int, str]]:
    return [
        (choice.index, choice.finish_reason) for chunk in chunks for choice in chunk.choices if choice.finish_reason
    ]


@pytest.mark.parametrize("name", ["plain", "switch", "tools", "json_schema"])
def test_a_stream_says_the_same_in_many_chunks(
    name: str, direct: openai.OpenAI, through: openai.OpenAI, pack: Router
) -> None:
    arguments = request(name)
    mine, theirs = streamed(through, arguments), streamed(direct, woven(pack, arguments))
    assert len(words(mine)) > 1
    assert words(mine) == words(theirs)
    assert ends(mine) == ends(theirs)
    assert len(ends(mine)) == 1


def test_text_arrives_while_the_model_still_writes(through: openai.OpenAI, busy: Callable[[int], bool]) -> None:
    with through.chat.completions.create(**request("plain", max_tokens=200), stream=True) as stream:
        next(chunk for chunk in stream if words([chunk]))
        assert busy(1)


@pytest.mark.parametrize("wanted", [True, False])
def test_usage_comes_when_it_was_asked_for(wanted: bool, through: openai.OpenAI) -> None:
    chunks = streamed(through, request("plain", stream_options={"include_usage": wanted}))
    counted = [chunk for chunk in chunks if chunk.usage]
    assert len(counted) == wanted
    assert all(chunk.choices == [] and chunk.usage.completion_tokens == 12 for chunk in counted)


def test_no_usage_comes_unasked(through: openai.OpenAI) -> None:
    assert not any(chunk.usage for chunk in streamed(through, request("plain")))


def test_an_error_before_the_first_word_is_a_status(
    direct: openai.OpenAI, through: openai.OpenAI, pack: Router
) -> None:
    arguments = request("image", stream=True)
    refused = outcome(through, arguments)
    assert refused == outcome(direct, woven(pack, arguments))
    assert issubclass(refused[0], openai.APIStatusError)


def test_the_streaming_helper_of_the_sdk_puts_it_together(through: openai.OpenAI) -> None:
    with through.chat.completions.stream(**request("plain", max_tokens=30, extra_body=says("On its way."))) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert kinds.count("content.delta") > 1
    assert kinds.count("content.done") == 1
    assert final.choices[0].message.content == "On its way."
    assert final.choices[0].finish_reason == "stop"


# ------------------------------------------------------------------------------------------------ several at a time


@pytest.mark.parametrize("stream", [False, True])
def test_two_choices(stream: bool, through: openai.OpenAI) -> None:
    arguments = request("plain", n=2, temperature=1.5)
    if stream:
        chunks = streamed(through, arguments)
        said = ["".join(words(chunks, index)) for index in (0, 1)]
        indexes = sorted(index for index, _ in ends(chunks))
    else:
        answer = through.chat.completions.create(**arguments)
        said = [choice.message.content or "" for choice in answer.choices]
        indexes = [choice.index for choice in answer.choices]
    assert indexes == [0, 1]
    assert all(said)


async def test_many_at_once_do_not_mix(athrough: openai.AsyncOpenAI) -> None:
    numbers = [str(number) for number in range(6)]

    async def repeat(number: str, stream: bool) -> str:
        arguments = request("plain", extra_body=says(number * 5))
        if not stream:
            answer = await athrough.chat.completions.create(**arguments)
            return answer.choices[0].message.content or ""
        chunks = [chunk async for chunk in await athrough.chat.completions.create(**arguments, stream=True)]
        return "".join(words(chunks))

    said = await asyncio.gather(*(repeat(number, int(number) % 2 == 0) for number in numbers))
    assert said == [number * 5 for number in numbers]


# --------------------------------------------------------------------------------------------- typed and other calls


class Verdict(pydantic.BaseModel):
    refund: bool
    fault: Literal["broken", "late"]


def test_a_typed_answer_is_parsed(through: openai.OpenAI) -> None:
    arguments = request("plain", max_tokens=80)
    parsed = through.chat.completions.parse(**arguments, response_format=Verdict).choices[0].message.parsed
    assert isinstance(parsed, Verdict)


def test_logprobs_and_fields_of_the_model_s_own_come_through(through: openai.OpenAI) -> None:
    answer = through.chat.completions.create(**request("plain", logprobs=True, top_logprobs=2))
    logprobs = answer.choices[0].logprobs
    assert logprobs and logprobs.content and all(len(token.top_logprobs) == 2 for token in logprobs.content)
    assert answer.model_extra and answer.model_extra["timings"]["predicted_n"] == 12


def test_raw_bytes_are_the_model_s(through: openai.OpenAI) -> None:
    raw = through.chat.completions.with_raw_response.create(**request("plain"))
    assert raw.headers["content-type"].startswith("application/json")
    assert json.loads(raw.content)["object"] == "chat.completion"


def test_text_completions_pass_through_untouched(direct: openai.OpenAI, through: openai.OpenAI) -> None:
    arguments = {**EXACT, "prompt": "Once upon a time", "max_tokens": 8}
    mine, theirs = (client.completions.create(**arguments) for client in (through, direct))
    assert mine.choices == theirs.choices
    assert mine.usage == theirs.usage


def test_embeddings_fail_as_they_do_at_the_model(direct: openai.OpenAI, through: openai.OpenAI) -> None:
    refusals = []
    for client in (through, direct):
        with pytest.raises(openai.APIStatusError) as refused:
            client.embeddings.create(model="smollm2", input="hello")
        refusals.append((type(refused.value), refused.value.status_code, refused.value.body))
    assert refusals[0] == refusals[1]


def test_models_are_those_of_the_table(through: openai.OpenAI) -> None:
    assert {model.id for model in through.models.list()} == {"smollm2", "fast-alias", "nobody", "with-fallback"}
    assert through.models.retrieve("fast-alias").id == "fast-alias"


def test_an_alias_reaches_its_model(through: openai.OpenAI) -> None:
    alias, itself = (outcome(through, request("plain", model=name)) for name in ("fast-alias", "smollm2"))
    assert alias == itself
