"""Dead letters: what failed for good, kept with every detail until an operator sends it back or discards it."""

import socket
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from qt_events.delivery.outcome import DeadLetter
from qt_events.errors import QtEventsError
from qt_events.events.event import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRecord:
    """One event that one subscription could not handle."""

    subscription: str
    event_id: str  #: of the event, as far as it could be read
    event_type: str  #: the routing key that brought it
    reason: str  #: exhausted, gave_up, rejected, revoked, undecodable, mistyped, expired, poison or forged
    attempts: int
    exception_type: str
    message: str
    traceback: str
    first_failed: datetime  #: UTC
    last_failed: datetime  #: UTC
    body: bytes  #: as it was on the wire
    whole: bool = (
        True  #: False: `body` is only its beginning, for it was too large to be read or kept
    )
    properties: dict[str, Any] = field(
        default_factory=dict
    )  #: AMQP properties and headers of the event
    host: str = field(default_factory=socket.gethostname)
    id: str = field(default_factory=new_id)  #: of this dead letter


def now() -> datetime:
    """The time for a failure's record."""
    return datetime.now(UTC)


def words(outcome: DeadLetter) -> dict[str, str]:
    """The fields of a record that the outcome tells."""
    failure = outcome.failure
    return {
        "reason": outcome.reason.value,
        "exception_type": failure.exception_type,
        "message": failure.message,
        "traceback": failure.traceback,
    }


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one subscription that failed for the same reason with the same type of exception."""

    subscription: str
    reason: str
    exception_type: str
    count: int
    first_failed: datetime  #: UTC; of the one that failed first
    last_failed: datetime  #: UTC; of the one that failed last


class DeadLetterGroups:
    """Counts dead letters by their error. Forged ones cannot make it grow without end: then the rest is one group."""

    MOST = 1_000  #: groups; those beyond are counted together, as REST
    REST = "(others)"

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], DeadLetterGroup] = {}

    def add(self, record: DeadLetterRecord) -> None:
        """One more."""
        named = (record.subscription, record.reason, record.exception_type)
        key = named if named in self._groups or len(self._groups) < self.MOST else (self.REST,) * 3
        before = self._groups.get(key)
        self._groups[key] = DeadLetterGroup(
            *key,
            count=before.count + 1 if before else 1,
            first_failed=min(before.first_failed, record.first_failed)
            if before
            else record.first_failed,
            last_failed=max(before.last_failed, record.last_failed)
            if before
            else record.last_failed,
        )

    def sorted(self) -> list[DeadLetterGroup]:
        """By subscription, the largest first."""
        return sorted(
            self._groups.values(),
            key=lambda each: (each.subscription, -each.count, each.exception_type),
        )

    @property
    def total(self) -> int:
        """How many were added."""
        return sum(group.count for group in self._groups.values())


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long call has come."""

    total: int  #: dead letters to go through, as many as there were at its start
    done: int = 0  #: sent back or removed; in a dry run: that would have been
    skipped: int = 0  #: that cannot be sent back, and stay

    @property
    def left(self) -> int:
        """What it has not come to."""
        return self.total - self.done - self.skipped


OnProgress = Callable[[Progress], object]
OnScan = Callable[
    [int, int], object
]  #: of how many were looked through so far, and how many there are
OnSkipped = Callable[[DeadLetterRecord, QtEventsError], object]


class DeadLetters(Protocol):
    """What an operator does with them.

    Whatever `retry...` and `discard...` do not come to, because they fail or are cancelled, is a dead letter still;
    cancelled, they finish what is on its way first. At worst something was sent back and is a dead letter too.

    Where it is about several, `subscription` says whose dead letters are looked through; without it those of all
    subscriptions that this bus knows. `on_progress` is told now and then, and at the end, on the caller's loop; so is
    `on_look`, while those with certain ids are looked for. With `dry_run` nothing is sent or removed, and the numbers
    are those that would be. `rate` is how many a second are sent back at most, evenly; without it as fast as it goes.

    Raises:
        UnknownDeadLetterError: there is no dead letter with this id (any more).
        UnknownSubscriptionError: there is no such subscription (any more), so none to look at or to send back to.
        IncompleteDeadLetterError: it cannot be sent back: only the beginning of its body was kept.
        BrokerError: the broker did not answer, or took nothing.
        InvalidOptionError: a `rate` or a `limit` that is no number over 0.
    """

    async def list(
        self, subscription: str | None = None, limit: int = 1000
    ) -> Sequence[DeadLetterRecord]:
        """The oldest `limit` of one subscription or of all that this bus knows; looking changes nothing."""

    def stream(
        self, subscription: str | None = None, *, on_scan: OnScan | None = None
    ) -> AsyncGenerator[DeadLetterRecord, None]:
        """Each there is now, about in the order in which they came; of however many only some are held at a time.

        Meanwhile others do not see those that were read; at the end they are back, in order. To leave it early, use
        contextlib.aclosing: what was read is back then, though perhaps behind the rest.
        """

    async def groups(self, subscription: str | None = None) -> Sequence[DeadLetterGroup]:
        """How many there are, by error; see DeadLetterGroups."""

    async def show(
        self, id: str, *, subscription: str | None = None, on_scan: OnScan | None = None
    ) -> DeadLetterRecord:
        """The one with this id."""

    async def retry(self, id: str) -> None:
        """Send it back to its subscription, that one only, as a first attempt; then it is no dead letter any more."""

    async def retry_many(
        self,
        ids: Iterable[str],
        *,
        subscription: str | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_scan: OnScan | None = None,
    ) -> int:
        """`retry` these, in one look through the dead letters; how many they were.

        If one is not there or cannot be sent back, nothing is.
        """

    async def retry_all(
        self,
        subscription: str,
        *,
        rate: float | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> int:
        """Send back all that a subscription has now, oldest first; how many they were.

        One that cannot be sent back stays, and `on_skipped` is told why; without it a warning is logged.
        """

    async def discard(self, id: str) -> None:
        """Remove it for good."""

    async def discard_many(
        self,
        ids: Iterable[str],
        *,
        subscription: str | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_scan: OnScan | None = None,
    ) -> int:
        """`discard` these, in one look through the dead letters; how many they were. If one is not there, none is."""

    async def discard_all(
        self,
        subscription: str,
        *,
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Remove for good all that a subscription has now, or the first `limit` of them; how many they were."""
