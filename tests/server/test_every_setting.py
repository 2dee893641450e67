"""No setting does nothing: whatever can be set, turning it changes something that can be seen of the server.

The rows are the fields of the models that read router.yaml: a setting without a row fails, and so does one that nobody
takes out of the settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from router.server.settings import Settings
from router.stores import open_database
from tests.docs.test_reference import settings_of
from tests.support.served import SECRET, ServeCommand

PACK = "name: desk\nbrief: Be brief.\nrequired: [Never guess.]\n"
KEY = {"name": "app", "sha256": hashlib.sha256(SECRET.encode()).hexdigest(), "scopes": ["infer", "feedback", "read"]}
OTHER = {"name": "other", "sha256": "0" * 64}
ADDRESS = "http://127.0.0.1:9/v1"
SECURE = "https://127.0.0.1:9/v1"
OPEN = {"type": "openai", "base_url": ADDRESS}
LITELLM = {"type": "litellm", "provider": "groq"}
AZURE = {"type": "azure", "base_url": "http://127.0.0.1:9"}
SALTS = ["s" * 40, "t" * 40]


def backend(**keys: Any) -> dict[str, Any]:
    """Settings with one backend beside the echo."""
    kind = {} if "type" in keys else OPEN
    return {
        "backends": {"echo": {"type": "echo"}, "b": {**kind, **keys}},
        "models": {"*": {"backend": "echo"}, "big": {"backend": "b"}},
    }


def model(**keys: Any) -> dict[str, Any]:
    """Settings with one row of the model table beside that of all others."""
    rows = {"*": {"backend": "echo"}, "small": {"backend": "b"}, "big": {"backend": "b", **keys}}
    return {**backend(), "models": rows}


def key(**keys: Any) -> dict[str, Any]:
    """Settings with one key that is used, and one that is not."""
    return {"keys": [{**KEY, **keys}, OTHER]}


def group(name: str, key: str, *values: Any) -> tuple[dict[str, Any], ...]:
    """A row for a setting of a group that needs nothing beside it."""
    return tuple({name: {key: value}} for value in values)


ROWS: dict[str, tuple[dict[str, Any], ...]] = {
    "listen.host": group("listen", "host", "127.0.0.1", "localhost"),
    "listen.port": group("listen", "port", 1, 2),
    "data": ({"data": "data"}, {"data": "other"}),
    "database": ({}, {"database": "sqlite:///{folder}/elsewhere.db"}),
    "retention.days": group("retention", "days", 1, 2),
    "retention.size": group("retention", "size", "64MiB", "128MiB"),
    "packs": ({"packs": ["desk.yaml"]}, {"packs": ["desk.yaml", "more.yaml"]}),
    "reload.losses": group("reload", "losses", "refuse", "allow"),
    "backends.NAME.type": (backend(type="openai", base_url=ADDRESS), backend(type="anthropic", base_url=ADDRESS)),
    "backends.NAME.base_url": (backend(), backend(base_url="http://127.0.0.1:8/v1")),
    "backends.NAME.speaks": (backend(), backend(speaks=["chat"])),
    "backends.NAME.provider": (backend(**LITELLM), backend(**LITELLM | {"provider": "xai"})),
    "backends.NAME.options": (backend(**LITELLM), backend(**LITELLM, options={"region": "x"})),
    "backends.NAME.links": (backend(**LITELLM), backend(**LITELLM, links=True)),
    "backends.NAME.api_key": (backend(), backend(api_key="k")),
    "backends.NAME.api_version": (backend(**AZURE), backend(**AZURE, api_version="2024-10-21")),
    "backends.NAME.token_file": (backend(), backend(token_file="token")),
    "backends.NAME.headers": (backend(), backend(headers={"x-team": "a"})),
    "backends.NAME.mid_conversation": (backend(), backend(mid_conversation="developer")),
    "backends.NAME.roles": (backend(), backend(roles=["user", "assistant"])),
    "backends.NAME.cache_marks": (backend(), backend(cache_marks="always")),
    "backends.NAME.cache_min_tokens": (backend(), backend(cache_min_tokens=7)),
    "backends.NAME.usage_in_streams": (backend(usage_in_streams=False), backend(usage_in_streams=True)),
    "backends.NAME.lenient": (backend(), backend(lenient=True)),
    "backends.NAME.connections": (backend(), backend(connections=3)),
    "backends.NAME.refuses": (backend(), backend(refuses=["seed"])),
    "backends.NAME.proxy": (backend(), backend(proxy="http://127.0.0.1:7")),
    "backends.NAME.ca_file": (backend(base_url=SECURE), backend(base_url=SECURE, ca_file="ca.pem")),
    **{
        f"backends.NAME.timeouts.{name}": (backend(), backend(timeouts={name: 7}))
        for name in ("connect_s", "first_byte_s", "idle_s", "total_s")
    },
    "models.NAME.backend": (model(), model(backend="echo")),
    "models.NAME.model": (model(), model(model="other")),
    "models.NAME.fallback": (model(), model(fallback=["small"])),
    "models.NAME.mid_conversation": (model(), model(mid_conversation="developer")),
    "models.NAME.roles": (model(), model(roles=["user", "assistant"])),
    "models.NAME.cache_marks": (model(), model(cache_marks="always")),
    "models.NAME.cache_min_tokens": (model(), model(cache_min_tokens=7)),
    "models.NAME.refuses": (model(), model(refuses=["seed"])),
    "keys[].name": (key(), key(name="web")),
    "keys[].sha256": (key(), key(sha256="1" * 64)),
    "keys[].tenant": (key(), key(tenant="shop")),
    "keys[].scopes": (key(), key(scopes=["infer"])),
    "keys[].policy": (key(), key(policy="desk")),
    "keys[].policies": (key(), key(policies=["none"])),
    "keys[].may_turn_off": (key(), key(may_turn_off=True)),
    "keys[].trust_headers": (key(), key(trust_headers=["x-user"])),
    "keys[].requests_per_minute": (key(), key(requests_per_minute=1)),
    "keys[].concurrent": (key(), key(concurrent=1)),
    "keys[].provider_ids": (key(), key(provider_ids=["conv_*"])),
    "limits.body_bytes": group("limits", "body_bytes", 100, "32MiB"),
    "limits.upload_bytes": group("limits", "upload_bytes", 100, "32MiB"),
    "limits.unpacked_ratio": group("limits", "unpacked_ratio", 2, 10_000),
    "limits.body_bytes_in_flight": (
        {"limits": {"body_bytes": 2000, "body_bytes_in_flight": 2000}},
        {"limits": {"body_bytes": 2000}},
    ),
    "limits.header_bytes": group("limits", "header_bytes", 1024, 4096),
    "limits.header_deadline_s": group("limits", "header_deadline_s", 1, 2),
    "limits.body_deadline_s": group("limits", "body_deadline_s", 10, 20),
    "limits.body_bytes_per_s": group("limits", "body_bytes_per_s", 10, 1000),
    "limits.in_flight": group("limits", "in_flight", 1, 9),
    "limits.slow_reader_s": group("limits", "slow_reader_s", 1, 2),
    "limits.stream_comment_s": group("limits", "stream_comment_s", 0, 15),
    "hosts": ({}, {"hosts": ["shop.example"]}),
    "origins": ({}, {"origins": ["https://shop.example"]}),
    "retries.attempts": group("retries", "attempts", 0, 2),
    "retries.budget": group("retries", "budget", 0, 0.5),
    "headers": ({"headers": True}, {"headers": False}),
    "public_metrics": ({**key(), "public_metrics": False}, {**key(), "public_metrics": True}),
    "other_routes": ({"other_routes": True}, {"other_routes": False}),
    "conversation_headers": ({}, {"conversation_headers": ["x-chat"]}),
    "salt": ({"salt": SALTS[0]}, {"salt": SALTS[1]}),
    "feedback.tokens": group("feedback", "tokens", True, False),
    "feedback.secrets": group("feedback", "secrets", SALTS[:1], SALTS[1:]),
    "feedback.expires": group("feedback", "expires", "7d", "1h"),
    "feedback.origins": tuple(key() | {"feedback": {"origins": [of]}} for of in ("*", "https://shop.example")),
    "feedback.per_minute": group("feedback", "per_minute", 1, 30),
    "log.level": group("log", "level", "info", "debug"),
    "log.json": group("log", "json", False, True),
    "log.requests": group("log", "requests", False, True),
}
"""By setting: two router.yaml that differ in it alone."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeCommand]:
    """A folder with two packs, and a database that is migrated once."""
    folder = tmp_path_factory.mktemp("every-setting")
    (folder / "desk.yaml").write_text(PACK)
    (folder / "more.yaml").write_text(PACK.replace("desk", "more"))
    (folder / "token").write_text("t")
    trustme.CA().cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "template").mkdir()
    open_database(f"sqlite:///{folder / 'template' / 'router.db'}").close()
    (folder / "template" / "salt").write_text(SALTS[0])
    with pytest.MonkeyPatch.context() as patch:
        yield ServeCommand(folder, patch)


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    assert set(ROWS) == set(settings_of(Settings))


def test_nothing_that_is_seen_changes_by_itself(server: ServeCommand) -> None:
    assert server.observed({}) == server.observed({"headers": True})


@pytest.mark.parametrize("setting", ROWS)
def test_turning_a_setting_changes_something(server: ServeCommand, setting: str) -> None:
    before, after = ROWS[setting]
    asked = not setting.startswith(("backends.", "models."))  # of these it shows in what they are made to
    assert server.observed(before, asked=asked) != server.observed(after, asked=asked)
