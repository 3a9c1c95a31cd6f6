"""DeadLetterFilter: which dead letters a call is about."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.errors import InvalidOptionError
from qt_events.events.topics import matches, validate_pattern

#: Tells whether a call is about a dead letter: a DeadLetterFilter, or any function.
Where = Callable[[DeadLetterRecord], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """Dead letters that fit everything that is given.

    Raises:
        InvalidPatternError: `event_type` is no topic pattern.
        InvalidOptionError: `since` has no time zone.
    """

    #: Topic pattern, such as `payment.*`
    event_type: str | None = None
    #: Type of the exception, with or without its module; `*` and `?` as in file names
    exception: str | None = None
    #: Id of the event
    event_id: str | None = None
    #: Last failed then or later
    since: datetime | None = None

    def __post_init__(self) -> None:
        if self.event_type is not None:
            validate_pattern(self.event_type)
        if self.since is not None and self.since.tzinfo is None:
            raise InvalidOptionError(
                f"since={self.since.isoformat()} has no time zone: give it one, such as UTC"
            )

    def __call__(self, record: DeadLetterRecord) -> bool:
        """Return True if the dead letter fits."""
        return (
            (self.event_type is None or matches(self.event_type, record.event_type))
            and (self.exception is None or _is_of_type(record.exception_type, self.exception))
            and self.event_id in (None, record.event_id)
            and (self.since is None or record.last_failed >= self.since)
        )


def _is_of_type(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition(".")[2], pattern)
