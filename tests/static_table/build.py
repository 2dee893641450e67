"""Makes the static table from a sentence encoder: the recipe of `static_table.md` as a program. Needs no GPU.

    python -m tests.static_table.build --onnx MODEL --tokenizer TOKENIZER --wordnet FOLDER [--text FILE...] OUT

1. Every entry of the encoder's vocabulary is passed through it once. That alone makes a fair table (Model2Vec, van
   Dongen and Tulkens 2024): its mean taken away, turned to the main axes of sentences, each entry weighted by how rare
   it is, a / (a + p) (Arora, Liang, Ma 2017).
2. The encoder embeds sentences: WordNet's, and requests made of its words (`sentences`), and any given files.
3. The table is fitted so that the sum of the vectors of a sentence's words, built the way the router builds it, points
   where the encoder points: Adam on the cosine. No frequency weight needs to be guessed any more: it is learned.
4. Each vector is rounded to eight bits with a scale of its own.

Not part of serving. onnxruntime and tokenizers are not among the requirements: `pip install onnxruntime tokenizers`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from router.classify.encoder import Floats, Integers
from router.classify.static import CONTINUED, StaticTable, digest
from router.classify.text import tokens
from tests.static_table.sentences import Requests, read_wordnet, whole_words

DIMENSIONS: Final = 256
"""Of the encoder's 384: they hold 95 % of the variance of sentences."""

WHOLE_WORDS: Final = 5_000
"""Words that get an entry though the encoder cuts them: as many as fit into 8.5 MB."""

RARITY: Final = 3e-4
"""The a of a / (a + p). Where the fit begins; between 1e-4 and 1e-3 it ends alike."""

SINGLE_REQUESTS, DOUBLE_REQUESTS = 120_000, 15_000
GLOSS_WORDS: Final = 12
"""Longer glosses are no sentences that anybody asks."""

GROUP_WEIGHTS: Final = {"examples": 2.0, "requests": 1.5, "glosses": 0.5, "words": 0.3, "text": 1.0}
"""How much a sentence of each kind counts in the fit."""

RATE, EPOCHS, BATCH, MOMENTUM, SPREAD = 0.003, 4, 2_048, 0.9, 0.99
"""Adam (Kingma, Ba 2015) with the rate falling along a cosine. Faster and longer fits held-out sentences less well."""

HELD_OUT: Final = 50
"""One sentence of so many is not fitted to, but measured on."""

ENCODER_TOKENS: Final = 48
ENCODER_BATCH: Final = 64


class Teacher:
    """The sentence encoder: the mean of its last layer over the tokens, of length 1.

    Raises SystemExit when onnxruntime or tokenizers are missing, OSError or their own errors for unreadable files.
    """

    def __init__(self, onnx: Path, tokenizer: Path, store: Path | None = None) -> None:
        try:
            runtime, pieces = importlib.import_module("onnxruntime"), importlib.import_module("tokenizers")
        except ModuleNotFoundError as error:
            raise SystemExit(f"{error.name} is missing: pip install onnxruntime tokenizers") from error
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # the table must not depend on how many cores there are
        self._session = runtime.InferenceSession(str(onnx), options)
        self._inputs = {given.name for given in self._session.get_inputs()}
        self._tokenizer = pieces.Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(ENCODER_TOKENS)
        self._store = store
        self._name = hashlib.sha256(onnx.read_bytes() + tokenizer.read_bytes()).hexdigest()

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return a row for each text. What is in the store is read from there."""
        return self._stored("\n".join(texts), lambda: [e.ids for e in self._tokenizer.encode_batch(list(texts))])

    def embed_entries(self, entries: Sequence[int]) -> Floats:
        """Return a row for each entry of the vocabulary, alone between the marks of beginning and end."""
        first, last = self._tokenizer.encode("").ids
        return self._stored(str(entries), lambda: [[first, entry, last] for entry in entries])

    def _stored(self, key: str, ids_of: Callable[[], Sequence[Sequence[int]]]) -> Floats:
        if self._store is None:
            return self._run(ids_of())
        path = self._store / f"{hashlib.sha256(f'{self._name}{key}'.encode()).hexdigest()[:32]}.npy"
        if not path.exists():
            np.save(path, self._run(ids_of()))
        rows: Floats = np.load(path)
        return rows

    def _run(self, ids: Sequence[Sequence[int]]) -> Floats:
        rows = []
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        for start in range(0, len(order), ENCODER_BATCH):
            picked = [ids[at] for at in order[start : start + ENCODER_BATCH]]
            given = np.zeros((len(picked), max(map(len, picked))), np.int64)
            mask = np.zeros_like(given)
            for row, found in enumerate(picked):
                given[row, : len(found)] = found
                mask[row, : len(found)] = 1
            feed = {"input_ids": given, "attention_mask": mask, "token_type_ids": np.zeros_like(given)}
            hidden = self._session.run(None, {name: feed[name] for name in self._inputs})[0]
            rows.append((hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True))
        placed = np.empty((len(ids), rows[0].shape[1]), np.float32)
        placed[order] = np.concatenate(rows)
        return unit(placed)


@dataclass(frozen=True)
class Sentences:
    """What is fitted to: words in sentences, where the encoder points for each, what each counts for, and its kind.

    `bags` is a sparse matrix of shape (sentences, entries), `targets` of shape (sentences, dimensions), rows of length
    one; `kinds` has the place of each sentence's kind in `names`.
    """

    bags: Any
    targets: Floats
    weights: Floats
    kinds: Integers
    names: Sequence[str]


def usable(entry: str) -> bool:
    """Say whether a word of `text.tokens` can ever hold this entry of an uncased vocabulary.

    Digits reach us as "0"; accents and marks inside words never do; other scripts mean nothing to an English encoder.
    """
    if len(entry) == 1 and unicodedata.category(entry) == "Sc":  # "€"
        return True
    body = entry.removeprefix(CONTINUED) if len(entry) > len(CONTINUED) else entry
    if re.fullmatch("[a-z0]+", body):
        return "00" not in body
    return len(entry) == 1 and entry.isascii() and not entry.isdigit()


def bags_of(texts: Sequence[str], table: StaticTable) -> Any:
    """Return how often each entry stands in each text as the router reads it: by the root of the count of its word."""
    import scipy.sparse

    rows_of: dict[str, list[int]] = {}
    ends, columns, values = [0], list[int](), list[float]()
    for text in texts:
        for word, count in Counter(tokens(text)).items():
            if word not in rows_of:
                rows_of[word] = table.rows(word)
            columns += rows_of[word]
            values += [math.sqrt(count)] * len(rows_of[word])
        ends.append(len(columns))
    matrix = scipy.sparse.csr_matrix(
        (np.array(values, np.float32), np.array(columns, np.int32), np.array(ends)), shape=(len(texts), len(table))
    )
    matrix.sum_duplicates()
    return matrix


def main_axes(rows: Floats, weights: Floats, number: int) -> tuple[Floats, Floats]:
    """Return the weighted mean of some rows and their `number` main axes, of shape (columns, number)."""
    shares = (weights / weights.sum(dtype=np.float64))[:, None]
    mean = (rows * shares).sum(0)
    centred = rows - mean
    axes = np.linalg.eigh(centred.T @ (centred * shares))[1][:, ::-1][:, :number]
    axes = axes * np.where(axes.sum(0) < 0, -1, 1)  # an axis has no sign of its own
    return mean.astype(np.float32), np.ascontiguousarray(axes, np.float32)


def start(vectors: Floats, axes: Floats, bags: Any, weights: Floats) -> Floats:
    """Return the table that the fit begins with: each entry by itself, weighted by its rarity."""
    seen = (bags > 0).astype(np.float32).T @ weights + 1
    rarity = RARITY / (RARITY + seen / seen.sum())
    begun: Floats = ((vectors - vectors.mean(0)) @ axes * rarity[:, None]).astype(np.float32)
    return begun


def fitted(table: Floats, sentences: Sentences, epochs: int = EPOCHS, batch: int = BATCH) -> Floats:
    """Return the table whose sums over sentences point where the encoder points, by Adam on the cosine.

    Only the entries that stand in a batch move, by their own moments. The order is drawn from a fixed seed.
    """
    draw = np.random.default_rng(0)
    table = table.copy()
    drift, spread = np.zeros_like(table), np.zeros_like(table)
    count = len(sentences.targets)
    batch = min(batch, count)
    steps = epochs * (count // batch)
    for step in range(steps):
        at = step % (count // batch)
        if at == 0:
            order = draw.permutation(count)
        picked = order[at * batch : (at + 1) * batch]
        bags, targets = sentences.bags[picked], sentences.targets[picked]
        sums = bags @ table
        lengths = np.linalg.norm(sums, axis=1, keepdims=True) + 1e-6
        sums /= lengths
        cosines = (sums * targets).sum(1, keepdims=True)
        pull = (cosines * sums - targets) / lengths * sentences.weights[picked, None]
        moved = np.unique(bags.indices)
        slope = bags[:, moved].T @ pull
        drift[moved] = MOMENTUM * drift[moved] + (1 - MOMENTUM) * slope
        spread[moved] = SPREAD * spread[moved] + (1 - SPREAD) * slope * slope
        rate = RATE * (1 + math.cos(math.pi * (step + 1) / steps)) / 2
        table[moved] -= rate * drift[moved] / (np.sqrt(spread[moved]) + 1e-6)
    return table


def agreement(table: Floats, sentences: Sentences) -> dict[str, float]:
    """Return, for each kind of sentence there is, the mean cosine of the table's vectors to the encoder's."""
    cosines = (unit(sentences.bags @ table) * sentences.targets).sum(1)
    present = np.unique(sentences.kinds).tolist()
    return {sentences.names[at]: float(cosines[sentences.kinds == at].mean()) for at in present}


def written(path: Path, table: Floats, vocabulary: Sequence[str]) -> StaticTable:
    """Write a table in eight bits and return it as it reads. Equal tables give equal files."""
    scales = np.maximum(np.abs(table).max(1) / 127, np.finfo(np.float32).tiny).astype(np.float32)
    vectors = np.rint(table / scales[:, None]).astype(np.int8)
    np.savez(
        path,
        vectors=vectors,
        scales=scales,
        vocabulary=np.frombuffer("\n".join(vocabulary).encode(), np.uint8),
        digest=np.frombuffer(digest(vectors, scales, vocabulary).encode(), np.uint8),
    )
    return StaticTable.read(path.read_bytes())


def unit(rows: Floats) -> Floats:
    """Return rows of length one; a row of zeros stays."""
    scaled: Floats = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    return scaled


def material(known: Mapping[str, int], wordnet: Path, files: Sequence[Path]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the words that get an entry of their own, and the sentences by kind."""
    net = read_wordnet(wordnet)
    whole = whole_words(net, known, WHOLE_WORDS)
    kinds = {
        "examples": list(net.examples),
        "requests": Requests(net, {*known, *whole}).make(SINGLE_REQUESTS, DOUBLE_REQUESTS),
        "glosses": [gloss for gloss in net.glosses if len(gloss.split()) <= GLOSS_WORDS],
        "words": net.words(),
        "text": [line.strip() for file in files for line in file.read_text("utf-8").splitlines() if line.strip()],
    }
    return whole, {name: texts for name, texts in kinds.items() if texts}


def build(teacher: Teacher, known: Mapping[str, int], wordnet: Path, files: Sequence[Path], out: Path) -> StaticTable:
    """Make a table by the recipe and write it. `known` is the encoder's vocabulary."""
    whole, kinds = material(known, wordnet, files)
    kept = [entry for entry in known if usable(entry)]
    vocabulary = kept + whole
    vectors = np.concatenate([teacher.embed_entries([known[entry] for entry in kept]), teacher.embed(whole)])
    # Every run of digits is "0" to us: it stands for the mean of all numbers.
    numbers = teacher.embed_entries([at for entry, at in known.items() if entry.isascii() and entry.isdigit()])
    vectors[vocabulary.index("0")] = unit(numbers.mean(0, keepdims=True))[0]
    empty = StaticTable(np.zeros((len(vocabulary), 1), np.int8), np.zeros(len(vocabulary), np.float32), vocabulary)
    bags = bags_of([text for texts in kinds.values() for text in texts], empty)
    embedded = np.concatenate([teacher.embed(texts) for texts in kinds.values()])
    weights = np.concatenate([np.full(len(texts), GROUP_WEIGHTS[name], np.float32) for name, texts in kinds.items()])
    places = np.repeat(np.arange(len(kinds)), [len(texts) for texts in kinds.values()])
    mean, axes = main_axes(embedded, weights, DIMENSIONS)
    begun = start(vectors, axes, bags, weights)
    targets = unit((embedded - mean) @ axes)
    held = np.arange(len(targets)) % HELD_OUT == 0
    inside, outside = (
        Sentences(bags[rows], targets[rows], weights[rows], places[rows], list(kinds)) for rows in (~held, held)
    )
    table = fitted(begun, inside)
    for name, found in (("entries alone", begun), ("fitted", table)):
        cosines = ", ".join(f"{kind} {cosine:.3f}" for kind, cosine in agreement(found, outside).items())
        print(f"{name}: cosine to the encoder on {int(held.sum())} held-out sentences: {cosines}")
    return written(out, table, vocabulary)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program. Takes about 15 minutes on one free core, nearly all of them for the encoder."""
    parser = argparse.ArgumentParser(prog="python -m tests.static_table.build", description="Makes a static table.")
    parser.add_argument(
        "--onnx", type=Path, required=True, help="sentence encoder with an uncased WordPiece vocabulary"
    )
    parser.add_argument("--tokenizer", type=Path, required=True, help="its tokenizer.json")
    parser.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet 3 (data.noun, ...)")
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="more sentences, one a line, UTF-8")
    parser.add_argument("--store", type=Path, help="folder that keeps the encoder's vectors for the next run")
    parser.add_argument("out", type=Path, help="the table to write (.npz)")
    given = parser.parse_args(arguments)
    for path in (given.onnx, given.tokenizer, given.wordnet / "data.noun", *given.text):
        if not path.is_file():
            parser.error(f"{path} is no file")
    if given.out.suffix != ".npz":
        parser.error(f"{given.out} does not end in .npz")
    if given.store is not None:
        given.store.mkdir(parents=True, exist_ok=True)
    try:
        known = json.loads(given.tokenizer.read_text("utf-8"))["model"]["vocab"]
    except (KeyError, TypeError, ValueError) as error:
        parser.error(f"{given.tokenizer} is no tokenizer.json with a WordPiece vocabulary ({error!r})")
    table = build(Teacher(given.onnx, given.tokenizer, given.store), known, given.wordnet, given.text, given.out)
    print(f"{given.out}: {len(table)} entries of {table.dimensions} dimensions, digest {table.digest}")


if __name__ == "__main__":
    main()
