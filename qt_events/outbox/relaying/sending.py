"""Sending: the events of one turn, keys side by side, the events of a key one by one."""

import asyncio
from collections.abc import Iterable, Sequence
from time import monotonic

from qt_events.delivery.forwarding import Forwards
from qt_events.errors import (
    BrokerError,
    BusStateError,
    BusyError,
    PublishNackedError,
    PublishRefusedError,
    name_of_type,
    text_of,
)
from qt_events.outbox.relaying.claiming import Settled
from qt_events.outbox.rows import Waiting
from qt_events.texts import one_line

#: Times that an event is sent before a refusal counts: the first one may be about an exchange that
#: somebody has deleted, and that is declared again.
TRIES = 2
#: Seconds after which no more of a turn's events is begun.
LONGEST = 5.0


class Sending:
    """Sends rows on a bus. After `stop` nothing more is begun."""

    def __init__(self, bus: Forwards) -> None:
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    async def send(self, rows: Sequence[Waiting]) -> Settled:
        """Send the rows, and return what became of them."""
        settled, deadline = Settled(), monotonic() + LONGEST
        lines: dict[str, list[Waiting]] = {}
        for row in rows:
            lines.setdefault(row.ordering_key, []).append(row)
        self._tasks = {
            asyncio.create_task(self._send_line(line, settled, deadline)) for line in lines.values()
        }
        try:
            await asyncio.wait(self._tasks)
        finally:
            # Nobody writes down any more what becomes of them.
            self.cancel()
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return settled

    def stop(self) -> None:
        """Begin no more events."""
        self._stopped = True

    def cancel(self) -> None:
        """Wait for no confirm any more: what has none goes again, in another turn."""
        for task in self._tasks:
            task.cancel()

    async def _send_line(self, rows: Iterable[Waiting], settled: Settled, deadline: float) -> None:
        for row in rows:
            if self._stopped or settled.error is not None or monotonic() > deadline:
                return
            try:
                await self._send(row)
            except Exception as error:  # noqa: BLE001  # each is written down beside its event
                reason = one_line(f"{name_of_type(error)}: {text_of(error)}")
                if _may_work_later(error):
                    settled.held.append((row.sequence, reason))
                    settled.error = error
                    return
                settled.dead.append((row.sequence, reason))
            else:
                settled.sent.append(row.sequence)

    async def _send(self, row: Waiting) -> None:
        event = row.as_raw()
        for _ in range(TRIES - 1):
            try:
                await self._bus.forward(event)
            except PublishNackedError:
                raise
            except PublishRefusedError:
                continue
            return
        await self._bus.forward(event)


def _may_work_later(error: Exception) -> bool:
    """Tell what is the broker's, the bus's or the machine's fault, and not the event's."""
    if isinstance(error, PublishRefusedError):
        return isinstance(error, PublishNackedError)
    return isinstance(error, BrokerError | BusyError | BusStateError | OSError)
