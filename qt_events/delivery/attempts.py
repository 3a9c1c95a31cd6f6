"""Attempts: all that a backend carries with an event from one attempt to the next."""

from datetime import UTC, datetime
from typing import NamedTuple

from qt_events.delivery.outcome import Consequences


class Attempts(NamedTuple):
    """Number of the next attempt, and the time at which the first one failed.

    A backend keeps both with an event that waits for its retry: in memory, or in a message's
    headers.
    """

    next: int = 1
    first_failed: datetime | None = None  #: UTC; None while no attempt has failed

    def after(self, follows: Consequences) -> "Attempts":
        """Return the count for the next attempt: only one that failed counts."""
        return self if follows.failure is None else self.after_failure()

    def after_failure(self) -> "Attempts":
        """Return the count for the attempt after this one, which has failed just now."""
        return Attempts(self.next + 1, self.first_failed or datetime.now(UTC))


FIRST = Attempts()  #: of an event that has not been tried yet
