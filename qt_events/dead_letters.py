"""Dead letters: what failed for good, kept with every detail until an operator sends it back or discards it."""

import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from qt_events.codec import encode
from qt_events.delivery import DeadLetter
from qt_events.errors import UnknownDeadLetterError
from qt_events.events import Event, new_id
from qt_events.subscription import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRecord:
    """One event that one subscription could not handle."""

    subscription: str
    event_id: str  #: of the event, as far as it could be read
    event_type: str  #: the routing key that brought it
    reason: str  #: exhausted, gave_up, rejected, revoked, undecodable, mistyped, expired or poison
    attempts: int
    exception_type: str
    message: str
    traceback: str
    first_failed: datetime  #: UTC
    last_failed: datetime  #: UTC
    body: bytes  #: as it was on the wire
    whole: bool = True  #: False: `body` is only its beginning, for it was too large to be read or kept
    properties: dict[str, Any] = field(default_factory=dict)  #: AMQP properties and headers of the event
    host: str = field(default_factory=socket.gethostname)
    id: str = field(default_factory=new_id)  #: of this dead letter


def now() -> datetime:
    """The time for a failure's record."""
    return datetime.now(UTC)


def words(outcome: DeadLetter) -> dict[str, str]:
    """The fields of a record that the outcome tells."""
    failure = outcome.failure
    return {
        "reason": outcome.reason,
        "exception_type": failure.exception_type,
        "message": failure.message,
        "traceback": failure.traceback,
    }


class DeadLetters(Protocol):
    """What an operator does with them.

    Raises:
        UnknownDeadLetterError: there is no dead letter with this id (any more).
        UnknownSubscriptionError: there is no such subscription.
    """

    async def list(self, subscription: str | None = None, limit: int = 1000) -> Iterable[DeadLetterRecord]:
        """The oldest `limit` of one subscription or of all that this bus knows; looking changes nothing."""

    async def show(self, id: str) -> DeadLetterRecord:
        """The one with this id."""

    async def retry(self, id: str) -> None:
        """Send it back to its subscription, that one only, as a first attempt; then it is no dead letter any more."""

    async def retry_all(self, subscription: str) -> int:
        """Send all of a subscription back; how many they were."""

    async def discard(self, id: str) -> None:
        """Remove it for good."""


class DeadLetterStore:
    """Dead letters kept in this process, oldest first: of a bus without a broker. See DeadLetters.

    `redeliver` hands an event to one subscription only, as a first attempt.
    """

    def __init__(self, redeliver: Callable[[Event[Any], Subscription], Awaitable[None]]) -> None:
        self._redeliver = redeliver
        self._kept: dict[str, tuple[DeadLetterRecord, Event[Any], Subscription]] = {}

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
            properties=message.properties,
            **words(outcome),
        )
        self._kept[record.id] = (record, event, subscription)

    async def list(self, subscription: str | None = None, limit: int = 1000) -> "list[DeadLetterRecord]":
        """See DeadLetters."""
        records = [record for record, _, _ in tuple(self._kept.values()) if subscription in (None, record.subscription)]
        return records[:limit]

    async def show(self, id: str) -> DeadLetterRecord:
        """See DeadLetters."""
        return self._found(id)[0]

    async def retry(self, id: str) -> None:
        """See DeadLetters."""
        _, event, subscription = self._found(id)
        await self._redeliver(event, subscription)
        self._kept.pop(id, None)  # only now: where it cannot go back, it stays

    async def retry_all(self, subscription: str) -> int:
        """See DeadLetters."""
        records = await self.list(subscription, limit=len(self._kept))
        for record in records:
            await self.retry(record.id)
        return len(records)

    async def discard(self, id: str) -> None:
        """See DeadLetters."""
        self._found(id)
        del self._kept[id]

    def _found(self, id: str) -> tuple[DeadLetterRecord, Event[Any], Subscription]:
        if id not in self._kept:
            message = f"there is no dead letter {id!r}; list() shows those there are"
            raise UnknownDeadLetterError(message)
        return self._kept[id]
