"""Which encoder a pack names: the word, the file, what must be installed, and what that makes of the revision."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.core.errors import Fault
from router.core.policy import EncoderCascade, PolicySettings
from router.packs import Pack

Load = Callable[[Mapping[str, str | bytes]], Pack]
Faults = Callable[[Mapping[str, str | bytes]], tuple[Fault, ...]]

MODEL = {"models/mini/model.onnx": b"weights", "models/mini/tokenizer.json": b"{}"}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that an encoder may need look installed."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("onnxruntime", "tokenizers", "litellm"):
        (stubs / f"{name}.py").write_text("")
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(stubs)


def pack(settings: str, **more: str) -> dict[str, str | bytes]:
    return {"pack.yaml": f"settings: {settings}", **MODEL, **more}


@pytest.mark.parametrize(
    ("settings", "encoder", "cascade"),
    [
        ("{level: brief}", "static", None),
        ("{encoder: lexical}", "lexical", None),
        ("{encoder: 'onnx:models/mini'}", "static", ("models/mini/model.onnx", 1.0, 0.5)),
        ("{encoder: 'onnx:models/mini/model.onnx'}", "static", ("models/mini/model.onnx", 1.0, 0.5)),
        ("{encoder: 'litellm:openai/small'}", "static", ("litellm:openai/small", 1.0, 0.5)),
        ("{cascade: {encoder: 'onnx:models/mini'}}", "static", ("models/mini/model.onnx", 0.2, 0.03)),
        (
            "{encoder: lexical, cascade: {encoder: 'litellm:a/b', share: 0.5, budget_ms: 400}}",
            "lexical",
            ("litellm:a/b", 0.5, 0.4),
        ),
        ("{cascade: {encoder: 'onnx:models/mini', share: 0}}", "static", None),
    ],
)
def test_what_is_written_is_what_reads(
    settings: str, encoder: str, cascade: tuple[str, float, float] | None, load: Load, tmp_path: Path
) -> None:
    found = load(pack(settings)).policy.settings
    wanted = None
    if cascade is not None:
        name, share, budget_s = cascade
        word = name if name.startswith("litellm:") else f"onnx:{tmp_path / name}"
        wanted = EncoderCascade(word, share, budget_s)
    assert (found.encoder, found.cascade) == (encoder, wanted)


@pytest.mark.parametrize(
    ("settings", "line", "message", "hint"),
    [
        ("{encoder: statik}", 1, 'no encoder is called "statik"', 'did you mean "static"?'),
        ("{encoder: minilm}", 1, 'no encoder is called "minilm"', "known: lexical, litellm:MODEL, onnx:PATH, static"),
        ("{encoder: onnx}", 1, '"onnx" does not say which model', "for example onnx:models/minilm"),
        ("{encoder: 'litellm: '}", 1, "does not say which model", "for example litellm:openai/text-embedding-3-small"),
        ("\n  level: brief\n  encoder: onnx:models/none", 3, "there is no model ", "PATH is a model file or a folder"),
        ("\n  cascade:\n    encoder: onnx:models", 3, "there is no model ", "PATH is a model file or a folder"),
        ("{encoder: 'onnx:bare/model.onnx'}", 1, "there is no tokenizer.json beside ", "put it beside the model"),
        ("{cascade: {encoder: static}}", 1, 'no model is called "static"', "known: litellm:MODEL, onnx:PATH"),
        ("{cascade: {share: 0.1}}", 1, "the cascade names no encoder", "add encoder: onnx:models/minilm"),
        ("{cascade: {encoder: 'litellm:a', share: 2}}", 1, "less than or equal to 1", ""),
        ("{cascade: {encoder: 'litellm:a', budget: 2}}", 1, 'unknown key "budget"', 'did you mean "budget_ms"?'),
        ("{encoder: 'litellm:a', cascade: {encoder: 'litellm:b'}}", 1, "does not go together", "remove one of them"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(
    settings: str, line: int, message: str, hint: str, faults_of: Faults
) -> None:
    [fault] = faults_of(pack(settings, **{"bare/model.onnx": "w"}))
    assert (fault.file, fault.line) == ("pack.yaml", line)
    assert message in fault.message
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("word", "absent", "extra"),
    [
        ("onnx:models/mini", "onnxruntime", "onnx"),
        ("onnx:models/mini", "tokenizers", "onnx"),
        ("litellm:a/b", "litellm", "litellm"),
    ],
)
def test_what_is_not_installed_is_named_with_the_extra(
    word: str, absent: str, extra: str, faults_of: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    [fault] = faults_of(pack(f"{{encoder: '{word}'}}"))
    assert absent in fault.message
    assert fault.hint == f"pip install 'prompt-router[{extra}]'"


def test_a_path_is_relative_to_the_pack_that_names_it(load: Load, tmp_path: Path) -> None:
    base = {f"base/{name}": content for name, content in MODEL.items()}
    files = {**base, "base/policy.yaml": "settings: {cascade: {encoder: 'onnx:models/mini'}}"}
    found = load({**files, "pack.yaml": "extends: base\nsettings: {cascade: {share: 0.4}}"})
    model = tmp_path / "base/models/mini/model.onnx"
    assert found.policy.settings.cascade == EncoderCascade(f"onnx:{model}", 0.4, 0.03)
    assert model in found.files, "a changed model must be noticed"
    assert (
        load({**files, "pack.yaml": "extends: base\nsettings: {cascade: {share: 0}}"}).policy.settings
        == PolicySettings()
    )


def test_the_tokenizer_may_lie_one_folder_up(load: Load, tmp_path: Path) -> None:
    files = {
        "hub/onnx/model.onnx": b"w",
        "hub/tokenizer.json": b"{}",
        "pack.yaml": "settings: {encoder: 'onnx:hub/onnx'}",
    }
    cascade = load(files).policy.settings.cascade
    assert cascade and cascade.encoder == f"onnx:{tmp_path / 'hub/onnx/model.onnx'}"


def test_a_revision_counts_what_a_model_holds_and_not_where_it_lies(load: Load) -> None:
    here = load(pack("{encoder: 'onnx:models/mini'}")).policy.revision
    moved = {"pack.yaml": "settings: {encoder: 'onnx:m.onnx'}", "m.onnx": b"weights", "tokenizer.json": b"{}"}
    assert load(moved).policy.revision == here
    assert load(moved | {"m.onnx": b"other weights"}).policy.revision != here
    others = [load(pack(f"{{{settings}}}")).policy.revision for settings in ("encoder: static", "encoder: lexical")]
    assert len({here, *others}) == 3
