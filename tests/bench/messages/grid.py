"""Ten frames that applications put around a question and what they have looked up, five questions, six passages.

Written without a look at what the reader of frames knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.bench.messages.texts import ALL


class Cell(NamedTuple):
    """A framed question: the frame's name, the turn, and what is asked for."""

    frame: str
    turn: str
    question: str
    task: str
    half: str = ALL


QUESTIONS = {
    "I want to cancel the order I placed this morning, it hasn't shipped yet": "/orders/cancel_order",
    "The parcel says delivered but nothing is here": "/delivery/not_received",
    "Can you send me an invoice with our VAT number on it?": "/billing/invoice",
    "I can't log in, it keeps telling me my password is wrong": "/account/login_problem",
    "The vase I ordered came in pieces": "/received_items/damaged_item",
}

PASSAGES = {
    "sizes": "Our shoes follow EU sizes. Measure your foot in the evening and add half a centimetre. If you are between "
    "two sizes, take the larger one; narrow models are marked in the shop.",
    "returns": "You have 30 days to send an item back. Open your orders, choose the item and the reason, and print the "
    "label. Hand the parcel in at any collection point and keep the receipt. Money is paid back within five days.",
    "courier": "If nobody is at home, the driver leaves a card and tries again on the next working day. After the second "
    "attempt your parcel waits at the depot for a week. A new delivery date can be booked on the carrier's page.",
    "subscription": "A coffee subscription can be paused or ended up to two days before the next box. Changes to the "
    "blend or the grind take effect with the following box. Gift subscriptions end by themselves.",
    "payment": "We take cards, PayPal and bank transfer. If a card is declined, check the limit with your bank or pay in "
    "another way. Orders that are not paid within three days are cancelled.",
}
PASSAGES["several"] = "\n\n".join(PASSAGES[name] for name in ("returns", "payment", "courier"))


def _as_json(passage: str, question: str) -> str:
    return json.dumps({"context": passage.split("\n\n"), "history": [], "user_input": question}, indent=2)


FRAMES: dict[str, Callable[[str, str], str]] = {
    "search results, then who asked": lambda passage, question: (
        f"Search results for this conversation:\n\n(1) help-centre/article-118, score 0.83\n{passage}\n\n"
        f"(2) help-centre/article-7, score 0.41\nNo text.\n\nThe user asked: {question}\nReply in the user's language."
    ),
    "a JSON object": _as_json,
    "sources below": lambda passage, question: f"{question}\n\nSources:\nhandbook-12.pdf#page=3: {passage}",
    "learned knowledge in tags": lambda passage, question: (
        "Use the following context as your learned knowledge, inside <context></context> XML tags.\n\n"
        f"<context>\n{passage}\n</context>\n\nWhen answering the user:\n- If you don't know, say that you don't know.\n"
        "- Avoid mentioning that the information came from the context.\n\nAnswer in the language of the question.\n\n"
        f"{question}"
    ),
    "documents with titles and snippets": lambda passage, question: (
        f"## Documents\nDocument: 0\nTitle: Help centre\nSnippet: {passage}\n\n## User query\n{question}"
    ),
    "a matched article, then the customer": lambda passage, question: (
        f"Knowledge article matched with this chat (confidence 71 %):\n>>>\n{passage}\n<<<\n\n"
        f"The customer writes: {question}"
    ),
    "in German": lambda passage, question: f"Hintergrundwissen:\n{passage}\n\nAnfrage der Kundin:\n{question}",
    "an article below, if it helps": lambda passage, question: (
        f'{question}\n\nHere is an article from our help pages, use it if it helps:\n"""\n{passage}\n"""'
    ),
    "numbered context with ends": lambda passage, question: f"[CONTEXT 0]:\n{passage}\n[END CONTEXT 0]\n\n{question}",
    "documents, question, answer": lambda passage, question: (
        f"Given these documents, answer the question.\n\nDocuments:\n    {passage}\n\nQuestion: {question}\nAnswer:"
    ),
}


def cells() -> Iterator[Cell]:
    """Yield every question in every frame around every passage."""
    for frame, build in FRAMES.items():
        for passage in PASSAGES.values():
            for question, task in QUESTIONS.items():
                yield Cell(frame, build(passage, question), question, task)
