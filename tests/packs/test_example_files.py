"""Files of examples beside a pack: found by their names, added to tasks, and held to all that holds for a pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.core.errors import Fault
from router.packs import Archive, Pack, check, load_pack

Write = Callable[[Mapping[str, str | bytes]], Path]
Load = Callable[[Mapping[str, str | bytes]], Pack]
Faults = Callable[[Mapping[str, str | bytes]], tuple[Fault, ...]]

TASKS = "tasks: {billing: {tasks: {refund: {examples: [money back]}}}, delivery: {examples: [where is it]}}"
GERMAN = """
# German
language: de
generated: true
examples:
  /billing/refund:
    - Geld zurück
    - {text: "Erstattung: bitte", generated: false}
  /delivery: [Wo ist es?]
unrelated: [Wie wird das Wetter?]
"""


def beside(text: str | bytes, tag: str = "de") -> dict[str, str | bytes]:
    return {"pack/policy.yaml": TASKS, f"pack/examples.{tag}.yaml": text}


@pytest.mark.parametrize(
    "files",
    [
        beside(GERMAN),
        {"pack/policy.yml": TASKS, "pack/examples.more.yml": GERMAN},
        {"pack.yaml": TASKS, "pack.examples.de.yaml": GERMAN},
    ],
    ids=["folder", "the other ending", "one file"],
)
def test_they_are_found_by_their_names(load: Load, files: dict[str, str]) -> None:
    pack = load(files)
    policy = pack.policy
    assert policy.tasks["/billing/refund"].examples == ("money back", "Erstattung: bitte", "Geld zurück")
    assert policy.tasks["/delivery"].examples == ("where is it", "Wo ist es?")
    assert policy.unrelated == ("Wie wird das Wetter?",)
    assert policy.generated == {
        ("/billing/refund", "Geld zurück"),
        ("/delivery", "Wo ist es?"),
        ("/", "Wie wird das Wetter?"),
    }
    assert list(policy.tasks) == ["/", "/billing", "/billing/refund", "/delivery"]
    assert pack.policy.languages["Geld zurück"] == "de"
    assert "money back" not in pack.policy.languages


def test_the_root_file_and_its_folder_are_one_pack(write: Write) -> None:
    folder = write(beside(GERMAN))
    assert load_pack(folder / "policy.yaml").policy.revision == load_pack(folder).policy.revision


def test_every_text_has_its_place(load: Load) -> None:
    file, line = load(beside(GERMAN)).places["/billing/refund:example.3"]
    assert (Path(file).name, line) == ("examples.de.yaml", 7)


def test_other_names_are_what_they_were(load: Load) -> None:
    tasks = load(
        {
            "pack/policy.yaml": "",
            "pack/examples.yaml": "",
            "pack/billing/examples.yaml": "",
            "pack/.examples.de.yaml": "{",
        }
    ).policy.tasks
    assert list(tasks) == ["/", "/billing", "/billing/examples", "/examples"]
    assert "/" in load({"pack.yaml": "", "other.examples.de.yaml": "{", "pack.examples.txt": "{"}).policy.tasks


def test_inner_tasks_and_the_root_have_examples_as_elsewhere(load: Load) -> None:
    pack = load(beside("examples: {/billing: [Rechnung], /: [Hallo]}"))
    assert pack.policy.tasks["/billing"].examples == ("Rechnung",)
    assert "root_examples" in {finding.code for finding in check(pack)}


def test_a_text_that_a_customer_wrote_elsewhere_is_a_customers(load: Load) -> None:
    files = beside("generated: true\nexamples: {/delivery: [where is it, Wo ist es?, wo]}", "a")
    files["pack/examples.b.yaml"] = "examples: {/delivery: [Wo ist es?]}"
    policy = load(files).policy
    assert policy.tasks["/delivery"].examples == ("where is it", "Wo ist es?", "wo")
    assert policy.generated == {("/delivery", "wo")}


def test_without_the_mark_a_file_is_a_persons(load: Load) -> None:
    assert load(beside(GERMAN.replace("generated: true\n", ""))).policy.generated == frozenset()
    assert load(beside(GERMAN)).policy.generated


def test_they_may_name_files_of_lines(load: Load) -> None:
    files = beside("generated: true\nexamples: {/delivery: [{file: de.txt}]}") | {"pack/de.txt": "eins\nzwei\n"}
    policy = load(files).policy
    assert policy.tasks["/delivery"].examples == ("where is it", "eins", "zwei")
    assert len(policy.generated) == 2


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("examples:\n  /billing/refnd: [a]", 2, "there is no task /billing/refnd", 'did you mean "/billing/refund"?'),
        ("examples:\n  billing/refund: [a]", 2, '"billing/refund" is no path', "/ is the root"),
        ("\nexample: {}", 2, 'unknown key "example"', 'did you mean "examples"?'),
        ("brief: hello", 1, 'unknown key "brief"', "known: examples, generated, language, unrelated"),
        ("language: german", 1, '"german" is no language code', "two letters"),
        ("language: de-AT", 1, '"de-AT" is no language code', 'did you mean "de"?'),
        ("generated: yes", 1, 'must be true or false, not the text "yes"', "only true and false"),
        ("examples: {/delivery: }", 1, "there is no value here", "write one"),
        ("examples: {/delivery: one}", 1, "must be a list", "one entry a line"),
        ("examples: {/delivery: [a: b]}", 1, 'unknown key "a"', "put the text in quotes"),
        ("examples: {/delivery: [a], /delivery: [b]}", 1, 'duplicate key "/delivery"', "it stands already"),
        ("- a", 1, "the file must be a mapping", "key: value"),
        ("examples: {/delivery: [{file: none.txt}]}", 1, "there is no file", "relative to the file"),
        ("# größer\nlanguage: de".encode("latin-1"), 1, "the file is not UTF-8", "save it with the encoding UTF-8"),
        ("language: de".encode("utf-16"), 1, "the file is not UTF-8", "save it with the encoding UTF-8"),
        ("language: de".encode("utf-16-be"), 1, "YAML does not allow", "save the file with the encoding UTF-8"),
        ("examples: {/delivery: ['\ud800']}".encode("utf-8", "surrogatepass"), 1, "not UTF-8", "UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    faults_of: Faults, text: str | bytes, line: int, message: str, hint: str
) -> None:
    fault = faults_of(beside(text))[0]
    assert (fault.file, fault.line) == ("pack/examples.de.yaml", line)
    assert message in fault.message
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("examples.zh-Hant.yaml", '"zh-Hant" is no tag', "for example examples.zh-hant.yaml"),
        ("examples.de.old.yaml", '"de.old" is no tag', "for example examples.de-old.yaml"),
        ("examples..yaml", '"" is no tag', "for example examples.de.yaml"),
        ("example.de.yaml", '"example.de" is no name for a task', "called examples.TAG.yaml and lie beside"),
        ("billing/examples.de.yaml", '"examples.de" is no name for a task', "lie beside pack/policy.yaml"),
        ("shop.examples.de.yaml", '"shop.examples.de" is no name for a task', "called examples.TAG.yaml"),
    ],
)
def test_files_that_would_be_overlooked_are_told_of(faults_of: Faults, name: str, message: str, hint: str) -> None:
    (fault,) = faults_of({"pack/policy.yaml": TASKS, f"pack/{name}": ""})
    assert fault.file == f"pack/{name}"
    assert message in fault.message
    assert hint in fault.hint


def test_a_tag_is_told_of_beside_a_pack_of_one_file(faults_of: Faults) -> None:
    (fault,) = faults_of({"pack.yaml": TASKS, "pack.examples.DE.yaml": ""})
    assert "for example pack.examples.de.yaml" in fault.hint


def test_links_lead_nowhere_else(write: Write, faults_of: Faults, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.yaml").write_text("language: de")
    write({"pack/policy.yaml": TASKS})
    (tmp_path / "pack/examples.de.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    assert "leads out of the pack" in faults_of({"pack/policy.yaml": TASKS})[0].message


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "{}", "examples: {}", "\ufefflanguage: de\n", "language: de\r\n"]
)
def test_empty_ones_add_nothing(load: Load, text: str) -> None:
    assert load(beside(text)).policy == load({"pack/policy.yaml": TASKS, "pack/examples.de.yaml": ""}).policy


SCRIPTS = [
    "أين طردي؟ ORD-12345",
    "\u200fאיפה החבילה שלי\u200e iPhone 15?",
    "私のパッケージはどこですか？",
    "Ubi est fasciculus meus?",
    "መልእክቴ የት ነው?",
    "Где my parcel 📦?",
    "नमस्ते, मेरा पार्सल",
    "ನನ್ನ ಪಾರ್ಸೆಲ್ ಎಲ್ಲಿದೆ",
]


def test_any_script_and_any_language_load(load: Load) -> None:
    lines = "".join(f"    - {text}\n" for text in SCRIPTS)
    pack = load(beside(f"language: la\nexamples:\n  /delivery:\n{lines}", "mixed"))
    assert set(pack.policy.tasks["/delivery"].examples) == {"where is it", *SCRIPTS}


# -------------------------------------------------------------------------------------- revision, reload, archive


def test_the_revision_knows_no_order_and_no_file_names(load: Load, write: Write, tmp_path: Path) -> None:
    first = load(beside(GERMAN)).policy.revision
    (tmp_path / "pack/examples.de.yaml").unlink()
    split = {
        "pack/examples.x.yaml": "language: de\nunrelated: [{text: Wie wird das Wetter?, generated: true}]\n"
        "examples: {/billing/refund: ['Erstattung: bitte']}",
        "pack/examples.a.yaml": "language: de\ngenerated: true\nexamples: {/delivery: [Wo ist es?, '  Wo ist es? '], "
        "/billing/refund: [Geld zurück]}",
    }
    assert load(split).policy.revision == first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Geld zurück", "Geld her"),
        ("generated: true", "generated: false"),
        (", generated: false", ""),
        ("/delivery:", "/billing:"),
        ("unrelated: [Wie wird das Wetter?]", ""),
        ("language: de", "language: fr"),
    ],
)
def test_the_revision_changes_with_what_they_say(load: Load, old: str, new: str) -> None:
    assert load(beside(GERMAN)).policy.revision != load(beside(GERMAN.replace(old, new))).policy.revision


def test_the_revision_does_not_change_with_the_rest(load: Load) -> None:
    assert load(beside(GERMAN)).policy.revision == load(beside(f"# another comment\n\n{GERMAN}")).policy.revision


@pytest.mark.parametrize(
    ("files", "added"),
    [
        (beside(GERMAN), "pack/examples.de.yaml"),
        ({"pack.yaml": TASKS, "pack.examples.de.yaml": GERMAN}, "pack.examples.de.yaml"),
    ],
)
def test_they_are_watched_and_so_is_where_they_may_come_to_lie(
    write: Write, tmp_path: Path, files: dict[str, str], added: str
) -> None:
    where = write(files)
    assert {tmp_path / added, (tmp_path / added).parent} <= set(load_pack(where).files)
    (tmp_path / added).unlink()
    assert (tmp_path / added).parent in load_pack(where).files


@pytest.mark.parametrize("files", [beside(GERMAN), {"pack.yaml": TASKS, "pack.examples.de.yaml": GERMAN}])
def test_a_kept_revision_has_them(write: Write, tmp_path: Path, files: dict[str, str]) -> None:
    where = write(files)
    pack = load_pack(where)
    archive = Archive(tmp_path / "kept")
    archive.keep(where, pack)
    kept = archive.find(pack.policy.name, pack.policy.revision)
    assert kept is not None
    assert load_pack(kept).policy == pack.policy


# ------------------------------------------------------------------------------------------------ extends, lint


CHILD = {
    "pack/policy.yaml": "extends: base\ntasks: {delivery: {off: true}}",
    "pack/examples.de.yaml": "examples: {/billing/refund: [Geld], /delivery: [Lieferung]}",
    "base.yaml": TASKS,
    "base.examples.fr.yaml": "language: fr\ngenerated: true\nexamples: {/billing/refund: [Argent, Geld]}\nunrelated: [quoi]",
}


def test_a_pack_inherits_them_and_may_name_tasks_of_the_other(load: Load) -> None:
    pack = load(CHILD)
    assert pack.policy.tasks["/billing/refund"].examples == ("money back", "Argent", "Geld")
    assert pack.policy.generated == {("/billing/refund", "Argent"), ("/", "quoi")}
    assert "/delivery" not in pack.policy.tasks
    assert {"base.examples.fr.yaml", "examples.de.yaml"} <= {file.name for file in pack.files}


def test_they_do_not_make_tasks(faults_of: Faults) -> None:
    (fault,) = faults_of({**CHILD, "base.examples.fr.yaml": "examples: {/billing: [a], /billing/refunds: [b]}"})
    assert fault.message == "there is no task /billing/refunds"


def test_they_are_no_packs_to_extend(faults_of: Faults) -> None:
    (fault,) = faults_of({**CHILD, "pack/policy.yaml": "extends: basse"})
    assert fault.hint == 'did you mean "base"?'


def test_lint_reads_them(load: Load) -> None:
    findings = check(load(beside("examples: {/delivery: [Money back]}")))
    (found,) = [finding for finding in findings if finding.code == "same_example"]
    assert Path(found.file).name == "examples.de.yaml"


def test_together_they_are_no_larger_than_a_pack_may_be(faults_of: Faults) -> None:
    files = beside("examples: {/delivery: [{file: a.txt}, {file: b.txt}]}")
    lines = "".join(f"{number}\n" for number in range(60_000))
    (fault,) = faults_of({**files, "pack/a.txt": lines, "pack/b.txt": lines})
    assert "more than 100,000 examples" in fault.message
