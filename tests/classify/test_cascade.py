"""Two models, the cheap one first: who is asked, what becomes of both answers, and what happens when one is missing."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.classify import Artefact, LinearRecogniser, blocks, cross_validate
from router.classify.artefact import ArtefactError
from router.classify.cascade import FAILED, FAILURES_BORNE, LATE, REST_S, ModelAverage, ModelCascade, gaps
from router.classify.encoder import LinearModel, tokenized
from router.classify.fit.calibration import softmax
from router.classify.fit.fitting import CrossValidation, key_of
from router.classify.fit.training import Material
from router.classify.loading import recogniser_for
from router.classify.sentence_encoder import OnnxSource
from router.classify.vectors import EncoderFailed, VectorEncoder, VectorScorer
from router.core.decide import settle
from router.core.errors import Degraded
from router.core.evidence import Thresholds
from router.core.policy import EncoderCascade as Setting
from router.core.policy import Policy, PolicySettings
from tests.classify.conftest import EXAMPLES, lines, make_policy

NAME = "litellm:stub"
HINTS = (
    "refund money reimburse",
    "invoice bill receipt",
    "parcel track deliver package",
    "address redirect",
    "password log login",
    "delete close account",
)


class Stub:
    """Knows what words hint at. `answer` is called before each answer and may raise or wait."""

    def __init__(self) -> None:
        self.name = NAME
        self.digest = "d1"
        self.asked: list[list[str]] = []
        self.limits: list[float | None] = []
        self.answer: Callable[[], None] = lambda: None

    def open(self) -> None:
        self.opened = True

    def vectors(self, texts: Sequence[str], limit_s: float | None = None) -> Any:
        self.asked.append(list(texts))
        self.limits.append(limit_s)
        self.answer()
        rows = [[1.0 * any(word in text.lower() for word in hint.split()) for hint in HINTS] + [0.1] for text in texts]
        return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def module_stub() -> Iterator[Stub]:
    with pytest.MonkeyPatch.context() as patch:
        stub = Stub()
        vectors = VectorEncoder(stub)
        patch.setattr(blocks, "sentence_vectors", lambda encoder: vectors)
        patch.setattr("router.classify.fit.fitting.sentence_vectors", lambda encoder: vectors)
        yield stub


@pytest.fixture
def stub(module_stub: Stub) -> Iterator[Stub]:
    module_stub.asked.clear()
    module_stub.limits.clear()
    module_stub.answer = lambda: None
    module_stub.digest = "d1"
    yield module_stub


def policy_with(share: float, budget_s: float = 5.0, **settings: Any) -> Policy:
    examples = {path: lines(text) for path, text in EXAMPLES.items()}
    return make_policy(examples, settings=PolicySettings(cascade=Setting(NAME, share, budget_s), **settings))


@pytest.fixture(scope="module")
def fitted(module_stub: Stub) -> CrossValidation:
    return cross_validate(Material.of(policy_with(0.4)))


@pytest.fixture
def recogniser(fitted: CrossValidation, stub: Stub) -> LinearRecogniser:
    return LinearRecogniser(fitted.artefact)


# -------------------------------------------------------------------------------------------------------- two models

JOINT = ModelAverage(bound=0.3, weight=0.7, sharpness=1.2, none_shift=-0.5)
ALONE = Thresholds(0.95, 0.9)


class Says:
    """A scorer that says what it was told, by the first word; None for other words."""

    width = 4

    def __init__(self, words: dict[str, list[float]]) -> None:
        self.words_known = words

    def score(self, reading: Any) -> Any:
        known = self.words_known.get(reading.text.split()[0] if reading.text.split() else "")
        return None if known is None else np.array(known, np.float32)

    def arrays(self) -> dict[str, Any]:
        return {}

    def words(self) -> dict[str, Any]:
        return {}


def voice(**words: list[float]) -> LinearModel:
    return LinearModel([Says(words)], np.zeros(4), 2.0)


class Told:
    """A source whose vectors follow from the first word. `act` is called before each answer and may raise or wait."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.name = self.digest = "told"
        self.act = act
        self.asked: list[str] = []

    def open(self) -> None:
        self.opened = True

    def vectors(self, texts: Sequence[str], limit_s: float | None = None) -> Any:
        self.asked += texts
        self.act()
        columns = {"sure": 1, "torn": 1, "fremd": 2, "off": 0}
        return np.eye(5, dtype=np.float32)[[columns.get(text.split()[0], 4) for text in texts]]


FIRST = voice(sure=[5, 0, 0, 0], torn=[1, 0.9, 0, 0], off=[0, 0, 0, 5])


def cascade(
    source: Told | None = None, budget_s: float = 5.0, clock: Callable[[], float] = lambda: 0.0
) -> ModelCascade:
    """A second model whose scores are 7.5 for the column of the word."""
    scorer = VectorScorer(5.0 * np.eye(5, 4, dtype=np.float32), VectorEncoder(source or Told()))
    return ModelCascade(FIRST, LinearModel([scorer], np.zeros(4), 1.5), JOINT, budget_s, ALONE, clock)


@pytest.mark.parametrize("text", ["sure thing", "off we go", "12345 !?"])
def test_the_second_model_is_not_asked_about_what_is_clear(text: str) -> None:
    source = Told()
    found, alone = cascade(source).predict(text), FIRST.probabilities(text)
    assert source.asked == []
    assert (found.turn is None) is (alone is None)
    assert found.turn is None or np.array_equal(found.turn, alone)  # type: ignore[arg-type]
    assert found.shortfall is None


def test_both_are_averaged_in_logarithms_where_the_first_is_unsure() -> None:
    found = cascade().predict("torn between")
    average = 0.3 * np.array([2, 1.8, 0, 0]) + 0.7 * np.array([0, 7.5, 0, 0])
    average[2] -= 0.5
    np.testing.assert_allclose(found.turn, softmax(1.2 * average), rtol=1e-6)  # type: ignore[arg-type]


def test_words_that_the_first_does_not_know_are_the_second_s_alone() -> None:
    np.testing.assert_allclose(cascade().predict("fremd wort").turn, softmax(np.array([0, 0, 7.5, 0])))  # type: ignore[arg-type]


def test_sentences_are_asked_about_with_their_message_where_they_are_unsure() -> None:
    source = Told()
    both = cascade(source)
    text = "torn it is. sure it is. torn again."
    found = both.predict(text)
    assert source.asked == [text, "torn it is.", "torn again."]
    np.testing.assert_array_equal(found.part(tokenized("sure it is.")), FIRST.probabilities("sure it is."))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.part(tokenized("torn again.")), cascade().predict("torn again.").turn)  # type: ignore[arg-type]
    source.asked.clear()
    assert both.predict("sure it is. torn anew.").part(tokenized("torn anew.")) is not None
    assert source.asked == [], "a message that is sure has its sentences read by the first model alone"


def test_a_late_answer_leaves_the_first_alone_and_is_told() -> None:
    release = threading.Event()
    both = cascade(Told(lambda: release.wait(20) and None), budget_s=0.01)
    try:
        found = both.predict("torn between. torn again.")
    finally:
        release.set()
    assert found.shortfall is not None and (found.shortfall.code, found.shortfall.thresholds) == (LATE, ALONE)
    np.testing.assert_array_equal(found.turn, FIRST.probabilities("torn between. torn again."))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.part(tokenized("torn again.")), FIRST.probabilities("torn again."))  # type: ignore[arg-type]


def test_after_failures_in_a_row_it_is_left_alone_for_a_while() -> None:
    now, calls, works = [100.0], [0], [False]

    def fail() -> None:
        calls[0] += 1
        if not works[0]:
            raise EncoderFailed("stub", "down")

    both = cascade(Told(fail), clock=lambda: now[0])

    def code() -> str:
        shortfall = both.predict("torn").shortfall
        return shortfall.code if shortfall else ""

    assert [code() for _ in range(2 * FAILURES_BORNE)] == [FAILED] * 2 * FAILURES_BORNE
    assert calls[0] == FAILURES_BORNE, "it rests"
    now[0] += REST_S
    assert (code(), code(), calls[0]) == (FAILED, FAILED, FAILURES_BORNE + 1), "one try, and it rests again"
    now[0] += REST_S
    works[0] = True
    assert both.predict("torn once").shortfall is None
    works[0] = False
    assert (code(), code(), calls[0]) == (FAILED, FAILED, FAILURES_BORNE + 4), "failures are counted anew"


def test_gaps_are_the_difference_of_the_two_greatest() -> None:
    np.testing.assert_allclose(gaps(np.array([[0.2, 0.7, 0.1], [0.5, 0.0, 0.5]])), [0.5, 0.0])


# --------------------------------------------------------------------------------------------------------- the fit


def test_the_share_of_the_examples_is_unsure(fitted: CrossValidation) -> None:
    assert fitted.artefact.second is not None
    joint = fitted.artefact.second.joint
    assert 0.0 < joint.bound < 1.0
    first = dataclasses.replace(fitted.artefact, second=None)
    examples = [text for block in EXAMPLES.values() for text in lines(block)]
    turns = [LinearRecogniser(first)._model.probabilities(text) for text in examples]
    unsure = joint.unsure(np.array([turn for turn in turns if turn is not None]))
    assert unsure.mean() <= 0.4, "examples that the model has seen are surer than those out of fold"


def test_a_share_of_one_asks_every_time(stub: Stub) -> None:
    artefact = cross_validate(Material.of(policy_with(1.0))).artefact
    recogniser = LinearRecogniser(artefact)
    stub.asked.clear()
    recogniser.step(None, "I want my money back, please refund this order")
    assert stub.asked == [["I want my money back, please refund this order"]]


def test_fitted_and_served_probabilities_are_the_same(stub: Stub) -> None:
    """The formula of the fit, at the served model's own scores, gives what it serves."""
    artefact = cross_validate(Material.of(policy_with(1.0))).artefact
    assert artefact.second is not None
    text = "where is the money for the parcel"

    def scores(stored: Any, intercepts: Any, sharpness: float) -> Any:
        made = [blocks.restore(block.name, block.arrays, block.words) for block in stored]
        return (sum(scorer.score(tokenized(text)) for scorer in made) + intercepts) * sharpness  # type: ignore[operator]

    first = scores(artefact.blocks, artefact.intercepts, artefact.sharpness)
    second = scores(artefact.second.blocks, artefact.second.intercepts, artefact.second.sharpness)
    wanted = softmax(artefact.second.joint.scores(first, second))
    found = LinearRecogniser(artefact)._cascade.predict(text).turn
    np.testing.assert_allclose(found, wanted, rtol=1e-5)  # type: ignore[arg-type]


def test_thresholds_are_of_both_models_and_those_of_the_first_are_kept(fitted: CrossValidation, stub: Stub) -> None:
    plain = cross_validate(Material.of(dataclasses.replace(policy_with(0.4), settings=PolicySettings()))).artefact
    assert fitted.artefact.second is not None
    assert fitted.artefact.second.alone == plain.thresholds
    assert fitted.artefact.blocks[0].arrays.keys() == plain.blocks[0].arrays.keys()
    truths = fitted.truths
    better = [
        found.argmax() == fitted.artefact.classes.index(truth)
        for found, truth in zip(fitted.probabilities, truths, strict=True)
        if truth != "/"
    ]
    assert np.mean(better) > 0.8


def test_the_artefact_survives_the_disk(fitted: CrossValidation, tmp_path: Path, stub: Stub) -> None:
    fitted.artefact.save(tmp_path / "m")
    again = Artefact.load(tmp_path / "m", fitted.artefact.key)
    assert again.second is not None and fitted.artefact.second is not None
    assert (again.second.joint, again.second.alone) == (fitted.artefact.second.joint, fitted.artefact.second.alone)
    text = "money for the parcel"
    assert LinearRecogniser(again).step(None, text)[1] == LinearRecogniser(fitted.artefact).step(None, text)[1]


@pytest.mark.parametrize("digest", ["d1", "d2"])
def test_another_model_file_is_another_fit(digest: str, fitted: CrossValidation, stub: Stub) -> None:
    stub.digest = digest
    same = digest == "d1"
    assert (key_of(Material.of(policy_with(0.4))) == fitted.artefact.key) is same
    if not same:
        with pytest.raises(ArtefactError, match="another"):
            LinearRecogniser(fitted.artefact)


@pytest.mark.parametrize("change", [{"share": 0.5}, {"budget_s": 1.0}])
def test_every_number_of_the_setting_is_in_the_key(change: dict[str, Any], fitted: CrossValidation, stub: Stub) -> None:
    assert key_of(Material.of(policy_with(**{"share": 0.4, **change}))) != fitted.artefact.key


def test_material_survives_the_way_to_the_fitting_process() -> None:
    material = Material.of(policy_with(0.25, 0.03))
    assert Material.load(material.dump()) == material


def test_a_fit_that_gets_no_vectors_fails_with_the_cause(stub: Stub, tmp_path: Path) -> None:
    def down() -> None:
        raise EncoderFailed(NAME, "connection refused")

    stub.answer = down
    policy = make_policy(
        {"/a": ("one text", "another one"), "/b": ("something else", "anything")},
        settings=PolicySettings(cascade=Setting(NAME, 0.5, 1.0)),
    )
    with pytest.raises(Degraded, match="litellm:stub: connection refused"):
        recogniser_for(policy, tmp_path)


def test_a_model_that_is_not_there_fails_the_process_with_the_cause_alone(tmp_path: Path) -> None:
    missing = Setting(f"onnx:{tmp_path / 'none.onnx'}", 0.5, 1.0)
    policy = make_policy(
        {"/a": ("one text", "another one"), "/b": ("something else",)}, settings=PolicySettings(cascade=missing)
    )
    with pytest.raises(Degraded, match=r"none\.onnx: ") as caught:
        recogniser_for(policy, tmp_path, isolated=True)
    assert "Traceback" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------- serving


def test_the_second_is_opened_before_the_first_message() -> None:
    source = Told()
    cascade(source)
    assert source.opened and source.asked == []


def test_one_that_cannot_be_opened_leaves_the_first(tmp_path: Path) -> None:
    scorer = VectorScorer(np.eye(5, 4, dtype=np.float32), VectorEncoder(OnnxSource(tmp_path / "none.onnx")))
    found = ModelCascade(FIRST, LinearModel([scorer], np.zeros(4), 1.5), JOINT, 20.0, ALONE).predict("torn between")
    assert found.shortfall is not None and found.shortfall.code == FAILED


def test_it_is_no_inline_recogniser_and_says_how_long_it_may_take(recogniser: LinearRecogniser) -> None:
    assert not recogniser.inline
    assert recogniser.deadline_s > 5.0


def test_a_message_is_asked_about_once(recogniser: LinearRecogniser, stub: Stub) -> None:
    text = "zu viel money was taken for the parcel thing"
    first = recogniser.step(None, text)
    asked = list(stub.asked)
    assert recogniser.step(None, text)[1] == first[1]
    assert stub.asked == asked
    assert all(limit is not None for limit in stub.limits)


def test_without_the_second_the_first_decides_by_its_own_thresholds(
    recogniser: LinearRecogniser, fitted: CrossValidation, stub: Stub
) -> None:
    def down() -> None:
        raise EncoderFailed(NAME, "down")

    stub.answer = down
    text = "it is about a thing that I was sent or was not sent"
    _, belief = recogniser.step(None, text)
    plain = LinearRecogniser(dataclasses.replace(fitted.artefact, second=None))
    assert fitted.artefact.second is not None and belief.shortfall is not None
    assert (belief.shortfall.code, belief.shortfall.thresholds) == (FAILED, fitted.artefact.second.alone)
    assert dataclasses.replace(belief, shortfall=None) == plain.step(None, text)[1]


def test_many_messages_are_asked_about_at_once(recogniser: LinearRecogniser, stub: Stub) -> None:
    texts = [f"question number {word} about things" for word in ("one", "two", "three", "four")]
    found = recogniser.scores_many(texts)
    assert len(stub.asked) == 1 and 1 < len(stub.asked[0]) <= len(texts)
    assert found == [recogniser.scores(text) for text in texts]


def test_it_recognises(recogniser: LinearRecogniser, fitted: CrossValidation) -> None:
    policy = policy_with(0.4, threshold_sure=0.5, threshold_shortlist=1.0)
    for text, path in (("reimburse me for the lamp", "/billing/refund"), ("my login is broken", "/account/password")):
        _, belief = recogniser.step(None, text)
        assert settle(policy.tasks, belief, Thresholds(0.5, 1.0)).paths[0].path == path
