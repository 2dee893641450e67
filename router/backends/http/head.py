"""The head of a request: what is fixed is bytes before the first request comes.

Nothing a client wrote may end a header line or leave the base path: values with control characters are refused (RFC
9110, 5.5), and so are targets with dot segments, encoded or not.
"""

from __future__ import annotations

import re
from functools import lru_cache

from router.backends.http.origin import Origin
from router.backends.http.transport import Headers, failed

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token, RFC 9110, 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 3986, 3.3 and 3.4, and the brackets that browsers and Node leave as they are in a query (`include[]=...`).
_PATH = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)+(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@%/?\[\]]*)?")
_DOTS = re.compile(r"(?:/|%2f|%5c)(?:\.|%2e){1,2}(?=/|%2f|%5c|\?|$)", re.IGNORECASE)
_METHODS = frozenset({"GET", "POST", "DELETE"})
_REMEMBERED_STARTS = 64
"""How many first lines are kept as bytes, with the fixed headers. About ten routes are asked all the time; those with
an id that a client chose come and go, and push out only one another."""


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
    """Builds the heads of the requests to one origin, each with the same fixed headers."""

    def __init__(self, origin: Origin, fixed: Headers) -> None:
        self._prefix = origin.prefix
        lines = [field_line("host", origin.authority), *(field_line(name, value) for name, value in fixed)]
        # A coded body could be neither counted nor relayed as it is, so none is asked for.
        lines.append(field_line("accept-encoding", "identity"))
        self._fixed = b"".join(lines)
        self._start = lru_cache(_REMEMBERED_STARTS)(self._built_start)

    def build(self, method: str, path: str, headers: Headers, length: int) -> bytes:
        """Return the head, its empty line included. Raises BackendError (invalid_header, invalid_path)."""
        start = self._start(method, path)
        if headers:
            start += b"".join([field_line(name, value) for name, value in headers])
        if length or method == "POST":
            return b"%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (start, length)
        return start + b"\r\n"

    def _built_start(self, method: str, path: str) -> bytes:
        if method not in _METHODS:
            raise failed("invalid_path", f'method "{method[:16]}" is not sent to a backend')
        target = self._prefix + path
        if not _PATH.fullmatch(path) or _DOTS.search(target):
            raise failed("invalid_path", f'path "{path[:128]}" is not one that can be asked of a backend')
        return f"{method} {target} HTTP/1.1\r\n".encode("ascii") + self._fixed
