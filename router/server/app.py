"""The application: FastAPI for what is asked now and then, plain ASGI for what is asked all the time.

Paths are found by one dictionary look-up; only what is not there is tidied (`//`, a trailing slash, a missing `/v1`,
the prefix `/p/POLICY`, Azure's `/openai/...`) and looked up again, and only then does it reach FastAPI.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from router import __version__
from router.assembly import COUNTING, WIRES
from router.core.errors import RequestError, RouterError
from router.core.ports import Wire
from router.server.admin import admin_routes
from router.server.background import look_at_backends, running
from router.server.composition import Components
from router.server.feedback import PATH as FEEDBACK_PATH
from router.server.feedback import SCRIPT_PATH, FeedbackRoute, script_route
from router.server.other_routes import OTHER_PATH, OtherRoutes
from router.server.request_body import bounded_receive
from router.server.request_guard import OTHER_WORDS, RequestGuard
from router.server.routes import STORED_PATH, InferenceRoute, Serve, StoredResponseRoute
from router.server.settings import LimitSettings
from router.wire.faults import error_body, status_of
from router.wire.plain import COMPLETIONS, EMBEDDINGS, MODERATIONS
from router.wire.responses import COMPACT

UNVERSIONED = OTHER_WORDS | {
    "chat",
    "completions",
    "embeddings",
    "feedback",
    "messages",
    "models",
    "moderations",
    "responses",
    "router",
}
"""First words of paths that also work without `/v1`."""

ANTHROPIC_PATH = "/messages"

_POLICY_PREFIX = re.compile(r"^/p/([A-Za-z0-9_.-]+)(/.*)$")

_AZURE_DEPLOYMENT = re.compile(
    r"^/openai/deployments/([^/].*?)(/(?:chat|completions|embeddings|audio|images|responses)(?:/.*)?)$"
)
_AZURE = re.compile(r"^/openai(?:/v1)?(/.*)$")
"""Azure's addresses: classic ones name the model, as a deployment, and the version of the API in the query."""


class _Application(FastAPI):
    """A FastAPI application with routes in plain ASGI in front of its own machinery.

    `routes_by_path` are found by one look-up; `stored` serves all paths of stored responses, `others` what is only
    passed on.
    """

    def __init__(
        self,
        routes_by_path: Mapping[str, ASGIApp],
        stored: ASGIApp,
        others: ASGIApp,
        limits: LimitSettings,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._by_path = dict(routes_by_path)
        self._stored = stored
        self._others = others
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "http":
            route = self._by_path.get(scope["path"]) or self._tidied(scope)
            if route is not None:
                await route(scope, receive, send)
                return
            receive = bounded_receive(receive, self._limits)
        await super().__call__(scope, receive, send)

    def _tidied(self, scope: Scope) -> ASGIApp | None:
        """Bring the path to its plain form, note a policy and a model named by it, and look again."""
        path: str = re.sub("/{2,}", "/", scope["path"])
        named = _POLICY_PREFIX.match(path)
        if named:
            scope["router.policy"], path = named.groups()
        if path.startswith("/openai/"):
            deployed = _AZURE_DEPLOYMENT.match(path)
            if deployed:
                scope["router.model"], path = deployed.groups()
            else:
                path = _AZURE.sub(r"\1", path)
        path = path.rstrip("/") or "/"
        if path[1:].partition("/")[0] in UNVERSIONED:
            path = "/v1" + path
        scope["path"] = path
        scope["raw_path"] = path.encode()
        route = self._by_path.get(path)
        if route is None and STORED_PATH.fullmatch(path):
            return self._stored
        return route or (self._others if OTHER_PATH.fullmatch(path) else None)


def build_app(parts: Components) -> RequestGuard:
    """Return the whole ASGI application over these parts."""
    settings = parts.settings
    sign = parts.feedback.tokens.sign if settings.feedback.tokens else None

    def route_of(wire: Wire, serve: Serve) -> InferenceRoute:
        named = _id_header(wire)
        return InferenceRoute(wire, serve, parts.keyring, settings.limits, parts.new_id, settings.headers, named, sign)

    routes = [route_of(wire, parts.pipeline.run) for wire in WIRES.values()]
    routes += [route_of(wire, parts.pipeline.count) for wire in COUNTING]
    routes += [route_of(wire, parts.pipeline.pass_on) for wire in (COMPLETIONS, EMBEDDINGS, MODERATIONS, COMPACT)]
    by_path: dict[str, ASGIApp] = {f"/v1{route.wire.path}": route for route in routes}
    by_path[FEEDBACK_PATH] = FeedbackRoute(parts.feedback, parts.keyring, settings, parts.registry.default)
    by_path[SCRIPT_PATH] = script_route
    default = (settings.models.get("*") or next(iter(settings.models.values()))).backend
    stored = StoredResponseRoute(
        WIRES["responses"],
        parts.keyring,
        settings.limits,
        parts.new_id,
        parts.ownership,
        parts.pipeline.sender,
        parts.backends,
        default=default,
    )
    others = OtherRoutes(
        parts.keyring,
        settings.limits,
        parts.new_id,
        parts.ownership,
        parts.pipeline.sender,
        parts.pipeline.resolve,
        parts.backends,
        default=default,
        opened=settings.other_routes,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(parts):
            looking = asyncio.create_task(look_at_backends(parts))
            yield
            looking.cancel()

    app = _Application(
        by_path,
        stored,
        others,
        settings.limits,
        title="Prompt Router",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.include_router(admin_routes(parts))
    app.add_exception_handler(RouterError, _router_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    return RequestGuard(
        app,
        settings.limits,
        settings.allowed_hosts,
        _shaped,
        parts.telemetry,
        settings.origins,
        settings.feedback.origins,
    )


def _id_header(wire: Wire) -> bytes:
    """Return the header in which clients of a format look for the id of their request: the SDKs differ."""
    return b"request-id" if wire.path.startswith(ANTHROPIC_PATH) else b"x-request-id"


def _shaped(error: RouterError, path: str) -> bytes:
    """Return the body of an error in the shape that clients of a path expect."""
    return WIRES["messages"].error_body(error) if ANTHROPIC_PATH in path else error_body(error)


async def _router_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RouterError)
    headers = error.headers if isinstance(error, RequestError) else None
    return Response(_shaped(error, request.url.path), status_of(error), headers, "application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        shaped = RequestError(f"There is nothing at {request.url.path}.", status=404, code="not_found")
    else:
        shaped = RequestError(str(error.detail), status=error.status_code, code="http_error")
    shaped.headers.update(error.headers or {})
    return await _router_error(request, shaped)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return await _router_error(request, RequestError(f"{place}: {first['msg']}", param=place))
