"""The rows of the table with the fewest runs that still tell, what lies under them, and that they can be missed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.tuning.comparison import NEW, mean
from router.tuning.sequential_test import MARGIN
from tests.sim import __main__ as program
from tests.sim import peeking, replay
from tests.sim.finding import TIERS, Finding, at_least, at_most, ever, first, median_at_most, percent, spread
from tests.sim.naive import z_paths
from tests.sim.paths import evalue_paths
from tests.sim.table import ROWS, SLOWEST_FIRST, run, show
from tests.sim.votes import simulated
from tests.tuning.one_by_one import compare

chances = st.floats(0.02, 0.98)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table_is_met(row: str) -> None:
    finding = ROWS[row](TIERS["tiny"])
    assert finding.row == row
    assert finding.met, finding


# ------------------------------------------------------------------------------------------------ under the rows


@given(
    st.lists(st.tuples(chances, chances, chances), min_size=4, max_size=4),
    st.sampled_from([0.0, MARGIN, -MARGIN]),
    st.booleans(),
)
def test_without_a_difference_no_wealth_grows_on_average(
    steps: list[tuple[float, float, float]], margin: float, follows: bool
) -> None:
    """Exactly: over every way in which four conversations can go, shares and base rates being whatever they like."""
    expected = {"gain": 0.0, "harm": 0.0}
    for way in itertools.product((0, 1), repeat=2 * len(steps)):
        chance, wealth = 1.0, NEW
        for (base, share, other), arm, reward in zip(steps, way[::2], way[1::2], strict=True):
            if follows and (wealth.challenger_mean or 0.0) > (wealth.incumbent_mean or 0.0):
                share = other  # the share may depend on all that was seen before
            # The challenger is worse by exactly what it may be worse by: the hardest case for either side.
            incumbent = min(max(base, abs(margin)), 1 - abs(margin))
            good = incumbent - margin if arm else incumbent
            chance *= (share if arm else 1 - share) * (good if reward else 1 - good)
            wealth = compare(wealth, float(reward), bool(arm), share, margin)
        expected["gain"] += chance * mean(wealth.better)
        expected["harm"] += chance * mean(wealth.worse)
    assert expected == pytest.approx({"gain": 1.0, "harm": 1.0}, rel=1e-9)


@pytest.mark.parametrize("base", [0.5, 0.95])
@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("side", ["gain", "harm"])
def test_the_mean_of_many_wealths_is_at_most_one(base: float, share: float, side: str) -> None:
    runs, n = 20_000, 60
    dice = np.random.default_rng([7, round(100 * base), round(100 * share)])
    arms = dice.random((runs, n)) < share
    rewards = (dice.random((runs, n)) < base).astype(float)
    wealth = evalue_paths(rewards, arms, np.full(1, share), side=side)[:, -1]
    assert wealth.mean() <= 1 + 4 * wealth.std() / np.sqrt(runs)


def test_who_peeks_with_an_ordinary_test_misses_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def like_an_evidence(rewards: np.ndarray, arms: np.ndarray, shares: np.ndarray) -> np.ndarray:
        z = z_paths(rewards, arms)
        return np.where(z > peeking.NOMINAL_Z, 1e9, 0.0)

    monkeypatch.setattr(peeking, "evalue_paths", like_an_evidence)
    assert not peeking.equal_arms(TIERS["tiny"]).met


def test_the_z_statistic_is_that_of_two_proportions() -> None:
    dice = np.random.default_rng(0)
    arms, rewards = dice.random(500) < 0.3, (dice.random(500) < 0.6).astype(float)
    rate, c, i = rewards.mean(), rewards[arms], rewards[~arms]
    expected = (c.mean() - i.mean()) / np.sqrt(rate * (1 - rate) * (1 / len(c) + 1 / len(i)))
    assert z_paths(rewards[None], arms[None])[0, -1] == pytest.approx(expected)


def test_votes_are_four_times_as_many_from_those_who_are_unhappy() -> None:
    run = simulated(np.random.default_rng(0), 50, 0.0, leaving=False)
    up, down = np.nansum(run.votes), np.nansum(1 - run.votes)
    assert down / up == pytest.approx(4 * 0.3 / 0.7, rel=0.1)
    away = simulated(np.random.default_rng(0), 50, 0.0, leaving=True)
    assert np.nansum((1 - away.votes)[away.arms]) < 0.5 * np.nansum((1 - away.votes)[~away.arms])


def test_feedback_that_was_lost_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = replay._sent

    def some_lost(*args: object) -> list:
        rows = sent(*args)
        return rows if args[2] is None else [row for row in rows if not row.id.endswith("7:user")]

    # The troubled life goes on in this process: what is replaced here is not replaced in another.
    monkeypatch.setattr(replay, "_sent", some_lost)
    monkeypatch.setattr(
        replay,
        "killed",
        lambda file, days, acknowledged, **_: replay.live(file, days, replay.Manner(True), acknowledged) or 0,
    )
    finding = replay.replays(TIERS["tiny"])
    assert not finding.met
    assert "outcomes differ" in finding.ours


# ------------------------------------------------------------------------------------------------ how it is judged


@pytest.mark.parametrize(("events", "runs", "met"), [(100, 2_000, True), (131, 2_000, True), (150, 2_000, False)])
def test_a_rate_is_missed_only_beyond_chance(events: int, runs: int, met: bool) -> None:
    assert at_most(events, runs, 0.05) is met
    assert at_least(runs - events, runs, 0.95) is met


def test_a_median_is_missed_only_beyond_chance() -> None:
    times = np.arange(1.0, 1_001)
    assert median_at_most(times, 500)
    assert median_at_most(times, 470)
    assert not median_at_most(times, 400)
    assert not median_at_most(np.full(99, np.inf), 1e9)


def test_paths_are_read_from_the_fewest_that_count() -> None:
    paths = np.array([[1.0, 50.0, 1.0, 1.0], [1.0, 1.0, 1.0, 60.0], [1.0, 1.0, 1.0, 1.0]])
    assert ever(paths, 40).tolist() == [True, True, False]
    assert ever(paths, 40, after=3).tolist() == [False, True, False]
    assert first(paths, 40).tolist() == [2.0, 4.0, np.inf]
    assert first(paths, 40, after=3).tolist() == [np.inf, 4.0, np.inf]
    assert paths[0, 1] == 50.0


def test_figures_are_printed_as_shares() -> None:
    assert (percent(0.0213), percent(0.5, 0)) == ("2.1 %", "50 %")
    assert (spread([0.02, 0.035]), spread([0.5, 0.501], 0)) == ("2.0-3.5 %", "50 %")


@pytest.mark.parametrize(("met", "status"), [(True, 0), (False, 1)])
def test_the_status_says_whether_a_row_was_missed(
    met: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Finding("V4", "time", "<= 5", "4 or so", "9", met, "10 runs", note="of note")
    asked = []
    monkeypatch.setattr(program, "run", lambda *how: asked.append(how) or [(found, 2.0)])
    assert program.main(["--row", "V4", "--long", "--processes", "1"]) == status
    assert asked == [(["V4"], "long", 1)]
    printed = capsys.readouterr().out
    assert "- V4 (2 s): 10 runs. Note: of note" in printed
    assert f"missed: {'none' if met else 'V4'}" in printed


def test_a_row_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--row", "V13"])
    assert "V13" in capsys.readouterr().err


def test_rows_run_in_processes_of_their_own() -> None:
    ((finding, seconds),) = run(["V5"], "tiny", 1)
    assert finding == ROWS["V5"](TIERS["tiny"])
    assert seconds > 0


def test_the_table_has_every_row_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(ROWS) == [f"V{number}" for number in range(1, 13)]
    assert sorted(SLOWEST_FIRST) == sorted(ROWS)
    show([(ROWS["V5"](TIERS["tiny"]), 1.0)], markdown=True)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert printed[2].startswith("| V5 ")
