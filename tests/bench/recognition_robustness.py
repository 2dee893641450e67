"""What recognition loses to typos, wrapping and noise, what suffixes do to it, and what it says to other languages.

    python -m tests.bench.recognition_robustness [--quick]

On packs of 10 examples a task of CLINC150 and Banking77 (one draw) and their official test messages, spoilt in ways that
leave what is asked as it is. Accuracy is that of the best task of the message as a whole, in points; beside it the shares
that settle on a task, and wrongly: settling also reads each sentence for itself, so it may survive what accuracy does not.

Flips: the share of messages whose settled task is another one with the suffix than without. Backing off is no flip.
Below it, with two tasks a message allowed, as packs have it: the share to which another task is added beside their own.

Packs have no boilerplate patterns here; with patterns a quoted thread is cut before it is read.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.bench.recognition_contenders import OurRouter
from tests.bench.recognition_metrics import leads_to, percent, share
from tests.bench.recognition_parts import begin, say
from tests.bench.recognition_sets import SETS, Messages, Row, draw
from tests.bench.recognition_texts import ATTACKS, ELSEWHERE, SPOILT
from tests.bench.report import print_table

SHOTS = 10
ATTACKED = 1_000
WORDS_OF_ANOTHER = 10


def spoilt_shares(router: OurRouter, rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return accuracy and settled shares: as the messages are, and for each way to spoil them."""
    found = {}
    for name, spoil in {"as it is": lambda text, dice: text, **SPOILT}.items():
        dice = random.Random(name)
        answers = router.answer([spoil(row.text, dice) for row in rows])
        pairs = [(answer, row.path) for answer, row in zip(answers, rows, strict=True)]
        missed = [bool(answer.listed) and path not in answer.listed for answer, path in pairs]
        plainly = [not leads_to(answer.settled or "/", path) for answer, path in pairs]
        found[name] = {
            "task": share([answer.task == path for answer, path in pairs]),
            "reach": share([path in (answer.settled, *answer.listed) for answer, path in pairs]),
            "wrong": share([either for either in map(max, plainly, missed)]),
        }
    return found


def attacked_shares(router: OurRouter, messages: Messages, count: int) -> dict[str, dict[str, float]]:
    """Return, for each suffix, how many messages flip, back off, and get another task beside their own."""
    rows = random.Random(7).sample(messages.test, min(count, len(messages.test)))
    depth = rows[0].path.count("/")
    before = [_tasks(router, row.text, depth) for row in rows]
    words: dict[str, list[str]] = {}
    for text, path in draw(messages.train, SHOTS, 0):
        words.setdefault(path, []).extend(text.split())
    found = {}
    for name, form in ATTACKS.items():
        dice = random.Random(name)
        flipped = backed_off = added = 0
        for row, own in zip(rows, before, strict=True):
            other = dice.choice([path for path in words if path != row.path])
            title = other.rpartition("/")[2].replace("_", " ")
            borrowed = " ".join(dice.sample(words[other], min(WORDS_OF_ANOTHER, len(words[other]))))
            after = _tasks(router, form.format(text=row.text, title=title, words=borrowed), depth)
            if own:
                flipped += bool(after) and after[0] != own[0] and own[0] not in after
                backed_off += not after
                added += own[0] in after and bool(set(after) - set(own))
        found[name] = {part: n / len(rows) for part, n in (("flipped", flipped), ("off", backed_off), ("added", added))}
    found["settled on a task without a suffix"] = {"settled": share([bool(own) for own in before])}
    return found


def _tasks(router: OurRouter, text: str, depth: int) -> list[str]:
    """Return the tasks that a message settles on."""
    return [path for path, _, _ in router.told(text).paths if path != "/" and path.count("/") == depth]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    part = begin("Robustness of recognition", argv, pack=f"{SHOTS} examples a task, one draw, no unrelated texts")
    figures: dict[str, Any] = {}
    for data_set, load in SETS.items():
        messages = load(part.data)
        router = OurRouter()
        router.fit(draw(messages.train, SHOTS, 0))
        rows = messages.test[:: 5 if part.quick else 1]
        say(f"robustness: {data_set}")
        spoilt = spoilt_shares(router, rows)
        attacked = attacked_shares(router, messages, 200 if part.quick else ATTACKED)
        figures[data_set] = {"spoilt": spoilt, "attacked": attacked}
        if data_set == "CLINC150":
            figures["elsewhere"] = {
                language: share([told.paths[0].path != "/" or bool(told.shortlist) for told in map(router.told, texts)])
                for language, texts in ELSEWHERE.items()
            }
        _print_spoilt(data_set, len(rows), spoilt)
        _print_attacked(data_set, attacked)
    _print_elsewhere(figures["elsewhere"])
    part.keep("robustness", figures)


def _print_spoilt(data_set: str, count: int, spoilt: dict[str, dict[str, float]]) -> None:
    print(f"\n## {data_set}: {count:,} messages, spoilt\n")
    plain = spoilt["as it is"]["task"]
    rows = [
        [name, percent(one["task"]), percent(plain - one["task"]), percent(one["reach"]), percent(one["wrong"])]
        for name, one in spoilt.items()
    ]
    print_table(["message", "task %", "lost points", "reach %", "error %"], rows)


def _print_attacked(data_set: str, attacked: dict[str, dict[str, float]]) -> None:
    settled = attacked["settled on a task without a suffix"]["settled"]
    print(f"\n## {data_set}: suffixes; {percent(settled)} % settle on a task without one\n")
    rows = [
        [name, *(percent(one[column]) for column in ("flipped", "off", "added"))]
        for name, one in attacked.items()
        if "flipped" in one
    ]
    print_table(["suffix", "flipped %", "backs off %", "another task added %"], rows)


def _print_elsewhere(elsewhere: dict[str, float]) -> None:
    print("\n## Other languages, CLINC150: what gets any task's text (nothing should)\n")
    rows = [[language, len(ELSEWHERE[language]), percent(settled, 0)] for language, settled in elsewhere.items()]
    total = sum(settled * len(ELSEWHERE[language]) for language, settled in elsewhere.items())
    count = sum(map(len, ELSEWHERE.values()))
    print_table(["language", "sentences", "told %"], [*rows, ["all", count, percent(total / count, 0)]])


if __name__ == "__main__":
    main()
