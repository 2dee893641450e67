"""The OpenAI-compatible backend: what goes up, what comes down, and what each refusal becomes."""

from __future__ import annotations

import json

import pytest

from router.backends import FORWARDED_HEADERS, PassThroughBackend, Timeouts
from router.backends.passthrough import forwarded_names
from router.core.errors import BackendError, SettingsError
from router.core.ports import BackendRequest

KEY = "sk-operator-0123456789"
CHAT = "/chat/completions"
BODY = b'{"model":"m", "messages":[],  "unknown":{"a":1.0}}'
WHOLE = b'{"id":"chatcmpl-1","choices":[]}'


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture
async def backend_at():
    made = []

    def make(url, **more):
        made.append(PassThroughBackend(name="main", base_url=url, api_key=KEY, **more))
        return made[-1]

    yield make
    for backend in made:
        await backend.aclose()


def sent_headers(origin) -> dict[str, str]:
    lines = origin.requests[-1][0].decode().split("\r\n")[1:-2]
    pairs = [line.split(": ", 1) for line in lines]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


async def test_bytes_go_up_and_come_down_untouched(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(200, WHOLE, "Content-Type: application/json"))))
    got = await backend.send(BackendRequest(CHAT, BODY))
    assert (got.status, got.body, got.chunks) == (200, WHOLE, None)
    assert origin.requests[0][1] == BODY


async def test_the_headers_come_from_the_configuration(origin, answering, backend_at):
    url = await origin.start(answering(answer(200, WHOLE)))
    await backend_at(url, headers={"X-Team": "blue", "User-Agent": "acme"}).send(BackendRequest(CHAT, BODY))
    assert sent_headers(origin) == {
        "host": url.removeprefix("http://").removesuffix("/v1"),
        "accept": "application/json",
        "user-agent": "acme",
        "authorization": f"Bearer {KEY}",
        "x-team": "blue",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
    }


@pytest.mark.parametrize(
    ("inbound", "configured", "version"),
    [
        ((), {}, "2023-06-01"),
        ((("anthropic-version", "2027-01-01"),), {}, "2027-01-01"),
        ((("Anthropic-Version", "2027-01-01"), ("x-api-key", "client")), {}, "2027-01-01"),
        ((("anthropic-version", "2027-01-01"),), {"Anthropic-Version": "2025-05-05"}, "2025-05-05"),
    ],
)
async def test_a_key_in_the_way_of_anthropic(origin, answering, backend_at, inbound, configured, version):
    backend = backend_at(await origin.start(answering(answer(200, WHOLE))), auth="x-api-key", headers=configured)
    await backend.send(BackendRequest("/messages", BODY, headers=(*inbound, ("anthropic-beta", "context-1m"))))
    headers = {name.lower(): value for name, value in sent_headers(origin).items()}
    assert (headers["x-api-key"], headers["anthropic-version"], headers["anthropic-beta"]) == (
        KEY,
        version,
        "context-1m",
    )
    assert "authorization" not in headers


async def test_without_that_no_version_is_made_up(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(200, WHOLE))))
    await backend.send(BackendRequest(CHAT, BODY, headers=(("traceparent", "00-1"),)))
    assert "anthropic-version" not in sent_headers(origin) and "x-api-key" not in sent_headers(origin)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/responses/resp_1"),
        ("GET", "/responses/resp_1?include[]=a&include%5B%5D=b"),
        ("GET", "/responses/resp_1/input_items?limit=2&order=asc&after=msg_1"),
        ("DELETE", "/responses/resp_1"),
        ("POST", "/responses/resp_1/cancel"),
        ("GET", "/models/org/name:free"),
    ],
)
async def test_a_kept_answer_is_asked_for_by_its_own_path(origin, answering, backend_at, method, path):
    backend = backend_at(await origin.start(answering(answer(200, WHOLE))))
    got = await backend.send(BackendRequest(path, b"", method=method))
    assert got.body == WHOLE and origin.requests[0][1] == b""
    assert origin.requests[0][0].startswith(f"{method} /v1{path} HTTP/1.1\r\n".encode())


async def test_a_kept_answer_may_come_as_a_stream(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(200, EVENTS, "Content-Type: text/event-stream"))))
    got = await backend.send(BackendRequest("/responses/resp_1?stream=true&starting_after=3", b"", method="GET"))
    assert b"".join([chunk async for chunk in got.chunks]) == EVENTS


INBOUND = (
    ("Authorization", "Bearer client"),
    ("authorization", "Bearer client"),
    ("Cookie", "session=client"),
    ("X-Api-Key", "client"),
    ("api-key", "client"),
    ("Host", "evil.example"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("X-Forwarded-Host", "evil.example"),
    ("Forwarded", "host=evil.example"),
    ("Content-Length", "3"),
    ("Transfer-Encoding", "chunked"),
    ("Connection", "close"),
    ("Proxy-Authorization", "Basic client"),
    ("OpenAI-Organization", "org-client"),
    ("OpenAI-Project", "proj-client"),
    ("X-Stainless-Retry-Count", "1"),
    ("Accept-Encoding", "gzip"),
    ("User-Agent", "client"),
    ("Anthropic-Dangerous-Direct-Browser-Access", "true"),
)


async def test_a_clients_own_headers_stay_below(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(200, WHOLE), answer(200, WHOLE))))
    await backend.send(BackendRequest(CHAT, BODY))
    without = sent_headers(origin)
    await backend.send(BackendRequest(CHAT, BODY, headers=INBOUND))
    assert sent_headers(origin) == without


async def test_listed_headers_are_passed_on(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(200, WHOLE))))
    given = {name.title(): f"v-{name}" for name in FORWARDED_HEADERS}
    await backend.send(BackendRequest(CHAT, BODY, headers=tuple(given.items())))
    assert given.items() <= sent_headers(origin).items()


async def test_the_operators_own_value_wins(origin, answering, backend_at):
    url = await origin.start(answering(answer(200, WHOLE)))
    backend = backend_at(url, headers={"OpenAI-Beta": "ours"})
    await backend.send(BackendRequest(CHAT, BODY, headers=(("openai-beta", "theirs"),)))
    assert sent_headers(origin)["openai-beta"] == "ours"


async def test_the_operator_may_choose_what_is_passed_on(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(200, WHOLE))), forward=["X-Tenant"])
    await backend.send(BackendRequest(CHAT, BODY, headers=(("x-tenant", "a"), ("traceparent", "00-1"))))
    assert "traceparent" not in sent_headers(origin) and sent_headers(origin)["x-tenant"] == "a"


@pytest.mark.parametrize("name", [name for name, _ in INBOUND[:13]])
def test_but_never_secrets_or_framing(name):
    with pytest.raises(SettingsError, match="must never go up"):
        forwarded_names("main", [name])


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Accept-Encoding"])
def test_headers_that_are_ours_cannot_be_configured(backend_at, name):
    with pytest.raises(SettingsError, match="leave it out"):
        backend_at("http://127.0.0.1:9/v1", headers={name: "x"})


def test_a_key_with_a_line_break_is_an_error_at_start():
    with pytest.raises(SettingsError, match="line break at its end"):
        PassThroughBackend(name="main", base_url="http://127.0.0.1:9/v1", api_key="sk-x\n")


async def test_only_listed_headers_come_down(origin, answering, backend_at):
    lines = [
        "Content-Type: application/json",
        "X-Request-Id: req_1",
        "OpenAI-Processing-Ms: 12",
        "OpenAI-Version: 2020-10-01",
        "X-RateLimit-Remaining-Requests: 9",
        "Anthropic-RateLimit-Tokens-Remaining: 8",
        "Anthropic-Organization-Id: org_1",
        "Request-Id: req_2",
        "Set-Cookie: session=upstream",
        "Server: x",
        "Connection: keep-alive",
        "Access-Control-Allow-Origin: *",
        "X-Router-Decision: forged",
    ]
    backend = backend_at(await origin.start(answering(answer(200, WHOLE, *lines), answer(200, WHOLE, *lines))))
    for _ in range(2):
        assert (await backend.send(BackendRequest(CHAT, BODY))).headers == (
            ("content-type", "application/json"),
            ("x-request-id", "req_1"),
            ("openai-processing-ms", "12"),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-remaining-requests", "9"),
            ("anthropic-ratelimit-tokens-remaining", "8"),
            ("request-id", "req_2"),
        )


async def test_get_has_no_body(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(200, b'{"data":[]}'))))
    got = await backend.send(BackendRequest("/models", b"", method="GET"))
    assert got.body == b'{"data":[]}'
    assert origin.requests[0][0].startswith(b"GET /v1/models HTTP/1.1\r\n")


EVENTS = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("kind", ["text/event-stream; charset=utf-8", "application/json"])
async def test_a_stream_is_what_was_asked_for_or_what_came(origin, answering, backend_at, asked, kind):
    backend = backend_at(await origin.start(answering(answer(200, EVENTS, f"Content-Type: {kind}"))))
    got = await backend.send(BackendRequest(CHAT, BODY, stream=asked))
    if asked or kind.startswith("text/event-stream"):
        assert b"".join([chunk async for chunk in got.chunks]) == EVENTS
    else:
        assert (got.chunks, got.body) == (None, EVENTS)
    assert ("content-type", kind) in got.headers
    await got.aclose()


async def test_a_stream_that_is_cut_fails_where_it_is_read(origin, answering, backend_at):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    cut = head + b"26\r\n" + EVENTS[:10]
    backend = backend_at(await origin.start(answering(cut, then_close=True)))
    got = await backend.send(BackendRequest(CHAT, BODY, stream=True))
    with pytest.raises(BackendError) as caught:
        async for _ in got.chunks:
            pass
    assert caught.value.code == "truncated"


async def test_closing_an_answer_stops_the_provider(origin, answering, backend_at):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n"
    backend = backend_at(await origin.start(answering(head)))
    got = await backend.send(BackendRequest(CHAT, BODY, stream=True))
    await got.aclose()
    await got.aclose()
    await origin.left.wait()


async def test_a_whole_answer_without_a_length_never_looks_complete_when_it_was_cut(origin, backend_at):
    text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + WHOLE
    cuts = iter(range(len(text) + 1))

    async def script(peer):
        await peer.request()
        await peer.say(text[: next(cuts)])

    backend = backend_at(await origin.start(script))
    for _ in range(len(text)):
        with pytest.raises(BackendError) as caught:
            await backend.send(BackendRequest(CHAT, BODY))
        assert caught.value.code in ("reset", "truncated")
    assert (await backend.send(BackendRequest(CHAT, BODY))).body == WHOLE


ERROR = b'{"error":{"message":"slow down","type":"rate_limit","param":null,"code":"rate"}}'


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529])
async def test_a_refusal_keeps_status_and_body(origin, answering, backend_at, status, stream):
    retryable = status in (408, 409, 429, 500, 502, 503, 504, 529)
    said = answer(status, ERROR, "Content-Type: application/json", "Retry-After: 3", "Set-Cookie: a=b")
    backend = backend_at(await origin.start(answering(said)))
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, BODY, stream=stream))
    error = caught.value
    assert (error.status, error.code, error.body, error.retryable) == (status, "backend_status", ERROR, retryable)
    assert error.headers == (("content-type", "application/json"), ("retry-after", "3"))


@pytest.mark.parametrize(
    ("status", "advice", "retryable"), [(500, "false", False), (400, "true", True), (500, "maybe", True)]
)
async def test_the_provider_says_whether_asking_again_may_help(
    origin, answering, backend_at, status, advice, retryable
):
    backend = backend_at(await origin.start(answering(answer(status, ERROR, f"X-Should-Retry: {advice}"))))
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, BODY))
    assert caught.value.retryable is retryable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b'{"error": cut',
        b'["error"]',
        b'{"a":"' + b"x" * 70_000 + b'"}',
        b"{" * 9000,
    ],
    ids=["empty", "page", "broken", "list", "long", "deep"],
)
async def test_what_no_client_could_read_is_not_relayed(origin, answering, backend_at, body):
    backend = backend_at(await origin.start(answering(answer(502, body))))
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, BODY))
    assert (caught.value.status, caught.value.body) == (502, b"")
    assert caught.value.message == "main answered with status 502"


async def test_a_refusal_that_is_cut_is_still_that_refusal(origin, answering, backend_at):
    said = b"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\n{"
    backend = backend_at(await origin.start(answering(said, then_close=True)))
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, BODY, stream=True))
    assert (caught.value.status, caught.value.code, caught.value.body) == (503, "backend_status", b"")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
async def test_a_redirect_is_not_followed(origin, answering, backend_at, status):
    said = answer(status, b"" if status == 304 else b"{}", f"Location: {origin.url}/elsewhere")
    backend = backend_at(await origin.start(answering(said)))
    with pytest.raises(BackendError, match="correct its base_url") as caught:
        await backend.send(BackendRequest(CHAT, BODY))
    assert (caught.value.status, caught.value.code) == (502, "redirect")
    assert len(origin.requests) == 1


async def test_a_strange_status_is_no_status_for_a_client(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(999, ERROR))))
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, BODY))
    assert caught.value.status == 502


async def test_secrets_that_the_provider_repeats_are_struck_out(origin, answering, backend_at):
    other = "ghp_0123456789abcdef"
    body = json.dumps({"error": {"message": f"bad key {KEY} or {other}; application/json"}}).encode()
    backend = backend_at(
        await origin.start(answering(answer(401, body))), headers={"X-Gateway-Token": f"Basic {other}"}
    )
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, BODY))
    assert caught.value.body == b'{"error": {"message": "bad key [hidden] or [hidden]; application/json"}}'


async def test_time_outs_are_the_backends_own(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(b"")), timeouts=Timeouts(first_byte_s=0.02))
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, BODY))
    assert (caught.value.status, caught.value.code) == (504, "timeout_first_byte")
