"""What is left of pasted texts: the user's own words, and the ends of what was pasted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify.cleaning import PLAIN_CHARACTERS, clean
from router.classify.text import STRIP_CHARACTERS, tokens

LOG = "\n".join(f"2026-03-03 10:00:{n:02} INFO worker started job {n}" for n in range(20))
FAILING = LOG.replace("INFO worker started job 9", "ERROR connection refused")
JSON = "{\n" + "\n".join(f'  "key{n}": "value {n}",' for n in range(30)) + '\n  "last": true\n}'
TRACE = (
    "Traceback (most recent call last):\n"
    + "\n".join(f'  File "app.py", line {n}, in f\n    g(x)' for n in range(10))
    + "\nKeyError: 'a'"
)
JAVA = "java.lang.IllegalStateException: no\n" + "\n".join(f"\tat com.shop.Cart.add(Cart.java:{n})" for n in range(12))


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("replying to @bot:\n> Your parcel is on its way.\nI want my money back", "I want my money back"),
        ("In reply to your question:\nthe hall lamp", "In reply to your question:\nthe hall lamp"),
        # mail threads
        ("where is it?\n> We sent it.\n>> When?\n> On Monday.", "where is it?"),
        ("where is it?\n\nOn Mon, 3 Mar 2026 at 10:00, Shop <help@shop.example> wrote:\n> Sent.", "where is it?"),
        ("where is it?\n\nOn Mon, 3 Mar 2026, Shop wrote:\n\nYour parcel was sent.\nRegards", "where is it?"),
        ("where is it?\n\nOn Mon, 3 Mar 2026 at 10:00, Shop\n<help@shop.example> wrote:\n> Sent.", "where is it?"),
        (
            "On Mon, 3 Mar 2026, Shop wrote:\n> We sent it.\n\nIt never came, I want a refund.",
            "It never came, I want a refund.",
        ),
        ("wo ist es?\n\nAm Mo., 3. März 2026 um 10:00 Uhr schrieb Laden:\n> Versandt.", "wo ist es?"),
        ("où est-il ?\n\nLe lun. 3 mars 2026 à 10:00, Boutique a écrit :\n> Envoyé.", "où est-il ?"),
        ("¿dónde está?\n\nEl lun, 3 mar 2026, Tienda escribió:\n> Enviado.", "¿dónde está?"),
        ("onde está?\n\nEm seg., 3 de mar. de 2026, Loja escreveu:\n> Enviado.", "onde está?"),
        ("dov'è?\n\nIl giorno lun 3 mar 2026 Negozio ha scritto:\n> Spedito.", "dov'è?"),
        ("waar is het?\n\nOp ma 3 mrt 2026 schreef Winkel:\n> Verzonden.", "waar is het?"),
        ("gdzie jest?\n\nW dniu 3.03.2026 o 10:00, Sklep napisał(a):\n> Wysłano.", "gdzie jest?"),
        ("it broke\n\n-----Original Message-----\nFrom: Shop\nSent: Monday\nYour order", "it broke"),
        ("kaputt\n\n-----Ursprüngliche Nachricht-----\nVon: Laden\nIhre Bestellung", "kaputt"),
        (
            "It broke.\n\nFrom: Shop <help@shop.example>\nSent: Monday, 3 March\nTo: Ann\nSubject: Your order\n\nThanks for it.",
            "It broke.",
        ),
        (
            "Kaputt.\n\nVon: Laden\nGesendet: Montag, 3. März\nAn: Anna\nBetreff: Ihre Bestellung\n\nVielen Dank.",
            "Kaputt.",
        ),
        (
            "From: Ann <ann@mail.example>\nTo: help@shop.example\nSubject: Refund for order 5\n\nIt broke.",
            "Refund for order 5\n\nIt broke.",
        ),
        (
            "---------- Forwarded message ---------\nFrom: Bob <bob@mail.example>\nDate: Monday\nSubject: Invoice\n\nI need one.",
            "Invoice\n\nI need one.",
        ),
        # signatures
        ("where is it\n-- \nAnn Lee\nChief Buyer, Example Ltd", "where is it"),
        ("where is it\nSent from my iPhone", "where is it"),
        ("where is it\nGet Outlook for Android", "where is it"),
        ("wo ist es\nVon meinem iPhone gesendet", "wo ist es"),
        ("où est-il\nEnvoyé de mon iPhone", "où est-il"),
        ("dónde está\nEnviado desde mi iPhone", "dónde está"),
        # what only looks like mail
        ("Book a train\nFrom: London\nTo: Paris\nDate: Monday", "Book a train\nFrom: London\nTo: Paris\nDate: Monday"),
        ("I wrote:\nhello", "I wrote:\nhello"),
        ("On Monday I was told:\nwait", "On Monday I was told:\nwait"),
        ("my items:\n- one\n- two\n--- three", "my items:\n- one\n- two\n--- three"),
        (">>> 1 + 1\nwhat does this print", ">>> 1 + 1\nwhat does this print"),
        ("> only a quote", "> only a quote"),
        ("> all of it\n> is a quote", "> all of it\n> is a quote"),
        ("-- \nAnn Lee", "--\nAnn Lee"),
        # code
        (
            f"why?\n{TRACE}\nplease help",
            "why?\nTraceback (most recent call last):\n  File \"app.py\", line 0, in f\n    g(x)\nKeyError: 'a'\nplease help",
        ),
        (
            "fix it\n```python\n" + "x = 1\n" * 50 + "raise ValueError\n```\nthanks",
            "fix it\n```python\nx = 1\nraise ValueError\n```\nthanks",
        ),
        ("fix it\n```\na\nb\n```", "fix it\n```\na\nb\n```"),
        ("```\n" + "> quoted in code\n" * 9, "```\n> quoted in code\n> quoted in code"),
        (
            f"{JAVA}\nwhat is this",
            "java.lang.IllegalStateException: no\n\tat com.shop.Cart.add(Cart.java:0)\n\tat com.shop.Cart.add(Cart.java:1)\n\tat com.shop.Cart.add(Cart.java:10)\n\tat com.shop.Cart.add(Cart.java:11)\nwhat is this",
        ),
        # logs, JSON, blobs
        (
            f"it stops\n{LOG}\nhow do I restart it",
            "it stops\n" + "\n".join(LOG.split("\n")[n] for n in (0, 1, 18, 19)) + "\nhow do I restart it",
        ),
        (
            f"it stops\n{FAILING}\nwhy",
            "it stops\n" + "\n".join(FAILING.split("\n")[n] for n in (0, 1, 9, 18, 19)) + "\nwhy",
        ),
        (f"what is wrong with\n{JSON}", 'what is wrong with\n{\n  "key0": "value 0",\n  "last": true\n}'),
        ("decode this\n" + "QUJD" * 40 + "\nplease", "decode this\n\nplease"),
        (
            "see https://shop.example/" + "a" * 90 + "\nit is broken",
            "see https://shop.example/" + "a" * 90 + "\nit is broken",
        ),
        # what a person writes stays as it is
        (
            "hello\nwhere is my parcel?\n\n- the red one\n- the blue one",
            "hello\nwhere is my parcel?\n\n- the red one\n- the blue one",
        ),
        ("I waited. " * 60, ("I waited. " * 60).strip()),
        ("one line", "one line"),
        ("", ""),
        ("\n\n", "\n\n"),
        ("😀\n😀", "😀\n😀"),
    ],
    ids=lambda text: text[:30],
)
def test_raw_and_cleaned(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


def test_a_long_line_of_json_keeps_its_beginning_and_prose_its_all() -> None:
    line = '{"id": 1, "name": "x", "tags": ["a", "b"]}, ' * 40
    assert clean(line) == line[:300].strip()
    prose = "and then they told me, again, to wait for it; so I did. " * 40
    assert clean(prose) == prose.strip()


def test_a_line_of_chat_is_the_very_same_object() -> None:
    text = "where is my parcel? " * 10
    assert len(text) < PLAIN_CHARACTERS and clean(text) is text


PARTS = [
    "where is it",
    "> quoted",
    "On Mon, 3 Mar 2026, Shop wrote:",
    "-----Original Message-----",
    "-- ",
    "From: a@b.example",
    "To: Ann",
    "Subject: Refund",
    "```",
    "x = {1: 2}",
    '  "key": 1,',
    "{",
    "}",
    "Traceback (most recent call last):",
    '  File "a.py", line 1',
    "KeyError: 1",
    "2026-03-03 10:00:00 ERROR no",
    "\tat a.b(C.java:1)",
    "Sent from my iPhone",
    "QUJD" * 30,
    "",
    "  indented",
    "😀",
    "\ud800",
    "Von: Laden",
    "~~~",
]
texts = st.lists(st.sampled_from(PARTS), max_size=30).map("\n".join) | st.text(max_size=500)


@given(texts)
def test_a_text_is_never_lengthened_nor_emptied_but_of_an_older_mail(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) <= max(len(text), STRIP_CHARACTERS + 1)
    if not cleaned and "wrote:" in text:
        return
    assert bool(cleaned.strip()) == bool(text.strip())
    assert any(map(str.isalnum, cleaned)) == any(map(str.isalnum, text))


@given(texts)
def test_nothing_new_is_in_a_cleaned_text(text: str) -> None:
    assert set(clean(text)) <= set(text) | {" ", "?"}  # "?" for half a surrogate pair


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"{part}\n" * 40_000
            for part in ("> a", "On 1", "From: a", "{", '"a": 1,', "```", "10:00:00 a", "at a.b(c)", " ")
        ),
        "On 1 " * 40_000 + "\nwrote:",
        "<" * 200_000 + "\n",
        "From: a@b.example\n" * 20_000,
        "a" * 200_000,
        "\n" * 200_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_texts_stay_bounded(text: str) -> None:
    assert len(clean(text)) <= max(STRIP_CHARACTERS + 1, 0) or clean(text) is text
    tokens(clean(text)[:2_000])
