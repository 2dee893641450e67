"""The benchmarks measure what they say: packs of the promised size, messages of the promised length, none twice."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from router.core.policy import count_tokens
from router.packs import load_pack
from tests.bench import client, decide
from tests.bench.packs import SIZES, leaf_count, pack_of_examples, synthetic_pack, write_pack
from tests.bench.report import milliseconds
from tests.bench.upstream import events, whole_answer


@pytest.mark.parametrize("leaves", SIZES)
def test_a_synthetic_pack_loads_with_as_many_leaves_as_it_promises(leaves: int, tmp_path: Path) -> None:
    written = synthetic_pack(leaves)
    policy = load_pack(write_pack(tmp_path, written)).policy
    assert leaf_count(written) == leaves
    assert sum(not task.children for task in policy.tasks.values()) == leaves
    examples = [example for task in policy.tasks.values() for example in task.examples]
    assert len(examples) == len(set(examples)) == 12 * leaves


def test_a_pack_of_given_examples_keeps_so_many_of_each(tmp_path: Path) -> None:
    written = pack_of_examples("given", {"bank": {"balance": [f"text {n}" for n in range(9)]}}, most=4)
    policy = load_pack(write_pack(tmp_path, written)).policy
    assert policy.tasks["/bank/balance"].examples == ("text 0", "text 1", "text 2", "text 3")


@pytest.mark.parametrize("form", decide.FORMS)
def test_messages_have_about_the_promised_length_and_never_come_twice(form: str) -> None:
    tokens, link = decide.FORMS[form]
    texts = list(itertools.islice(decide.messages(tokens, link), 50))
    assert len(set(texts)) == 50
    assert sum(map(count_tokens, texts)) / 50 == pytest.approx(tokens, rel=0.5, abs=5)


def test_the_client_s_messages_never_come_twice() -> None:
    assert len(set(itertools.islice(client.messages(), 5000))) == 5000


def test_the_upstream_s_answers_are_whole() -> None:
    assert '"finish_reason": "stop"' in whole_answer()
    assert events(["a", "b"])[-1] == "data: [DONE]\n\n"
    assert len(events(["a", "b"])) == 5


@pytest.mark.parametrize(("seconds", "said"), [(0.0001234, "0.123"), (0.0456, "45.6"), (1.5, "1,500")])
def test_durations_are_printed_with_three_figures(seconds: float, said: str) -> None:
    assert milliseconds(seconds) == said
