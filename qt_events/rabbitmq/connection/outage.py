"""Outage: when to say that there is no connection, and how long there was none. Pure."""

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 600.0  # seconds from one line to the next
_MOST_REASONS = 10  # that are told as soon as they come


class Outage:
    """Time without a connection. `now` is a monotonic time in seconds.

    It is told at once, again for each new reason, and else ever more seldom: at doubling intervals,
    ten minutes at most. Who tries every two seconds would fill the log otherwise.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._began: float | None = None
        self._reasons: set[str] = set()
        self._pause = self._next = 0.0

    def note(self, reason: str, now: float) -> bool:
        """Note a failed try and its reason. Return True if it is to be told."""
        if self._began is None:
            self._began, self._pause = now, _FIRST_PAUSE
        elif reason in self._reasons or len(self._reasons) >= _MOST_REASONS:
            if now < self._next:
                return False
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        # Bounded: some reasons have a number in them that is never the same.
        if len(self._reasons) < _MOST_REASONS:
            self._reasons.add(reason)
        self._next = now + self._pause
        return True

    def lasts(self, now: float) -> float:
        """Return for how many seconds there has been no connection, as far as was noticed."""
        return 0.0 if self._began is None else now - self._began

    def end(self, now: float) -> float | None:
        """Return how many seconds it lasted, now that it is over; None if there was none."""
        lasted = None if self._began is None else now - self._began
        self._reset()
        return lasted
