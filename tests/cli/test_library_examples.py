"""The documentation's examples of library use run as they stand, against a provider on this machine.

Each runs in a process of its own, as a reader would run it. LangChain's runs in the environment of the client tests,
which has LangChain, with what this package needs behind it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.clients.environments import EnvironmentMissing, python_of
from tests.litellm_proxy.provider import Provider, provider
from tests.support.serving import ROOT, clean_environment

PAGE = ROOT / "docs" / "library.md"
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
_IMPORTED = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)


def examples() -> list[str]:
    """Return the code of the page."""
    return _BLOCK.findall(PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def upstream() -> Iterator[Provider]:
    with provider() as running:
        yield running


def test_there_are_examples_for_openai_and_for_langchain() -> None:
    assert [_IMPORTED.findall(code)[0] for code in examples()] == ["openai", "langchain_core"]


@pytest.mark.xdist_group("clients")
@pytest.mark.timeout(600)  # the environment may have to be made
@pytest.mark.parametrize("code", examples(), ids=lambda code: _IMPORTED.findall(code)[0])
def test_an_example_runs_and_the_provider_gets_the_instructions(
    code: str, upstream: Provider, recognisers: Path, tmp_path: Path
) -> None:
    try:
        python = python_of("openai3") if "langchain" in code else sys.executable
    except EnvironmentMissing as missing:
        pytest.skip(str(missing))
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    env = clean_environment() | {
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
        "OPENAI_API_KEY": "none",
        "XDG_CACHE_HOME": str(recognisers),
    }
    ours = f"import runpy, sys; sys.path += [{str(ROOT)!r}, {sysconfig.get_path('purelib')!r}]; "
    command = [str(python), "-c", f"{ours}runpy.run_path({str(tmp_path / 'example.py')!r})"]
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=90)
    assert ran.returncode == 0, ran.stderr
    asked = [request.body["messages"] for request in upstream.asked]
    assert asked
    assert all("Help the customer get a refund." in json.dumps(messages) for messages in asked)
    for before, after in pairwise(asked):
        assert after[: len(before)] == before
