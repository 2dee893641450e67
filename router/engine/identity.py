"""Who is asking, and which conversation this is: keyed hashes, never the words themselves.

The tenant comes from the API key alone. The end user and the conversation may be named by the body or by headers; what
users write in messages is never identity. Without a name, a conversation is known by its beginning (tenant, the app's
system text and the first user turn, all of which a client resends on every call) and by the first answer to it. A
request that has none yet opens a conversation of its own, however many others have begun with the same words.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from router.core.conversation import Conversation
from router.core.errors import SettingsError
from router.core.ports import Wire

DIGEST_BYTES = 12
NONCE_BYTES = 6
SALT_BYTES = 32
SALT_CHARS = 16
"""The least of a salt that somebody has set."""


def kept_salt(folder: Path) -> bytes:
    """Return the secret that a folder keeps; made once, readable by its owner alone. Raises OSError, SettingsError."""
    file = folder / "salt"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        _make_salt(file)
    salt = file.read_bytes().strip()
    if len(salt) < SALT_BYTES:
        raise SettingsError(f"{file} is too short for a salt; restore it from a backup, or remove it to have a new one")
    return salt


def _make_salt(file: Path) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return  # another program was faster; its salt is as good
    with os.fdopen(descriptor, "wb") as out:
        out.write(secrets.token_hex(SALT_BYTES).encode())


OF = "."
"""Stands between the beginning of a conversation without a name and what tells it from others that begin alike."""

ANSWER_CHARS = 16


class Opening(NamedTuple):
    """How a conversation without a name is known: by the keyed hash of the first answer to it, "" where none is there.

    `answered` is false for a request that opens one, be it with the beginning of an answer already.
    """

    answer: str
    answered: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Keyed hashes of the conversation and of the unit (the end user if known, else the conversation), and a nonce.

    The nonce marks our text beside a user's. It follows from the conversation's name, or from its beginning, and the
    secret, so it is the same on every call, after a restart and in every replica with that secret; from what is stored
    and shown it does not. `opening` is None where the request names its conversation: it may then hold no more of it
    than its newest message.
    """

    conversation: str
    unit: str
    nonce: str
    opening: Opening | None = None

    def going_on_with(self, conversation: str) -> Identity:
        """Return this identity in another conversation that begins alike: it turned out to go on with that."""
        unit = conversation if self.unit == self.conversation else self.unit
        return replace(self, conversation=conversation, unit=unit)


class Identifier:
    """Makes identities with one secret. Equal inputs and secret give equal identities, across restarts too."""

    def __init__(self, secret: bytes, conversation_headers: tuple[str, ...] = ()) -> None:
        self._key = blake2b(secret, digest_size=32).digest()
        self._headers = tuple(name.lower() for name in conversation_headers)

    def identify(
        self,
        tenant: str,
        spoken: Conversation,
        user: str,
        headers: Mapping[str, str],
        metadata: Mapping[str, object],
        personal: Sequence[str] = (),
    ) -> Identity:
        """Return who and which conversation a request belongs to.

        `personal` are facts that tell people apart whose unnamed conversations begin alike. What an assistant says in
        several messages in a row is one answer.
        """
        named = self._named(metadata, headers) or spoken.continues
        opening = None
        if named:
            conversation = self.conversation_of(tenant, named)
        else:
            first: str | None = None
            said: list[str] = []
            answered = False
            for turn in spoken.turns:
                if first is None:
                    first = turn.text if turn.role == "user" else None
                elif turn.role == "assistant":
                    said.append(turn.text)
                elif said or turn.role == "tool":  # calls of tools alone may be no message: their results follow
                    answered = True
                    break
            beginning = self._hash("h", tenant, spoken.system, first or "", user, *personal)
            opening = Opening(self.answer_of("".join(said)) if said or answered else "", answered)
            conversation = beginning + OF + (opening.answer if answered else os.urandom(ANSWER_CHARS // 2).hex())
        return self.of(conversation, self.unit_of(tenant, user) if user else conversation, opening)

    def of(self, conversation: str, unit: str, opening: Opening | None = None) -> Identity:
        """Return the identity with these hashes."""
        nonce = self._hash("n", conversation.partition(OF)[0])[: 2 * NONCE_BYTES]
        return Identity(conversation, unit, nonce, opening)

    def answer_of(self, text: str) -> str:
        """Return the hash of an answer; white space makes no difference, for clients trim."""
        return self._hash("a", "".join(text.split()))[:ANSWER_CHARS]

    def conversation_of(self, tenant: str, name: str) -> str:
        """Return the hash of a conversation by the name that a tenant's requests give it."""
        return self._hash("c", tenant, name)

    def unit_of(self, tenant: str, user: str) -> str:
        """Return the hash of an end user by the name that a tenant's requests give them."""
        return self._hash("u", tenant, user)

    def answer_in(self, wire: Wire, pieces: Sequence[bytes], stream: bool) -> str:
        """Return the hash of the answer that some bytes hold."""
        return self.answer_of(wire.spoken(b"".join(pieces), stream=stream))

    def _named(self, metadata: Mapping[str, object], headers: Mapping[str, str]) -> str:
        if metadata:
            for field in ("conversation_id", "session_id"):
                value = metadata.get(field)
                if isinstance(value, str) and value:
                    return value
        for name in self._headers:
            value = headers.get(name)
            if value:
                return value
        return ""

    def _hash(self, *parts: str) -> str:
        # The repr of a tuple quotes its parts, so that ("a", "bc") and ("ab", "c") stay apart.
        return blake2b(repr(parts).encode(), key=self._key, digest_size=DIGEST_BYTES).hexdigest()
