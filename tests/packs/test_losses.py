"""What would be lost with one pack in place of another, and what only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.core.errors import PolicyError
from router.packs import check, empty_files, load_pack, losses

WHOLE = """\
name: desk
brief: Be polite.
required: [Never ask for passwords., Never guess.]
tasks:
  refund:
    examples: [I want my money back, refund please]
    required: [Promise nothing.]
    brief: Help with refunds.
  delivery:
    examples: ["where is my parcel?", track my package]
    brief: Help find the parcel.
  account:
    examples: [change my name, close my account]
    brief: Help with the account.
"""


def lost(tmp_path: Path, after: str, before: str = WHOLE) -> list[str]:
    """Return what is said of the loss."""
    file = tmp_path / "desk.yaml"
    file.write_text(before)
    old = load_pack(file)
    file.write_text(after)
    return [fault.message for fault in losses(old, load_pack(file))]


@pytest.mark.parametrize(
    ("gone", "instead", "said"),
    [
        (", Never guess.", "", 'the required text "- Never guess." of / would be lost'),
        ("    required: [Promise nothing.]\n", "", 'the required text "- Promise nothing." of /refund would be lost'),
        ("Never ask for passwords.", "Never ask", 'the required text "- Never ask for passwords." of / would be lost'),
        ("  refund:\n    ex", "  refund:\n    off: true\n    ex", 'text "- Promise nothing." of /refund would be lost'),
        (WHOLE[WHOLE.index("  delivery") :], "", "2 of 3 tasks would be lost"),
        ("brief: Be polite.\nrequired: [Never ask for passwords., Never guess.]\n", "", "(the instructions of /)"),
    ],
    ids=["one text", "a task's", "half a text", "with its task", "most tasks", "the root's"],
)
def test_what_is_lost_is_said(tmp_path: Path, gone: str, instead: str, said: str) -> None:
    assert gone in WHOLE
    assert said in "\n".join(lost(tmp_path, WHOLE.replace(gone, instead, 1)))


@pytest.mark.parametrize(
    ("gone", "instead"),
    [
        ("Never guess.", "Do not guess."),
        ("Never guess.", "Never guess. Ask."),
        ("    required: [Promise nothing.]\n", "    detailed: x\n"),
        (WHOLE[WHOLE.index("  account") :], ""),
        ("brief: Be polite.", "guided: Be kind."),
        ("  refund:", "  money:"),
    ],
    ids=["other words", "more words", "moved up", "one task", "another level", "another name"],
)
def test_what_is_changed_is_not_lost(tmp_path: Path, gone: str, instead: str) -> None:
    after = WHOLE.replace(gone, instead, 1)
    if "Promise" in gone:  # to the root, where it holds for that task as well
        after = after.replace("Never guess.", "Never guess., Promise nothing.")
    assert lost(tmp_path, after) == []


def test_a_file_cut_anywhere_is_never_taken_for_the_whole(tmp_path: Path) -> None:
    """Cut at a line's end, what is left may be meant, unless what it loses says otherwise."""
    accepted = []
    file = tmp_path / "desk.yaml"
    file.write_text(WHOLE)
    whole = load_pack(file)
    for end in range(len(WHOLE) - 1):
        file.write_text(WHOLE[:end])
        try:
            pack = load_pack(file)
        except PolicyError:  # broken: nothing is taken up either
            continue
        if not list(empty_files(pack)) and not list(losses(whole, pack)):
            accepted.append(WHOLE[:end])
    lines = WHOLE.splitlines()
    assert all(text.rstrip("\n").rpartition("\n")[2] in lines for text in accepted)
    assert all("Promise nothing." in text and "delivery" in text for text in accepted)


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
@pytest.mark.parametrize("name", ["policy.yaml", "refund.yaml", "examples.de.yaml", "refund.txt"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "policy.yaml").write_text("brief: Be polite.\n")
    (tmp_path / "refund.yaml").write_text("examples: [{file: refund.txt}]\nbrief: x\n")
    (tmp_path / "refund.txt").write_text("refund please\n")
    (tmp_path / name).write_text(content, encoding="utf-8")
    (found,) = [finding for finding in check(load_pack(tmp_path)) if finding.code == "empty_file"]
    assert (found.severity, found.file, found.line) == ("error", str(tmp_path / name), 1)
