"""EventFilter: which events of a history are meant."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from qt_events.delivery.telling.fates import Fate
from qt_events.errors import InvalidEventError, InvalidOptionError
from qt_events.events.attributes import checked_time
from qt_events.events.raw import RawEvent
from qt_events.events.topics import matches, validate_pattern
from qt_events.history.conversations.stories import RETRYING, stories_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Conditions that all must hold; None asks for nothing.

    Raises:
        InvalidPatternError: `pattern` is no topic pattern.
        InvalidOptionError: a time is none, or nothing is between `since` and `until`.
    """

    #: Topic pattern of the type.
    pattern: str = "#"
    #: The event's own time: from `since` on, and before `until`. Naive ones are UTC.
    since: datetime | None = None
    until: datetime | None = None
    id: str | None = None
    source: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    #: As far as was told: a dead letter of some subscription, or one that waits for its next
    #: attempt with some subscription.
    dead: bool = False
    retrying: bool = False
    #: Name of a subscription that has told neither that it handled it nor that it filtered it out.
    unhandled_by: str | None = None

    def __post_init__(self) -> None:
        validate_pattern(self.pattern)
        for name in ("since", "until"):
            object.__setattr__(self, name, _checked_time(name, getattr(self, name)))
        if self.since is not None and self.until is not None and self.until < self.since:
            raise InvalidOptionError(
                f"until ({self.until}) is before since ({self.since}): no event is between them"
            )

    @property
    def equal(self) -> dict[str, str]:
        """Return the attributes that must have one value."""
        names = ("id", "source", "correlation_id", "causation_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def asks_for_fates(self) -> bool:
        """Tell whether an event's fates decide, too."""
        return self.dead or self.retrying or self.unhandled_by is not None

    def matches(self, event: RawEvent) -> bool:
        """Tell whether an event is meant, as far as its attributes say."""
        return (
            (self.since is None or self.since <= event.time)
            and (self.until is None or event.time < self.until)
            and all(getattr(event, name) == value for name, value in self.equal.items())
            and matches(self.pattern, event.type)
        )

    def matches_fates(self, fates: Iterable[Fate]) -> bool:
        """Tell whether an event is meant, as far as all its fates say."""
        stories = stories_of(fates)
        return (
            (not self.dead or any(each.is_dead for each in stories))
            and (not self.retrying or any(each.last.outcome in RETRYING for each in stories))
            and not any(
                each.subscription == self.unhandled_by and each.is_settled for each in stories
            )
        )


def _checked_time(name: str, time: object) -> datetime | None:
    try:
        return None if time is None else checked_time(time)
    except InvalidEventError as error:
        raise InvalidOptionError(f"{name}: {error}") from None


EVERY_EVENT = EventFilter()
