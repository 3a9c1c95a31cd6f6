"""Start: the event that a new subscription begins with, and who keeps those of the past."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from qt_events.errors import InvalidOptionError, NotSupportedError
from qt_events.events.raw import RawEvent

#: The first event there ever was, those from a time on, or what is published from now on.
Start = Literal["first", "now"] | datetime
NOW: Start = "now"
#: Name of the subscription by which a recorder keeps events.
RECORDER = "history"


def checked_start(whose: str, start: object, *, broadcast: bool) -> None:
    """Raise InvalidOptionError for no Start, and NotSupportedError for one of a broadcast."""
    if isinstance(start, datetime):
        if start.utcoffset() is None:
            raise InvalidOptionError(
                f"{whose}: start={start!r} has no time zone: write datetime(..., tzinfo=UTC)"
            )
    elif start not in {"first", "now"}:
        raise InvalidOptionError(
            f"{whose}: start={start!r} must be 'first', 'now' or a datetime with a time zone"
        )
    if broadcast and start != NOW:
        raise NotSupportedError(
            f"{whose} is a broadcast, new in each process: it hears what is published from now on; "
            "leave start= out, or leave broadcast= out"
        )


def begins_in_the_past(start: object) -> bool:
    """Tell whether somebody must have kept the events that this Start is about."""
    return start == "first" or (isinstance(start, datetime) and start.utcoffset() is not None)


def since_of(start: Start) -> datetime | None:
    """Return the time of the oldest event that is wanted; None for the first there is."""
    return start if isinstance(start, datetime) else None


class PastEvents(Protocol):
    """Events that were published before: what a new subscription needs of a history."""

    async def catch_up(self) -> None:
        """Return once everything that was published before this call is kept."""

    async def page(self, after: int, since: datetime | None) -> Sequence[tuple[int, RawEvent]]:
        """Return the next events, each with its place, in the order of their recording.

        It is empty when there are no more just now.

        Args:
            after: place behind which to begin; 0 at first.
            since: time of the oldest that is wanted.
        """


@runtime_checkable
class RecordedEvents(PastEvents, Protocol):
    """Events that a recorder keeps: what newcomers on a broker need of it."""

    async def catch_up_with(self, recorders: Callable[[], int]) -> frozenset[str]:
        """Return once so many recorders have kept what each got before this call; tell which.

        Args:
            recorders: tells how many there are by now.
        """

    async def last(self) -> int:
        """Return the place of the newest event; 0 if there is none."""

    async def places(self, events: Sequence[RawEvent]) -> Sequence[int]:
        """Return the place of each event; 0 for one that is not kept."""

    async def progress(self, key: str) -> tuple[int, str] | None:
        """Return the place and the text that were kept last under a key."""

    async def keep_progress(self, key: str, subscription: str, place: int, text: str) -> None:
        """Keep them. Whoever records goes on from there."""


@runtime_checkable
class RemembersEvents(Protocol):
    """Bus whose new subscriptions may start with old events."""

    def remember(self, past: PastEvents) -> None:
        """Take the events of the past from here, for subscriptions with `start=`."""
