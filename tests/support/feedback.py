"""A feedback store in memory that keeps the port, and can be told to fail, to wait, or to forget until a flush."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from router.core.errors import Degraded
from router.core.learning import Feedback
from router.core.store_ports import FeedbackSubject, FeedbackTarget


class ListStore:
    """`known` is what can be located, by tenant and target; `arriving` becomes known with `flush`.

    While `gate` is closed, `record` waits. `fails` makes it raise; so many times, or for good with -1.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[str, FeedbackTarget], FeedbackSubject] = {}
        self.arriving: dict[tuple[str, FeedbackTarget], FeedbackSubject] = {}
        self.rows: list[Feedback] = []
        self.ids: set[tuple[str, str]] = set()
        self.newest_ms = 0
        self.fails = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.transactions: list[int] = []
        self.flushed = 0

    def add(
        self, decision: str, tenant: str = "local", policy: str = "desk", unit: str = "", late: bool = False
    ) -> None:
        """Make a decision known with its answer `resp_ID` and its conversation `conv_ID`."""
        conversation = f"conv_{decision}"
        located = FeedbackSubject(policy, conversation, unit or conversation, decision, 1000)
        places = self.arriving if late else self.known
        places[tenant, FeedbackTarget("decision", decision)] = located
        places[tenant, FeedbackTarget("response", f"resp_{decision}")] = located
        places[tenant, FeedbackTarget("conversation", conversation)] = located._replace(decision="")

    def flush(self) -> None:
        self.flushed += 1
        self.known |= self.arriving

    def locate(self, tenant: str, targets: Sequence[FeedbackTarget]) -> list[FeedbackSubject | None]:
        return [self.known.get((tenant, target)) for target in targets]

    def record(self, rows: Sequence[Feedback]) -> list[bool]:
        self.entered.set()
        assert self.gate.wait(10)
        if self.fails:
            self.fails -= 1
            raise Degraded("store_failed", "disk full")
        self.transactions.append(len(rows))
        news = []
        for row in rows:
            news.append((row.tenant, row.id) not in self.ids)
            if news[-1]:
                self.ids.add((row.tenant, row.id))
                self.rows.append(row)
        return news

    def about(self, tenant: str, located: FeedbackSubject) -> list[Feedback]:
        return [
            row
            for row in self.rows
            if row.tenant == tenant
            and (row.policy, row.conversation) == (located.policy, located.conversation)
            and row.decision in ("", located.decision)
        ]

    def last_ms(self) -> int:
        return self.newest_ms
