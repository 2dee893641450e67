from __future__ import annotations

import pytest

from router.backends.http.request import Origin, parse_origin
from router.core.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443, "api.openai.com", "/v1")),
        ("https://api.openai.com:443/v1/", Origin("https", "api.openai.com", 443, "api.openai.com", "/v1")),
        ("http://127.0.0.1:8000", Origin("http", "127.0.0.1", 8000, "127.0.0.1:8000", "")),
        ("http://[::1]:11434/v1", Origin("http", "::1", 11434, "[::1]:11434", "/v1")),
        ("HTTP://LOCALHOST/a%20b/", Origin("http", "localhost", 80, "localhost", "/a%20b")),
        ("https://bücher.example/v1", Origin("https", "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/v1")),
        ("http://my_service.svc:80/v1", Origin("http", "my_service.svc", 80, "my_service.svc", "/v1")),
    ],
)
def test_a_base_url_is_taken_apart(url, origin):
    assert parse_origin(url) == origin
    assert origin.tls is url.lower().startswith("https")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "scheme must be http or https"),
        ("api.openai.com/v1", "scheme must be http or https"),
        ("ftp://api.openai.com", "scheme must be http or https"),
        ("http://", "names no host"),
        ("http:///v1", "names no host"),
        ("http://a b/v1", "names no host"),
        ("http://a..b/v1", "names no host"),
        ("http://[::1/v1", "is not a URL"),
        ("http://[fe80::1%eth0]/v1", "names no host"),
        ("http://host:0/v1", "port 0"),
        ("http://host:99999/v1", "is not a URL"),
        ("http://host:x/v1", "is not a URL"),
        ("http://host/v1?key=1", "query or a fragment"),
        ("http://host/v1#x", "query or a fragment"),
        ("http://host/v1 x", "characters that a URL cannot hold"),
        ("http://host/v1\u00a0", "characters that a URL cannot hold"),
    ],
)
def test_a_slip_in_it_is_named(url, said):
    with pytest.raises(SettingsError, match=said):
        parse_origin(url)


def test_a_secret_in_it_is_not_repeated():
    with pytest.raises(SettingsError, match="put the key into api_key") as caught:
        parse_origin("https://user:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)
