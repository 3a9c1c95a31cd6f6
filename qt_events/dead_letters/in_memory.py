"""DeadLetterStore: dead letters in this process, for a bus without a broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from qt_events.dead_letters.operations import DeadLetterOperations
from qt_events.dead_letters.record import operators_fate, record_of_event
from qt_events.dead_letters.scan import HeldDeadLetter, Scan
from qt_events.delivery.outcome import Attempts, DeadLetter
from qt_events.delivery.telling.fates import Fate, FateOutcome
from qt_events.events.event import Event

Redeliver = Callable[[Event[Any], str], Awaitable[None]]
Tell = Callable[[Iterable[Fate]], Awaitable[None] | None]
_Held = HeldDeadLetter[Event[Any]]


class DeadLetterStore(DeadLetterOperations[Event[Any]]):
    """Keeps dead letters in a dict, oldest first.

    `redeliver` hands an event to the subscription of a name, and to no other, as a first attempt.
    `tell` takes the fates of those that an operator sent back or discarded.
    """

    def __init__(self, redeliver: Redeliver, tell: Tell = lambda _: None) -> None:
        self._redeliver, self._tell = redeliver, tell
        self._kept: dict[str, _Held] = {}

    def add(
        self, event: Event[Any], subscription: str, outcome: DeadLetter, attempts: Attempts
    ) -> None:
        """Keep an event that failed for good just now."""
        record = record_of_event(event, subscription, outcome, attempts)
        self._kept[record.id] = HeldDeadLetter(record, event)

    @asynccontextmanager
    async def scan(self, subscription: str | None) -> AsyncIterator[Scan[Event[Any]]]:
        """See DeadLetterOperations."""
        found = [
            held
            for held in tuple(self._kept.values())
            if subscription in (None, held.record.subscription)
        ]
        yield _InMemoryScan(found, self._kept, self._redeliver, self._tell)


class _InMemoryScan(Scan[Event[Any]]):
    """A pass through those that were there at its start."""

    def __init__(
        self, found: Sequence[_Held], kept: dict[str, _Held], redeliver: Redeliver, tell: Tell
    ) -> None:
        self.total = len(found)
        self._found, self._kept, self._redeliver, self._tell = found, kept, redeliver, tell
        # Eager mode handles an event at once, in the caller: one after the other.
        self._one_by_one = asyncio.Lock()

    async def batches(self, most: int) -> AsyncIterator[Sequence[_Held]]:
        for start in range(0, self.total, most):
            batch = self._found[start : start + most]
            yield [held for held in batch if held.record.id in self._kept]

    async def check(self, held: _Held) -> None:
        """Refuse nothing: `redeliver` raises if nobody is subscribed."""

    async def send_back(self, held: _Held) -> None:
        async with self._one_by_one:
            await self._redeliver(held.receipt, held.record.subscription)

    async def remove(self, held: Sequence[_Held]) -> None:
        for each in held:
            self._kept.pop(each.record.id, None)

    async def tell(self, held: Sequence[_Held], outcome: FateOutcome, at: datetime) -> None:
        telling = self._tell(
            operators_fate(each.record, outcome, at, (each.receipt.id, each.receipt.source))
            for each in held
        )
        if telling is not None:
            await telling
