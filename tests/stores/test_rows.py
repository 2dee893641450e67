"""A trace becomes a row and its evidence comes back: over generated evidence, and for values no column can hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.audit import ThresholdsInForce
from router.core.decide import decide
from router.core.evidence import WITHHELD, Belief, Evidence, Likely, Thresholds
from router.core.policy import Instruction, Level, Policy, PolicySettings, Task
from router.core.trace import Trace
from router.stores.rows import NAME_CHARS, RowMaker, evidence_of, loaded

PATHS = st.sampled_from(["/", "/billing", "/billing/refund", "/delivery"])
MASSES = st.dictionaries(PATHS, st.floats(0, 1), max_size=4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CUES = st.dictionaries(
    TEXTS,
    TEXTS | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
    max_size=4,
)
LIKELIEST = st.lists(st.builds(Likely, PATHS, st.floats(0, 1)), max_size=3).map(tuple)
BELIEFS = st.builds(
    Belief,
    mass=MASSES,
    likeliest=LIKELIEST,
    sentences=st.lists(st.builds(Belief, mass=MASSES, likeliest=LIKELIEST), max_size=3).map(tuple),
    known=st.floats(0, 1),
)
EVIDENCE = st.builds(
    Evidence,
    belief=st.none() | BELIEFS,
    cues=CUES,
    thresholds=st.builds(
        Thresholds, sure=st.floats(0, 2), shortlist=st.floats(0, 2), by_task=MASSES, known=st.floats(0, 1)
    )
    | st.builds(ThresholdsInForce, sure=st.floats(0, 2), shortlist=st.floats(0, 2), certificate=TEXTS),
    levels=st.dictionaries(PATHS, st.sampled_from(Level), max_size=4),
    faults=st.lists(TEXTS, max_size=3).map(tuple),
)


Traces = Callable[..., Trace]


def stored(trace: Trace) -> dict:
    return loaded(RowMaker().row(trace))


@given(EVIDENCE)
def test_evidence_comes_back_as_it_was(trace: Traces, evidence: Evidence) -> None:
    assert evidence_of(stored(trace(evidence=evidence))) == evidence


@given(st.lists(EVIDENCE, min_size=2, max_size=4))
def test_one_maker_mixes_up_no_thresholds(trace: Traces, several: list[Evidence]) -> None:
    maker = RowMaker()
    rows = [maker.row(trace(evidence=evidence)) for evidence in several]
    assert [evidence_of(loaded(row)).thresholds for row in rows] == [evidence.thresholds for evidence in several]


def say(task: str, level: Level, number: int) -> Instruction:
    return Instruction(f"{task}#{number}", task, level, f"Say {number} of {task}.", 10)


@pytest.fixture
def policy() -> Policy:
    return Policy(
        name="shop",
        revision="rev",
        settings=PolicySettings(budget_tokens=35),
        tasks={
            "/": Task("/", instructions=(say("/", Level.BRIEF, 1), say("/", Level.GUIDED, 2)), children=("/billing",)),
            "/billing": Task(
                "/billing", instructions=(say("/billing", Level.BRIEF, 3), say("/billing", Level.GUIDED, 4))
            ),
        },
    )


@pytest.fixture
def desk() -> Policy:
    """Return a policy of three tasks, two of them in one domain, with room for all that they say."""
    children = {"/": ("/billing", "/delivery"), "/billing": ("/billing/refund", "/billing/invoice")}
    paths = ("/", "/billing", "/billing/refund", "/billing/invoice", "/delivery")
    return Policy(
        name="shop",
        revision="rev",
        tasks={path: Task(path, "", (say(path, Level.BRIEF, 1),), children=children.get(path, ())) for path in paths},
    )


@pytest.mark.parametrize("mass", [None, 0.2, 0.9])
def test_a_stored_decision_is_made_again(trace: Traces, policy: Policy, mass: float | None) -> None:
    evidence = Evidence(
        belief=None if mass is None else Belief({"/billing": mass}),
        thresholds=Thresholds(0.8),
        levels={"/billing": Level.DETAILED},
        faults=("classifier_slow",) if mass is None else (),
    )
    decision = decide(policy, evidence)
    again = decide(policy, evidence_of(stored(trace(evidence=evidence, decision=decision))))
    assert again == decision


SHORTLISTED = Belief(
    {"/billing": 0.9, "/billing/refund": 0.5, "/billing/invoice": 0.4},
    (Likely("/billing/refund", 0.5), Likely("/billing/invoice", 0.4)),
)
SURE_OF_ONE = Belief({"/delivery": 0.97}, (Likely("/delivery", 0.97),), (SHORTLISTED,))


@pytest.mark.parametrize(
    ("belief", "outcome", "tasks"),
    [(SHORTLISTED, "shortlisted", ["/billing"]), (SURE_OF_ONE, "classified", ["/delivery"])],
    ids=["shortlist", "second request"],
)
def test_a_shortlist_is_stored_and_made_again(
    trace: Traces, desk: Policy, belief: Belief, outcome: str, tasks: list[str]
) -> None:
    evidence = Evidence(belief, thresholds=Thresholds(0.9, 0.8, {"/billing": 0.95}))
    decision = decide(desk, evidence)
    row = stored(trace(evidence=evidence, decision=decision))
    assert (row["outcome"], row["tasks"]) == (outcome, tasks)
    assert row["shortlist"] == ["/billing/refund", "/billing/invoice"]
    assert row["mix"][-1] == "/billing/invoice#1" and "case:/billing/invoice:heading" in row["mix"]
    assert decide(desk, evidence_of(row)) == decision


REFUND = {"/billing": 0.7, "/billing/refund": 0.45, "/billing/invoice": 0.25, "/delivery": 0.25}


@pytest.mark.parametrize(
    ("belief", "by_depth", "by_task", "tasks"),
    [
        ({"mass": REFUND, "sentences": []}, [0.6, 0.4], {}, ("/billing/refund",)),
        ({"mass": REFUND, "sentences": []}, [0.6], {}, ("/billing",)),
        ({"mass": REFUND, "sentences": []}, [0.6, 0.4], {"/billing/refund": 0.5}, ("/billing",)),
        ({"mass": REFUND, "sentences": []}, [0.8, 0.4], {}, ("/",)),
        ({"mass": REFUND, "sentences": []}, [0.6, 2.0], {}, ("/billing",)),
        ({"mass": REFUND, "sentences": []}, [2.0, 0.4], {}, ("/",)),
        ({"mass": {}, "sentences": []}, [0.6, 0.4], {}, ("/",)),
        ({"mass": REFUND, "sentences": [{"/delivery": 0.65}]}, [0.6, 0.4], {}, ("/billing/refund", "/delivery")),
        ({"mass": REFUND, "sentences": [{"/delivery": 0.55}]}, [0.6, 0.4], {}, ("/billing/refund",)),
        (
            {
                "mass": {"/delivery": 0.7},
                "sentences": [{"/billing": 0.7, "/billing/refund": 0.45, "/billing/invoice": 0.25}],
            },
            [0.6, 0.4],
            {},
            ("/delivery", "/billing/refund"),
        ),
        (None, [0.6, 0.4], {}, ("/",)),
    ],
)
def test_a_trace_of_an_earlier_release_decides_as_it_did(
    trace: Traces, desk: Policy, belief: dict | None, by_depth: list[float], by_task: dict, tasks: tuple[str, ...]
) -> None:
    """Thresholds went by depth, sentences were plain masses, and there were no shortlists."""
    thresholds = {"by_depth": by_depth, "soft": 0.3, "by_task": by_task, "certificate": "cafe"}
    evidence = {"belief": belief, "cues": {}, "thresholds": thresholds, "levels": {}, "faults": []}
    row = stored(trace(evidence=Evidence(None))) | {"evidence": evidence}
    decision = decide(desk, evidence_of(row))
    assert (decision.tasks, decision.listed) == (tasks, ())
    passed = [by_task.get(path, by_depth[min(path.count("/"), len(by_depth)) - 1]) for path in tasks if path != "/"]
    assert [settled.threshold for settled in decision.paths if settled.path != "/"] == passed
    assert evidence_of(row).thresholds.certificate == "cafe"


def test_a_row_says_what_was_decided(trace: Traces, policy: Policy) -> None:
    evidence = Evidence(Belief({"/billing": 0.9}), thresholds=Thresholds(0.8), levels={"/billing": Level.GUIDED})
    decision = decide(policy, evidence)
    row = stored(trace(evidence=evidence, decision=decision, stream=True, stages={"decide": 0.03}))
    assert row["task"] == "/billing"
    assert row["tasks"] == ["/billing"]
    assert row["level"] == 2
    assert row["shortlist"] == []
    assert row["confidence"] == 0.9
    assert row["mix"] == ["/#1", "/billing#3", "/billing#4"]
    assert row["dropped"] == [{"id": "/#2", "reason": "budget"}]
    assert row["reasons"] == ["settled"]
    assert row["stream"] is True
    assert row["stages"] == {"decide": 0.03}


@pytest.mark.parametrize(
    ("value", "kept"),
    [("\ud800", WITHHELD), (float("nan"), None), ("é" * 3, "é" * 3), (True, True), (2.0, 2.0)],
    ids=["surrogate", "nan", "text", "boolean", "number"],
)
def test_a_cue_that_json_cannot_hold_costs_only_itself(trace: Traces, value: object, kept: object) -> None:
    cues = {"odd": value, "tier": "pro"}
    again = evidence_of(stored(trace(evidence=Evidence(None, cues=cues)))).cues
    assert again.get("odd") == kept
    assert again["tier"] == "pro"


@pytest.mark.parametrize("column", ["model", "response_id", "error"])
def test_names_chosen_by_others_are_cut_and_cleaned(trace: Traces, column: str) -> None:
    row = stored(trace(evidence=Evidence(None), **{column: "\udcff" + "x" * 5_000}))
    assert row[column] == "?" + "x" * (NAME_CHARS - 1)


def test_the_free_text_of_a_cue_is_not_in_the_row(trace: Traces) -> None:
    evidence = Evidence(None, cues={"name": "Ada Lovelace"}, nonce="secret-nonce")
    row = RowMaker().row(trace(evidence=evidence, cues={"name": WITHHELD}))
    assert not any("Ada" in str(value) or "secret-nonce" in str(value) for value in row.values())
