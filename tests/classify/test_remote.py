"""Embeddings through the real litellm, from a server on loopback that speaks OpenAI's format; and the file of vectors."""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.classify.remote import BATCH, FILE_NAME, LiteLLMSource, VectorFile, kept_in
from router.classify.vectors import EncoderFailed, VectorCache, VectorEncoder
from tests.support.litellm_warnings import LITELLM_WARNS

pytestmark = LITELLM_WARNS
MODEL = "openai/tiny"


class Provider(ThreadingHTTPServer):
    """Embeds a text as its length, its number of words and one. `answers` says what else it does, call by call."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Endpoint)
        self.asked: list[list[str]] = []
        self.answers: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Endpoint(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = body["input"]
        self.server.asked.append(texts)
        rows = [[float(len(text)), float(len(text.split())), 1.0] for text in texts]
        change = self.server.answers.pop(0) if self.server.answers else None
        if isinstance(change, threading.Event):
            change.wait(20)
        status = change if isinstance(change, int) else 200
        rows = change(rows) if callable(change) else rows
        data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
        answer: dict[str, Any] = {"object": "list", "model": "tiny", "data": data[::-1]}
        answer["usage"] = {"prompt_tokens": 1, "total_tokens": 1}
        if status != 200:
            answer = {"error": {"message": "the key is not known", "type": "x", "code": None}}
        raw = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True, scope="module")
def swept() -> Iterator[None]:
    """Collect what litellm left, here, so that no later test is told of it."""
    yield
    gc.collect()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("OPENAI_API_BASE", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-operator")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def wanted(*texts: str) -> np.ndarray:
    return np.array([[len(text), len(text.split()), 1.0] for text in texts])


def test_texts_become_vectors_in_their_order(provider: Provider) -> None:
    texts = ["where is it", "refund", "a b c d"]
    np.testing.assert_array_equal(LiteLLMSource(MODEL).vectors(texts), wanted(*texts))
    assert provider.asked == [texts]


def test_a_fit_asks_in_batches_and_serving_at_once(provider: Provider) -> None:
    texts = ["x" * (1 + at) for at in range(BATCH + 10)]
    np.testing.assert_array_equal(LiteLLMSource(MODEL).vectors(texts), wanted(*texts))
    assert [len(batch) for batch in provider.asked] == [BATCH, 10]
    LiteLLMSource(MODEL).vectors(texts[:3], limit_s=5.0)
    assert provider.asked[-1] == texts[:3]


@pytest.mark.parametrize(("text", "sent"), [("", "."), (" \n", "."), ("a\ud800b", "a?b")])
def test_what_a_provider_would_refuse_is_made_good(text: str, sent: str, provider: Provider) -> None:
    LiteLLMSource(MODEL).vectors([text])
    assert provider.asked == [[sent]]


def test_what_was_asked_once_is_remembered(provider: Provider) -> None:
    vectors = VectorEncoder(LiteLLMSource(MODEL))
    first = vectors.of(["one", "two", "one"], limit_s=5.0)
    assert vectors.knows(["one", "two"]) and not vectors.knows(["one", "three"])
    np.testing.assert_array_equal(vectors.of(["two", "one"]), first[[1, 0]])
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1.0, rtol=1e-6)
    assert provider.asked == [["one", "two"]]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (401, "the key is not known"),
        (500, "InternalServerError"),
        (lambda rows: rows[:-1], "it gave 1 vectors for 2 texts"),
        (lambda rows: [row[: 1 + at] for at, row in enumerate(rows)], "of one length"),
        (lambda rows: [[], []], "of shape"),
        (lambda rows: [["x"], ["y"]], ""),
    ],
    ids=["refused", "broken", "too_few", "ragged", "empty", "words"],
)
def test_a_failure_names_the_model_and_the_cause(answer: Any, cause: str, provider: Provider) -> None:
    provider.answers = [answer]
    with pytest.raises(EncoderFailed, match=cause) as caught:
        VectorEncoder(LiteLLMSource(MODEL)).of(["one", "two"])
    assert str(caught.value).startswith("litellm:openai/tiny: ")
    assert "sk-operator" not in str(caught.value)
    assert len(provider.asked) == 1, "nothing is asked twice"


def test_a_provider_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9/v1")
    with pytest.raises(EncoderFailed, match="litellm:openai/tiny: "):
        LiteLLMSource(MODEL).vectors(["one"])


def test_a_provider_that_does_not_answer_is_left_after_the_limit(provider: Provider) -> None:
    release = threading.Event()
    provider.answers = [release]
    try:
        with pytest.raises(EncoderFailed, match=r"[Tt]ime"):
            LiteLLMSource(MODEL).vectors(["one"], limit_s=0.2)
    finally:
        release.set()


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(EncoderFailed, match=r"litellm is not installed: pip install 'prompt-router\[litellm\]'"):
        LiteLLMSource(MODEL).vectors(["one"])


# ------------------------------------------------------------------------------------------------- between fits


def test_a_second_fit_asks_for_what_is_new(provider: Provider, tmp_path: Path) -> None:
    with kept_in(tmp_path):
        LiteLLMSource(MODEL).vectors(["one", "two"])
        found = LiteLLMSource(MODEL).vectors(["two", "three", "one"])
    np.testing.assert_array_equal(found, wanted("two", "three", "one"))
    assert provider.asked == [["one", "two"], ["three"]]
    raw = (tmp_path / FILE_NAME).read_bytes()
    assert not any(text in raw for text in (b"one", b"two", b"three")), "the file holds no texts"


def test_what_came_before_a_failure_is_kept(provider: Provider, tmp_path: Path) -> None:
    texts = [f"text {at}" for at in range(BATCH + 1)]
    provider.answers = [None, 500]
    with kept_in(tmp_path):
        with pytest.raises(EncoderFailed):
            LiteLLMSource(MODEL).vectors(texts)
        LiteLLMSource(MODEL).vectors(texts)
    assert [len(batch) for batch in provider.asked] == [BATCH, 1, 1]


def test_serving_writes_nothing(provider: Provider, tmp_path: Path) -> None:
    with kept_in(tmp_path):
        LiteLLMSource(MODEL).vectors(["what a user says"], limit_s=5.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoil", ["file", "folder"])
def test_a_broken_file_costs_calls_and_not_the_fit(spoil: str, provider: Provider, tmp_path: Path) -> None:
    if spoil == "file":
        (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 100)
    else:
        (tmp_path / "in the way").write_text("")
        tmp_path = tmp_path / "in the way"
    with kept_in(tmp_path):
        np.testing.assert_array_equal(LiteLLMSource(MODEL).vectors(["one"]), wanted("one"))


def test_the_longest_unused_vectors_go_first(tmp_path: Path) -> None:
    def vectors(*texts: str) -> dict[str, np.ndarray]:
        return {text: np.full(8, len(text), np.float32) for text in texts}

    with VectorFile(tmp_path / "v.sqlite", most_bytes=4 * 32) as file:
        file.write("m", vectors("a", "b"))
        file.write("m", vectors("c", "d"))
        assert set(file.read("m", ["a"])) == {"a"}
        file.write("m", vectors("e"))
        assert set(file.read("m", ["a", "b", "c", "d", "e"])) == {"a", "c", "d", "e"}
        assert file.read("another", ["a"]) == {}


def test_two_fits_may_share_the_file(tmp_path: Path) -> None:
    with VectorFile(tmp_path / "v.sqlite") as one, VectorFile(tmp_path / "v.sqlite") as other:
        one.write("m", {"a": np.ones(2, np.float32)})
        other.write("m", {"b": np.ones(2, np.float32)})
        assert set(one.read("m", ["a", "b"])) == {"a", "b"}


def test_a_closed_file_is_an_error_of_sqlite(tmp_path: Path) -> None:
    with VectorFile(tmp_path / "v.sqlite") as file:
        pass
    with pytest.raises(sqlite3.Error):
        file.read("m", ["a"])


def test_memory_is_bounded_and_drops_the_least_recently_used() -> None:
    memory = VectorCache(most_bytes=3 * 16)
    for text in ("a", "b", "c"):
        memory.put(text, np.zeros(4, np.float32))
    assert memory.get("a") is not None
    memory.put("d", np.zeros(4, np.float32))
    assert [text in memory for text in "abcd"] == [True, False, True, True]
    memory.bound(16)
    assert [text in memory for text in "abcd"] == [False, False, False, True]
