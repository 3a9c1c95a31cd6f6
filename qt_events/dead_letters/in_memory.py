"""DeadLetterStore: dead letters kept in this process, of a bus without a broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qt_events.dead_letters.operations import DeadLetterOperations
from qt_events.dead_letters.record import DeadLetterRecord, now, words
from qt_events.dead_letters.scan import Scan
from qt_events.delivery.outcome import DeadLetter
from qt_events.delivery.subscription import Subscription
from qt_events.events.cloudevents import encode
from qt_events.events.event import Event

Redeliver = Callable[[Event[Any], Subscription], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kept:
    """A dead letter, and what it was."""

    record: DeadLetterRecord
    event: Event[Any]
    subscription: Subscription


class DeadLetterStore(DeadLetterOperations[Kept]):
    """Oldest first. See DeadLetters.

    `redeliver` hands an event to one subscription only, as a first attempt.
    """

    def __init__(self, redeliver: Redeliver) -> None:
        self._redeliver = redeliver
        self._kept: dict[str, Kept] = {}

    def add(
        self,
        event: Event[Any],
        subscription: Subscription,
        outcome: DeadLetter,
        attempts: int,
        first_failed: datetime | None,
    ) -> None:
        """Keep what failed for good just now."""
        message, failed = encode(event, limit=None), now()
        record = DeadLetterRecord(
            subscription=subscription.name,
            event_id=event.id,
            event_type=event.type,
            attempts=attempts,
            first_failed=first_failed or failed,
            last_failed=failed,
            body=message.body,
            whole=True,
            properties=message.properties,
            **words(outcome),
        )
        self._kept[record.id] = Kept(record, event, subscription)

    @asynccontextmanager
    async def scan(self, subscription: str | None) -> AsyncIterator[Scan[Kept]]:
        """See DeadLetterBox."""
        kept = [
            each
            for each in tuple(self._kept.values())
            if subscription in (None, each.record.subscription)
        ]
        yield _InMemoryScan(kept, self._kept, self._redeliver)


class _InMemoryScan(Scan[Kept]):
    """At those there were when it began."""

    def __init__(self, seen: Sequence[Kept], kept: dict[str, Kept], redeliver: Redeliver) -> None:
        self.total = len(seen)
        self._seen, self._kept, self._redeliver = seen, kept, redeliver
        self._one_by_one = asyncio.Lock()  # eager mode handles each at once, in the caller

    async def batches(self, most: int) -> AsyncIterator[Sequence[Kept]]:
        for start in range(0, self.total, most):
            yield [
                each for each in self._seen[start : start + most] if each.record.id in self._kept
            ]

    async def check(self, held: Kept) -> None:
        """Whether somebody is subscribed shows when it is sent back."""

    async def send_back(self, held: Kept) -> None:
        async with self._one_by_one:
            await self._redeliver(held.event, held.subscription)

    async def remove(self, held: Sequence[Kept]) -> None:
        for each in held:
            self._kept.pop(each.record.id, None)
