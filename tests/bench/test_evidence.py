"""The evidence on public runs: what is paired, what is counted how, and that a clone gives the same figures each time.

The folder is made up in the shape of SOPBench's; nothing of it is SOPBench's.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.core.decision import Settled, Settlement
from router.core.evidence import Likely
from tests.bench.evidence import __main__ as bench
from tests.bench.evidence import clone, routed, runs, tables

ASKED = {
    "shop": {
        "track_parcel": ("where is my parcel", "track the parcel", "has the parcel left", "when does the parcel come"),
        "refund_order": (
            "refund my order please",
            "i want my money back",
            "money back for my order",
            "refund the money",
        ),
    },
    "office": {
        "book_desk": ("book a desk by the window", "reserve a desk", "is a desk free", "i need a quiet desk"),
        "lost_badge": ("my badge is lost", "i lost the badge"),
    },
}
PRESSURE = "Hurry up."
NAME = "output/{domain}/{user}ast_{model}-mode_{how}-dep_full-fmt_structured-tool_{tools}-shuffle_False.json"
SYSTEM = {
    "full": "Be kind.\n\n### Actions:\n* one rule and another\n* a third",
    "oracle": "Be kind.\n\n### Actions:\n* one rule",
}


def a_run(domain: str, goal: str, at: int, success: bool, tools: str, said: str = "") -> dict[str, Any]:
    """Return a run in the shape of SOPBench's. Every other task is to be refused."""
    prompt = ASKED[domain][goal][at]
    task = {
        "user_goal": goal,
        "user_prompt": prompt,
        "user_known": {"number": at},
        "constraints": ["single", "known"],
        "constraint_parameters": {},
        "initial_database": {"rows": at},
        "action_should_succeed": at % 2 == 0,
    }
    told = {"prompt": SYSTEM[tools], "interaction": [{"content": said or prompt, "sender": "user"}]}
    return {"task": task, "interactions": [told], "evaluations": [{"success": success}]}


def write(folder: Path, name: str, content: object) -> None:
    """Write a file of JSON."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def made_up(folder: Path) -> Path:
    """Make a folder: with everything every third task succeeds, with only the task's all but every fourth."""
    for domain, goals in ASKED.items():
        tasks = {goal: [{"user_prompt": prompt} for prompt in prompts] for goal, prompts in goals.items()}
        write(folder, f"data/{domain}_tasks.json", tasks)
        every = [(goal, at) for goal, prompts in goals.items() for at in range(len(prompts))]

        def rows(tools: str, step: int, said: str = "", domain: str = domain, every: Any = every) -> list[Any]:
            return [
                a_run(domain, goal, at, (at % step == 0) == (step == 3), tools, said and ASKED[domain][goal][at] + said)
                for goal, at in every
            ]

        for model, how in (("small", "fc"), ("large", "fc"), ("small", "react")):
            names = {tools: NAME.format(domain=domain, user="", model=model, how=how, tools=tools) for tools in SYSTEM}
            write(folder, names["full"], rows("full", 3))
            write(folder, names["oracle"], rows("oracle", 4))
        pressed = NAME.format(domain=domain, user="usr_adv-", model="small", how="fc", tools="full")
        write(folder, pressed, rows("full", 4, f"\n\n{PRESSURE}"))
    write(folder, NAME.format(domain="shop", user="", model="none", how="fc", tools="oracle"), [])
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def found(folder: Path) -> runs.Found:
    return runs.load(clone.open_clone(folder))


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_a_plain_folder_a_work_tree_and_a_git_directory_hold_the_same(
    folder: Path, found: runs.Found, tmp_path: Path
) -> None:
    tree, bare = tmp_path / "tree", tmp_path / "bare.git"
    shutil.copytree(folder, tree)
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "all")
    git(tmp_path, "clone", "-q", "--bare", str(tree), str(bare))
    shutil.rmtree(tree / "output")  # a work tree is read as it was committed
    for place in (tree, bare):
        there = clone.open_clone(place)
        assert len(there.revision) == 40
        assert runs.load(there) == found


def test_large_files_and_those_that_a_repository_lacks_are_left_out(folder: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(folder, tree)
    large = NAME.format(domain="shop", user="", model="small", how="fc", tools="full")
    size = (tree / large).stat().st_size
    (tree / large).write_text((tree / large).read_text() + " " * size)
    assert clone.open_clone(tree, 2 * size).left_out == {large}
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "all")
    assert clone.open_clone(tree, 2 * size).left_out == {large}
    assert clone.open_clone(tree, 2 * size + 1).left_out == frozenset()
    thing = clone.open_clone(tree).files[large]
    (tree / ".git" / "objects" / thing[:2] / thing[2:]).unlink()
    lacking = clone.open_clone(tree)
    assert lacking.left_out == {large}
    assert runs.load(lacking).counts()["files left out"] == 1


def test_a_partial_clone_is_read_as_it_is(folder: Path, found: runs.Found, tmp_path: Path) -> None:
    tree, bare = tmp_path / "tree", tmp_path / "bare.git"
    shutil.copytree(folder, tree)
    git(tree, "init", "-q", "-b", "main")
    git(tree, "config", "uploadpack.allowFilter", "true")
    large = NAME.format(domain="shop", user="", model="vast", how="fc", tools="full")
    write(tree, large, ["x" * 20_000])
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "all")
    git(tmp_path, "clone", "-q", "--bare", "--filter=blob:limit=10k", tree.as_uri(), str(bare))
    shutil.rmtree(tree)  # nothing is fetched any more
    partial = clone.open_clone(bare, math.inf)
    assert partial.left_out == {large}
    assert runs.load(partial).pairs == found.pairs


def test_runs_are_paired_by_model_by_how_tools_are_called_and_by_task(found: runs.Found) -> None:
    assert found.counts() == {
        "goals": 4,
        "requests": 14,
        "pairs": 28,
        "pairs in office": 12,
        "pairs in shop": 16,
        "pairs called by text": 14,
        "models": 2,
        "runs under pressure": 14,
        "files left out": 0,
        "files that cannot be read": 0,
    }
    assert found.pressure == PRESSURE
    assert found.goals["/office/lost_badge"] == ("i lost the badge", "my badge is lost")
    pair = next(pair for pair in found.called() if pair.prompt == "where is my parcel")
    assert (pair.everything.success, pair.only.success, pair.everything.allowed) == (True, False, True)
    assert [runs.words(run.system) for run in (pair.everything, pair.only)] == [12, 7]
    assert runs.general(pair.everything.system) == runs.general(pair.only.system) == "Be kind."
    # The first, the second and third, and the fourth request of a goal.
    kinds = {(one.everything, one.pressed, one.only) for one in found.pressed}
    assert kinds == {(True, False, False), (False, True, True), (True, True, True)}


def test_what_was_not_evaluated_or_is_another_task_is_no_pair(folder: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(folder, tree)
    name = NAME.format(domain="shop", user="", model="small", how="fc", tools="oracle")
    rows = json.loads((tree / name).read_text())
    del rows[0]["evaluations"]
    rows[1]["task"]["initial_database"] = {"rows": "other"}
    rows[2]["task"]["action_should_succeed"] = "whatever"  # follows from the rest of the task
    write(tree, name, rows)
    assert runs.load(clone.open_clone(tree)).counts()["pairs in shop"] == 14


@pytest.mark.parametrize(
    ("settled", "listed", "verdict", "reached"),
    [
        (["/a/x"], [], ("right", 0, False), True),
        (["/a"], [], ("backed off", 0, False), False),
        (["/"], ["/a/x", "/b/z"], ("backed off", 2, True), True),
        (["/"], ["/a/y", "/b/z"], ("backed off", 2, False), False),
        (["/b"], ["/a/x", "/b/z"], ("wrong", 2, True), False),
        (["/a/y"], [], ("wrong", 0, False), False),
        (["/a/x", "/b/z"], [], ("wrong", 0, False), False),
    ],
)
def test_what_is_sent_is_judged(settled: list[str], listed: list[str], verdict: tuple, reached: bool) -> None:
    told = Settlement(tuple(Settled(path, 0.9, 0.8) for path in settled), tuple(Likely(path, 0.4) for path in listed))
    found = routed.judged(told, "/a/x")
    assert (*found,) == verdict
    assert found.reached == reached


@pytest.mark.parametrize(
    ("fate", "run", "length"), [("right", "only", 7), ("backed off", "everything", 12), ("wrong", "", 7)]
)
def test_what_is_sent_decides_which_run_counts(fate: Any, run: str, length: int, found: runs.Found) -> None:
    for pair in found.called():
        one = tables.Routed(pair, routed.Verdict(fate, 0, False))
        assert one.success == (bool(run) and getattr(pair, run).success)
        assert one.words == length


def test_no_request_is_asked_that_is_an_example() -> None:
    for count, examples in ((1, 1), (3, 3), (4, 3), (8, 4), (40, 10)):
        requests = [f"request {n}" for n in range(count)]
        known, unseen = routed.split(requests, random.Random(1))
        assert len(known) == examples
        assert sorted(known + unseen) == sorted(requests)


def test_a_draw_asks_the_same_each_time_and_no_example(monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[str] = []
    asked: list[str] = []

    class Recorder:
        def fit(self, rows: Any) -> None:
            known.extend(row.text for row in rows)

        def told(self, text: str) -> Settlement:
            asked.append(text)
            return Settlement((Settled("/", 1.0, 0.0),))

    monkeypatch.setattr(routed, "OurRouter", Recorder)
    goals = {
        "/a/x": [f"where is my old {word} now" for word in ("hat", "bag", "cup", "pen", "key", "map", "box", "cap")]
    }
    wanted = frozenset(goals["/a/x"][:7])
    first = routed.one_draw(3, goals, wanted, PRESSURE)
    said = asked.copy()
    assert len(known) == 3 + 4 and set(known) == set(known[3:])  # the three are among the four
    assert set(first.verdicts["10 examples"]) == wanted - set(known)
    assert {one.fate for verdicts in first.verdicts.values() for one in verdicts.values()} == {"backed off"}
    asked.clear()
    assert routed.one_draw(3, goals, wanted, PRESSURE) == first
    assert asked == said


def test_ways_leave_what_is_asked() -> None:
    ways = {arm.title: arm for arm in routed.arms(PRESSURE)}
    said = {title: arm.way("Hello! I lost my old badge. Now what?", random.Random(1)) for title, arm in ways.items()}
    assert said["first sentence only"] == "I lost my old badge."
    assert said["adversarial user"].endswith(f"Now what?\n\n{PRESSURE}")
    assert all("{text}" in head for head in routed.HEADS)
    assert "I lost my old badge" in said["a help desk's head around"]
    assert [arm.title for arm in routed.arms("")] == [title for title in ways if "adversarial" not in title]
    assert routed.first_sentence("Hi there!") == "Hi there!"


def test_an_interval_is_of_goals() -> None:
    assert tables.interval(["/a"] * 9 + ["/b"], [1] * 10) == (1.0, 1.0)
    assert np.isnan(tables.interval(["/a"] * 9, [1] * 9)).all()
    goals, differences = [f"/{n % 20}" for n in range(400)], [int(n % 20 < 5) for n in range(400)]
    low, high = tables.interval(goals, differences)
    assert 0.05 <= low < 0.25 < high <= 0.45  # as wide as 20 goals make it, not 400 pairs
    shuffled = random.Random(3).sample(range(400), 400)
    assert tables.interval([goals[n] for n in shuffled], [differences[n] for n in shuffled]) == (low, high)


def figures(text: str) -> str:
    """Return what is printed, without the conditions."""
    return text.partition("Counts: ")[2]


def test_the_tables_print_twice_the_same(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.md"
    arguments = [str(folder), "--draws", "1", "--workers", "1", "--out", str(out)]
    bench.main(arguments)
    first = capsys.readouterr().out
    assert out.read_text(encoding="utf-8") == first
    for row in (
        "| **all** ",
        "| office ",
        "| small ",
        "| to be refused ",
        "| tools called by text ",
        "| 3 examples ",
        "| a help desk's head around ",
        "| adversarial user ",
        "| the half least like the examples ",
        "their success cannot be known",
        "No run had a router in it.",
        "SOPBench states no licence.",
    ):
        assert row in first
    assert "nan" not in first
    assert "**These are not the published figures.**" in first
    assert "- pairs in bank: 0 here, 765 published\n" in first
    assert "- pairs in shop: 16 here, 0 published\n" in first
    assert "- models:" in first and "- files left out: 0 here, 151 published" in first
    bench.main(arguments)
    assert figures(capsys.readouterr().out) == figures(first)


def test_only_published_counts_are_called_so() -> None:
    assert bench.differences(bench.PUBLISHED) == []
    assert bench.differences({**bench.PUBLISHED, "pairs in hotel": 3}) == ["pairs in hotel: 3 here, 0 published"]


def test_figures_of_large_files_too_are_not_called_published(
    found: runs.Found, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.tell_counts(found, True)
    assert "these figures are not the published ones" in capsys.readouterr().out


def test_an_absent_folder_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.main([])
    bench.main([str(tmp_path / "nowhere")])
    said = capsys.readouterr().out
    assert said.count("Skipped: ") == 2
    assert "make evidence SOPBENCH=FOLDER" in said


def test_a_folder_that_is_not_sopbench_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no clone of SOPBench: it has no files"):
        bench.main([str(tmp_path)])
    shutil.copytree(folder / "data", tmp_path / "data")
    with pytest.raises(SystemExit, match="4 goals and 0 pairs of runs"):
        bench.main([str(tmp_path)])
    git(tmp_path, "init", "-q")
    with pytest.raises(SystemExit, match="git cannot read"):
        bench.main([str(tmp_path)])


@pytest.mark.parametrize("content", ["version https://git-lfs.github.com/spec/v1", '[{"task": 1}]', "[1]", '{"a": 1}'])
def test_a_file_that_cannot_be_read_is_named(content: str, folder: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(folder, tree)
    name = NAME.format(domain="shop", user="", model="small", how="fc", tools="oracle")
    (tree / name).write_text(content)
    found = runs.load(clone.open_clone(tree))
    assert found.spoilt == [name]
    assert found.counts()["pairs in shop"] == 8


def test_a_clone_without_runs_under_pressure_or_requests_to_ask_says_so(
    found: runs.Found, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.pressed_table([])
    nobody = routed.Drawn({arm.title: {} for arm in routed.arms("")}, frozenset())
    tables.routed_tables(found, [nobody], routed.arms(""))
    said = capsys.readouterr().out
    assert "none that could be paired" in said
    assert "No pair has a request that is no example." in said
