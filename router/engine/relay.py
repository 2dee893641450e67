"""Pass a stream on, byte for byte and event by event, and never let a broken one look whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from router.core.errors import BackendError
from router.core.ports import StreamGuard, Told, Wire
from router.engine.send import Sent

CLIENT_LEFT = "client_gone"


KEPT_BYTES = 1 << 20
"""Of a stream that is to be examined, so many bytes are kept: about 6,000 tokens, at 173 bytes for each one's event."""


@dataclass(slots=True)
class Ending:
    """How a stream ended. `error` is empty for a whole one; it stays CLIENT_LEFT when nobody read to the end.

    `kept` takes what was sent, up to KEPT_BYTES, where it is not None.
    """

    error: str = CLIENT_LEFT
    told: Told = field(default_factory=Told)
    kept: list[bytes] | None = None


async def relay(
    sent: Sent, wire: Wire, ending: Ending | None = None, hide_usage: bool = False
) -> AsyncGenerator[bytes, None]:
    """Yield the stream's bytes, and an error event in the wire's own shape where it breaks off or stalls.

    `hide_usage` leaves out the usage that the client did not ask for. Closing the iterator stops the backend.
    """
    ending = ending or Ending()
    guard = wire.guard(hide_usage)
    chunks = sent.answer.chunks
    chunk = sent.first
    room = KEPT_BYTES
    try:
        while True:
            whole = guard.release(chunk)
            if whole:
                if ending.kept is not None and room > 0:
                    ending.kept.append(whole)
                    room -= len(whole)
                yield whole
            if chunks is None:
                break
            try:
                chunk = await anext(chunks)
            except StopAsyncIteration:
                break
        if not _all_is_said(guard):
            why = guard.error or "truncated"
            raise BackendError("The backend's stream ended before the answer was complete.", code=why)
        ending.error = guard.error
    except BackendError as error:
        if _all_is_said(guard):  # how the connection ends behind it is no news for the client
            ending.error = guard.error
        else:
            ending.error = error.code
            yield guard.boundary() + guard.error_event(error)
    finally:
        ending.told = Told(guard.response_id, guard.usage)
        await sent.answer.aclose()


def _all_is_said(guard: StreamGuard) -> bool:
    """Say whether the client knows how the answer ended: it is whole, or the backend itself has told of a failure."""
    return guard.complete if not guard.error else guard.heard
