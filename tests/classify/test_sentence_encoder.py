"""Models in ONNX: run as they declare, pooled as they were trained, refused with the cause.

The models are made here: an embedding table behind whatever inputs and outputs a case wants.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.classify.sentence_encoder import BATCH, TOKENS, OnnxSource
from router.classify.vectors import EncoderFailed, VectorEncoder

needs = "needs onnx and onnxruntime: pip install -e '.[dev]'"
onnx = pytest.importorskip("onnx", reason=needs)
pytest.importorskip("onnxruntime", reason=needs)

WORDS = ("[UNK]", "[CLS]", "[SEP]", "red", "green", "blue")
TABLE = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0]], np.float32)
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a model with its tokenizer and return the model's path."""

    def made(
        inputs: Sequence[str] = ("input_ids", "attention_mask"),
        outputs: Sequence[str] = ("last_hidden_state",),
        kind: str = "INT64",
        folder: str = "model",
        table: np.ndarray = TABLE,
        marks: bool = False,
    ) -> Path:
        home = tmp_path / folder
        home.mkdir(parents=True, exist_ok=True)
        (home / "model.onnx").write_bytes(_model(inputs, outputs, kind, table))
        _tokenizer(marks).save(str(home / "tokenizer.json"))
        return home / "model.onnx"

    return made


def _model(inputs: Sequence[str], outputs: Sequence[str], kind: str, table: np.ndarray) -> bytes:
    helper, numbers = onnx.helper, onnx.TensorProto
    shape = ["batch", "sequence"]
    given = [helper.make_tensor_value_info(name, getattr(numbers, kind), shape) for name in inputs]
    shapes = {
        "last_hidden_state": [*shape, table.shape[1]],
        "pooler_output": ["batch", table.shape[1]],
        "sentence_embedding": ["batch", table.shape[1]],
    }
    nodes = [helper.make_node("Gather", ["table", inputs[0]], ["tokens"])]
    for name in outputs:
        if len(shapes[name]) == 3:
            nodes.append(helper.make_node("Identity", ["tokens"], [name]))
        else:  # the greatest along the text: told apart from a mean
            nodes.append(helper.make_node("ReduceMax", ["tokens", "axis"], [name], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "table",
        given,
        [helper.make_tensor_value_info(name, numbers.FLOAT, shapes[name]) for name in outputs],
        [onnx.numpy_helper.from_array(table, "table"), onnx.numpy_helper.from_array(np.array([1]), "axis")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = made.SerializeToString()
    return content


def _tokenizer(marks: bool) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if marks:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.enable_truncation(3)  # as shipped files have them: neither may count
    tokenizer.enable_padding(length=9)
    return tokenizer


def mean(*words: str) -> np.ndarray:
    return TABLE[[WORDS.index(word) for word in words]].mean(axis=0)


def test_a_text_is_the_mean_of_its_tokens_whatever_else_is_in_the_batch(make: Make) -> None:
    source = OnnxSource(make())
    texts = ["red", "red green blue green", "green blue", "blue blue blue blue blue red"]
    wanted = [mean(*text.split()) for text in texts]
    np.testing.assert_allclose(source.vectors(texts), wanted, rtol=1e-6)
    np.testing.assert_allclose(source.vectors(texts, limit_s=1.0), wanted, rtol=1e-6)


def test_many_texts_come_back_in_their_order(make: Make) -> None:
    texts = [" ".join(["red", "green", "blue", "red"][: 1 + at % 4] * (1 + at % 7)) for at in range(3 * BATCH + 5)]
    found = OnnxSource(make()).vectors(texts)
    np.testing.assert_allclose(found, [mean(*text.split()) for text in texts], rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (("input_ids",), "INT64"),
        (("input_ids", "attention_mask", "token_type_ids"), "INT64"),
        (("input_ids", "attention_mask", "token_type_ids", "position_ids"), "INT32"),
    ],
)
def test_a_model_is_given_what_it_asks_for(inputs: Sequence[str], kind: str, make: Make) -> None:
    found = OnnxSource(make(inputs, kind=kind)).vectors(["red blue", "green"])
    np.testing.assert_allclose(found, [mean("red", "blue"), mean("green")])


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        (("pooler_output", "last_hidden_state"), mean("red", "blue")),
        (("last_hidden_state", "sentence_embedding"), np.array([4, 0, 4, 0])),
        (("pooler_output",), np.array([4, 0, 4, 0])),
    ],
)
def test_the_output_for_sentences_is_read(outputs: Sequence[str], wanted: np.ndarray, make: Make) -> None:
    np.testing.assert_allclose(OnnxSource(make(outputs=outputs)).vectors(["red blue"]), [wanted])


@pytest.mark.parametrize(("first", "wanted"), [(True, mean("[CLS]")), (False, mean("[CLS]", "red", "[SEP]"))])
def test_pooling_follows_the_file_of_sentence_transformers(first: bool, wanted: np.ndarray, make: Make) -> None:
    model = make(marks=True)
    (model.parent / "1_Pooling").mkdir()
    (model.parent / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": first}))
    np.testing.assert_allclose(OnnxSource(model).vectors(["red"]), [wanted])


def test_of_a_long_text_both_ends_count(make: Make) -> None:
    long = " ".join(["red"] * TOKENS + ["green"] * 999 + ["blue"] * TOKENS)
    np.testing.assert_allclose(OnnxSource(make()).vectors([long]), [mean("red", "blue")])


@pytest.mark.parametrize("text", ["", "  ", "\ud800", "😀", "\u202e\u0000"])
def test_any_text_has_a_vector(text: str, make: Make) -> None:
    assert np.isfinite(VectorEncoder(OnnxSource(make(marks=True))).of([text])).all()


def test_a_model_in_a_folder_of_its_own_finds_the_tokenizer_above(make: Make) -> None:
    model = make()
    below = model.parent / "onnx" / "model.onnx"
    below.parent.mkdir()
    model.rename(below)
    np.testing.assert_allclose(OnnxSource(below).vectors(["red"]), [mean("red")])


def broken(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:100])


def gone(model: Path) -> None:
    model.unlink()


def without_tokenizer(model: Path) -> None:
    (model.parent / "tokenizer.json").unlink()


def with_a_broken_tokenizer(model: Path) -> None:
    (model.parent / "tokenizer.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (broken, "cannot be opened"),
        (gone, "cannot be opened"),
        (without_tokenizer, "no tokenizer.json"),
        (with_a_broken_tokenizer, "cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_told(change: Callable[[Path], None], cause: str, make: Make) -> None:
    model = make()
    change(model)
    with pytest.raises(EncoderFailed, match=cause) as caught:
        OnnxSource(model).vectors(["red"])
    assert caught.value.code == "encoder_failed"
    assert str(model) in str(caught.value)


def test_a_model_that_reads_no_text_is_refused(make: Make) -> None:
    with pytest.raises(EncoderFailed, match="not a text encoder: it asks for pixels"):
        OnnxSource(make(inputs=("pixels",))).vectors(["red"])


def test_a_run_that_fails_is_told(make: Make) -> None:
    with pytest.raises(EncoderFailed, match="the model failed"):
        OnnxSource(make(table=TABLE[:4])).vectors(["blue"])  # the tokenizer knows a token that the table does not


def test_a_missing_package_is_named_with_the_extra(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EncoderFailed, match=r"onnxruntime is not installed: pip install 'prompt-router\[onnx\]'"):
        OnnxSource(model).vectors(["red"])


def test_the_digest_is_that_of_all_files_that_matter(make: Make) -> None:
    model = make()
    before = OnnxSource(model).digest
    assert OnnxSource(make(folder="elsewhere")).digest == before
    seen = {before}
    for name in ("model.onnx", "tokenizer.json", "model.onnx_data", "1_Pooling/config.json"):
        file = model.parent / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes((file.read_bytes() if file.exists() else b"") + b" ")
        seen.add(OnnxSource(model).digest)
    assert len(seen) == 5


def test_the_serving_process_imports_none_of_it() -> None:
    code = "import router.classify, sys; print([n for n in ('onnxruntime', 'litellm', 'torch', 'sklearn', 'scipy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
