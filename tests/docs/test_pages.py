"""The front page, the pages behind it and the map: short, complete, and true where they show what comes out."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from router import Router
from router.core.compose import CASES
from router.core.policy import PolicySettings
from router.packs import check, load_pack
from router.packs.lint.promises import rows_needed
from tests.docs.pages import DOCS, page
from tests.support.serving import ROOT

FRONT_PAGE_WORDS = 800
MAP_LINES = 120
PAGE_WORDS = 1250
"""Five minutes, at 250 words a minute."""

LOOKED_UP = frozenset({"pack-keys.md", "settings.md", "glossary.md", "commands.md"})
"""Pages that nobody reads from beginning to end."""

README = (ROOT / "README.md").read_text(encoding="utf-8")
_FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
PAGES = sorted(DOCS.rglob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks in a language."""
    return [code for word, code in _FENCED.findall(text) if word == language]


def test_the_front_page_takes_a_few_minutes() -> None:
    assert len(README.split()) <= FRONT_PAGE_WORDS


def test_the_map_fits_on_two_screens() -> None:
    assert len((ROOT / "router" / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= MAP_LINES


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(DOCS)))
def test_a_page_answers_one_question_in_five_minutes(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", _FENCED.sub("", text), re.MULTILINE)) == 1
    assert file.name in LOOKED_UP or len(text.split()) <= PAGE_WORDS


def test_the_index_names_every_page() -> None:
    index = page("README.md")
    assert [file.name for file in DOCS.glob("*.md") if file.name != "README.md" and f"({file.name})" not in index] == []


def test_the_list_of_decisions_names_every_decision() -> None:
    listed = page("decisions/README.md")
    assert [file.name for file in DOCS.glob("decisions/[0-9]*.md") if f"({file.name})" not in listed] == []


def test_the_front_page_shows_what_really_comes_out(support_pack: Path, recognisers: Path) -> None:
    router = Router.load(support_pack, cache=recognisers)
    asked = "My blender arrived broken and I want my money back"
    assert asked in README
    body = router.wrap({"model": "echo", "messages": [{"role": "user", "content": asked}]}).body
    said = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in body["messages"])
    assert said in blocks(README, "text")[0]
    found = router.explain({"model": "echo", "messages": [{"role": "user", "content": asked}]})
    told = blocks(README, "text")[1]
    assert f"{found['task']}  {found['outcome']}, confidence {found['confidence']:.2f}, level {found['level']}" in told
    assert f"+{found['tokens']} tokens  {found['policy']}@{found['revision']}\n" in told
    assert all(f"{each['id']}  ({each['reason']})" in told for each in found["dropped"])


def test_the_first_pack_is_the_shipped_one_cut_where_it_says_so() -> None:
    shipped = (ROOT / "policies" / "starter.yaml").read_text(encoding="utf-8")
    before, _, after = blocks(README, "yaml")[0].partition("      # ... a dozen, as varied as customers are\n")
    assert before in shipped and after in shipped[shipped.index(before) :]
    assert len((before + after).splitlines()) <= 13


def test_the_starter_is_written_as_one_should_copy_it() -> None:
    file = ROOT / "policies" / "starter.yaml"
    pack, text = load_pack(file), file.read_text(encoding="utf-8")
    assert [finding.code for finding in check(pack)] == ["few_to_certify"]
    assert len(pack.tests) == len(pack.policy.tasks) - 1
    assert not re.search(r"(brief|guided|detailed|required|examples): \[", text)


def test_the_pack_in_the_docs_loads(tmp_path: Path) -> None:
    root, refund = blocks(page("packs.md"), "yaml")[:2]
    for text in (root, refund):
        path = tmp_path / text.partition(":")[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (path.parent / "refund_examples.txt").write_text("refund please\ncan I get a refund?\n", encoding="utf-8")
    pack = load_pack(tmp_path / "policies" / "customer_support")
    assert list(pack.policy.tasks) == ["/", "/billing", "/billing/refund"]
    assert not [finding for finding in check(pack) if finding.code in ("unreachable", "dead_cue", "contradiction")]


def test_the_cases_in_the_docs_begin_as_they_do_in_a_prompt() -> None:
    shown = next(text for text in blocks(page("packs.md"), "text") if text.startswith("The message"))
    refund = blocks(page("packs.md"), "yaml")[1]
    heading = re.search("when_asked: (.+)", refund)
    assert heading is not None
    assert shown.startswith(f"{CASES}\n\nCase: {heading[1]}\n- Never promise")
    usual = PolicySettings()
    assert f"of which that takes {rows_needed(min(usual.error, usual.unconditional))}\n" in page("packs.md")


def test_the_metrics_in_the_docs_load(tmp_path: Path) -> None:
    shutil.copy(ROOT / "policies" / "starter.yaml", tmp_path / "policy.yaml")
    with (tmp_path / "policy.yaml").open("a", encoding="utf-8") as file:
        file.write(next(code for code in blocks(page("rewards.md"), "yaml") if code.startswith("metrics:")))
    policy = load_pack(tmp_path / "policy.yaml").policy
    assert policy.primary is not None
    assert set(policy.metrics) == {"resolved", "escalated", "checks", "quality"}
