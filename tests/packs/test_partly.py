"""Of a pack that cannot be used everything is told at once: its faults, and what is wrong in the rest, each once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from router.core.errors import PolicyError
from router.packs import check, read_pack
from tests.packs.test_validate import CASES

Write = Callable[[Mapping[str, str | bytes]], Path]

BROKEN = """\
brief: Be polite.
settings:
  budget: 5
cues:
  tier: {values: [free, pro], from: {metadata: tier}}
tasks:
  refund:
    examples: [I want a refund, I want a refund, where is my parcel]
    brief: [Say the price, the day, and how to pay.]
    guided:
    - {text: Offer credit., when: {teir: pro}}
    - text: Use sk-abcdefghijklmnop1234 for it.
      wen: {tier: pro}
  delivery:
    examples: [Where is my parcel?]
    brief: Look.
"""


def told(write: Write, files: Mapping[str, str | bytes]) -> list[tuple[int, str]]:
    return [(finding.line, finding.code) for finding in check(read_pack(write(files)))]


def test_faults_of_form_and_of_meaning_and_what_stands_in_the_rest_are_told_together(write: Write) -> None:
    assert told(write, {"pack.yaml": BROKEN}) == [
        (3, "unusable"),  # no such setting
        (8, "repeated_example"),
        (8, "same_example"),
        (9, "split_instruction"),
        (9, "split_instruction"),
        (11, "unusable"),  # no such cue
        (12, "secret"),
        (13, "unusable"),  # no such key of an instruction
    ]


def test_what_is_missing_for_a_fault_is_no_second_one(write: Write) -> None:
    text = BROKEN.replace("values: [free, pro]", "values: []")  # now the cue is gone, wherever it is used
    assert [line for line, code in told(write, {"pack.yaml": text}) if code == "unusable"] == [3, 5, 13]
    assert {code for _, code in told(write, {"pack.yaml": "tasks: {a: {brief: x, breif: y}}"})} == {"unusable"}


def test_a_file_that_cannot_be_read_leaves_the_others_to_be_looked_at(write: Write) -> None:
    files = {
        "pack/policy.yaml": "brief: x\ncues: {tier: {values: [a]}}\n",
        "pack/refund.yaml": "brief: 'no end",
        "pack/delivery.yaml": "breif: x\nexamples: [b, b]\n",
        "pack/examples.de.yaml": "examples: {/refund: [c], /delivery: [d]}\nlanguage: German\n",
    }
    assert told(write, files) == [
        (1, "unusable"),  # delivery.yaml: no such key
        (2, "repeated_example"),
        (2, "unusable"),  # examples.de.yaml: no such language
        (1, "unusable"),  # refund.yaml: broken YAML
    ]


@pytest.mark.parametrize("text", [case[0] for case in CASES], ids=[case[0][:50] for case in CASES])
def test_whatever_is_wrong_the_rest_can_be_looked_at(write: Write, text: str) -> None:
    try:
        pack = read_pack(write({"pack.yaml": text}))
    except PolicyError:
        return  # nothing is left of it
    assert pack.faults and {finding.code for finding in check(pack)} >= {"unusable"}
