"""The cache: used when it fits, replaced when it does not, never in the way."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from router.classify import Artefact, loading, recogniser_for
from router.classify.artefact import MAGIC
from router.classify.fit.fitting import Progress
from router.classify.fit.training import Material
from router.core.errors import Degraded
from router.core.policy import Policy
from tests.classify.conftest import make_policy

SMALL = make_policy({"/a": ("refund me", "money back"), "/b": ("where is my parcel", "parcel not here")})


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record each fit in this process."""
    counted: list[str] = []
    original = loading.fit_material

    def counting(material: Material, progress: Progress) -> Artefact:
        counted.append(material.dump())
        return original(material, progress=progress)

    monkeypatch.setattr(loading, "fit_material", counting)
    return counted


def model_in(cache: Path) -> Path:
    (model,) = cache.glob("*.model")
    return model


def test_the_second_time_it_comes_from_the_cache(tmp_path: Path, fits: list[str]) -> None:
    first = recogniser_for(SMALL, tmp_path / "new" / "cache")
    second = recogniser_for(SMALL, tmp_path / "new" / "cache")
    assert len(fits) == 1
    assert first.step(None, "refund me please")[1] == second.step(None, "refund me please")[1]


def test_without_a_cache_it_is_fitted_each_time(fits: list[str]) -> None:
    recogniser_for(SMALL, None)
    recogniser_for(SMALL, None)
    assert len(fits) == 2


def test_other_examples_are_another_model(tmp_path: Path, fits: list[str]) -> None:
    recogniser_for(SMALL, tmp_path)
    recogniser_for(make_policy({"/a": ("refund me",), "/b": ("where is my parcel",)}), tmp_path)
    assert len(fits) == len(list(tmp_path.glob("*.model"))) == 2


@pytest.mark.parametrize("damage", ["truncated", "tampered", "another version", "another pack's", "empty", "a folder"])
def test_a_file_that_cannot_be_used_is_fitted_again_and_replaced(
    tmp_path: Path, fits: list[str], policy: Policy, artefact: Artefact, damage: str
) -> None:
    recogniser_for(SMALL, tmp_path)
    path = model_in(tmp_path)
    good = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "tampered":
        path.write_bytes(good[:-200] + b"\xff" * 10 + good[-190:])
    elif damage == "another version":
        path.write_bytes(good.replace(MAGIC, b"prompt-router model 0\n", 1))
    elif damage == "another pack's":
        path.write_bytes(artefact.dump())
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        path.mkdir()
    assert recogniser_for(SMALL, tmp_path).artefact.classes == ("/a", "/b")
    assert len(fits) == 2
    if damage != "a folder":
        assert path.read_bytes() == good


def test_a_sealed_file_whose_parts_do_not_fit_is_fitted_again(tmp_path: Path, fits: list[str]) -> None:
    good = recogniser_for(SMALL, tmp_path).artefact
    hollow = tuple(replace(block, words={}, arrays={}) for block in good.blocks)
    replace(good, blocks=hollow).save(model_in(tmp_path))
    assert recogniser_for(SMALL, tmp_path).artefact.dump() == good.dump()
    assert len(fits) == 2


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert recogniser_for(SMALL, blocked).step(None, "refund me please")[1].mass


def test_models_that_were_not_used_for_longest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recogniser_for(SMALL, tmp_path)
    used = model_in(tmp_path)
    os.utime(used, (0, 0))
    for i in range(1, 12):
        path = tmp_path / f"{i}.model"
        path.write_bytes(used.read_bytes())
        os.utime(path, (i, i))
    (tmp_path / "notes.txt").write_text("not ours")
    monkeypatch.setattr(loading, "KEPT_BYTES", 4 * used.stat().st_size)
    recogniser_for(SMALL, tmp_path)
    recogniser_for(make_policy({"/a": ("refund me",), "/b": ("where is my parcel",)}), tmp_path)
    kept = {path.name for path in tmp_path.glob("*.model")}
    assert used.name in kept and "11.model" in kept and "1.model" not in kept
    assert (tmp_path / "notes.txt").exists()


def test_servers_share_what_was_fitted_to_the_same(tmp_path: Path) -> None:
    first = recogniser_for(SMALL, tmp_path, isolated=True)
    assert recogniser_for(SMALL, tmp_path, isolated=True) is first
    kept = weakref.ref(first)
    del first
    gc.collect()
    assert kept() is None


def test_a_model_larger_than_the_cache_stays_till_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "KEPT_BYTES", 1)
    recogniser_for(SMALL, tmp_path)
    assert model_in(tmp_path).exists()


def test_an_isolated_fit_gives_the_very_same_model(tmp_path: Path, policy: Policy, artefact: Artefact) -> None:
    recogniser_for(policy, tmp_path, isolated=True)
    assert model_in(tmp_path).read_bytes() == artefact.dump()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.stderr.write('no memory left'); sys.exit(3)", "ended with 3: no memory left"),
        (
            "import sys; sys.stderr.write('fit-progress 0.5\\nfit-progress x\\nno memory left\\n'); sys.exit(3)",
            "ended with 3: no memory left$",
        ),
        (
            "import sys; [print('x' * 9_999, file=sys.stderr) for _ in range(999)]; sys.exit(1)",
            "ended with 1: x{1000,2000}$",
        ),
        ("print('hello')", "wrote no model"),
        ("import time; time.sleep(60)", "could not run"),
    ],
)
def test_a_fitting_process_that_fails_is_a_degradation(
    monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    start = subprocess.Popen

    def instead(command: list[str], **options: object) -> object:
        return start([sys.executable, "-c", program], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", instead)
    monkeypatch.setattr(loading, "FIT_DEADLINE_S", 2.0 if "sleep" in program else 60.0)
    with pytest.raises(Degraded, match=words) as caught:
        recogniser_for(SMALL, None, isolated=True)
    assert caught.value.code == "fit_failed"


@pytest.mark.parametrize("isolated", [False, True])
def test_whoever_waits_for_a_fit_is_told_how_far_it_is(tmp_path: Path, isolated: bool) -> None:
    told: list[float] = []
    with loading.watched(told.append):
        recogniser_for(SMALL, tmp_path, isolated=isolated)
        assert told == sorted(told) and told[0] == 0.0 and told[-1] == 1.0 and len(told) > 3
        told.clear()
        recogniser_for(SMALL, tmp_path, isolated=isolated)
        assert not told, "a recogniser from the cache is no fit"
    recogniser_for(SMALL, None, isolated=isolated)
    assert not told, "nobody waits any more"


def test_a_fit_in_another_thread_is_not_told_of(tmp_path: Path) -> None:
    told: list[float] = []
    with loading.watched(told.append), ThreadPoolExecutor(1) as pool:
        pool.submit(recogniser_for, SMALL, tmp_path).result()
    assert not told


def test_the_fitting_process_says_nothing_where_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    recogniser_for(SMALL, None, isolated=True)
    assert capfd.readouterr() == ("", "")


SERVE = """
import sys
import weakref
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.classify.test_loading import SMALL
from router.classify import recogniser_for
recogniser = recogniser_for(SMALL, Path({cache!r}), isolated=True)
recogniser.step(None, "refund me please. Where is my parcel?")
recogniser.scores("strange wordz")
heavy = sorted(name for name in sys.modules if name.split(".")[0] in ("sklearn", "scipy", "joblib", "pandas"))
assert not heavy, heavy
"""


def test_the_serving_process_never_loads_scikit_learn(tmp_path: Path) -> None:
    program = SERVE.format(root=str(Path(__file__).parents[2]), cache=str(tmp_path))
    for _ in ("fitted beside it", "from the cache"):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
