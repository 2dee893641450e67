"""The recipe of the static table, on a WordNet of a few lines and an encoder that is plain to see through."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from router.classify.encoder import Floats
from router.classify.static import StaticTable
from tests.static_table import build
from tests.static_table import sentences as made_of
from tests.static_table.build import (
    Sentences,
    Teacher,
    agreement,
    bags_of,
    fitted,
    main_axes,
    unit,
    usable,
    written,
)
from tests.static_table.sentences import Requests, WordNet, add_ed, add_ing, add_s, read_wordnet, whole_words

WORDNET = {
    "data.noun": """
  1 this is the licence
00000001 03 n 02 parcel 0 Package_tour 0 000 | a wrapped container; "she sent the parcel by mail"; "a parcel"
00000002 03 n 01 box 0 000 | a wrapped container that people send
00000003 03 n 01 refund 0 000 | money that is sent back
""",
    "data.verb": """
00000004 30 v 01 send 0 000 01 + 08 00 | cause to go somewhere; "send me the parcel"
00000005 30 v 01 lose 0 000 01 + 08 00 | fail to keep (something)
""",
    "data.adj": '00000006 00 a 01 late(p) 0 000 | being after the expected time; "the late train was full"\n',
    "data.adv": "00000007 02 r 01 quickly 0 000 | with speed\n",
    "noun.exc": "boxen box\n",
    "verb.exc": "sent send\nlost lose\n",
    "cntlist.rev": "parcel%1:06:00:: 1 9\nsend%2:35:00:: 1 4\nlate%3:00:00:: 1 2\nlate%5:00:00:x:0 2 1\n",
}
KNOWN = ["parcel", "box", "send", "lose", "late", "back"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in WORDNET.items():
        (tmp_path / name).write_text(content.lstrip("\n"))
    return tmp_path


@pytest.fixture
def net(folder: Path) -> WordNet:
    return read_wordnet(folder)


class TestWordNet:
    def test_what_is_read(self, net: WordNet) -> None:
        assert net.glosses[0] == "parcel: a wrapped container"
        assert net.examples == ["she sent the parcel by mail", "send me the parcel", "the late train was full"]
        assert net.acts == ["cause to go somewhere"]
        assert net.lemmas["noun"] == {"parcel": 9, "box": 0, "refund": 0}
        assert net.lemmas["adj"] == {"late": 3}
        assert net.words() == ["parcel", "lose", "send", "late", "quickly"]

    def test_common_words_become_whole(self, net: WordNet) -> None:
        modern = made_of.modern_words()
        found = whole_words(net, {"a", "the", "send", *modern}, 3)
        assert found[0] == "parcel"
        assert "send" not in found
        assert whole_words(net, set(), 5) == modern[:5]

    def test_requests(self, net: WordNet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(made_of, "modern_words", lambda: ["app"])
        made = Requests(net, KNOWN).make(2_000, 20)
        assert made == Requests(net, KNOWN).make(2_000, 20)
        assert made != Requests(net, KNOWN, seed=2).make(2_000, 20)
        assert not any(re.search("[{}]", text) for text in made)
        words = set(re.findall("[a-z]+", " ".join(made)))
        assert {"sent", "lost", "boxen", "sending"} <= words
        assert not {"sended", "losed", "boxes"} & words

    @pytest.mark.parametrize(
        ("form", "word", "expected"),
        [
            (add_s, "order", "orders"),
            (add_s, "box", "boxes"),
            (add_s, "city", "cities"),
            (add_s, "day", "days"),
            (add_ed, "stop", "stopped"),
            (add_ed, "book", "booked"),
            (add_ed, "cry", "cried"),
            (add_ed, "like", "liked"),
            (add_ing, "make", "making"),
            (add_ing, "see", "seeing"),
            (add_ing, "lie", "lying"),
            (add_ing, "run", "running"),
        ],
    )
    def test_regular_forms(self, form, word: str, expected: str) -> None:
        assert form(word) == expected


@pytest.mark.parametrize("entry", ["refund", "##ed", "0", "##0", "a0", "?", "'", "€", "#"])
def test_usable(entry: str) -> None:
    assert usable(entry)


@pytest.mark.parametrize("entry", ["[CLS]", "[unused7]", "7", "1999", "##00", "й", "##é", "銀", "##?", "##", "½"])
def test_not_usable(entry: str) -> None:
    assert not usable(entry)


def blank(vocabulary: Sequence[str]) -> StaticTable:
    return StaticTable(np.zeros((len(vocabulary), 1), np.int8), np.zeros(len(vocabulary), np.float32), vocabulary)


def test_bags_follow_the_router() -> None:
    bags = bags_of(["Where? My parcel, my parcel", "", "parcels"], blank(["my", "parcel", "##s", "?"])).toarray()
    assert np.allclose(bags, [[2**0.5, 2**0.5, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]])


def test_main_axes() -> None:
    draw = np.random.default_rng(1)
    rows = (draw.normal(size=(500, 3)) * [1, 10, 3] + 5).astype(np.float32)
    mean, axes = main_axes(rows, np.ones(500, np.float32), 2)
    assert np.allclose(mean, rows.mean(0), atol=1e-3)
    assert np.allclose(np.abs(axes).argmax(0), [1, 2])
    assert np.allclose(axes.T @ axes, np.eye(2), atol=1e-5)


def test_fit_finds_a_table_that_explains_the_sentences() -> None:
    draw = np.random.default_rng(2)
    vocabulary = [f"w{chr(97 + i)}" for i in range(20)]
    texts = [" ".join(draw.choice(vocabulary, 3, replace=False)) for _ in range(400)]
    bags = bags_of(texts, blank(vocabulary))
    truth = draw.normal(size=(20, 8)).astype(np.float32)
    ones = np.ones(400, np.float32)
    sentences = Sentences(bags, unit(bags @ truth), ones, np.zeros(400, np.int64), ["only"])
    begun = draw.normal(size=(20, 8)).astype(np.float32) * 0.1
    before, after = agreement(begun, sentences), agreement(fitted(begun, sentences, 60, 50), sentences)
    assert before["only"] < 0.5
    assert after["only"] > 0.95
    assert np.array_equal(fitted(begun, sentences, 2, 50), fitted(begun, sentences, 2, 50))


def test_what_is_written_reads_alike(tmp_path: Path) -> None:
    table = np.random.default_rng(3).normal(size=(3, 5)).astype(np.float32)
    table[2] = 0
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    found = written(one, table, ["a", "b", "c"])
    written(two, table, ["a", "b", "c"])
    assert one.read_bytes() == two.read_bytes()
    assert np.allclose([found.vector(word) for word in "abc"], table, atol=np.abs(table).max() / 127)


class Session:
    """An encoder whose last layer shows, for each token, its number and what it was told of the mask."""

    calls = 0

    def __init__(self, path: str, options: object) -> None:
        assert Path(path).is_file()

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="input_ids"), SimpleNamespace(name="attention_mask")]

    def run(self, _: None, feed: Mapping[str, np.ndarray]) -> list[Floats]:
        Session.calls += 1
        assert set(feed) == {"input_ids", "attention_mask"}
        ids = feed["input_ids"]
        return [
            np.stack([ids, ids**2 % 7, np.ones_like(ids), 100 * (1 - feed["attention_mask"])], 2).astype(np.float32)
        ]


class Tokenizer:
    def __init__(self, known: Mapping[str, int]) -> None:
        self.known = known

    @classmethod
    def from_file(cls, path: str) -> Tokenizer:
        return cls(json.loads(Path(path).read_text())["model"]["vocab"])

    def no_padding(self) -> None: ...

    def enable_truncation(self, _: int) -> None: ...

    def encode(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(ids=[1, *(self.known.get(word, 0) for word in text.split()), 2])

    def encode_batch(self, texts: list[str]) -> list[SimpleNamespace]:
        return [self.encode(text) for text in texts]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime, tokenizers = ModuleType("onnxruntime"), ModuleType("tokenizers")
    vars(onnxruntime).update(InferenceSession=Session, SessionOptions=SimpleNamespace)
    vars(tokenizers).update(Tokenizer=Tokenizer)
    monkeypatch.setitem(sys.modules, "onnxruntime", onnxruntime)
    monkeypatch.setitem(sys.modules, "tokenizers", tokenizers)
    monkeypatch.setattr(Session, "calls", 0)


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, Path]:
    known = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "0": 3, "7": 4, "1999": 5, "?": 6, "й": 7}
    known |= {word: 8 + at for at, word in enumerate(KNOWN)}
    (tmp_path / "model.onnx").write_bytes(b"a model")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": known}}))
    return tmp_path / "model.onnx", tmp_path / "tokenizer.json"


@pytest.mark.usefixtures("runtime")
class TestModel:
    def test_texts_are_embedded_in_their_order(self, model: tuple[Path, Path]) -> None:
        texts = ["parcel box send lose late", "box", "", "send lose"] * 40
        rows = Teacher(*model).embed(texts)
        assert rows.shape == (160, 4)
        assert np.allclose(np.linalg.norm(rows, axis=1), 1)
        assert np.allclose(rows[:4], rows[80:84])
        assert np.allclose(rows[:, 3], 0), "what only fills a batch up counts nothing"
        assert np.allclose(rows[1] / rows[1, 2], [(1 + 9 + 2) / 3, (1 + 9**2 % 7 + 4) / 3, 1, 0])

    def test_the_store_saves_the_encoder_work(self, model: tuple[Path, Path], tmp_path: Path) -> None:
        first = Teacher(*model, tmp_path).embed(["parcel", "box"])
        calls = Session.calls
        assert np.array_equal(Teacher(*model, tmp_path).embed(["parcel", "box"]), first)
        assert Session.calls == calls
        Teacher(*model, tmp_path).embed(["parcel", "late"])
        assert Session.calls == calls + 1

    def test_the_whole_recipe(
        self,
        model: tuple[Path, Path],
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for name, value in {"SINGLE_REQUESTS": 200, "DOUBLE_REQUESTS": 20, "WHOLE_WORDS": 5, "DIMENSIONS": 3}.items():
            monkeypatch.setattr(build, name, value)
        (folder / "more.txt").write_text("where is my parcel?\n\nthe box is late\n")
        out = folder / "table.npz"
        paths = ["--onnx", str(model[0]), "--tokenizer", str(model[1]), "--wordnet", str(folder)]
        build.main([*paths, "--text", str(folder / "more.txt"), "--store", str(folder / "store"), str(out)])
        table = StaticTable.read(out.read_bytes())
        assert table.dimensions == 3
        assert len(table) == len(["0", "?", *KNOWN]) + 5
        assert table.rows("й") == []
        assert np.isfinite(table.vector("parcel")).all()
        assert table.vector("parcel").any()
        assert table.digest in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is no file"),
        (lambda folder: (folder / "data.noun").unlink(), "data.noun is no file"),
        (lambda folder: (folder / "tokenizer.json").write_text("[]"), "no tokenizer.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "no tokenizer.json"),
    ],
)
def test_wrong_files_are_named(
    model: tuple[Path, Path], folder: Path, spoil, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    paths = ["--onnx", str(model[0]), "--tokenizer", str(model[1]), "--wordnet", str(folder)]
    with pytest.raises(SystemExit):
        build.main([*paths, str(folder / "table.npz")])
    assert message in capsys.readouterr().err


def test_a_missing_package_is_named(model: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemExit, match="pip install onnxruntime tokenizers"):
        Teacher(*model)
