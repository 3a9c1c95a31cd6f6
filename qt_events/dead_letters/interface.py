"""DeadLetters: the calls for an operator, and the progress that they report."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from qt_events.dead_letters.groups import DeadLetterGroup
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.errors import QtEventsError


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a long call."""

    total: int  #: dead letters to go through, as many as there were at its start
    done: int = 0  #: sent back or removed; in a dry run: that would have been
    skipped: int = 0  #: cannot be sent back, and stay

    @property
    def left(self) -> int:
        """Number of those still to be gone through."""
        return self.total - self.done - self.skipped


OnProgress = Callable[[Progress], object]
OnScan = Callable[[int, int], object]  #: number scanned so far, number there are
OnSkipped = Callable[[DeadLetterRecord, QtEventsError], object]


class DeadLetters(Protocol):
    """List, show, send back and discard dead letters.

    Dead letters that `retry...` or `discard...` do not reach, because the call fails or is
    cancelled, stay dead letters. A cancelled call first finishes what is on its way. At worst an
    event was sent back and is still a dead letter too.

    Args:
        subscription: scan this one's; without it, those of all subscriptions that the bus knows.
        limit: at most so many.
        rate: send back at most so many a second, evenly; without it as fast as possible.
        dry_run: send and remove nothing; return the number that it would be.
        on_progress: is called now and then, and at the end, on the caller's event loop.
        on_scan: the same, while dead letters with certain ids are looked for.

    Raises:
        UnknownDeadLetterError: there is no dead letter with this id (any more).
        UnknownSubscriptionError: there is no such subscription (any more).
        IncompleteDeadLetterError: only the beginning of its body was kept, so it cannot be sent
            back.
        BrokerError: the broker did not answer, or refused.
        InvalidOptionError: `rate` or `limit` is no number over 0.
    """

    async def list(
        self, subscription: str | None = None, limit: int = 1000
    ) -> Sequence[DeadLetterRecord]:
        """Return the oldest ones. Nothing changes by it."""

    def stream(
        self, subscription: str | None = None, *, on_scan: OnScan | None = None
    ) -> AsyncGenerator[DeadLetterRecord, None]:
        """Yield each one there is now, about in the order in which they came, few of them in
        memory.

        Until its end, other readers do not see those that were read; then they are back, in order.
        Use `contextlib.aclosing` to leave it early: those that were read are back then, perhaps
        behind the others.
        """

    async def groups(self, subscription: str | None = None) -> Sequence[DeadLetterGroup]:
        """Count them by their error; see DeadLetterGroups."""

    async def show(
        self, id: str, *, subscription: str | None = None, on_scan: OnScan | None = None
    ) -> DeadLetterRecord:
        """Return the one with this id."""

    async def retry(self, id: str) -> None:
        """Send one back to its subscription only, as a first attempt, and remove it after that."""

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
        """`retry` these, in one scan; return their number.

        If one of them is not there or cannot be sent back, none is.
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
        """Send back all that a subscription has now, oldest first; return their number.

        One that cannot be sent back stays, and `on_skipped` is called with the reason; without it a
        warning is logged.
        """

    async def discard(self, id: str) -> None:
        """Remove one for good."""

    async def discard_many(
        self,
        ids: Iterable[str],
        *,
        subscription: str | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
        on_scan: OnScan | None = None,
    ) -> int:
        """`discard` these, in one scan; return their number. If one is missing, none is removed."""

    async def discard_all(
        self,
        subscription: str,
        *,
        limit: int | None = None,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Remove all that a subscription has now, or the first `limit`; return their number."""
