"""How far the token estimate of `router.core.policy.count_tokens` is from real vocabularies.

    python -m tests.bench.tokens [--data FOLDER]

Counts every text of policies/ (instructions, examples) and some sentences in other languages, and, with --data, the
texts of a folder (CSV, JSON, JSON lines: every string of at least three words). The references are cl100k_base and
o200k_base, which litellm carries inside its package, so that nothing is fetched.

Bias is the estimate's total over the reference's total, less one. Spread is the 5th and 95th percentile of the ratio
text by text, over texts of at least 8 tokens.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from router.core.policy import count_tokens
from tests.bench.report import print_conditions, print_table
from tests.support.serving import ROOT

REFERENCES = ("cl100k_base", "o200k_base")
INSTRUCTION_KEYS = ("brief", "guided", "detailed", "required")
TEXTS_PER_FILE = 20_000
SHORTEST = 8

ELSEWHERE = {
    "German": "Frage nach der Bestellnummer, bevor du eine Rückzahlung zusagst, und nenne den Betrag mit Währung.",
    "French": "Demandez le numéro de commande avant de promettre un remboursement, puis indiquez le montant exact.",
    "Spanish": "Pregunta por el número de pedido antes de prometer un reembolso y di cuántos días tardará.",
    "Polish": "Zapytaj o numer zamówienia, zanim obiecasz zwrot pieniędzy, i podaj kwotę wraz z walutą.",
    "Turkish": "Geri ödeme sözü vermeden önce sipariş numarasını sorun ve tutarı para birimiyle birlikte yazın.",
    "Russian": "Спросите номер заказа, прежде чем обещать возврат денег, и назовите сумму вместе с валютой.",
    "Greek": "Ρωτήστε τον αριθμό παραγγελίας πριν υποσχεθείτε επιστροφή χρημάτων και πείτε το ποσό.",
    "Arabic": "اسأل عن رقم الطلب قبل أن تعد باسترداد المال، واذكر المبلغ مع العملة.",
    "Hindi": "धनवापसी का वादा करने से पहले ऑर्डर नंबर पूछें और राशि मुद्रा के साथ बताएं।",
    "Japanese": "返金を約束する前に注文番号を尋ね、金額を通貨とともに伝えてください。",
    "Chinese": "在承诺退款之前请先询问订单号，并说明金额和币种。",
    "Korean": "환불을 약속하기 전에 주문 번호를 묻고 금액을 통화와 함께 알려 주세요.",
}


def reference(name: str) -> Callable[[str], int]:
    """Return the exact count of a vocabulary that litellm ships. Raises LookupError where it is not to be had."""
    package = importlib.util.find_spec("litellm")
    if package is None or package.origin is None:
        raise LookupError("litellm is not installed (pip install -e '.[dev]')")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(package.origin).parent / "litellm_core_utils" / "tokenizers")
    tiktoken = __import__("tiktoken")  # after the environment is set, which it reads
    encoding = tiktoken.get_encoding(name)
    return lambda text: len(encoding.encode(text, disallowed_special=()))


def instructions(document: Any) -> Iterator[str]:
    """Yield the instruction lines of a pack's file, at any depth."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in INSTRUCTION_KEYS:
                for line in value if isinstance(value, list) else [value]:
                    yield line["text"] if isinstance(line, dict) else str(line)
            else:
                yield from instructions(value)
    elif isinstance(document, list):
        for value in document:
            yield from instructions(value)


def examples(document: Any) -> Iterator[str]:
    """Yield the examples of a pack's file, at any depth."""
    if isinstance(document, dict):
        for line in document.get("examples") or ():
            yield str(line.get("text", "")) if isinstance(line, dict) else str(line)
        for value in document.values():
            yield from examples(value)
    elif isinstance(document, list):
        for value in document:
            yield from examples(value)


def strings(value: Any) -> Iterator[str]:
    """Yield every string of at least three words in a JSON value."""
    if isinstance(value, str):
        if value.count(" ") >= 2:
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def file_texts(path: Path) -> Iterator[str]:
    """Yield the texts of a CSV, JSON or JSON lines file."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from strings(list(csv.reader(file)))
        elif path.suffix == ".json":
            yield from strings(json.load(file))
        else:
            for line in file:
                yield from strings(json.loads(line))


def collections(data: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the collections of texts to count, by name."""
    for pack in sorted(path for path in (ROOT / "policies").iterdir() if path.is_dir()):
        documents = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(pack.rglob("*.yaml"))]
        yield f"{pack.name}: instructions", list(instructions(documents))
        yield f"{pack.name}: examples", list(examples(documents))
    yield (
        "the policy files as they stand",
        [file.read_text(encoding="utf-8") for file in sorted((ROOT / "policies").rglob("*.yaml"))],
    )
    for path in sorted(data.rglob("*")) if data else ():
        if path.suffix in {".csv", ".json", ".jsonl"}:
            yield f"{path.parent.name}/{path.name}", list(dict.fromkeys(file_texts(path)))[:TEXTS_PER_FILE]
    for language, text in ELSEWHERE.items():
        yield language, [text]


def compare(texts: Iterable[str], count: Callable[[str], int]) -> tuple[int, float, str]:
    """Return the reference's total, the bias of the estimate, and its spread in words."""
    pairs = np.array([(count_tokens(text), count(text)) for text in texts if text.strip()], dtype=float)
    estimated, real = pairs.sum(axis=0)
    ratios = (pairs[:, 0] / pairs[:, 1])[pairs[:, 1] >= SHORTEST]
    low, high = np.quantile(ratios, [0.05, 0.95]) if len(ratios) else (1.0, 1.0)
    return int(real), estimated / real - 1, f"{low:.2f} .. {high:.2f}"


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description="Compare the token estimate with real vocabularies.")
    parser.add_argument("--data", type=Path, help="a folder of CSV, JSON or JSON lines files with texts")
    arguments = parser.parse_args()
    print_conditions("Token estimate against real vocabularies")
    counts = {name: reference(name) for name in REFERENCES}
    rows = []
    for name, texts in collections(arguments.data):
        if not texts:
            continue
        row = [name, f"{len(texts):,}"]
        for count in counts.values():
            real, bias, spread = compare(texts, count)
            row += [f"{real:,}", f"{bias:+.1%}", spread]
        rows.append(row)
    print_table(["texts", "n", *(f"{name}{word}" for name in REFERENCES for word in ("", " bias", " spread"))], rows)


if __name__ == "__main__":
    main()
