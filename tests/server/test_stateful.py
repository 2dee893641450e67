"""Law 3 against the running server: three clients in three formats, a backend that remembers what it was sent.

Hypothesis chooses what happens: users speak, tools answer, clients repeat a request or edit their history, the pack
changes, the process is stopped and started again. After each request the backend must have been sent a prompt that
begins with the one before. `LAW_EXAMPLES` sets how many such stories are told beyond the few of every run.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from router.assembly import WIRES
from tests.clients.upstream import MODEL, Upstream, scripted_upstream
from tests.support.conversations import Calls, Move, Replies, Says, written
from tests.support.serving import Server, serving_router

STORIES = max(4, int(os.environ.get("LAW_EXAMPLES", "0")) // 100)
ROUTES = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}

PACK = """
name: desk
brief: Be polite. (Edition {edition}.)
required: [Never guess.]
settings: {{thresholds: {{sure: 0.9, shortlist: 0.5}}, shortlist: 2}}
tasks:
  order:
    brief: Ask for the order. (Edition {edition}.)
    tasks:
      refund:
        about: The customer wants money back
        examples: [refund please, I want my money back, give me a refund, pay me back, can I get a refund]
        brief: Help with the refund. (Edition {edition}.)
      parcel:
        about: The customer waits for a parcel
        examples: [where is my parcel, track my parcel, my delivery is late, when does it arrive, has it shipped]
        brief: Say where the parcel is. (Edition {edition}.)
  hours:
    examples: [when do you open, are you open on Sunday, what are your opening hours, until when are you open]
    brief: Name the hours. (Edition {edition}.)
"""
EITHER = "refund the parcel"
CONFIG = """
backends:
  scripted: {{type: openai, base_url: "{url}/v1", speaks: [chat, responses, messages], mid_conversation: {where}}}
models: {{"*": {{backend: scripted}}}}
"""
WORDS = ("hello", "refund please", "where is my parcel", "thanks", EITHER, "has it shipped", "until when are you open")


class Story(RuleBasedStateMachine):
    """What happens between a router, its clients and its operator."""

    upstream: Upstream
    recognisers: Path

    def __init__(self) -> None:
        super().__init__()
        self.running = ExitStack()
        self.folder = Path(self.running.enter_context(tempfile.TemporaryDirectory()))
        self.history: dict[str, list[Move]] = {name: [] for name in ROUTES}
        self.before: dict[str, list[bytes]] = {name: [] for name in ROUTES}
        self.editions = {0}

    @initialize(where=st.sampled_from(("system", "user_block")))
    def begin(self, where: str) -> None:
        self._write(0)
        (self.folder / "router.yaml").write_text(CONFIG.format(url=self.upstream.url, where=where))
        (self.folder / "data").mkdir()
        (self.folder / "data" / "recognisers").symlink_to(self.recognisers, target_is_directory=True)
        self.process = ExitStack()
        self._start()

    @rule(name=st.sampled_from(list(ROUTES)), text=st.sampled_from(WORDS), style=st.sampled_from(("text", "parts")))
    def user_speaks(self, name: str, text: str, style: Any) -> None:
        if self.history[name]:
            self.history[name].append(Replies("Sure."))
        self.history[name].append(Says(text, style))
        self._send(name)

    @rule(name=st.sampled_from(list(ROUTES)), number=st.integers(1, 3))
    def tools_answer(self, name: str, number: int) -> None:
        if self.history[name]:
            self.history[name].append(Calls(number))
            self._send(name)

    @rule(name=st.sampled_from(list(ROUTES)))
    def client_asks_again(self, name: str) -> None:
        if self.history[name]:
            self._send(name)

    @rule(name=st.sampled_from(list(ROUTES)), text=st.sampled_from(WORDS))
    def client_edits_its_last_words(self, name: str, text: str) -> None:
        spoken = [at for at, move in enumerate(self.history[name]) if isinstance(move, Says)]
        if len(spoken) > 1:
            self.history[name][spoken[-1] :] = [Says(text)]
            self.before[name] = []
            self._send(name)

    @rule()
    def operator_changes_the_pack(self) -> None:
        before = self._ready()["policies"]["desk"]
        self._write(max(self.editions) + 1)
        deadline = time.monotonic() + 20
        while self._ready()["policies"]["desk"] == before:
            assert time.monotonic() < deadline, self.server.said()
            time.sleep(0.05)  # the watch looks at the files twice a second
        self._all_go_on()

    @rule(change=st.booleans())
    def operator_restarts(self, change: bool) -> None:
        self.process.close()
        if change:
            self._write(max(self.editions) + 1)
        self._start()
        self._all_go_on()

    @invariant()
    def the_router_has_seen_no_break_of_its_own(self) -> None:
        if hasattr(self, "server"):
            assert "router_prefix_break_total{" not in httpx.get(f"{self.server.url}/metrics").text

    def teardown(self) -> None:
        if hasattr(self, "process"):
            self.process.close()
        self.running.close()

    def _all_go_on(self) -> None:
        for name, history in self.history.items():
            if history:
                history += [Replies("Sure."), Says("thanks")]
                self._send(name)

    def _send(self, name: str) -> None:
        self.upstream.forget()
        body = written(name, self.history[name], "You help the customers of a shop.", model=MODEL)
        answer = httpx.post(self.server.url + ROUTES[name], json=body, headers={"x-session-id": name})
        assert answer.status_code == 200, answer.text
        sent = [bytes(part) for part in WIRES[name].prompt(self.upstream.await_taken().raw)]
        before, self.before[name] = self.before[name], sent
        assert sent[: len(before)] == before
        assert any(b"Never guess." in part for part in sent)

    def _write(self, edition: int) -> None:
        self.editions.add(edition)
        (self.folder / "desk.yaml").write_text(PACK.format(edition=edition))

    def _start(self) -> None:
        where = ["--config", f"{self.folder / 'router.yaml'}", "--data", f"{self.folder / 'data'}"]
        self.server: Server = self.process.enter_context(
            serving_router(*where, "--pack", f"{self.folder / 'desk.yaml'}")
        )

    def _ready(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.server.url}/health/ready").json())


@pytest.mark.timeout(600)
def test_whatever_happens_every_conversation_is_sent_as_a_growing_prefix(recognisers: Path) -> None:
    with scripted_upstream() as upstream:
        Story.upstream, Story.recognisers = upstream, recognisers
        run_state_machine_as_test(
            Story,
            settings=settings(
                max_examples=STORIES,
                stateful_step_count=14,
                phases=[Phase.generate],  # to make a failing story shorter would take minutes
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
