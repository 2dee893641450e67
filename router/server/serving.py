"""Start the proxy: settings, parts, then the port. Nothing listens before everything is loaded."""

from __future__ import annotations

import gc
import json
import logging
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn

from router.assembly import shipped_pack
from router.core.errors import RouterError
from router.server.app import build_app
from router.server.composition import Components, compose
from router.server.keys import require_safe_binding
from router.server.protocol import protocol_for
from router.server.served import keep_served
from router.server.settings import Settings
from router.server.settings_source import load_settings

if sys.platform != "win32":
    import resource

DRAIN_S = 30
"""How long running answers may take to finish after SIGTERM."""

BACKLOG = 2048

GC_ALLOCATIONS = 50_000
"""Collect cycles after so many allocations, not after 700: requests leave none behind."""


class _Announcing(uvicorn.Server):
    """A server that says how to use it once it listens."""

    parts: Components
    json_lines: bool = False

    async def startup(self, sockets: Any = None) -> None:
        """Open the port, then tell."""
        await super().startup(sockets)
        if self.started:
            listening = [sock.getsockname() for server in self.servers for sock in server.sockets]
            host, port = listening[0][:2] if listening else (self.config.host, self.config.port)
            address = f"http://{shown_host(host)}:{port}"
            packs = self.parts.settings.packs or (shipped_pack(),)
            keep_served(self.parts.settings.data, dict(zip(self.parts.registry.names, packs, strict=True)), address)
            print(announcement(self.parts, address, self.json_lines), flush=True)


def serve(config: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any], *, json_lines: bool) -> None:
    """Run the proxy until it is told to stop. Raises SettingsError or PolicyError before any port is opened,
    and RouterError where it cannot be."""
    settings = load_settings(config, environ, overrides)
    require_safe_binding(settings)
    configure_logging(settings)
    parts = compose(settings)
    server = _Announcing(
        uvicorn.Config(
            build_app(parts),
            host=settings.listen.host,
            port=settings.listen.port,
            http=protocol_for(settings.limits),
            ws="none",
            loop="uvloop",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            date_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    gc.collect()
    gc.freeze()  # what is loaded stays: no collection need look at it again
    gc.set_threshold(GC_ALLOCATIONS)
    _allow_open_files()
    server.parts = parts
    server.json_lines = json_lines
    try:
        server.run()
    except SystemExit:  # uvicorn's way to say that the port cannot be had; it has told why
        server.started = False
    if not server.started:
        place = f"{shown_host(settings.listen.host)}:{settings.listen.port}"
        raise RouterError(
            f"the server could not start on {place}: end the program that has the port, or choose another"
        )


def _allow_open_files() -> None:
    """Open as many files as the system lets us, not the 1,024 of most shells: a request takes two connections."""
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # some systems say "unlimited" and do not mean it
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def announcement(parts: Components, address: str, json_lines: bool) -> str:
    """Return what is printed when the proxy is ready."""
    backends = sorted({f"{name} ({chosen.type})" for name, chosen in parts.settings.backends.items()})
    if json_lines:
        return json.dumps(
            {"event": "ready", "address": address, "policies": list(parts.registry.names), "backends": backends}
        )
    policies = ", ".join(f"{name}@{parts.registry.current(name).policy.revision}" for name in parts.registry.names)
    key = ' -H "authorization: Bearer $ROUTER_API_KEY"' if parts.settings.keys else ""
    model = next((alias for alias in parts.settings.models if "*" not in alias), "echo")
    tasks = parts.registry.current(parts.registry.names[0]).policy.tasks.values()
    asked = next((text for task in tasks for text in task.examples), "Hello")
    body = shlex.quote(json.dumps({"model": model, "messages": [{"role": "user", "content": asked}]}))
    return (
        f"Prompt Router listens on {address}\n"
        f"  policies  {policies}\n"
        f"  backends  {', '.join(backends)}\n"
        f"  base URL  {address}/v1\n"
        f"  metrics   {address}/metrics\n"
        "Try:\n"
        f"  curl -s {address}/v1/chat/completions{key} -H 'content-type: application/json' \\\n    -d {body}"
    )


def shown_host(host: str) -> str:
    """Return a host as it stands in an address that can be called from this machine."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def configure_logging(settings: Settings) -> None:
    """Log to standard error, as text or as JSON lines. No line ever holds a user's words."""
    handler = logging.StreamHandler()
    if settings.log.as_json:
        handler.setFormatter(_JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler], level=settings.log.level.upper(), force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        line = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
