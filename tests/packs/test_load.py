"""Bad input: each a clear fault, all of them at once, never anything but PolicyError."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core.errors import Fault, PolicyError
from router.packs import load_pack

Faults = Callable[[Mapping[str, str | bytes]], tuple[Fault, ...]]

BOMB = "\n".join(
    ["a: &a [x, x]", *(f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True))]
)
ROOT = {"pack/policy.yaml": "brief: x"}
MIB = 1 << 20

BAD = {
    "broken YAML": ({**ROOT, "pack/a.yaml": "about: x\nbrief: [a, b\n"}, "pack/a.yaml", 2, "begins in line 2"),
    "unknown key": ({"pack.yaml": "about: x\nbreif: y"}, "pack.yaml", 2, 'unknown key "breif"'),
    "duplicate key": ({"pack.yaml": "about: x\nabout: y"}, "pack.yaml", 2, 'duplicate key "about"'),
    "alias bomb": ({"pack.yaml": BOMB}, "pack.yaml", 12, "the file expands too far"),
    "10 MB in one file": ({"pack.yaml": b"brief: " + b"x" * (10 * MIB)}, "pack.yaml", 1, "larger than 1 MiB"),
    "10 MB of examples": (
        {
            **ROOT,
            "pack/a.yaml": "examples: [" + ", ".join(f"{{file: {i}.txt}}" for i in range(10)) + "]",
            **{f"pack/{i}.txt": b"where is it\n" * (MIB // 12) for i in range(10)},
        },
        "pack/4.txt",
        1,
        "larger than 5 MiB",
    ),
    "too many files": (
        {**ROOT, **{f"pack/{i}.yaml": b"" for i in range(2_000)}},
        "pack/999.yaml",
        1,
        "more than 2,000 files",
    ),
    "missing example file": (
        {**ROOT, "pack/a/b.yaml": "about: x\nexamples:\n- y\n- {file: z.txt}"},
        "pack/a/b.yaml",
        4,
        "there is no file pack/a/z.txt",
    ),
    "unknown cue": (
        {**ROOT, "pack/a.yaml": "brief:\n- text: x\n  when:\n    tier: pro"},
        "pack/a.yaml",
        4,
        'there is no cue "tier"',
    ),
    "cyclic extends": (
        {"pack.yaml": "about: x\nextends: other", "other.yaml": "extends: pack"},
        "other.yaml",
        1,
        "pack.yaml -> other.yaml -> pack.yaml",
    ),
    "too many values": ({"pack.yaml": "a:\n" + "- 1\n" * 30_000}, "pack.yaml", 19_999, "more than 20,000 values"),
    "too many examples": (
        {**ROOT, "pack/a.yaml": "about: x\nexamples: [{file: a.txt}]", "pack/a.txt": b"a\n" * 100_001},
        "pack/a.yaml",
        2,
        "more than 100,000 examples",
    ),
    "not UTF-8": ({"pack.yaml": b"about: x\nbrief: caf\xe9"}, "pack.yaml", 2, "not UTF-8"),
    "UTF-16": ({"pack.yaml": "about: x".encode("utf-16")}, "pack.yaml", 1, "not UTF-8"),
    "object tag": ({"pack.yaml": "about: !!python/name:os.system x"}, "pack.yaml", 1, "tag"),
    "100,000 levels": ({"pack.yaml": "about: " + "[" * 100_000}, "pack.yaml", 1, "more than 32 levels"),
    "a list": ({"pack.yaml": "- about"}, "pack.yaml", 1, "must be a mapping"),
    "binary": ({"pack.yaml": bytes(range(128))}, "pack.yaml", 1, "does not allow"),
}


@pytest.mark.parametrize(("files", "file", "line", "message"), BAD.values(), ids=BAD)
def test_bad_input_names_the_place_and_the_way_out(
    faults_of: Faults, files: Mapping[str, str | bytes], file: str, line: int, message: str
) -> None:
    (fault,) = faults_of(files)
    assert (fault.file, fault.line) == (file, line)
    assert message in fault.message
    assert fault.hint


def test_faults_of_all_files_are_reported_at_once(faults_of: Faults) -> None:
    files = {
        "pack/policy.yaml": "breif: x",
        "pack/a.yaml": "about: [x",
        "pack/b.yaml": "about: x\nabout: y\nguided: 5",
        "pack/c/policy.yaml": "examples: [{file: none.txt}]",
        "pack/c.yaml": "",
    }
    faults = faults_of(files)
    assert [(fault.file, fault.line) for fault in faults] == [
        ("pack/a.yaml", 1),
        ("pack/b.yaml", 2),
        ("pack/b.yaml", 3),
        ("pack/c/policy.yaml", 1),
        ("pack/c/policy.yaml", 1),
        ("pack/policy.yaml", 1),
    ]


def test_no_more_faults_are_reported_than_a_person_would_read(faults_of: Faults) -> None:
    faults = faults_of({"pack.yaml": "about: x\n" * 500})
    assert len(faults) == 201
    assert (faults[-1].line, faults[-1].message) == (202, "299 more faults from here on")


@pytest.mark.parametrize("missing", ["pack", "pack.yaml"])
def test_a_pack_that_is_not_there(tmp_path: Path, missing: str) -> None:
    with pytest.raises(PolicyError, match="there is no such folder or file"):
        load_pack(tmp_path / missing)


def test_what_is_loaded_cannot_be_changed(support_pack: Path) -> None:
    pack = load_pack(str(support_pack))
    for mapping in (pack.places, pack.policy.tasks, pack.policy.cues, pack.policy.settings.levels):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]


@pytest.mark.parametrize("name", ["customer_support", "assistant", "starter.yaml"])
def test_the_shipped_packs_load(project: Path, name: str) -> None:
    pack = load_pack(project / "policies" / name)
    assert len(pack.policy.tasks) > 1 and not pack.policy.empty


WORDS = """
about brief guided required examples cues settings tasks tests extends values when unless text file off true null level
{tier} &a *a - : [ ] { } ' # 1 .5 refund ../x pack | > !t <<
"""
YAML_WORDS = st.sampled_from(WORDS.split())


@given(lines=st.lists(st.tuples(st.integers(0, 3), st.lists(YAML_WORDS, max_size=4)), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_raises_anything_else(tmp_path: Path, lines: list[tuple[int, list[str]]]) -> None:
    file = tmp_path / "pack.yaml"
    file.write_text("\n".join("  " * indent + " ".join(words) for indent, words in lines))
    try:
        load_pack(file)
    except PolicyError as error:
        assert all(fault.line >= 1 and fault.file and fault.message for fault in error.faults)


@pytest.mark.parametrize(
    ("files", "at", "name"),
    [
        ({"My Shop/policy.yaml": "extends: base", "base.yaml": "about: it"}, "My Shop", "my-shop"),
        ({"shop/policy.yaml": "extends: base", "base.yaml": "about: it"}, "shop", "shop"),
        ({"shop/policy.yaml": "extends: ../base", "base/policy.yaml": "about: it"}, "shop", "shop"),
    ],
)
def test_a_pack_is_the_same_from_wherever_it_is_named(
    write: Callable[[Mapping[str, str]], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: Mapping[str, str],
    at: str,
    name: str,
) -> None:
    write(files)
    (tmp_path / at / "deeper").mkdir()
    loaded = [load_pack(tmp_path / at)]
    for here, path in ((".", at), (at, "."), (f"{at}/deeper", "..")):
        monkeypatch.chdir(tmp_path / here)
        loaded.append(load_pack(path))
    assert {(pack.policy.name, pack.policy.about) for pack in loaded} == {(name, "it")}
    assert len({pack.policy.revision for pack in loaded}) == 1


def test_a_pack_behind_a_link_keeps_the_name_and_the_neighbours_of_the_link(
    write: Callable[[Mapping[str, str]], Path], tmp_path: Path
) -> None:
    write({"versions/3/policy.yaml": "extends: base", "packs/base.yaml": "about: it"})
    (tmp_path / "packs" / "shop").symlink_to(tmp_path / "versions" / "3")
    policy = load_pack(tmp_path / "packs" / "shop").policy
    assert (policy.name, policy.about) == ("shop", "it")
