"""Ledger: notes of publishers, handlers and faults, and the result."""

import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Self

from qt_events.bus import EventBus
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.errors import InvalidOptionError, QtEventsError
from qt_events.events.event import Event
from qt_events.testing.ledger.account import Account
from qt_events.testing.ledger.entries import Entry, Kind, Reader, append
from qt_events.testing.ledger.totals import Totals

FOLDER = "QT_EVENTS_LEDGER"  #: environment variable: the folder of this process's ledger


class Ledger:
    """A folder of entries, shared by the processes of a machine. Safe in threads and after a fork.

    Each process writes a file of its own there; the folder is made if need be. `open` and `account`
    add up everything written so far by any process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._reader, self._totals = Reader(folder), Totals()

    @classmethod
    def current(cls) -> Self:
        """Return the ledger that the environment names, in a worker process.

        Raises:
            InvalidOptionError: it names none.
        """
        if not (folder := os.environ.get(FOLDER)):
            raise InvalidOptionError(
                f"no ledger: set {FOLDER} to a folder that all processes of the test share"
            )
        return cls(Path(folder))

    # Notes

    async def publish(self, bus: EventBus, event: Event[Any]) -> bool:
        """Publish, note attempt and answer, and return True if it was confirmed.

        Errors of other libraries are raised.
        """
        with self._noting(event):
            await bus.publish(event)
            return True
        return False

    def publish_sync(self, bus: EventBus, event: Event[Any]) -> bool:
        """Do the same as `publish`, for plain threads."""
        with self._noting(event):
            bus.publish_sync(event)
            return True
        return False

    @contextmanager
    def _noting(self, event: Event[Any]) -> Iterator[None]:
        """Note attempt and answer of a publish, and end it if it fails."""
        self.note(Kind.ATTEMPTED, event.id, event.type)
        try:
            yield
        except QtEventsError as error:
            self.note(Kind.FAILED, event.id, type(error).__name__)
        else:
            self.note(Kind.CONFIRMED, event.id)

    def handled(self, subscription: str, event: Event[Any]) -> None:
        """Note that a handler is done with an event: call this last."""
        self.note(Kind.HANDLED, event.id, subscription)

    def keeping(
        self, subscription: str, handler: Callable[[Event[Any]], Any]
    ) -> Callable[[Event[Any]], Any]:
        """Return the handler, async if it is, such that it notes what it has handled."""
        if inspect.iscoroutinefunction(handler):

            @functools.wraps(handler)
            async def keeping_async(event: Event[Any]) -> None:
                await handler(event)
                self.handled(subscription, event)

            return keeping_async

        @functools.wraps(handler)
        def keeping(event: Event[Any]) -> None:
            handler(event)
            self.handled(subscription, event)

        return keeping

    def dead(self, records: Iterable[DeadLetterRecord]) -> None:
        """Note dead letters. Noting one again changes nothing."""
        for record in records:
            self.note(Kind.DEAD, record.event_id, record.subscription, record.reason)

    def fault(self, name: str) -> None:
        """Note that a fault strikes now; what follows, until the next, counts under its name."""
        self.note(Kind.FAULT, name)

    def note(self, kind: Kind, id: str, about: str = "", why: str = "") -> None:
        """Write a line."""
        append(self.folder, Entry(kind, id, about, why=why))

    # The result

    def open(self, subscriptions: Mapping[str, str]) -> int:
        """Return how many deliveries are owed now to `subscriptions`, names with their patterns."""
        return self._read().open(subscriptions)

    def in_flight(
        self, subscriptions: Mapping[str, str], *, held: float = math.inf, within: float = 0.1
    ) -> int:
        """Return how many deliveries a fault that strikes now may double.

        A bound for `Account.verify`. These are deliveries of publishes without an answer, which may
        be published again; those that are owed and in a worker's hands; and those that were handled
        just now, of which the broker may not have heard. Call it when the fault strikes, and again
        at the end of a fault that lasts, such as silence, for more is published meanwhile.

        Args:
            subscriptions: by name, with the pattern that each hears.
            held: deliveries that all workers hold together, at most; the other owed ones wait on
                the broker.
            within: seconds until the broker has heard that an event was handled.
        """
        return self._read().in_flight(subscriptions, monotonic() - within, held)

    def account(self, subscriptions: Mapping[str, str]) -> Account:
        """Return the account of everything so far."""
        return self._read().account(subscriptions)

    def _read(self) -> Totals:
        self._totals.add(self._reader.read())
        return self._totals
