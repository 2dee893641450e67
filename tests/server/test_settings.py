"""router.yaml as operators write it: what it means, and what each mistake is told, with its line and without a secret."""

from __future__ import annotations

import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from router.core.errors import SettingsError
from router.server.settings import Settings
from router.server.settings_source import load_salt, load_settings

CANARY = "sk-canary-0123456789"

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return the reader of a text as router.yaml; DIGEST and OTHER stand for digests of keys."""
    file = tmp_path / "router.yaml"

    def read(text: str, environ: dict[str, str] | None = None, **overrides: object) -> Settings:
        file.write_text(text.replace("DIGEST", "a" * 64).replace("OTHER", "b" * 64))
        return load_settings(file, environ or {}, overrides)

    return read


WHOLE = """
listen: {host: 0.0.0.0, port: 9000}
data: var/data
packs: [packs/support, /srv/packs/sales]
backends:
  main:
    type: openai
    base_url: https://api.example.com/v1/
    api_key: ${MAIN_KEY}
    headers: {X-Org: "${ORG:-none}"}
    mid_conversation: system
    roles: [system, user]
    timeouts: {connect_s: 1, first_byte_s: 20, idle_s: 5.5, total_s: 60}
  spare: {type: echo}
models:
  careful: {backend: main, model: big-2026, fallback: [fast]}
  fast: {backend: main}
  "*": {backend: spare}
keys:
  - name: app
    sha256: DIGEST
    tenant: shop
    scopes: [infer, feedback]
    policy: support
    policies: [sales]
    may_turn_off: true
    trust_headers: [X-User-Id]
    requests_per_minute: 600
    concurrent: 20
limits: {body_bytes: 1MiB, header_bytes: 8KiB, in_flight: 100}
hosts: [router.example.com, "*.internal"]
retries: {attempts: 1, budget: 0.05}
headers: false
conversation_headers: [X-Chat]
salt: ${SALT}
log: {level: debug, json: true}
"""


def test_a_whole_file(load: Load, tmp_path: Path) -> None:
    settings = load(WHOLE, {"MAIN_KEY": CANARY, "SALT": "salt-" * 5})
    assert (settings.listen.host, settings.listen.port, settings.listen.loopback) == ("0.0.0.0", 9000, False)
    assert settings.data == tmp_path / "var/data"
    assert settings.packs == (tmp_path / "packs/support", Path("/srv/packs/sales"))
    main = settings.backends["main"]
    assert main.base_url == "https://api.example.com/v1"
    assert main.api_key.get_secret_value() == CANARY
    assert main.headers["x-org"].get_secret_value() == "none"
    assert main.timeouts.idle_s == 5.5
    assert settings.models["careful"].fallback == ("fast",)
    assert settings.keys[0].trust_headers == ("x-user-id",)
    assert settings.limits.body_bytes == 1 << 20
    assert settings.limits.body_deadline_s == 30
    assert settings.allowed_hosts == {"router.example.com", "*.internal"}
    assert (settings.headers, settings.conversation_headers) == (False, ("x-chat",))
    assert (settings.log.level, settings.log.as_json) == ("debug", True)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}"])
def test_an_empty_file_is_all_defaults(load: Load, text: str) -> None:
    settings = load(text)
    assert (settings.listen.host, settings.listen.port) == ("127.0.0.1", 8080)
    assert settings.backends["echo"].type == "echo"
    assert settings.models["*"].backend == "echo"
    assert settings.limits.body_bytes == 32 << 20


FAULTS = {
    "broken YAML": ("listen: [", r"router\.yaml:1: broken YAML"),
    "a list": ("- listen", r"must hold settings"),
    "unknown key": ("\nlimts: {}", r'router\.yaml:2: limts: unknown key \(did you mean "limits"\?\)'),
    "unknown key below": ("listen:\n  prot: 1", r'router\.yaml:2: listen\.prot: unknown key \(did you mean "port"\?\)'),
    "unknown key in a row": (
        "backends:\n  a: {type: echo}\n  b:\n    tpye: echo",
        r'router\.yaml:4: backends\.b\.tpye: unknown key \(did you mean "type"\?\)',
    ),
    "unknown key by its alias": ("log: {jsn: true}", r'log\.jsn: unknown key \(did you mean "json"\?\)'),
    "duplicate key": ("headers: true\nheaders: false", r'router\.yaml:2: duplicate key "headers"'),
    "wrong type": ("listen: {port: high}", r"router\.yaml:1: listen\.port: must be a valid integer"),
    "a group that is none": ("listen: 8080", r"router\.yaml:1: listen: must be a mapping"),
    "a list that is none": ("packs: one", r"router\.yaml:1: packs: must be a list"),
    "out of range": ("listen: {port: 65536}", r"listen\.port: must be less than or equal to 65535"),
    "no such type": (
        "backends: {a: {type: openay}}",
        r"backends\.a\.type: must be 'openai', 'anthropic', 'azure', 'litellm' or 'echo'",
    ),
    "no address": ("backends: {a: {type: openai}}", r"backends\.a: .*needs base_url"),
    "no http": ("backends: {a: {type: openai, base_url: 'ftp://x'}}", r"base_url: must begin with http"),
    "no host": ("backends: {a: {type: openai, base_url: 'https://'}}", r"base_url: must begin with http.*name a host"),
    "bad port": ("backends: {a: {type: openai, base_url: 'http://x:99999'}}", r"base_url: is not an address"),
    "unknown backend": (
        "backends:\n  main: {type: echo}\nmodels:\n  careful:\n    backend: man",
        r'router\.yaml:5: models\.careful\.backend: unknown backend "man" \(did you mean "main"\?\)',
    ),
    "unknown fallback": (
        "backends: {a: {type: echo}}\nmodels:\n  big: {backend: a, fallback: [fats]}\n  fast: {backend: a}",
        r'router\.yaml:3: models\.big\.fallback\.0: unknown model "fats" \(did you mean "fast"\?\)',
    ),
    "fallback to itself": (
        "backends: {a: {type: echo}}\nmodels: {big: {backend: a, fallback: [big]}}",
        r"models\.big\.fallback\.0: a model cannot fall back to itself",
    ),
    "fallback to a star": (
        'backends: {a: {type: echo}}\nmodels: {big: {backend: a, fallback: ["*"]}, "*": {backend: a}}',
        r'models\.big\.fallback\.0: unknown model "\*"',
    ),
    "star for nothing": (
        'backends: {a: {type: echo}}\nmodels: {big: {backend: a, model: "x/*"}}',
        r'models\.big\.model: "\*" stands for nothing',
    ),
    "star in the middle": (
        'backends: {a: {type: echo}}\nmodels: {"a*b": {backend: a}}',
        r"models\.a\*b: must be a model name without spaces, with a \* at its end",
    ),
    "models unclear": (
        "backends: {a: {type: echo}, b: {type: echo}}",
        r"models: say which of the backends \(a, b\) answers",
    ),
    "backend without type": ("backends: {a: {}}", r"backends\.a\.type: is missing"),
    "bad digest": ("keys: [{name: a, sha256: abc}]", r"keys\.0\.sha256: must be the SHA-256 of the key, 64 hex"),
    "bad scope": ("keys: [{name: a, sha256: DIGEST, scopes: [all]}]", r"keys\.0\.scopes\.0: must be 'infer'"),
    "same name twice": (
        "keys:\n  - {name: a, sha256: DIGEST}\n  - {name: a, sha256: OTHER}",
        r"router\.yaml:3: keys\.1\.name: keys\.0 has the same name",
    ),
    "same key twice": (
        "keys: [{name: a, sha256: DIGEST}, {name: b, sha256: DIGEST}]",
        r"keys\.1\.sha256: keys\.0 has the same sha256",
    ),
    "no bytes": ("limits: {body_bytes: 0}", r"limits\.body_bytes: must be greater than 0"),
    "no time": ("limits: {body_deadline_s: 0}", r"limits\.body_deadline_s: must be greater than 0"),
    "bad header name": ("conversation_headers: ['x y']", r"conversation_headers\.0: must be a header's name"),
    "no variable": (
        "salt: ${ABSENT}",
        r"router\.yaml:1: salt: the environment has no variable ABSENT \(set it, or write \$\{ABSENT:-default\}\)",
    ),
    "half a variable": ("salt: 'x${ABSENT'", r"salt: \$\{ without a variable's name and \}"),
    "short salt": ("salt: short", r"salt: .*at least 16"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_mistake_is_named_with_its_place(load: Load, name: str) -> None:
    text, message = FAULTS[name]
    with pytest.raises(SettingsError, match=message):
        load(text)


def test_all_mistakes_are_named_at_once(load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load("listen: {port: x}\nlimts: {}\nbackends: {a: {}}")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "text",
    [
        "backends: {a: {type: openai, base_url: 'http://u:%s@x/'}}",
        "backends: {a: {type: openai, base_url: 'http://x/?key=%s'}}",
        "backends: {a: {type: openai, base_url: '%s', api_key: x}}",
        "backends: {a: {type: '%s', api_key: '%s'}}",
        "backends: {a: {type: openai, base_url: http://x, api_key: ['%s']}}",
        "backends: {a: {type: openai, base_url: http://x, headers: {X-Key: {a: '%s'}}}}",
        "keys: [{name: a, sha256: '%s'}]",
        "salt: {a: '%s'}",
        "listen: {port: '%s'}",
        "listen: {port: '${%s}'}",
    ],
)
def test_no_error_repeats_a_value(load: Load, text: str) -> None:
    variable = "${" in text
    with pytest.raises(SettingsError) as caught:
        load(text.replace("%s", "CANARY" if variable else CANARY), {"CANARY": CANARY})
    assert CANARY not in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_no_repr_shows_a_secret(load: Load) -> None:
    settings = load(WHOLE.replace("${ORG:-none}", CANARY), {"MAIN_KEY": CANARY, "SALT": CANARY})
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings.model_dump())
    assert CANARY not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("text", "environ", "level"),
    [
        ("${LEVEL}", {"LEVEL": "debug"}, "debug"),
        ("${LEVEL:-warning}", {}, "warning"),
        ("${LEVEL:-warning}", {"LEVEL": ""}, "warning"),
        ("${LEVEL:-warning}", {"LEVEL": "error"}, "error"),
        ("${A}${B:-ug}", {"A": "deb"}, "debug"),
    ],
)
def test_variables(load: Load, text: str, environ: dict, level: str) -> None:
    assert load(f"log: {{level: '{text}'}}", environ).log.level == level


def test_variables_stand_for_numbers_and_switches_too(load: Load) -> None:
    settings = load("listen: {port: '${PORT}'}\nheaders: ${TELL}", {"PORT": "81", "TELL": "false"})
    assert (settings.listen.port, settings.headers) == (81, False)


@pytest.mark.parametrize(("written", "meant"), [("$${NAME}", "${NAME}"), ("a$b$", "a$b$"), ("$NAME", "$NAME")])
def test_dollars_that_are_no_variables(load: Load, written: str, meant: str) -> None:
    settings = load(f"backends: {{a: {{type: openai, base_url: http://x, api_key: '{written}'}}}}", {"NAME": "no"})
    assert settings.backends["a"].api_key.get_secret_value() == meant


def test_a_value_of_the_environment_is_not_searched_for_variables(load: Load) -> None:
    settings = load("backends: {a: {type: echo, api_key: '${A}'}}", {"A": "${B}", "B": "no"})
    assert settings.backends["a"].api_key.get_secret_value() == "${B}"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (1 << 20) + b"#"], ids=["not utf-8", "too large"])
def test_unreadable_files(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "router.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"router\.yaml"):
        load_settings(file, {})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml cannot be read: No such file"):
        load_settings(tmp_path / "absent.yaml", {})


# ------------------------------------------------------------------------------------------ command line, environment


def test_the_command_line_has_the_last_word(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    settings = load(
        "listen: {host: 10.0.0.1, port: 1}\ndata: a\npacks: [b]", host="::1", port=2, data=Path("c"), packs=["d", "/e"]
    )
    assert (settings.listen.host, settings.listen.port) == ("::1", 2)
    assert (settings.data, settings.packs) == (Path("/c"), (Path("/d"), Path("/e")))


def test_what_the_command_line_does_not_say_stays(load: Load) -> None:
    assert load("listen: {port: 1}", port=None, host="::1").listen.port == 1


def test_a_mistake_of_the_command_line_is_told_as_its_own(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"^command line: listen\.port: must be less"):
        load("listen: {host: 127.0.0.1}", port=70000)


def test_without_a_file_paths_are_relative_to_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {}).data == tmp_path / "data"


def test_the_key_of_the_environment(load: Load) -> None:
    settings = load("keys: [{name: app, sha256: DIGEST}]", {"ROUTER_API_KEY": CANARY})
    assert [key.name for key in settings.keys] == ["app", "environment"]
    assert settings.keys[1].scopes == {"infer", "feedback", "read"}


def test_the_key_of_the_environment_may_stand_in_the_file_already(load: Load) -> None:
    from router.server.keys import Keyring

    digest = load("", {"ROUTER_API_KEY": CANARY}).keys[0].sha256
    settings = load(f"keys: [{{name: app, sha256: '{digest}', tenant: shop}}]", {"ROUTER_API_KEY": CANARY})
    assert Keyring(settings).admit({"x-api-key": CANARY}, "infer").tenant == "shop"


@pytest.mark.parametrize("key", ["test", "short-key"])
def test_a_key_of_the_environment_that_could_be_guessed(load: Load, key: str) -> None:
    with pytest.raises(SettingsError, match=r"ROUTER_API_KEY is shorter than 20") as caught:
        load("", {"ROUTER_API_KEY": key})
    assert key not in str(caught.value).replace("ROUTER_API_KEY", "")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", {"localhost", "127.0.0.1", "::1", "host.docker.internal"}),
        ("listen: {host: 127.0.0.9}", {"localhost", "127.0.0.1", "::1", "host.docker.internal", "127.0.0.9"}),
        ("keys: [{name: app, sha256: DIGEST}]", None),
        ("hosts: [A.example]", {"a.example"}),
        ("hosts: ['*']", None),
    ],
    ids=["nobody needs a key", "own address", "everybody needs a key", "said", "said: all"],
)
def test_answered_hosts(load: Load, text: str, hosts: set | None) -> None:
    assert load(text).allowed_hosts == hosts


# --------------------------------------------------------------------------------------------------------------- salt


def test_the_salt_is_made_once_and_for_its_owner_alone(load: Load, tmp_path: Path) -> None:
    settings = load("data: deep/data")
    salt = load_salt(settings)
    assert len(salt) >= 32
    assert load_salt(settings) == salt
    assert stat.S_IMODE((tmp_path / "deep/data/salt").stat().st_mode) == 0o600
    assert load_salt(load("data: other")) != salt


def test_a_salt_of_the_settings_needs_no_folder(load: Load, tmp_path: Path) -> None:
    assert load_salt(load("salt: ${SALT}", {"SALT": CANARY})) == CANARY.encode()
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_used(load: Load, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"data folder .*file.* cannot be used.*--data"):
        load_salt(load("data: file"))


def test_a_salt_that_was_cut(load: Load, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/salt").write_text("abc")
    with pytest.raises(SettingsError, match="too short for a salt"):
        load_salt(load(""))
