"""Which headers pass, in which direction. Everything else stays where it is.

Lists of what passes, never of what does not: a list of the forbidden is always one name short.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from router.core.errors import SettingsError

FORWARDED_HEADERS = frozenset(
    {
        "anthropic-beta",
        "anthropic-version",
        "idempotency-key",
        "openai-beta",
        "traceparent",
        "tracestate",
        "x-client-request-id",
    }
)
"""Client headers that go up. Not `openai-organization` and `openai-project`, which would choose who is billed, and not
`anthropic-dangerous-direct-browser-access`, by which a browser asks the provider itself for access."""

RELAYED_HEADERS = re.compile(
    r"content-type|openai-.*|x-ratelimit-.*|anthropic-(?:ratelimit|priority)-.*|retry-after|retry-after-ms"
    r"|x-should-retry|x-request-id|request-id"
)
"""Headers of the answer that go down to the client. Not `anthropic-organization-id`: no SDK reads it, and whose account
pays is no client's business. Source: the pages "Rate limits" and "Errors" of both providers' API documentation."""

_NEVER = re.compile(
    r"authorization|proxy-.*|cookie2?|(x-)?(goog-)?api-key|host|forwarded|x-forwarded-.*|x-real-ip|via|connection"
    r"|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-.*|accept-encoding"
)
"""What no setting may let through: secrets meant for us, our own hop, and the framing."""


def forwarded_names(backend: str, names: Iterable[str]) -> frozenset[str]:
    """Return the operator's choice of client headers to pass on, lower case. Raises SettingsError.

    >>> sorted(forwarded_names("main", ["Traceparent", "X-Team"]))
    ['traceparent', 'x-team']
    """
    chosen = frozenset(name.lower() for name in names)
    never = sorted(name for name in chosen if _NEVER.fullmatch(name))
    if never:
        raise SettingsError(f'backend "{backend}": a client\'s {", ".join(never)} must never go up; leave it out')
    return chosen
