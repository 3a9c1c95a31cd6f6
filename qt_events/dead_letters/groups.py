"""DeadLetterGroup: dead letters counted by their error."""

from dataclasses import dataclass, replace
from datetime import datetime

from qt_events.dead_letters.record import DeadLetterRecord


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one subscription with the same reason and the same type of exception."""

    subscription: str
    reason: str
    exception_type: str
    count: int
    first_failed: datetime  #: UTC; the earliest of them
    last_failed: datetime  #: UTC; the latest of them

    def with_one_more(self, record: DeadLetterRecord) -> "DeadLetterGroup":
        """Return the group with this record counted too."""
        first, last = record.first_failed, record.last_failed
        return replace(
            self,
            count=self.count + 1,
            first_failed=min(self.first_failed, first),
            last_failed=max(self.last_failed, last),
        )


class DeadLetterGroups:
    """Counts dead letters by their error.

    Forged reasons cannot make it grow without end: beyond `MOST` groups the others are one, `REST`.
    """

    MOST = 1_000  #: groups
    REST = "(others)"

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], DeadLetterGroup] = {}

    def add(self, record: DeadLetterRecord) -> None:
        """Count one record."""
        key = (record.subscription, record.reason, record.exception_type)
        if key not in self._groups and len(self._groups) >= self.MOST:
            key = (self.REST,) * 3
        empty = DeadLetterGroup(*key, 0, record.first_failed, record.last_failed)
        self._groups[key] = self._groups.get(key, empty).with_one_more(record)

    def sorted(self) -> list[DeadLetterGroup]:
        """Return the groups by subscription, the largest first."""
        return sorted(
            self._groups.values(),
            key=lambda each: (each.subscription, -each.count, each.exception_type),
        )

    @property
    def total(self) -> int:
        """Number of records that were added."""
        return sum(group.count for group in self._groups.values())
