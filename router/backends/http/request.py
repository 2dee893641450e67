"""What a request begins with: where it goes, and its head, most of it bytes before the first request comes.

The address comes from the operator's configuration and from nowhere else; it is checked here so that a slip in it is a
clear error at start and not a strange one under load. Nothing a client wrote may end a header line or leave the base
path: values with control characters are refused (RFC 9110, 5.5), and so are targets with dot segments, encoded or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from router.backends.http.limits import Headers, failed
from router.backends.http.proxy import ForwardProxy
from router.core.errors import SettingsError

_PORTS = {"http": 80, "https": 443}
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)*")  # RFC 3986, 3.3
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]+")
_EXAMPLE = "write it like https://api.example.com/v1"

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token, RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 3986, 3.3 and 3.4, and the brackets that browsers and Node leave as they are in a query (`include[]=...`).
_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)+(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/?\[\]]*)?")
_DOTS = re.compile(r"(?:/|%2f|%5c)(?:\.|%2e){1,2}(?=/|%2f|%5c|\?|$)", re.IGNORECASE)
_METHODS = frozenset({"GET", "POST", "DELETE"})
_REMEMBERED_STARTS = 64
"""How many first lines are kept as bytes, with the fixed headers. About ten routes are asked all the time; those with
an id that a client chose come and go, and push out only one another."""


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
    if not _BASE_PATH.fullmatch(prefix):
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


def field_line(name: str, value: str) -> bytes:
    r"""Return one header line with its line break. Raises BackendError (invalid_header).

    >>> field_line("traceparent", "00-ab-cd-01")
    b'traceparent: 00-ab-cd-01\r\n'
    """
    if not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise failed("invalid_header", f'header "{name[:64]}" cannot be sent: it holds control characters')
    try:
        return f"{name}: {value}\r\n".encode("latin-1")
    except UnicodeEncodeError:
        message = f'header "{name[:64]}" cannot be sent: it holds characters outside ISO 8859-1'
        raise failed("invalid_header", message) from None


class RequestHeads:
    """Builds the heads of the requests to one origin, each with the same fixed headers.

    A `proxy` gets the whole address, and what it wants to know of who is asking.
    """

    def __init__(self, origin: Origin, fixed: Headers, proxy: ForwardProxy | None = None) -> None:
        self._base = origin.prefix
        self._prefix = f"{origin.scheme}://{origin.authority}{origin.prefix}" if proxy else origin.prefix
        lines = [field_line("host", origin.authority), *(field_line(name, value) for name, value in fixed)]
        if proxy is not None and proxy.authorization:
            lines.append(field_line("proxy-authorization", proxy.authorization))
        # Nobody gains by packing what is written for a moment; what comes packed nevertheless is unpacked.
        lines.append(field_line("accept-encoding", "identity"))
        self._fixed = b"".join(lines)
        self._start = lru_cache(_REMEMBERED_STARTS)(self._built_start)

    def build(
        self, method: str, path: str, headers: Headers, length: int | None, content_type: str = "application/json"
    ) -> bytes:
        """Return the head, its empty line included. Raises BackendError (invalid_header, invalid_path).

        A body whose `length` is None goes in chunks.
        """
        start = self._start(method, path)
        if headers:
            start += b"".join([field_line(name, value) for name, value in headers])
        if length is None:
            return b"%b%btransfer-encoding: chunked\r\n\r\n" % (start, field_line("content-type", content_type))
        if content_type != "application/json":
            return b"%b%bcontent-length: %d\r\n\r\n" % (start, field_line("content-type", content_type), length)
        if length or method == "POST":
            return b"%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (start, length)
        return start + b"\r\n"

    def _built_start(self, method: str, path: str) -> bytes:
        if method not in _METHODS:
            raise failed("invalid_path", f'method "{method[:16]}" is not sent to a backend')
        target = self._prefix + path
        if not _PATH.fullmatch(path) or _DOTS.search(self._base + path):
            raise failed("invalid_path", f'path "{path[:128]}" is not one that can be asked of a backend')
        return f"{method} {target} HTTP/1.1\r\n".encode("ascii") + self._fixed
