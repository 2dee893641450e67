"""What is asked now and then: models, explain, decisions, health, metrics. Ordinary FastAPI routes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from router import __version__
from router.assembly import wire_named
from router.core.errors import BackendError, RequestError
from router.core.ports import BackendRequest
from router.core.store_ports import FeedbackSubject
from router.engine.explain import explanation
from router.engine.prepare import Call
from router.server.composition import Components
from router.server.feedback import feedback_json
from router.server.keys import Caller
from router.server.routes import read_headers
from router.server.settings import Scope
from router.tuning.forecast import statuses

OWNER = "prompt-router"
ANTHROPIC_VERSION = "anthropic-version"
"""The header that every Anthropic client sends, and no other."""


def admin_routes(parts: Components) -> APIRouter:
    """Return the routes over these parts."""
    routes = APIRouter()
    _add_welcome(routes)
    _add_probes(routes, parts)
    _add_questions(routes, parts)
    _add_levels(routes, parts)
    _add_decisions(routes, parts)
    return routes


WELCOME = {
    "/v1/chat/completions": "and /v1/responses, /v1/messages: a model's answer, with the instructions that fit",
    "/v1/router/explain": "what would be decided about a request's body, and why",
    "/v1/router/decisions/ID": "what was decided; the id is in the answer's header x-router-decision",
    "/v1/feedback": "how an answer was",
    "/v1/models": "the models",
    "/health/ready": "what is served, and what is amiss",
    "/metrics": "counts for Prometheus",
    "/openapi.json": "these routes in detail",
}
"""Where to go from `/`. Nothing of the installation: whoever asks has no key."""


def _add_welcome(routes: APIRouter) -> None:
    @routes.get("/", include_in_schema=False)
    async def welcome(request: Request) -> Response:
        """Say what this is and where to go: to a person in words, to a program as JSON."""
        here = str(request.base_url).rstrip("/")
        what = "Prompt Router: recognises what each request asks for and adds the instructions that fit."
        base = f"{here}/v1"
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"about": what, "base_url": base, "routes": WELCOME})
        rows = "".join(f"  {path:26}{about}\n" for path, about in WELCOME.items())
        said = f"{what}\n\nThe base URL for clients is {base} (Anthropic's: {here}). Routes:\n\n{rows}"
        return Response(said, media_type="text/plain; charset=utf-8")


def _add_probes(routes: APIRouter, parts: Components) -> None:
    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """Say that the process answers. Touches nothing else."""
        return {"status": "live"}

    @routes.get("/health/ready")
    async def ready(request: Request) -> dict[str, Any]:
        """Say what is served, and what could not be reloaded; to those that may not see it, the status alone."""
        told = {
            "status": "ready",
            "version": __version__,
            "policies": {name: parts.registry.current(name).policy.revision for name in parts.registry.names},
            "degraded": [
                *(f"{name}: {fault}" for name in parts.registry.names for fault in parts.registry.current(name).faults),
                *(f"feedback: {fault}" for fault in [parts.feedback.queue.fault] if fault),
                *(f"decisions: {fault}" for fault in [parts.recorder.fault] if fault),
                *(f"database: {fault}" for fault in [parts.database.set_aside] if fault),
            ],
            "reload_faults": dict(parts.reloader.faults),
            "tried": parts.rollouts.as_data(),
        }
        try:
            _require_insight(parts, request)
        except RequestError:
            return {"status": told["status"]}
        return told

    @routes.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        """Return the description of our own routes."""
        _require_insight(parts, request)
        return JSONResponse(request.app.openapi())

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Return all counts in Prometheus' text format."""
        _require_insight(parts, request)
        await asyncio.to_thread(parts.recorder.flush)
        await asyncio.to_thread(parts.prefixes.look)
        return Response(parts.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _require_insight(parts: Components, request: Request) -> None:
    """Raise RequestError unless what tells of the installation may be seen: with a key, or by anybody if so set."""
    if not parts.settings.public_metrics:
        _admit(parts, request, "read")


def _admit(parts: Components, request: Request, scope: Scope) -> Caller:
    return parts.keyring.admit(read_headers(request.scope["headers"]), scope)


def _add_questions(routes: APIRouter, parts: Components) -> None:
    @routes.get("/v1/models")
    async def models(request: Request) -> dict[str, Any]:
        """List the model aliases and, where any name may be asked for, what the backend behind it lists."""
        _admit(parts, request, "infer")
        names = dict.fromkeys(parts.aliases.names) | {model["id"]: model for model in await _upstream_models(parts)}
        if ANTHROPIC_VERSION in request.headers:
            ids = list(names)
            page = {"has_more": False, "first_id": next(iter(ids), None), "last_id": next(reversed(ids), None)}
            return {"data": [anthropic_model_json(name) for name in ids], **page}
        return {"object": "list", "data": [model_json(name) | (told or {}) for name, told in names.items()]}

    @routes.get("/v1/models/{name:path}")
    async def model(name: str, request: Request) -> dict[str, Any]:
        """Describe one model alias."""
        _admit(parts, request, "infer")
        parts.pipeline.resolve(name)
        return anthropic_model_json(name) if ANTHROPIC_VERSION in request.headers else model_json(name)

    @routes.post("/v1/router/explain")
    async def explain(request: Request) -> JSONResponse:
        """Decide about a body, send nothing, and return the decision with its reasons.

        The body's format is the query's `wire`, else what the request looks like.
        """
        caller = _admit(parts, request, "infer")
        headers = read_headers(request.scope["headers"])
        policy = caller.policy_for(request.scope.get("router.policy") or headers.get("x-router-policy"))
        body = await request.body()
        wire = wire_named(request.query_params.get("wire") or _wire_of(headers, body))
        prepared = await parts.pipeline.preparer.prepare_in_time(
            Call(wire, body, headers, caller.tenant, policy), keep=False
        )
        return JSONResponse(explanation(prepared))


def _add_levels(routes: APIRouter, parts: Components) -> None:
    @routes.get("/v1/router/levels")
    async def levels(request: Request) -> dict[str, Any]:
        """Return how the levels of every policy stand, the evidence so far, and what a person is asked."""
        _admit(parts, request, "read")
        return {"policies": await asyncio.to_thread(_levels_json, parts)}


def _levels_json(parts: Components) -> list[dict[str, Any]]:
    now_ms = time.time_ns() // 1_000_000
    found = []
    for name, records in parts.learner.all_records().items():
        policy = parts.registry.current(name).policy
        dials = statuses(policy, records.state, records.tests, records.arms, now_ms)
        rows = [each.as_data() for each in dials]
        found.append({"policy": name, "mode": policy.settings.tuning, "last": records.state.last, "dials": rows})
    return found


def _add_decisions(routes: APIRouter, parts: Components) -> None:
    @routes.get("/v1/router/decisions/{decision_id}")
    async def decision(decision_id: str, request: Request) -> JSONResponse:
        """Return a recorded decision of the caller's tenant, with the feedback on it and on its conversation.

        The id is the decision's, or that of the answer, which apps see that never see a header.
        """
        caller = _admit(parts, request, "read")
        await asyncio.to_thread(parts.recorder.flush)
        found = await asyncio.to_thread(parts.store.read, decision_id)
        if found is None:
            found = await asyncio.to_thread(parts.store.of_answer, decision_id, caller.tenant)
        if found is None or found["tenant"] != caller.tenant:
            raise RequestError(f'There is no decision "{decision_id}".', status=404, code="decision_not_found")
        policy = found["policy"]
        about = FeedbackSubject(policy, found["conversation"], found["unit"], found["id"], found["at_ms"])
        said = await asyncio.to_thread(parts.feedback.store.about, caller.tenant, about)
        metrics = parts.registry.current(policy).policy.metrics if policy in parts.registry.names else {}
        return JSONResponse({**found, "feedback": [feedback_json(each, metrics) for each in said]})


async def _upstream_models(parts: Components) -> list[dict[str, Any]]:
    """Return the models of the backend that answers to every name; none where it does not tell."""
    any_name = parts.settings.models.get("*")
    if any_name is None or any_name.model:
        return []
    try:
        answer = await parts.backends[any_name.backend].send(BackendRequest("/models", b"", method="GET"))
        return [model for model in json.loads(answer.body)["data"] if isinstance(model["id"], str)]
    except (BackendError, ValueError, KeyError, TypeError):
        parts.telemetry.note("models_unavailable")
        return []


def _wire_of(headers: Mapping[str, str], body: bytes) -> str:
    """Return the format that a request looks to be in."""
    if ANTHROPIC_VERSION in headers:
        return "messages"
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return "chat"  # and its parser says what is wrong
    return "responses" if isinstance(fields, dict) and "input" in fields and "messages" not in fields else "chat"


def anthropic_model_json(name: str) -> dict[str, Any]:
    """Return a model alias as Anthropic describes a model."""
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def model_json(name: str) -> dict[str, Any]:
    """Return a model alias as OpenAI describes a model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}
