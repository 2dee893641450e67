"""The folder is the tree; files and nested `tasks:` are two ways to write the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.core.errors import Fault, PolicyError
from router.packs import Pack, load_pack

Load = Callable[[Mapping[str, str]], Pack]
Faults = Callable[[Mapping[str, str]], tuple[Fault, ...]]

FOLDER = {
    "pack/policy.yaml": "about: all\nbrief: Be polite.",
    "pack/billing/policy.yaml": "about: money",
    "pack/billing/refund.yaml": "about: money back\nexamples:\n- a\n- {file: more/refund.txt}",
    "pack/billing/more/refund.txt": "b\n\n  c  \r\n",
    "pack/account.yaml": "about: the account",
    "pack/account/login/password.yaml": "about: passwords",
}
ONE_FILE = {
    "pack.yaml": """
        about: all
        brief: Be polite.
        tasks:
          billing: {about: money, tasks: {refund: {about: money back, examples: [a, b, c]}}}
          account: {about: the account, tasks: {login: {tasks: {password: {about: passwords}}}}}
        """
}
MIXED = {
    "pack/policy.yml": "about: all\nbrief: Be polite.\ntasks: {account: {about: the account}}",
    "pack/billing.yml": "about: money\ntasks:\n  refund: {about: money back, examples: [a, {text: b}, c]}",
    "pack/account/login.yaml": "tasks: {password: {about: passwords}}",
}
TREE = {
    "/": ("all", ("/account", "/billing")),
    "/account": ("the account", ("/account/login",)),
    "/account/login": ("", ("/account/login/password",)),
    "/account/login/password": ("passwords", ()),
    "/billing": ("money", ("/billing/refund",)),
    "/billing/refund": ("money back", ()),
}


@pytest.mark.parametrize("files", [FOLDER, ONE_FILE, MIXED], ids=["folder", "one file", "mixed"])
def test_all_forms_give_the_same_tree(load: Load, files: dict[str, str]) -> None:
    tasks = load(files).policy.tasks
    assert {path: (task.about, task.children) for path, task in tasks.items()} == TREE
    assert list(tasks) == list(TREE), "pre-order, siblings by name"
    assert tasks["/billing/refund"].examples == ("a", "b", "c")


def test_all_forms_give_the_same_revision(write: Callable[..., Path], tmp_path: Path) -> None:
    write({**FOLDER, **ONE_FILE, **{name.replace("pack/", "mixed/"): text for name, text in MIXED.items()}})
    assert len({load_pack(tmp_path / name).policy.revision for name in ("pack", "pack.yaml", "mixed")}) == 1


def test_siblings_come_before_cousins_whatever_their_names(load: Load) -> None:
    tasks = load({"pack.yaml": "tasks: {a: {tasks: {x: {}}}, a-b: {}, a_b: {}}"}).policy.tasks
    assert list(tasks) == ["/", "/a", "/a/x", "/a-b", "/a_b"]


def test_other_files_are_no_tasks(load: Load) -> None:
    others = ["README.md", "notes.txt", ".hidden.yaml", ".git/config.yaml", "images/logo.svg", "x/.y/z.yaml"]
    pack = load({"pack/policy.yaml": "brief: x", **{f"pack/{name}": "{broken" for name in others}})
    assert list(pack.policy.tasks) == ["/"]


@pytest.mark.parametrize(
    ("files", "file", "line", "message"),
    [
        ({"a/policy.yaml": "", "a.yaml": ""}, "pack/a/policy.yaml", 1, "the task /a is described twice"),
        ({"a.yaml": "", "a.yml": ""}, "pack/a.yml", 1, "the task /a is described twice"),
        ({"a/b.yaml": "", "a.yaml": "about: x\ntasks:\n  b: {}"}, "pack/a/b.yaml", 1, "the other place is"),
        ({"policy.yml": ""}, "pack/policy.yml", 1, "policy.yaml stands beside it"),
        ({"My Task.yaml": ""}, "pack/My Task.yaml", 1, '"My Task" is no name for a task'),
        ({"Big/a.yaml": "", "Big/b.yaml": ""}, "pack/Big/a.yaml", 1, '"Big" is no name for a task'),
        ({"a.yaml": "about: x\nname: y"}, "pack/a.yaml", 2, 'unknown key "name"'),
        ({"a.yaml": "examples:\n- {file: a.txt}"}, "pack/a.yaml", 2, "there is no file pack/a.txt"),
        ({"a/b.yaml": "examples: [{file: ../c.txt}]", "c.txt": "x"}, "pack/a/b.yaml", 1, "outside of the pack"),
        ({"a.yaml": "examples: [{file: /etc/hostname}]"}, "pack/a.yaml", 1, "outside of the pack"),
        ({"/".join("a" * 33) + "/b.yaml": ""}, "pack/" + "/".join("a" * 33), 1, "more than 32 folders"),
    ],
)
def test_what_cannot_be_a_tree_is_a_fault(
    faults_of: Faults, files: dict[str, str], file: str, line: int, message: str
) -> None:
    written = {f"pack/{name}": text for name, text in files.items()}
    fault, *more = faults_of({"pack/policy.yaml": "brief: x", **written})
    assert not more
    assert (fault.file, fault.line) == (file, line)
    assert message in fault.message
    assert fault.hint or "33" in message or "folders" in message


def test_a_folder_that_is_a_link_is_refused(faults_of: Faults, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "loop").symlink_to(tmp_path / "pack")
    (fault,) = faults_of({"pack/policy.yaml": "brief: x"})
    assert fault.file == "pack/loop" and "may not be a link" in fault.message


def test_a_pack_mounted_through_links_loads(load: Load, tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as links into a hidden folder beside them."""
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "policy.yaml").symlink_to(".data/policy.yaml")
    assert load({"pack/.data/policy.yaml": "about: mounted", "pack/a.yaml": ""}).policy.about == "mounted"


def test_a_folder_without_a_root_file_is_no_pack(faults_of: Faults) -> None:
    (fault,) = faults_of({"pack/a.yaml": "about: x"})
    assert fault.file == "pack" and "there is no policy.yaml" in fault.message


def test_the_root_file_alone_is_refused_where_it_has_a_tree_beside_it(write: Callable[..., Path]) -> None:
    folder = write({"pack/policy.yaml": "brief: x", "pack/billing/refund.yaml": ""})
    with pytest.raises(PolicyError, match="give the folder"):
        load_pack(folder / "policy.yaml")


def test_the_files_of_a_pack_are_known_for_watching(load: Load, tmp_path: Path) -> None:
    here = tmp_path / "pack"
    names = ["", "account", "account/login", "billing", "billing/more", *(name[5:] for name in FOLDER)]
    assert set(load(FOLDER).files) == {here / name for name in names}
