"""Cross-origin requests (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol): web pages that call the router.

A browser asks first, by a preflight that carries no key, and lets a page read only answers that name its origin. Pages
of the `origins` in the settings are told yes, on every route and with every error; without that setting, those of the
`hosts` that are answered, which without keys are pages of this machine. Credentials that browsers keep, such as
cookies, are never asked for: a page sends its key itself. Feedback has `origins` of its own (`router.server.feedback`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from starlette.types import Message, Scope, Send

from router.core.errors import RequestError

PREFLIGHT_S = 86_400
"""How long a browser may remember what a preflight said; Chromium takes two hours at most, Firefox a day."""

_METHODS = (b"access-control-allow-methods", b"GET, POST, DELETE, OPTIONS")
_ALLOW = b"access-control-allow-origin"


class WebPages:
    """Which pages may call. `origins` are the settings', `*` for any; None stands for those whose host is known.

    `known_host` says whether the host of an origin is answered; None where every host is. Then requests of any page are
    served, but only those of `origins` are told so. `feedback` are the origins that feedback takes besides.
    """

    def __init__(
        self,
        origins: Iterable[str] | None,
        known_host: Callable[[bytes], bool] | None,
        feedback: Iterable[str] = (),
    ) -> None:
        self._origins = None if origins is None else frozenset(origin.lower().encode() for origin in origins)
        self._any = b"*" in (self._origins or ())
        self._known_host = known_host
        self._feedback = frozenset(origin.lower().encode() for origin in feedback)

    def may_call(self, origin: bytes) -> bool:
        """Say whether a page may read our answers."""
        if self._origins is None:
            return self._has_known_host(origin)
        return self._any or origin.lower() in self._origins

    def check(self, origin: bytes, scope: Scope) -> None:
        """Raise RequestError (403) for a page that may not be served: its request must not take effect."""
        if self.may_call(origin):
            return
        if _is_feedback(scope):
            served = self._known_host is None or self._has_known_host(origin) or origin.lower() in self._feedback
        else:
            served = not is_preflight(scope) and (self._known_host is None or self._has_known_host(origin))
        if not served:
            raise RequestError(
                f'Web pages of "{origin[:100].decode("latin-1")}" may not use this server. Its operator can allow them'
                " under `origins:` in router.yaml.",
                status=403,
                code="origin_not_allowed",
                kind="permission_error",
                headers={"x-should-retry": "false"},
            )

    def telling(self, origin: bytes, send: Send) -> Send:
        """Return a `send` whose answer the page may read, if it may call."""
        if not self.may_call(origin):
            return send

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and not any(name == _ALLOW for name, _ in message["headers"]):
                message = {**message, "headers": [*message["headers"], *self._allowing(origin)]}
            await send(message)

        return told

    async def answer_preflight(self, scope: Scope, origin: bytes, send: Send) -> None:
        """Tell a browser that the page may send what it asks about."""
        headers = [*self._allowing(origin), _METHODS, (b"access-control-max-age", b"%d" % PREFLIGHT_S)]
        for name, value in scope["headers"]:
            if name == b"access-control-request-headers":
                headers.append((b"access-control-allow-headers", value))
            elif name == b"access-control-request-private-network":  # a public page that calls a server in a home
                headers.append((b"access-control-allow-private-network", b"true"))
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def answers(self, scope: Scope) -> bool:
        """Say whether a request of a page that may call is a preflight which is answered here."""
        return is_preflight(scope) and not _is_feedback(scope)

    def _allowing(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        named = [(_ALLOW, b"*")] if self._any else [(_ALLOW, origin), (b"vary", b"origin")]
        return [*named, (b"access-control-expose-headers", b"*")]

    def _has_known_host(self, origin: bytes) -> bool:
        return self._known_host is not None and self._known_host(origin.partition(b"://")[2])


def is_preflight(scope: Scope) -> bool:
    """Say whether a browser only asks whether it may send."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def _is_feedback(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.rstrip("/").endswith("/feedback")
