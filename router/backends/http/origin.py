"""Where a backend lives: a base URL, taken apart once at start.

The address comes from the operator's configuration and from nowhere else; it is checked here so that a slip in it is a
clear error at start and not a strange one under load.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.core.errors import SettingsError

_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)*")  # RFC 3986, 3.3
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]+")
_EXAMPLE = "write it like https://api.example.com/v1"


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port to connect to, and the path that every target starts with.

    `host` is what is resolved and what the certificate must name (an IPv6 address without brackets); `authority` is the
    value of the Host header; `prefix` has no slash at its end.
    """

    scheme: str
    host: str
    port: int
    authority: str
    prefix: str

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"


def parse_origin(base_url: str) -> Origin:
    """Return the origin of a base URL. Raises SettingsError, saying what to write instead.

    >>> parse_origin("http://[::1]:8000/v1/")
    Origin(scheme='http', host='::1', port=8000, authority='[::1]:8000', prefix='/v1')
    """
    try:
        url = urlsplit(base_url)
        port = url.port
    except ValueError as error:
        raise SettingsError(f'base_url "{base_url}" is not a URL: {error}; {_EXAMPLE}') from None
    if url.username is not None or url.password is not None:
        # The URL itself is not shown: it holds a secret.
        raise SettingsError("base_url holds a user name or a password; put the key into api_key and leave it out here")
    if url.scheme not in _PORTS:
        raise SettingsError(f'base_url "{base_url}": the scheme must be http or https; {_EXAMPLE}')
    if url.query or url.fragment:
        raise SettingsError(f'base_url "{base_url}" has a query or a fragment; {_EXAMPLE}')
    if port == 0:
        raise SettingsError(f'base_url "{base_url}": nothing can listen on port 0')
    host = _ascii_host(base_url, url.hostname or "")
    prefix = url.path.rstrip("/")
    if not _PATH.fullmatch(prefix):
        raise SettingsError(f'base_url "{base_url}": the path has characters that a URL cannot hold; {_EXAMPLE}')
    default = _PORTS[url.scheme]
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port in (None, default) else f"{shown}:{port}"
    return Origin(url.scheme, host, port or default, authority, prefix)


def _ascii_host(base_url: str, host: str) -> str:
    try:
        ascii_host = host.encode("idna").decode("ascii") if host else ""
    except UnicodeError:
        ascii_host = ""
    if not ascii_host or not _HOST.fullmatch(ascii_host):
        raise SettingsError(f'base_url "{base_url}" names no host that can be looked up; {_EXAMPLE}')
    return ascii_host
