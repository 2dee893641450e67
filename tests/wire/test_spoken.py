"""The words of an answer: the same of a stream as of the whole body, and nothing that breaks ever raises."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.chat import ChatCompletions
from router.wire.messages import CountTokens, Messages
from router.wire.plain import COMPLETIONS, EMBEDDINGS, MODERATIONS
from router.wire.responses import InputTokens, Responses

CHAT, RESPONSES, MESSAGES = ChatCompletions(), Responses(), Messages()
SPEAKING = (CHAT, RESPONSES, MESSAGES)


def sse(*events, line_end="\n"):
    lines = [f"data: {event if isinstance(event, str) else json.dumps(event)}{line_end * 2}" for event in events]
    return "".join(lines).encode("utf-8", "surrogatepass")


def chat_chunk(index=0, **delta):
    return {"id": "chatcmpl-1", "choices": [{"index": index, "delta": delta, "finish_reason": None}]}


def said_in_messages(index, text):
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


def said_in_responses(item, text, part=0):
    return {"type": "response.output_text.delta", "output_index": item, "content_index": part, "delta": text}


WHOLE = [
    (CHAT, {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}}]}, "Hi."),
    (CHAT, {"choices": [{"message": {"content": None, "refusal": "I cannot."}}]}, "I cannot."),
    (CHAT, {"choices": [{"index": 1, "message": {"content": "B"}}, {"index": 0, "message": {"content": "A"}}]}, "A"),
    (
        CHAT,
        {"choices": [{"message": {"content": None, "tool_calls": [{"function": {"arguments": '{"a": "secret"}'}}]}}]},
        "",
    ),
    (CHAT, {"choices": [{"message": {"content": "Yes", "reasoning_content": "hm"}}]}, "Yes"),
    (
        CHAT,
        {"choices": [{"message": {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Yes"}]}}]},
        "Yes",
    ),
    (CHAT, {"choices": []}, ""),
    (CHAT, {"error": {"message": "no"}}, ""),
    (
        RESPONSES,
        {
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "content": "hm"},
                {"type": "message", "content": [{"type": "output_text", "text": "One "}, {"type": "output_text", "text": "two"}]},
                {"type": "function_call", "arguments": "secret"},
                {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
            ]
        },
        "One two\nNo.",
    ),
    (RESPONSES, {"output": None}, ""),
    (
        MESSAGES,
        {
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": "It is "},
                {"type": "text", "text": "blue.", "citations": [{"cited_text": "sky"}]},
                {"type": "tool_use", "input": {"text": "secret"}},
                {"type": "text", "text": "Look."},
            ]
        },
        "It is blue.\nLook.",
    ),
    (MESSAGES, {"type": "error", "error": {"message": "no"}}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "body", "words"), WHOLE)
def test_the_words_of_a_whole_body(wire, body, words):
    assert wire.spoken(json.dumps(body).encode(), stream=False) == words


STREAMS = [
    (CHAT, [chat_chunk(role="assistant", content=""), chat_chunk(content="Hel"), chat_chunk(content="lo")], "Hello"),
    (CHAT, [chat_chunk(refusal="I "), chat_chunk(refusal="cannot.")], "I cannot."),
    (CHAT, [chat_chunk(content="A"), chat_chunk(1, content="B"), chat_chunk(content="a")], "Aa"),
    (CHAT, [chat_chunk(tool_calls=[{"function": {"arguments": "secret"}}]), chat_chunk(content="A")], "A"),
    (CHAT, [chat_chunk(reasoning_content="hm"), chat_chunk(content="A"), {"choices": [], "usage": {}}], "A"),
    (CHAT, [chat_chunk(content="A"), "{half", chat_chunk(content="B"), {"choices": 3}, "[DONE]"], "AB"),
    (
        RESPONSES,
        [
            {"type": "response.created", "response": {"id": "resp_1", "output": []}},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"},
            said_in_responses(1, "One "),
            said_in_responses(1, "two", 1),
            {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "secret"},
            {"type": "response.refusal.delta", "output_index": 3, "delta": "No."},
        ],
        "One two\nNo.",
    ),
    (
        RESPONSES,  # taken up in its midst: the ending holds it all
        [
            said_in_responses(0, "o"),
            {
                "type": "response.completed",
                "response": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]},
            },
        ],
        "Hello",
    ),
    (RESPONSES, [said_in_responses(0, "Hello"), {"type": "response.completed", "response": {}}], "Hello"),
    (
        MESSAGES,
        [
            {"type": "message_start", "message": {"content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            said_in_messages(1, "It is "),
            {"type": "ping"},
            said_in_messages(1, "blue"),
            said_in_messages(2, "."),
            {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "no"}},
            said_in_messages(4, "Look."),
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        ],
        "It is blue.\nLook.",
    ),
]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(("wire", "events", "words"), STREAMS)
def test_the_words_of_a_stream(wire, events, words, line_end):
    assert wire.spoken(sse(*events, line_end=line_end), stream=True) == words


@pytest.mark.parametrize(
    "wire", [COMPLETIONS, EMBEDDINGS, MODERATIONS, InputTokens(), CountTokens()], ids=lambda wire: wire.name
)
def test_routes_that_are_not_asked_say_nothing(wire):
    for body, stream in ((json.dumps(WHOLE[0][1]).encode(), False), (sse(*STREAMS[0][1]), True)):
        assert wire.spoken(body, stream=stream) == ""


TEXTS = st.lists(st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable()), min_size=1, max_size=6)


@given(TEXTS)
def test_a_stream_says_what_the_whole_says(texts):
    words = "".join(texts)
    part = {"type": "output_text", "text": words}
    pairs = [
        (CHAT, {"choices": [{"message": {"content": words}}]}, [chat_chunk(content=text) for text in texts]),
        (RESPONSES, {"output": [{"type": "message", "content": [part]}]}, [said_in_responses(0, t) for t in texts]),
        (MESSAGES, {"content": [{"type": "text", "text": words}]}, [said_in_messages(0, text) for text in texts]),
    ]
    for wire, whole, events in pairs:
        assert wire.spoken(json.dumps(whole).encode(), stream=False) == words
        assert wire.spoken(sse(*events), stream=True) == words


@pytest.mark.parametrize(("wire", "events", "words"), STREAMS)
def test_a_stream_that_is_cut_anywhere_says_what_had_come(wire, events, words):
    stream = sse(*events)
    for end in range(len(stream)):
        assert wire.spoken(stream[:end], stream=True) in words


def test_what_python_servers_write_is_read_too():
    body = b'{"choices": [{"logprobs": NaN, "message": {"content": "ok \\ud83d"}}]}'
    assert CHAT.spoken(body, stream=False) == "ok ?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices message delta content text type output index content_block response refusal output_index".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("wire", SPEAKING, ids=lambda wire: wire.name)
@given(
    body=JSON, kind=st.sampled_from(["text", "content_block_delta", "response.output_text.delta", "response.completed"])
)
def test_any_json_gives_a_text(wire, body, kind):
    event = {**body, "type": kind} if isinstance(body, dict) else body
    assert isinstance(wire.spoken(json.dumps(body).encode(), stream=False), str)
    assert isinstance(wire.spoken(sse(body, event), stream=True), str)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", SPEAKING, ids=lambda wire: wire.name)
@given(rubbish=st.binary(max_size=200), at=st.integers(0, 400))
def test_any_bytes_give_a_text(wire, stream, rubbish, at):
    valid = sse(*STREAMS[0][1], *STREAMS[6][1], *STREAMS[-1][1])
    for answer in (rubbish, valid[:at] + rubbish + valid[at:], b"data: " + rubbish + b"\n\n" + valid):
        assert isinstance(wire.spoken(answer, stream=stream), str)


@pytest.mark.parametrize("wire", SPEAKING, ids=lambda wire: wire.name)
def test_depth_and_size_are_no_matter(wire):
    deep = b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    huge_number = b'{"choices": [{"index": ' + b"9" * 10_000 + b'}], "x": NaN}'
    for answer in (deep, huge_number, b"\xff" * 1000, b"data: " * 50_000):
        for stream in (False, True):
            assert wire.spoken(answer, stream=stream) == ""
