"""Conversations that nothing names: a request opens one of its own, and one that goes on finds its own pin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.assembly import WIRES
from router.core.policy import Level
from router.core.ports import Capability, Wire
from router.core.store_ports import PinRecord
from router.engine.prepare import Call, PreparedRequest, RequestPreparer
from tests.support.conversations import Calls, Move, Replies, Says, written
from tests.support.parts import Clock, preparer, small_policy, snapshot

ASKS = Says("my refund please")
ON_SWITCH = Capability("user_block")


class Desk:
    """A router that is reloaded and restarted, and its clients in one wire format."""

    def __init__(self, format_: str = "chat") -> None:
        self.wire: Wire = WIRES[format_]
        self.clock = Clock()
        self.number = 0
        self.stored: dict[str, PinRecord] = {}
        self.router = self._router()

    def reload(self) -> None:
        self.number += 1
        self.router.registry.swap("desk", self._snapshot(self.number))

    def restart(self) -> None:
        changed = self.router.pins.changed({"desk": self.router.registry.current().policy})
        self.stored |= {record.conversation: record for record in changed}
        self.router = self._router()
        for number in range(self.number):
            self.router.registry.keep_old(self._snapshot(number))
        self.router.pins.restore(self.stored.values())

    def ask(self, *history: Move, keep: bool = True, **more: Any) -> PreparedRequest:
        self.clock.now += 1
        sent = written(self.wire.name, list(history), **more)
        return self.router.prepare(Call(self.wire, json.dumps(sent).encode()), keep=keep)

    def answer(self, asked: PreparedRequest, text: str, stream: bool = False) -> Replies:
        """Answer a request, whole or as a stream, as a backend does."""
        body = json.dumps(ANSWERS[self.wire.name](text)).encode()
        self.router.hear(asked, self.wire, [self.wire.as_stream(body) if stream else body], stream)
        return Replies(text)

    def sent(self, asked: PreparedRequest) -> list[bytes]:
        woven = self.router.weave(asked, self.wire, "m", ON_SWITCH).body
        return [bytes(part) for part in self.wire.prompt(woven)]

    def _router(self) -> RequestPreparer:
        return preparer(self._snapshot(self.number), self.clock)

    @staticmethod
    def _snapshot(number: int) -> Any:
        return snapshot(small_policy(f"rev-{number}", f" In {number}."))


ANSWERS: dict[str, Any] = {
    "chat": lambda text: {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    },
    "responses": lambda text: {
        "id": "r",
        "object": "response",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "id": "msg",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        ],
    },
    "messages": lambda text: {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}


def test_who_opens_with_the_words_of_others_gets_what_is_in_force_now() -> None:
    desk = Desk()
    for number in range(5):
        assert desk.ask(ASKS).decision.revision == desk.ask(ASKS, keep=False).decision.revision == f"rev-{number}"
        desk.reload()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format_", WIRES)
def test_each_of_those_that_begin_alike_goes_on_as_it_began(format_: str, stream: bool) -> None:
    """Over reloads and a restart, in any order; what was sent stays, and so does who they are."""
    desk = Desk(format_)
    begun = []
    for number in range(3):
        opened = desk.ask(ASKS)
        begun.append((opened, desk.sent(opened), desk.answer(opened, f"It is\n number {number}.", stream)))
        desk.reload()
    assert len({opened.identity.unit for opened, *_ in begun}) == 3, "strangers are not one unit"
    for turn, order in enumerate([(1, 0, 2), (2, 1, 0), (0, 2, 1)]):
        for number in order:
            opened, before, reply = begun[number]
            resent = Replies(f" {reply.text}\n") if turn else reply
            later = desk.ask(ASKS, resent, *[Says("ok"), Replies("Well.")] * turn, Says("and then?"))
            assert later.decisions[0].revision == later.decision.revision == f"rev-{number}"
            assert later.identity.conversation == later.identity.unit == opened.identity.unit
            assert desk.sent(later)[: len(before)] == before
        desk.restart()


def test_an_answer_that_none_of_several_was_given_belongs_to_another_conversation_and_stays_with_it() -> None:
    desk = Desk()
    for opened in (desk.ask(ASKS), desk.ask(ASKS)):
        desk.answer(opened, "Which order?")
    desk.reload()
    told = [ASKS, Replies("Somebody else said this."), Says("ok")]
    other = desk.ask(*told)
    assert other.decision.revision == "rev-1" and other.identity.conversation != opened.identity.conversation
    desk.reload()
    again = desk.ask(*told, Replies("Well."), Says("and then?"))
    assert (again.decision.revision, again.identity) == ("rev-1", other.identity)


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("format_", WIRES)
def test_one_whose_first_answer_only_calls_tools_goes_on_with_their_results(format_: str, heard: bool) -> None:
    desk = Desk(format_)
    opened = desk.ask(ASKS)
    if heard:
        desk.answer(opened, "")
    told: list[Move] = [ASKS]
    for move in (Calls(1), Calls(2), Replies("It is on its way.")):
        desk.reload()
        told.append(move)
        later = desk.ask(*told, *[Says("and then?")] * isinstance(move, Replies))
        assert (later.decision.revision, later.identity.unit) == ("rev-0", opened.identity.unit)
        assert desk.sent(later)[: len(desk.sent(opened))] == desk.sent(opened)


def test_an_app_may_resend_the_answer_in_other_words_where_only_one_conversation_began_so() -> None:
    desk = Desk()
    opened = desk.ask(ASKS)
    desk.answer(opened, "**Which** order?")
    desk.reload()
    told: list[Move] = [ASKS, Replies("<b>Which</b> order?"), Says("17")]
    for _ in range(2):
        later = desk.ask(*told)
        assert (later.decision.revision, later.identity.unit) == ("rev-0", opened.identity.unit)
        told += [Replies("Well."), Says("and then?")]
    assert desk.ask(ASKS, Replies("Somebody else said this."), Says("ok")).decision.revision == "rev-1"


def test_where_nobody_heard_the_answer_the_newest_that_began_so_goes_on() -> None:
    desk = Desk()
    desk.ask(Says("hello"))
    opened = desk.ask(ASKS)
    desk.reload()
    later = desk.ask(ASKS, Replies("It broke off he"), Says("go on"))
    assert later.decision.revision == "rev-0" and later.identity.conversation == opened.identity.conversation
    other = desk.ask(ASKS, Replies("Something else."), Says("go on"))
    assert other.decision.revision == "rev-1", "the first one is known by its answer now"


def test_two_that_were_answered_alike_are_two() -> None:
    desk = Desk()
    for opened in (desk.ask(ASKS), desk.ask(ASKS)):
        desk.answer(opened, "Which order?")
    later = [desk.ask(ASKS, Replies("Which order?"), Says(text)) for text in ("17", "18")]
    assert len({each.identity.unit for each in later}) == 2


def test_to_explain_changes_nothing() -> None:
    desk = Desk()
    desk.ask(ASKS, keep=False)
    opened = desk.ask(ASKS)
    desk.answer(opened, "Which order?")
    desk.ask(ASKS, Replies("Not heard."), Says("17"), keep=False)
    desk.reload()
    assert desk.ask(ASKS, keep=False).decision.revision == "rev-1"
    assert desk.ask(ASKS, Replies("Which order?"), Says("17"), keep=False).decision.revision == "rev-0"


def test_a_user_is_one_unit_in_all_conversations_and_a_stranger_in_one() -> None:
    desk = Desk()
    known = {desk.ask(ASKS, user="ann").identity.unit for _ in range(3)}
    strangers = {desk.ask(ASKS).identity.unit for _ in range(3)}
    assert (len(known), len(strangers)) == (1, 3)


def test_the_beginning_of_an_answer_that_an_app_sends_along_opens_a_conversation() -> None:
    desk = Desk()
    found = {desk.ask(ASKS, Replies("{")).identity.conversation for _ in range(2)}
    assert len(found) == 2


def test_pins_of_conversations_that_begin_alike_are_bounded() -> None:
    desk = Desk()
    for _ in range(300):
        desk.ask(ASKS)
    assert sum(map(len, desk.router.pins._pins.values())) == desk.router.pins._held == 256
    assert desk.ask(ASKS).decision.level is Level.GUIDED
