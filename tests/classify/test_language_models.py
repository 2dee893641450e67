"""A model for each language of a pack, and which of them reads a message."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from router.classify import Artefact, LinearRecogniser, fit_policy, recogniser_for
from router.classify.fit.training import Material
from router.classify.languages import LanguageIdentifier
from router.classify.shipped import MAIN
from router.core.policy import Policy, Task
from tests.classify.conftest import EXAMPLES

GERMAN = {
    "/billing/refund": "Ich möchte mein Geld zurück|Bitte erstatten Sie mir den Betrag|Bekomme ich eine Erstattung?"
    "|Geld zurück für Bestellung 20391|ich will den Kaufpreis wieder|wann kommt meine Rückzahlung endlich"
    "|erstattet mir bitte den Stuhl|die Qualität ist schlecht, Geld zurück",
    "/delivery/track": "Wo ist mein Paket?|Meine Lieferung ist noch nicht da|wann kommt Bestellung 5512"
    "|die Sendungsverfolgung bewegt sich nicht|ist mein Päckchen unterwegs|ich warte immer noch auf die Sendung"
    "|Lieferstatus bitte|das Paket sollte am Montag kommen",
    "/account/password": "Ich habe mein Passwort vergessen|wie setze ich mein Kennwort zurück"
    "|der Link zum Zurücksetzen geht nicht|ich komme nicht in mein Konto|Anmeldung schlägt fehl, falsches Passwort"
    "|neues Passwort wählen|ich kann mich nicht einloggen|Login geht nicht",
}
SPOKEN = {
    "wo bleibt denn mein Paket": "/delivery/track",
    "ich will mein Geld wieder": "/billing/refund",
    "Passwort vergessen, was nun?": "/account/password",
    "where has my parcel got to": "/delivery/track",
    "could you resend the invoice": "/billing/invoice",
}


def in_two_languages(german: dict[str, str] = GERMAN, tags: bool = True, **more: object) -> Policy:
    texts = {path: [line.strip() for line in lines.strip().splitlines()] for path, lines in EXAMPLES.items()}
    spoken: dict[str, str] = {}
    for path, lines in german.items():
        texts.setdefault(path, [])
        texts[path] += lines.split("|")
        spoken |= dict.fromkeys(lines.split("|"), "de")
    paths = sorted({step for path in texts for step in ("/", path.rpartition("/")[0], path)})
    tasks = {
        path: Task(
            path,
            examples=tuple(texts.get(path, ())),
            children=tuple(other for other in paths if other != "/" and (other.rpartition("/")[0] or "/") == path),
        )
        for path in paths
    }
    return Policy("two", "1", tasks, languages=MappingProxyType(spoken if tags else {}), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def fitted() -> Artefact:
    return fit_policy(in_two_languages())


def test_languages_fitted_in_processes_of_their_own_give_the_very_same_model(tmp_path: Path, fitted: Artefact) -> None:
    recogniser_for(in_two_languages(), tmp_path, isolated=True)
    (model,) = tmp_path.glob("*.model")
    assert model.read_bytes() == fitted.dump()


@pytest.mark.skipif(sys.platform != "linux" or (os.cpu_count() or 1) < 2, reason="fits in one process")
def test_processes_that_fit_end_with_the_one_that_started_them() -> None:
    command = [sys.executable, "-c", "from router.classify.loading import fit_here; fit_here()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as fitting:
        assert fitting.stdin and fitting.stderr
        fitting.stdin.write(Material.of(in_two_languages()).dump().encode())
        fitting.stdin.close()
        fitting.stderr.readline()  # the first step, by which the others are at work
        workers = Path(f"/proc/{fitting.pid}/task/{fitting.pid}/children").read_text().split()
        ends = [os.pidfd_open(int(pid)) for pid in workers]
        fitting.kill()
    assert ends
    for end in ends:
        assert select.select([end], [], [], 60)[0], "it goes on"
        os.close(end)


@pytest.mark.parametrize(("text", "task"), SPOKEN.items())
def test_each_language_is_understood(fitted: Artefact, text: str, task: str) -> None:
    assert LinearRecogniser(fitted).step(None, text)[1].likeliest[0].path == task


def test_the_packs_own_language_is_as_it_was_without_the_other(fitted: Artefact) -> None:
    alone, both = LinearRecogniser(fit_policy(in_two_languages({}))), LinearRecogniser(fitted)
    for text in ("where is my parcel", "I would like my money back please", "the tracking page shows no movement"):
        one, other = alone.scores(text), both.scores(text)
        assert max(abs(one[path] - other[path]) for path in one) < 0.03


def test_the_artefact_comes_back_with_its_languages(fitted: Artefact) -> None:
    again = LinearRecogniser(Artefact.parse(fitted.dump(), fitted.key))
    for text in SPOKEN:
        assert again.step(None, text)[1] == LinearRecogniser(fitted).step(None, text)[1]


def test_a_task_that_only_the_other_language_has_is_known(fitted: Artefact) -> None:
    more = GERMAN | {"/delivery/gift": "als Geschenk einpacken bitte|könnt ihr das schön verpacken|mit Grußkarte bitte"
                     "|Geschenkpapier dazu|ist Geschenkverpackung möglich"}  # fmt: skip
    artefact = fit_policy(in_two_languages(more))
    assert "/delivery/gift" in artefact.classes
    belief = LinearRecogniser(artefact).step(None, "bitte als Geschenk verpacken mit Karte")[1]
    assert belief.likeliest[0].path == "/delivery/gift"


def test_generated_texts_in_another_language_do_not_certify() -> None:
    texts = frozenset((path, line) for path, lines in GERMAN.items() for line in lines.split("|"))
    alone, both = fit_policy(in_two_languages({})), fit_policy(in_two_languages(generated=texts))
    certifying = fit_policy(in_two_languages())
    assert both.certificate.rows == alone.certificate.rows == certifying.certificate.rows - len(texts)


def test_languages_are_told_apart_by_their_letters() -> None:
    known = LanguageIdentifier.learn({
        MAIN: [line for lines in EXAMPLES.values() for line in lines.split("\n")],
        "de": [line for lines in GERMAN.values() for line in lines.split("|")],
    })  # fmt: skip
    assert known.tags == (MAIN, "de")
    for words, tag in (("where is my money", 0), ("wo ist mein Geld", 1), ("paket kommt nicht", 1)):
        assert known.probabilities(words.split()).argmax() == tag
    # A number says nothing: the pack's own language is ahead.
    assert known.probabilities(["4712"])[0] > 0.5 and known.probabilities([]).sum() == pytest.approx(1.0)


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="languages"):
        LanguageIdentifier(("", "de"), ("abc",), np.zeros((2, 2), np.float32))


def test_any_script_is_read_by_somebody(fitted: Artefact) -> None:
    recogniser = LinearRecogniser(fitted)
    for text in (
        "أين طردي؟",
        "我的包裹在哪里？",
        "שלום, איפה החבילה",
        "Где my Paket 📦?",
        "",
        "😀",
        "\u202e\u200b",
        "a" * 5_000,
    ):
        assert sum(recogniser.scores(text).values()) == pytest.approx(1.0, abs=1e-3)
