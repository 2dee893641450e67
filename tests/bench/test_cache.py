"""The cache benchmark measures what it says: the same words in every arm, each dialogue in a slot of its own, and a
model that is cut counts as the whole one does."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.bench.cache_arms import FORMATS, Spent, interleaved
from tests.bench.cache_bill import MODELS, Prices, prices
from tests.bench.cache_model import cache_model, cut
from tests.bench.cache_pack import SERVICES, Dialogue, app_prompt, replayed, services_pack
from tests.bench.packs import leaf_count
from tests.bench.recognition_sets import data_folder
from tests.support.local_model import missing

TALK = Dialogue("1", (("hi", "hello"), ("a bus", "where to?"), ("Leeds", "")))


def test_a_turn_is_asked_with_all_that_was_said_before() -> None:
    assert TALK.asked(0) == [("user", "hi")]
    assert TALK.asked(1) == [("user", "hi"), ("assistant", "hello"), ("user", "a bus")]


@pytest.mark.parametrize("lanes", [1, 3])
def test_dialogues_take_turns_and_each_keeps_its_slot(lanes: int) -> None:
    talks = [Dialogue(str(at), TALK.turns[: 1 + at % 3]) for at in range(7)]
    steps = list(interleaved(talks, lanes))
    slots, turns = defaultdict(set), defaultdict(list)
    for lane, dialogue, turn in steps:
        slots[dialogue.id].add(lane)
        turns[dialogue.id].append(turn)
    assert {talk.id: [*range(len(talk.turns))] for talk in talks} == turns
    assert all(len(lane) == 1 for lane in slots.values())
    assert {lane for lane, *_ in steps[:lanes]} == set(range(lanes))


@pytest.mark.parametrize(
    ("cached", "dollars"), [(0, 5.0), (999, 5.0), (1000, 0.4 * 1000 / 1e6 + 5 * (1e6 - 1000) / 1e6)]
)
def test_a_prefix_below_the_minimum_is_paid_as_if_it_were_not_cached(cached: int, dollars: float) -> None:
    paid = Prices("m", 4.0, 0.4, 5.0, 1000).bill([Spent(1_000_000, cached, None)])
    assert paid == pytest.approx(dollars)


def test_prices_come_with_their_source() -> None:
    known, source = prices()
    assert [each.model for each in known] == list(MODELS)
    assert all(each.read < each.input <= each.write and each.minimum > 0 for each in known)
    assert "litellm" in source


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ("chat", {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 7}}),
        ("responses", {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 7}}),
        ("messages", {"input_tokens": 3, "cache_read_input_tokens": 7}),
    ],
)
def test_each_format_tells_the_prompt_and_what_of_it_was_cached(wire: str, usage: dict[str, object]) -> None:
    assert FORMATS[wire].tokens(usage) == (10, 7)


def test_the_pack_has_a_task_for_each_service_of_the_data() -> None:
    if not (data_folder() / "sgd" / "train.jsonl").is_file():
        pytest.skip("no Schema-Guided Dialogue; name its folder's parent in BENCH_DATA")
    pack = services_pack("services", data_folder(), "tail")
    assert leaf_count(pack) == sum(map(len, SERVICES.values()))
    assert all(name in app_prompt(long=True) for name in ("buses.find_bus", "weather.get_weather"))
    drawn = replayed(data_folder(), 5)
    assert drawn == replayed(data_folder(), 5)
    assert all(user and assistant for talk in drawn for user, assistant in talk.turns[:-1])


def test_what_is_no_model_is_not_cut(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    source.write_bytes(struct.pack("<4sIQQ", b"GGUF", 2, 0, 0))
    with pytest.raises(ValueError, match="version 3"):
        cut(source, tmp_path / "cut.gguf", 1)


@pytest.fixture(params=[1, None], ids=["cut", "whole"])
def model(request: pytest.FixtureRequest) -> Iterator[str]:
    if missing():
        pytest.skip(missing())
    with cache_model(2, request.param) as server:
        yield server.url


@pytest.mark.model
@pytest.mark.xdist_group("local_model")
def test_a_cut_model_counts_and_caches_as_the_whole_one(model: str) -> None:
    counted = []
    for turn, slot in ((0, 0), (1, 0), (0, 1)):
        said = [{"role": role, "content": text} for role, text in TALK.asked(turn)]
        body = {**FORMATS["chat"].body("You help with buses.", said), "id_slot": slot}
        answer = httpx.post(f"{model}/v1/chat/completions", json=body, timeout=60, trust_env=False)
        counted.append(FORMATS["chat"].tokens(answer.json()["usage"]))
    # The second request has all of the first in its slot; the third came to an empty one.
    assert counted == [(20, 0), (34, 20), (20, 0)]
