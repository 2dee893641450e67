"""Who is asking, and which conversation this is: keyed hashes, never the words themselves.

The tenant comes from the API key alone. The end user and the conversation may be named by the body or by headers; what
users write in messages is never identity. Without a name, a conversation is known by its beginning: tenant, the app's
system text and the first user turn, all of which a client resends on every call.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from router.core.conversation import Conversation
from router.core.errors import SettingsError

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


@dataclass(frozen=True, slots=True)
class Identity:
    """Keyed hashes of the conversation and of the unit (the end user if known, else the conversation), and a nonce.

    The nonce marks our text beside a user's. It follows from the conversation and the secret, so it is the same on
    every call, after a restart and in every replica with that secret; from what is stored and shown it does not.
    `named` says that the request names its conversation: it may then hold no more of it than its newest message.
    """

    conversation: str
    unit: str
    nonce: str
    named: bool = True


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

        `personal` are facts that tell people apart whose unnamed conversations begin alike.
        """
        named = self._named(metadata, headers) or spoken.continues
        if named:
            conversation = self.conversation_of(tenant, named)
        else:
            first = ""
            for turn in spoken.turns:
                if turn.role == "user":
                    first = turn.text
                    break
            conversation = self._hash("h", tenant, spoken.system, first, user, *personal)
        unit = self.unit_of(tenant, user) if user else conversation
        return self.of(conversation, unit, named=bool(named))

    def of(self, conversation: str, unit: str, *, named: bool = True) -> Identity:
        """Return the identity with these hashes."""
        return Identity(conversation, unit, self._hash("n", conversation)[: 2 * NONCE_BYTES], named)

    def conversation_of(self, tenant: str, name: str) -> str:
        """Return the hash of a conversation by the name that a tenant's requests give it."""
        return self._hash("c", tenant, name)

    def unit_of(self, tenant: str, user: str) -> str:
        """Return the hash of an end user by the name that a tenant's requests give them."""
        return self._hash("u", tenant, user)

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
