"""EventFilter: which events of a history are meant."""

from dataclasses import dataclass
from datetime import datetime

from qt_events.events.raw import RawEvent
from qt_events.events.topics import matches, validate_pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Conditions that all must hold; None asks for nothing.

    Raises:
        InvalidPatternError: `pattern` is no topic pattern.
    """

    #: Topic pattern of the type.
    pattern: str = "#"
    #: The event's own time: from `since` on, and before `until`.
    since: datetime | None = None
    until: datetime | None = None
    id: str | None = None
    source: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None

    def __post_init__(self) -> None:
        validate_pattern(self.pattern)

    @property
    def equal(self) -> dict[str, str]:
        """Return the attributes that must have one value."""
        names = ("id", "source", "correlation_id", "causation_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def matches(self, event: RawEvent) -> bool:
        """Tell whether an event is meant."""
        return (
            (self.since is None or self.since <= event.time)
            and (self.until is None or event.time < self.until)
            and all(getattr(event, name) == value for name, value in self.equal.items())
            and matches(self.pattern, event.type)
        )


EVERY_EVENT = EventFilter()
