"""The router as a library: the same decision and weaving, without a server.

from router import Router

router = Router.load("policies/customer_support")
wrapped = router.wrap({"model": "gpt-5", "messages": [...]}, context={"tier": "pro"})
client.chat.completions.create(**wrapped.body)
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from router.assembly import default_cache, preparer_for, salt_for, snapshot_of, wire_named
from router.core.decision import Decision
from router.core.errors import RequestError
from router.core.policy import Policy
from router.core.ports import Capability, Wire
from router.engine.explain import explanation
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.prepare import Call, PreparedRequest, RequestPreparer
from router.engine.snapshot import PolicyRegistry
from router.packs import Mismatch, Pack, PackTest, judge, load_pack

log = logging.getLogger("router")

MidConversation = Literal["system", "developer", "user_block"]
NAMELESS = "nameless"
"""Stands for the model where only messages are given: formats ask for one."""
_LISTS = {"chat": "messages", "responses": "input", "messages": "messages"}


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A request body with the mix woven in, and the decision behind it."""

    body: dict[str, Any]
    decision: Decision


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of one of a pack's own tests: passed, failed (with mismatches) or skipped."""

    test: PackTest
    mismatches: tuple[Mismatch, ...]

    @property
    def outcome(self) -> str:
        """One of `passed`, `failed`, `skipped`."""
        if self.test.todo:
            return "skipped"
        return "failed" if self.mismatches else "passed"


class Router:
    """A pack, ready to wrap requests. Safe to share between threads; not bound to an event loop."""

    def __init__(
        self,
        pack: Pack,
        cache: Path | None = None,
        mid_conversation: MidConversation = "user_block",
        salt: str | None = None,
    ) -> None:
        fault_handler = FaultHandler(lambda code: log.warning("degraded: %s", code))
        snapshot = snapshot_of(pack, cache, fault_handler)
        self.pack = pack
        self._capability = Capability(mid_conversation=mid_conversation)
        self._preparer: RequestPreparer = preparer_for(
            PolicyRegistry({pack.policy.name: snapshot}, pack.policy.name),
            fault_handler,
            Identifier(salt_for(cache, salt)),
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        cache: str | Path | None = None,
        mid_conversation: MidConversation = "user_block",
        salt: str | None = None,
    ) -> Router:
        """Load a pack (a folder or a single file). Raises PolicyError with every fault's file and line.

        The fitted recogniser is kept in `cache` (by default the user's cache folder) and found there by revision.
        `mid_conversation` says what your models take there: a `system` or `developer` message, or neither. `salt` makes
        the words that mark our text in user turns; without one it is kept in `cache`. Raises SettingsError.
        """
        return cls(load_pack(path), Path(cache) if cache is not None else default_cache(), mid_conversation, salt)

    @property
    def policy(self) -> Policy:
        """The loaded policy."""
        return self.pack.policy

    def wrap(
        self,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        wire: str = "chat",
        context: Mapping[str, Any] | None = None,
    ) -> Wrapped:
        """Return a new body with the instructions woven in; `body` is left as it is.

        It may also be a list of messages alone; the new body then holds `messages` and what belongs beside them.
        `context` gives cue values by the cue's name or by its metadata field, and may hold `headers`. Raises
        RequestError for a body that the wire format does not allow.
        """
        format_ = wire_named(wire)
        whole = body if isinstance(body, Mapping) else {"model": NAMELESS, _LISTS[wire]: list(body)}
        prepared = self._look(whole, format_, context)
        sent, decision = self._preparer.weave(prepared, format_, capability=self._capability)
        woven = json.loads(sent)
        if whole is not body:
            del woven["model"]
        return Wrapped(woven, decision)

    def explain(
        self, body: Mapping[str, Any], wire: str = "chat", context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the decision for a body as JSON-ready data: path, scores, mix, what was dropped, and why."""
        return explanation(self._look(body, wire_named(wire), context))

    def test(self) -> tuple[TestResult, ...]:
        """Run the pack's own tests."""
        return tuple(TestResult(test, () if test.todo else self._try(test)) for test in self.pack.tests)

    def _try(self, test: PackTest) -> tuple[Mismatch, ...]:
        messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(test.turns)]
        return judge(test, self._look({"model": "test", "messages": messages}, wire_named("chat"), test.cues).decision)

    def _look(self, body: Mapping[str, Any], wire: Wire, context: Mapping[str, Any] | None) -> PreparedRequest:
        metadata = dict(context or {})
        headers = {str(name).lower(): str(value) for name, value in dict(metadata.pop("headers", {})).items()}
        for name, cue in self.policy.cues.items():
            if name in metadata:
                for place, field in cue.sources:
                    (headers if place == "header" else metadata).setdefault(field, metadata[name])
        try:
            raw = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise RequestError(f"The body cannot be written as JSON: {error}", code="invalid_json") from error
        return self._preparer.prepare(Call(wire, raw, headers, tenant="local", metadata=metadata))
