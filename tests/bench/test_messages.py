"""The texts of the benchmark on messages are whole, and its tables print on a few of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from router.core.decision import nothing
from router.core.evidence import Likely
from router.core.policy import ROOT, Policy
from router.packs import load_pack
from tests.bench.gateways import SHIPPED_PACK
from tests.bench.messages import __main__ as bench
from tests.bench.messages import grid, sets, texts
from tests.bench.messages.pack import judge
from tests.bench.recognition_sets import Messages, Row

SMALL_PACK = """
name: small
brief: Help.
tasks:
  refund:
    about: Money back
    brief: Say when the money comes.
    examples: [i want my money back, please refund my order, can i be refunded, refund me, give me my money]
  track:
    about: Where a parcel is
    brief: Say where it is.
    examples: [where is my parcel, track my package, my parcel has not arrived, parcel status, when will it come]
"""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_pack(SHIPPED_PACK).policy


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_messages_load_and_name_tasks_of_the_pack(language: str, policy: Policy) -> None:
    rows = texts.messages(language)
    assert Counter(bool(row.tasks) for row in rows) == (
        {True: 200, False: 24} if language == "English" else {True: 60, False: 6}
    )
    assert all(row.text.strip() for row in rows)
    assert len({row.text for row in rows}) == len(rows)
    assert {task for row in rows for task in row.tasks} <= set(policy.tasks)
    assert all((row.style == texts.FOREIGN) == (not row.tasks) for row in rows)


@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_the_halves_are_balanced(language: str) -> None:
    rows = texts.messages(language)
    assert {row.half for row in rows} == {texts.SEEN, texts.UNSEEN}
    for style in {row.style for row in rows}:
        sizes = [sum(row.style == style for row in texts.of_half(rows, half)) for half in (texts.SEEN, texts.UNSEEN)]
        assert abs(sizes[0] - sizes[1]) <= 2, style
    assert len(texts.of_half(rows, texts.ALL)) == len(rows)


def test_no_message_is_an_example_of_the_pack_but_for_a_greeting(policy: Policy) -> None:
    examples = {text.lower() for task in policy.tasks.values() for text in task.examples}
    examples |= {text.lower() for text in policy.unrelated}
    # Told by its tasks and its length: whoever reads a failed test should not read an unseen message.
    found = {
        (language, row.half, row.tasks, len(row.text.split()))
        for language in texts.LANGUAGES
        for row in texts.messages(language)
        if row.text.lower() in examples
    }
    assert found <= {("Polish", texts.UNSEEN, ("/small_talk/greeting",), 4)}


def test_framed_turns_and_the_grid_name_tasks_of_the_pack(policy: Policy) -> None:
    rows = texts.frames()
    assert Counter((row.half, row.expect) for row in rows) == {
        (half, expect): count
        for half in (texts.SEEN, texts.UNSEEN)
        for expect, count in (("reach", 113), ("back_off", 9), ("keep", 3))
    }
    assert {row.task for row in rows} <= set(policy.tasks)
    assert all(bool(row.own) == (row.expect == "reach") for row in rows)
    cells = list(grid.cells())
    assert len(cells) == len({cell.turn for cell in cells}) == 10 * 5 * 6
    assert {cell.task for cell in cells} <= set(policy.tasks)


def test_stories_and_appended_words_have_their_length() -> None:
    assert len(texts.stories()) == 120 and all(around.before or around.after for around in texts.stories())
    assert len(texts.appended()) == 40
    assert all(18 <= len(words.split()) <= 30 for words in texts.appended())
    source = texts.long_messages(200)
    drawn = [next(source) for _ in range(20)]
    assert len(set(drawn)) == 20
    assert all(195 <= len(text.split()) <= 210 for text in drawn)


def test_a_decision_is_judged_by_all_it_sends() -> None:
    silent = nothing("1", "unclassified")
    assert judge(silent, ["/a"]) == (False, False, False, False, True, 0)
    assert judge(silent, []).told is False
    listed = replace(silent, shortlist=(Likely("/a", 0.6), Likely("/b/c", 0.3)))
    assert judge(listed, ["/a"])[:5] == (True, True, False, False, False)
    assert judge(listed, ["/a", "/d"])[:5] == (True, False, False, False, False)
    assert judge(listed, ["/d"])[:5] == (False, False, False, True, False)
    plain = replace(silent, paths=(silent.paths[0]._replace(path="/b"),))
    assert judge(plain, ["/b/c"])[:5] == (False, False, False, False, False)
    assert judge(plain, ["/a"])[:5] == (False, False, True, True, False)
    assert judge(plain, []).told and plain.task != ROOT


def test_the_tables_of_the_pack_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small.yaml"
    small.write_text(SMALL_PACK, encoding="utf-8")
    run = bench.Run((texts.SEEN, texts.ALL), True, tmp_path, small, sample=6)
    for part in ("styles", "languages", "retrieved", "frames"):
        bench.PARTS[part](run)
    said = capsys.readouterr().out
    for expected in (
        "| **all** ",
        "| Polish ",
        "| the questions alone ",
        "| nobody asks anything: general only ",
        "wanted",
    ):
        assert expected in said
    assert "nan" not in said


def test_the_table_of_data_sets_and_of_times_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(f"{wish} {n}", path) for path, wish in (("/a/x", "pay me"), ("/b/y", "track it")) for n in range(6)]
    monkeypatch.setattr(sets, "SETS", {"small": lambda data: Messages("small", tuple(rows), tuple(rows))})
    sets.sets_table(tmp_path, 1, 8)
    monkeypatch.setattr(sets.deciding, "LEAST", 5)
    small = tmp_path / "small.yaml"
    small.write_text(SMALL_PACK, encoding="utf-8")
    sets.times_table(small, tmp_path, 0)
    said = capsys.readouterr().out
    assert "| small, twenty words appended " in said
    assert "| 200 words " in said


def test_an_unknown_part_is_named_and_missing_data_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="no such part: tables"):
        bench.main(["tables"])
    with pytest.raises(SystemExit, match="BENCH_DATA"):
        bench.main(["sets"])
