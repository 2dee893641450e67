"""The protocol-neutral view of a request: who said what, in order.

A wire format parses its body into a `Conversation`; everything that decides sees only this. Nothing here is ever sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["user", "assistant", "tool", "system"]


class Turn(NamedTuple):
    """One message. `at` is its index among the messages of the wire body.

    `text` holds the text parts only, joined by line breaks; `parts` are these where there are several. `attachments`
    names the kinds of the other parts (`image_url`, `input_audio`, `file`). A message that only returns tool results
    has role `tool`.
    """

    role: Role
    text: str
    at: int
    attachments: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conversation:
    """The app's own leading system text and the turns that follow it, in the client's order.

    `continues` names what the backend keeps of the conversation, where a client sends only what is new: the id of the
    answer before, or of the stored conversation. `stored` is everything that the body asks for by an id under which the
    backend keeps it, as place and id: `("previous_response_id", "resp_1"), ("input[0].id", "msg_1")`.
    """

    system: str
    turns: tuple[Turn, ...]
    max_tokens: int | None = None
    continues: str = ""
    stored: tuple[tuple[str, str], ...] = ()
