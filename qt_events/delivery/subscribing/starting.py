"""Start: the event that a new subscription begins with, and who keeps those of the past."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from qt_events.errors import InvalidOptionError, NotSupportedError
from qt_events.events.raw import RawEvent

#: The first event there ever was, those from a time on, or what is published from now on.
Start = Literal["first", "now"] | datetime
NOW: Start = "now"


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
class RemembersEvents(Protocol):
    """Bus whose new subscriptions may start with old events."""

    def remember(self, past: PastEvents) -> None:
        """Take the events of the past from here, for subscriptions with `start=`."""
