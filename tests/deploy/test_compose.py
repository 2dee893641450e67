"""compose.yaml and the example router.yaml: read, and held against the image and the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from router.core.errors import SettingsError
from router.server.keys import require_safe_binding
from router.server.serving import DRAIN_S
from router.server.settings import ListenSettings, Settings
from router.server.settings_source import KEY_VARIABLE, MIN_KEY_CHARS, load_settings

SERVICE_KEYS = {
    "build", "cap_drop", "command", "env_file", "environment", "image", "init", "mem_limit", "pids_limit", "ports",
    "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
"""The keys we use, of those in https://github.com/compose-spec/compose-spec/blob/main/spec.md; another is a slip."""


@pytest.fixture(scope="module")
def compose(project: Path) -> dict[str, Any]:
    return yaml.safe_load((project / "deploy/compose.yaml").read_text())


@pytest.fixture(scope="module")
def service(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]["router"]


def test_only_known_keys(compose: dict[str, Any], service: dict[str, Any]) -> None:
    assert set(compose) == {"name", "services", "volumes"}
    assert set(compose["services"]) == {"router"}
    assert set(service) <= SERVICE_KEYS


def test_it_builds_our_image(service: dict[str, Any], project: Path) -> None:
    folder = project / "deploy" / service["build"]["context"]
    assert folder.resolve() == project.resolve()
    assert (folder / service["build"]["dockerfile"]).is_file()


def test_the_port_is_open_to_this_machine_alone(service: dict[str, Any], project: Path) -> None:
    (port,) = service["ports"]
    host, outside, inside = re.fullmatch(r"([\d.]+):\$\{\w+:-(\d+)\}:(\d+)", port).groups()
    assert host == "127.0.0.1"
    assert f"EXPOSE {inside}\n" in (project / "deploy/Dockerfile").read_text()
    assert outside == inside


def test_no_start_without_a_key_and_the_message_says_how_to_make_one(service: dict[str, Any]) -> None:
    assert re.match(
        r"^\$\{ROUTER_API_KEY:\?.*openssl rand -hex 32.*deploy/\.env\}$", service["environment"][KEY_VARIABLE]
    )


def test_the_key_that_the_instructions_make_is_accepted(service: dict[str, Any]) -> None:
    key = "pr-" + "ab" * 32  # what `openssl rand -hex 32` prints, behind pr-
    assert len(key) >= MIN_KEY_CHARS
    settings = load_settings(None, {KEY_VARIABLE: key}, {"host": "0.0.0.0"})
    require_safe_binding(settings)


def test_no_provider_is_asked_and_no_secret_is_written_down(service: dict[str, Any], project: Path) -> None:
    assert list(service["environment"]) == [KEY_VARIABLE]
    assert service["env_file"] == [{"path": ".env", "required": False}]
    assert not re.search(r"sk-[A-Za-z0-9]{8}|pr-[A-Za-z0-9]{8}", (project / "deploy/compose.yaml").read_text())


def test_mounts(compose: dict[str, Any], service: dict[str, Any], project: Path) -> None:
    for mount in service["volumes"]:
        source, target, *mode = mount.split(":")
        if source in compose["volumes"]:
            assert f'VOLUME ["{target}"]' in (project / "deploy/Dockerfile").read_text()
        else:
            assert (project / "deploy" / source).is_dir()
            assert mode == ["ro"]


def test_it_is_locked_down(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert not {"privileged", "network_mode", "user", "devices"} & set(service)


def test_stopping_takes_longer_than_the_drain(service: dict[str, Any]) -> None:
    assert int(service["stop_grace_period"].removesuffix("s")) > DRAIN_S


def test_the_example_settings_are_valid_and_say_the_defaults(project: Path) -> None:
    example = project / "deploy/router.yaml"
    settings = load_settings(example, {})
    default = Settings()
    assert settings.data == example.parent / "data"
    for section in ("listen", "packs", "keys", "limits", "hosts", "retries", "headers", "conversation_headers", "log"):
        assert getattr(settings, section) == getattr(default, section), section


def test_the_example_settings_name_every_key(project: Path) -> None:
    named = set(re.findall(r"[A-Za-z_]\w*(?=:)", (project / "deploy/router.yaml").read_text()))
    for model in models_in(Settings):
        missing = {field.alias or name for name, field in model.model_fields.items()} - named
        assert not missing, model.__name__


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation is made of, down to the last."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def test_a_reachable_address_without_a_key_is_refused() -> None:
    with pytest.raises(SettingsError):
        require_safe_binding(Settings(listen=ListenSettings(host="0.0.0.0")))
