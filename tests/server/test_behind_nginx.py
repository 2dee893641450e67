"""Behind a real nginx, with the defaults that most installations have: HTTP/1.0 to us, and `Connection: close`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.serving import ROOT, clean_environment, free_port, serving, serving_router

NGINX = shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
KEY = "pr-behind-nginx-0123456789abcdef0123456789"
MOST = 100_000_000

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")

WORDS = {
    "defaults": "",
    "unbuffered": "proxy_request_buffering off;",
    "kept connections": 'proxy_http_version 1.1; proxy_set_header Connection "";',
}
"""What may stand beside proxy_pass; the first is what stands there where nobody thought of it."""

CONFIGURATION = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 0;
    upstream router {{ server {router}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://router; proxy_set_header Host localhost; {words} }}
    }}
}}
"""


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = tmp_path_factory.mktemp("router") / "router.yaml"
    config.write_text(f"packs: [{ROOT / 'policies' / 'starter.yaml'}]\nlimits: {{body_bytes: {MOST}}}\n")
    with serving_router("--config", str(config), env={"ROUTER_API_KEY": KEY}) as running:
        yield running.url.removeprefix("http://")


@pytest.fixture(scope="module", params=WORDS.values(), ids=WORDS)
def behind(router: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an nginx in front of the router."""
    assert NGINX is not None
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    user = "user root;" if os.getuid() == 0 else ""  # whose worker may else not write into the folder
    written = CONFIGURATION.format(user=user, router=router, port=port, words=request.param)
    Path(folder, "nginx.conf").write_text(written)
    command = [NGINX, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with serving(command, port, "/health/live", env=clean_environment()) as running:
        yield running.url


@pytest.mark.parametrize(
    ("key", "size", "status", "code"),
    [
        ("wrong", 3_000_000, 401, "invalid_api_key"),
        ("wrong", MOST, 401, "invalid_api_key"),
        (KEY, MOST + 1, 413, "body_too_large"),
    ],
    ids=["401 on 3 MB", "401 on 100 MB", "413 on 100 MB"],
)
def test_a_refusal_of_a_large_body_arrives(behind: str, key: str, size: int, status: int, code: str) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    answer = httpx.post(f"{behind}/v1/chat/completions", content=b" " * size, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_question_is_answered(behind: str) -> None:
    asked = {"model": "echo", "messages": [{"role": "user", "content": "Where is my parcel?"}]}
    answer = httpx.post(f"{behind}/v1/chat/completions", json=asked, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
