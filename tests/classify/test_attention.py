"""Which words of a long message count: those that ask."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify import Artefact, LinearRecogniser, fit_policy
from router.classify.artefact import ArtefactError
from router.classify.attention import MOST_ODDS, POWER, RATHER, SHORT, Attention
from router.classify.encoder import tokenized
from router.classify.fit import everyday
from router.classify.shipped import background
from router.core.policy import Policy, Task

STORY = (
    "We have had the builders in since Tuesday and the dust is everywhere, even in the butter, and my sister is coming "
    "on Friday with the twins. {} Her husband works nights, so she does most of it alone, bless her."
)
ASKED = {
    "Where is my parcel?": "/delivery/track",
    "I want my money back for the chair.": "/billing/refund",
    "I forgot my password.": "/account/password",
    "Please send me an invoice for my last order.": "/billing/invoice",
}


def small_vectors(words: list[str]) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([np.random.default_rng(crc32(word.encode())).normal(size=8) for word in words], np.float32)


def attention() -> Attention:
    return Attention(np.random.default_rng(0).normal(size=9).astype(np.float32), small_vectors)


@pytest.mark.parametrize(("asked", "task"), ASKED.items())
def test_a_request_is_found_within_a_story(recogniser: LinearRecogniser, asked: str, task: str) -> None:
    _, belief = recogniser.step(None, STORY.format(asked))
    assert belief.likeliest[0].path == task


@pytest.mark.parametrize(("asked", "task"), ASKED.items())
def test_it_is_attention_that_finds_it(artefact: Artefact, asked: str, task: str) -> None:
    deaf = LinearRecogniser(artefact_without_attention(artefact))
    text = STORY.format(asked)
    assert LinearRecogniser(artefact).scores(text)[task] > deaf.scores(text)[task] + 0.1


def artefact_without_attention(artefact: Artefact) -> Artefact:
    fields = {name: getattr(artefact, name) for name in artefact.__dataclass_fields__}
    return Artefact(**fields | {"attention": np.zeros(0, np.float32)})


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=SHORT + 1, max_size=40))
def test_a_word_counts_as_much_as_the_window_that_asks_most(words: list[str]) -> None:
    vectors, numbers = small_vectors(words), attention().numbers
    most = np.zeros(len(words))
    for size in (5, 8):
        for start in range(len(words) - size + 1):
            window = vectors[start : start + size]
            everyday = window.sum(axis=0) @ numbers[:-1] / np.linalg.norm(window) + numbers[-1]
            asks = (1 + np.exp(min(everyday, MOST_ODDS))) ** -POWER
            most[start : start + size] = np.maximum(most[start : start + size], asks)
    squares = attention().attend(tokenized(" ".join(words))).squares
    if most.max() < RATHER:
        assert squares is None
        return
    assert squares is not None and np.allclose(squares, (most / most.max()) ** 2, atol=1e-4)


@given(st.lists(st.sampled_from("abcd"), max_size=40))
def test_words_count_no_more_than_they_occur(words: list[str]) -> None:
    reading = tokenized(" ".join(words))
    read = attention().attend(reading)
    assert (read.tokens, read.words) == (reading.tokens, reading.words)
    if len(words) <= SHORT or read.squares is None:
        assert read == reading
    else:
        assert read.counts is not None and read.squares is not None
        assert sum(read.counts) == pytest.approx(sum(read.squares)) and max(read.squares) == pytest.approx(1.0)
        assert all(count <= words.count(word) + 1e-6 for word, count in zip(read.words, read.counts, strict=True))


def test_what_is_fitted_is_what_is_served(recogniser: LinearRecogniser) -> None:
    """Features of a text whose words count less are what the folded tables add up."""
    model = recogniser._model
    reading = attention().attend(tokenized(STORY.format("Where is my parcel?")))
    lexical = model.scorers[0].score(reading)
    plain = model.scorers[0].score(tokenized(reading.text))
    assert lexical is not None and plain is not None and not np.allclose(lexical, plain)


def test_a_few_examples_tell_nobody_what_asking_sounds_like(policy: Policy) -> None:
    tasks = {
        path: Task(path, examples=task.examples[:2], children=task.children) for path, task in policy.tasks.items()
    }
    assert not len(fit_policy(Policy("few", "1", tasks)).attention)


def test_courtesy_is_among_what_fades() -> None:
    asking = ["where is my parcel today", "I want a refund for the chair", "send the invoice to my office please"] * 8
    praise = ["you are all so wonderful and kind", "what a lovely friendly team you have"] * 8
    told = everyday.attention_to([*asking, *praise], [*background("everyday"), *praise])
    assert told.asks(tokenized("where is my refund for the chair"))
    assert not told.asks(tokenized("you are such a lovely and kind team"))


def test_numbers_that_do_not_fit_the_table_are_refused(artefact: Artefact) -> None:
    fields = {name: getattr(artefact, name) for name in artefact.__dataclass_fields__}
    with pytest.raises(ArtefactError, match="attention"):
        LinearRecogniser(Artefact(**fields | {"attention": np.zeros(5, np.float32)}))


def test_background_texts_are_clean() -> None:
    for language in ("", "de", "fr", "es", "it", "pt", "nl", "pl"):
        for name in ("everyday", "unrelated", "follow_ups"):
            lines = background(name, language)
            assert len(lines) >= 60 and len({line.lower() for line in lines}) == len(lines), (language, name)
