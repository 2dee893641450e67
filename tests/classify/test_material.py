"""What names a model: all that recognition reads of a policy, and nothing else."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from router.classify.fit.fitting import key_of
from router.classify.fit.training import Material
from router.core.policy import Policy, PolicySettings
from tests.classify.conftest import EXAMPLES, lines, make_policy


def key(policy: Policy) -> str:
    return key_of(Material.of(policy))


def test_it_survives_the_way_to_another_process(policy: Policy) -> None:
    material = Material.of(dataclasses.replace(policy, unrelated=("half a pair \ud800", "😀")))
    assert Material.load(material.dump()) == material


def test_texts_that_are_not_recognised_by_do_not_matter(policy: Policy) -> None:
    assert key(dataclasses.replace(policy, revision="r2", name="other", about="other")) == key(policy)


@pytest.mark.parametrize(
    "change",
    [
        {"unrelated": ("x",)},
        {"boilerplate": ()},
        {"user_words": ("<ask>(.*)</ask>",)},
        {"settings": PolicySettings(error=0.2)},
        {"tasks": make_policy({path: lines(text)[1:] for path, text in EXAMPLES.items()}).tasks},
        {"tasks": make_policy({path + "x": lines(text) for path, text in EXAMPLES.items()}).tasks},
        {"tasks": make_policy({p: lines(t) for p, t in EXAMPLES.items()}, stakes={"/billing/refund": "high"}).tasks},
    ],
    ids=["unrelated", "boilerplate", "user_words", "settings", "examples", "paths", "stakes"],
)
def test_whatever_recognition_reads_changes_the_name(policy: Policy, change: dict[str, object]) -> None:
    assert key(dataclasses.replace(policy, **change)) != key(policy)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"paths": 1}'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        Material.load(text)
