"""The edge without a network: heads as tables, bodies as screenplays of messages, clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from router.core.errors import RequestError
from router.server.request_body import ClientGone, bounded_receive, read_body, watch_disconnect
from router.server.request_guard import ALWAYS_ANSWERED, HEALTH, HostList, RequestGuard
from router.server.settings import LimitSettings

LIMITS = LimitSettings(body_bytes=1000, header_bytes=1024, body_deadline_s=0.3, body_bytes_per_s=1_000_000, in_flight=2)
PATIENCE_S = 10
HEAD = ((b"host", b"localhost:8080"), (b"content-length", b"5"), (b"content-type", b"application/json"))


def shape(error: RequestError, path: str) -> bytes:
    return json.dumps({"error": {"code": error.code, "message": error.message}}).encode()


async def reached(scope: dict, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"error": {"code": "reached"}}'})


async def untouched() -> dict:
    raise AssertionError("a refused request's body must not be read")


async def ask(
    guard: RequestGuard, *headers: tuple[bytes, bytes], path: str = "/v1/x", receive: Any = untouched
) -> Answer:
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": path, "headers": list(headers)}
    await guard(scope, receive, send)
    return Answer(sent)


class Answer:
    def __init__(self, sent: list[dict]) -> None:
        self.status = sent[0]["status"]
        self.headers = dict(sent[0]["headers"])
        self.body = b"".join(message["body"] for message in sent[1:])
        self.code = json.loads(self.body)["error"]["code"]


def without(*names: bytes) -> list[tuple[bytes, bytes]]:
    return [header for header in HEAD if header[0] not in names]


REFUSED = {
    "both lengths": (400, "bad_request", [*HEAD, (b"transfer-encoding", b"chunked")]),
    "two lengths": (400, "bad_request", [*HEAD, (b"content-length", b"5")]),
    "negative length": (400, "bad_request", [*without(b"content-length"), (b"content-length", b"-1")]),
    "length in words": (400, "bad_request", [*without(b"content-length"), (b"content-length", b"five")]),
    "endless length": (400, "bad_request", [*without(b"content-length"), (b"content-length", b"9" * 40)]),
    "no host": (400, "bad_request", without(b"host")),
    "two hosts": (400, "bad_request", [*HEAD, (b"host", b"localhost")]),
    "foreign host": (400, "host_not_allowed", [*without(b"host"), (b"host", b"evil.example")]),
    "empty host": (400, "host_not_allowed", [*without(b"host"), (b"host", b"")]),
    "foreign page": (403, "origin_not_allowed", [*HEAD, (b"origin", b"https://evil.example")]),
    "page of no origin": (403, "origin_not_allowed", [*HEAD, (b"origin", b"null")]),
    "large length": (413, "body_too_large", [*without(b"content-length"), (b"content-length", b"1001")]),
    "compress": (415, "unsupported_encoding", [*HEAD, (b"content-encoding", b"compress")]),
    "gzip twice": (415, "unsupported_encoding", [*HEAD, (b"content-encoding", b"gzip, gzip")]),
    "large header": (431, "headers_too_large", [*HEAD, (b"x-large", b"x" * 1024)]),
    "many headers": (431, "headers_too_large", [*HEAD, *((b"x", b"1"),) * 200]),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_before_the_body_is_read(name: str) -> None:
    status, code, headers = REFUSED[name]
    answer = await ask(RequestGuard(reached, LIMITS, ["localhost"], shape), *headers)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
    assert answer.headers[b"content-type"] == b"application/json"
    assert answer.headers[b"x-should-retry"] == b"false"


@pytest.mark.parametrize(
    "headers",
    [
        HEAD,
        without(b"content-length"),
        [*without(b"content-length"), (b"transfer-encoding", b"chunked")],
        [*without(b"content-length"), (b"content-length", b"1000")],
        [*HEAD, (b"content-encoding", b"Identity")],
        [*HEAD, (b"content-encoding", b"GZIP ")],
        [*HEAD, (b"origin", b"http://localhost:3000")],
        [*HEAD, (b"cookie", b"a=1"), (b"cookie", b"b=2")],
    ],
    ids=["plain", "no body", "chunked", "largest", "identity", "gzip", "own page", "repeated header"],
)
async def test_let_through(headers: list) -> None:
    assert (await ask(RequestGuard(reached, LIMITS, ["localhost"], shape), *headers)).code == "reached"


async def test_without_a_list_every_host_and_page_is_answered() -> None:
    headers = [*without(b"host"), (b"host", b"evil.example"), (b"origin", b"https://other.example")]
    assert (await ask(RequestGuard(reached, LIMITS, None, shape), *headers)).code == "reached"


@pytest.mark.parametrize(
    ("path", "code"), [*((path, "reached") for path in sorted(HEALTH)), ("/metrics", "host_not_allowed")]
)
async def test_probes_call_by_address(path: str, code: str) -> None:
    guard = RequestGuard(reached, LIMITS, ["localhost"], shape)
    assert (await ask(guard, (b"host", b"10.1.2.3:8080"), path=path)).code == code


async def test_unsupported_encoding_says_what_is() -> None:
    answer = await ask(RequestGuard(reached, LIMITS, None, shape), *HEAD, (b"content-encoding", b"lzw"))
    assert answer.headers[b"accept-encoding"] == b"gzip, deflate, br, zstd, identity"


@pytest.mark.parametrize(
    ("names", "host", "known"),
    [
        (["example.com"], b"example.com", True),
        (["Example.com"], b"EXAMPLE.com:8080", True),
        (["example.com"], b"www.example.com", False),
        (["example.com"], b"example.com.evil.net", False),
        (["*.example.com"], b"a.b.example.com:1", True),
        (["*.example.com"], b"example.com", False),
        (["*.example.com"], b"evilexample.com", False),
        (["::1"], b"[::1]:8080", True),
        (["[::1]"], b"[::1]", True),
        (["::1"], b"[::2]:8080", False),
        ([], b"localhost", False),
        (["localhost"], b"\xff\xfe", False),
    ],
)
def test_host_lists(names: list[str], host: bytes, known: bool) -> None:
    hosts = HostList(names)
    assert [hosts.has(host), hosts.has(host)] == [known, known]  # asked twice: the second answer is remembered


async def test_a_full_house_refuses_and_still_shows_that_it_lives() -> None:
    leave = asyncio.Event()
    inside: list[str] = []

    async def stay(scope: dict, receive: Any, send: Any) -> None:
        inside.append(scope["path"])
        if scope["path"] not in sorted(ALWAYS_ANSWERED):
            await leave.wait()
        await reached(scope, receive, send)

    guard = RequestGuard(stay, LIMITS, None, shape)
    first = [asyncio.create_task(ask(guard, *HEAD)) for _ in range(2)]
    while len(inside) < 2:
        await asyncio.sleep(0)
    refused = await ask(guard, *HEAD)
    assert (refused.status, refused.code, refused.headers[b"retry-after"]) == (503, "overloaded", b"1")
    assert b"x-should-retry" not in refused.headers
    for path in sorted(ALWAYS_ANSWERED):
        assert (await ask(guard, *HEAD, path=path)).code == "reached"
    leave.set()
    assert [(await task).code for task in first] == ["reached", "reached"]
    assert guard.in_flight == 0
    assert (await ask(guard, *HEAD)).code == "reached"


async def test_a_failing_application_gives_its_place_back() -> None:
    async def fail(scope: dict, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    guard = RequestGuard(fail, LIMITS, None, shape)
    with pytest.raises(RuntimeError, match="broken"):
        await ask(guard, *HEAD)
    assert guard.in_flight == 0


async def test_what_is_not_http_passes() -> None:
    seen: list[str] = []

    async def note(scope: dict, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await RequestGuard(note, LIMITS, [], shape)({"type": "lifespan"}, untouched, untouched)
    assert seen == ["lifespan"]


# ------------------------------------------------------------------------------------------------------------- bodies

Receive = Callable[[], Awaitable[dict]]


def play(*messages: bytes | dict | float) -> Receive:
    """Return a receive that gives these parts of a body, the last one ending it; a number is a pause in seconds."""
    script = list(messages)

    async def receive() -> dict:
        while script and isinstance(script[0], float):
            await asyncio.sleep(script.pop(0))  # part of the script: this client is slow
        if not script:
            return {"type": "http.disconnect"}
        message = script.pop(0)
        if isinstance(message, dict):
            return message
        return {"type": "http.request", "body": message, "more_body": bool(script)}

    return receive


@pytest.mark.parametrize(
    "parts",
    [[b""], [b"hello"], [b"x" * 1000], [b"a", b"b", b"c"], [b"", b"a"], [b"x"] * 1000],
    ids=["empty", "whole", "largest", "parts", "empty part", "bytes"],
)
async def test_a_body_is_read_whole(parts: list[bytes]) -> None:
    assert await read_body(play(*parts), LIMITS) == b"".join(parts)


@pytest.mark.parametrize(
    "parts", [[b"x" * 1001], [b"x" * 600, b"x" * 401], [b"x" * 600] * 1000], ids=["1", "2", "many"]
)
async def test_a_body_over_the_limit_is_not_read_to_its_end(parts: list[bytes]) -> None:
    receive = play(*parts, b"end") if len(parts) > 2 else play(*parts)
    with pytest.raises(RequestError) as caught:
        await read_body(receive, LIMITS)
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")
    if len(parts) > 2:
        assert (await receive())["more_body"]


@pytest.mark.parametrize(
    ("script", "limits"),
    [
        ([60.0, b"late"], {"body_deadline_s": 0.05}),
        ([b"begun", 60.0, b"late"], {"body_deadline_s": 0.05}),
        ([part for _ in range(500) for part in (b"x", 0.01)] + [b""], {"body_deadline_s": 0.3}),
        (
            [part for _ in range(500) for part in (b"x", 0.01)] + [b""],
            {"body_deadline_s": 60, "body_bytes_per_s": 10**9},
        ),
    ],
    ids=["nothing comes", "the rest does not come", "too long", "too slow"],
)
async def test_a_body_that_does_not_come_in_time(script: list, limits: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    if "body_bytes_per_s" in limits:
        monkeypatch.setattr("router.server.request_body.GRACE_SHARE", 0.001)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(RequestError) as caught:
            await read_body(play(*script), LIMITS.model_copy(update={"body_bytes_per_s": 1, **limits}))
    assert (caught.value.status, caught.value.code) == (408, "request_timeout")
    await asyncio.sleep(0)  # nothing of the cancelling is left over
    assert asyncio.current_task().cancelling() == 0


async def test_a_slow_body_that_keeps_the_rate_is_read() -> None:
    limits = LIMITS.model_copy(update={"body_deadline_s": 5.0, "body_bytes_per_s": 10})
    script = [part for _ in range(100) for part in (b"x" * 10, 0.006)]  # longer than the grace of 0.5 s
    assert await read_body(play(*script, b""), limits) == b"x" * 1000


@pytest.mark.parametrize("script", [[], [{"type": "http.request", "body": b"begun", "more_body": True}]])
async def test_a_client_that_leaves_before_its_body_is_whole(script: list) -> None:
    with pytest.raises(ClientGone):
        await read_body(play(*script), LIMITS)


async def test_cancelling_from_outside_stays_a_cancelling() -> None:
    task = asyncio.create_task(read_body(play(60.0, b"late"), LIMITS.model_copy(update={"body_deadline_s": 60.0})))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_application_that_reads_for_itself_gets_the_body_in_one_piece() -> None:
    receive = bounded_receive(play(b"a", b"b"), LIMITS)
    assert await receive() == {"type": "http.request", "body": b"ab", "more_body": False}
    assert await receive() == {"type": "http.disconnect"}


@pytest.mark.parametrize(("parts", "status"), [([b"x" * 1001], 413), ([60.0, b"late"], 408)])
async def test_an_application_that_reads_for_itself_is_bounded(parts: list, status: int) -> None:
    with pytest.raises(RequestError) as caught:
        await bounded_receive(play(*parts), LIMITS)()
    assert caught.value.status == status


async def test_an_application_that_reads_for_itself_hears_that_the_client_left() -> None:
    assert await bounded_receive(play(), LIMITS)() == {"type": "http.disconnect"}


# ------------------------------------------------------------------------------------------------------- disconnects


class Connection:
    """A receive that says nothing until the client leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.asked = 0

    async def receive(self) -> dict:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_work_for_a_client_that_left_is_stopped() -> None:
    connection = Connection()
    stopped = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    async def serve() -> None:
        with watch_disconnect(connection.receive, asyncio.current_task(), after_s=0.01):
            connection.left.set()
            await work()

    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ClientGone):
            await serve()
    assert stopped.is_set()
    assert asyncio.current_task().cancelling() == 0


async def test_a_fast_answer_never_listens() -> None:
    connection = Connection()
    with watch_disconnect(connection.receive, asyncio.current_task(), after_s=0.05):
        pass
    await asyncio.sleep(0.1)
    assert connection.asked == 0


async def test_leaving_after_the_answer_stops_nothing() -> None:
    connection = Connection()
    with watch_disconnect(connection.receive, asyncio.current_task(), after_s=0.0):
        while connection.asked < 2:
            await asyncio.sleep(0)
    connection.left.set()
    await asyncio.sleep(0.01)
    assert asyncio.current_task().cancelling() == 0


async def test_a_shutdown_is_not_taken_for_a_client_that_left() -> None:
    connection = Connection()

    async def serve() -> None:
        with watch_disconnect(connection.receive, asyncio.current_task(), after_s=0.0):
            await asyncio.sleep(60)

    task = asyncio.create_task(serve())
    while connection.asked < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_errors_of_the_work_pass_unchanged() -> None:
    with pytest.raises(ValueError, match="its own"), watch_disconnect(Connection().receive, asyncio.current_task()):
        raise ValueError("its own")
