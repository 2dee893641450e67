"""The Python client for feedback, against a server that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from router import FeedbackError, RouterError, client, send_feedback

RECEIPT = {"object": "feedback", "id": "x", "status": "recorded", "decision": "dec_1"}
BUSY = {"error": {"message": "Busy.", "type": "server_error", "param": None, "code": "feedback_unavailable"}}
WRONG = {"error": {"message": "No such metric.", "type": "x", "param": "metric", "code": "unknown_metric"}}


class Scripted(ThreadingHTTPServer):
    """Gives the answers of `script` one after another, and keeps what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Speaker)
        self.script: list[tuple[int, dict[str, str], Any]] = []
        self.taken: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Speaker(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.taken.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        status, headers, answer = self.server.script.pop(0)
        said = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(said))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(client.time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/under/v1"])
def test_what_is_given_is_sent_and_nothing_else(server: Scripted, end: str) -> None:
    server.script = [(200, {}, RECEIPT)]
    assert send_feedback(server.url + end, "csat", 4, decision="dec_1", api_key="pr-key", id="mine") == RECEIPT
    path, headers, body = server.taken[0]
    assert path == ("/under" if "under" in end else "") + "/v1/feedback"
    assert headers["authorization"] == "Bearer pr-key" and headers["content-type"] == "application/json"
    assert body == {"id": "mine", "decision": "dec_1", "metric": "csat", "value": 4, "source": "user"}


def test_false_is_a_value_and_a_moment_is_sent_as_seconds(server: Scripted) -> None:
    server.script = [(200, {}, RECEIPT)]
    at = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    send_feedback(server.url, "resolved", False, token="v1.x", comment="no", at=at)
    _, headers, body = server.taken[0]
    assert "authorization" not in headers
    assert (body["value"], body["at"], body["token"]) == (False, 1_795_342_500.0, "v1.x")


def test_trying_again_sends_the_same_id(server: Scripted, pauses: list[float]) -> None:
    server.script = [(503, {"retry-after": "2"}, BUSY), (429, {}, BUSY), (200, {}, RECEIPT)]
    assert send_feedback(server.url, "csat", 4, decision="dec_1") == RECEIPT
    ids = {body["id"] for _, _, body in server.taken}
    assert len(server.taken) == 3 and len(ids) == 1 and ids != {None}
    assert pauses == [2.0, 0.5]


@pytest.mark.parametrize(
    ("script", "status", "code", "param", "calls"),
    [
        ([(400, {}, WRONG)], 400, "unknown_metric", "metric", 1),
        ([(503, {}, BUSY)] * 3, 503, "feedback_unavailable", None, 3),
        ([(503, {"retry-after": "3600"}, BUSY)], 503, "feedback_unavailable", None, 1),
        ([(404, {}, b"<html>")], 404, "", None, 1),
        ([(200, {}, b"<html>")], 200, "no_receipt", None, 1),
        ([(302, {"location": "http://127.0.0.1:9/"}, b"")], 302, "", None, 1),
    ],
    ids=["wrong", "busy", "busy for long", "no router", "no receipt", "elsewhere"],
)
def test_what_cannot_be_stored_is_an_error_that_says_why(
    server: Scripted, pauses: list[float], script: list[Any], status: int, code: str, param: str | None, calls: int
) -> None:
    server.script = list(script)
    with pytest.raises(FeedbackError) as caught:
        send_feedback(server.url, "csat", 4, decision="dec_1", id="mine")
    error = caught.value
    assert (error.status, error.code, error.param, error.id) == (status, code, param, "mine")
    assert error.retryable is (status == 503) and isinstance(error, RouterError)
    assert len(server.taken) == calls


def test_a_router_that_is_not_there(pauses: list[float]) -> None:
    with Scripted() as gone:
        url = gone.url
    with pytest.raises(FeedbackError, match="cannot be reached") as caught:
        send_feedback(url, "csat", 4, decision="dec_1", attempts=2)
    assert caught.value.status == 0 and caught.value.retryable and len(pauses) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "file:///etc/passwd", ""])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        send_feedback(address, "csat", 4, decision="dec_1")
