"""WaitingLog: the log's lines about publishes that wait."""

import logging
from collections.abc import Callable, Mapping

from qt_events.rabbitmq.publishing.waiting import AFTER, Cause

logger = logging.getLogger("qt_events")

CALM = 2.0  #: seconds without a waiting publish before an outage is over
_OF_A_BURST = (Cause.WINDOW, Cause.CONFIRM)


class WaitingLog:
    """Logs each cause once an outage, however many publishes wait, and the end of the outage.

    Logged as a warning, or at INFO while publishes only wait for room or a confirm and others are
    being confirmed. A cause that gets worse is logged again.
    """

    def __init__(self, why: Callable[[Cause], str]) -> None:
        self._why = why
        self._told: dict[Cause, int] = {}  # with the level
        self._began = self._last = 0.0  # of the outage, and when a publish waited last

    def note(self, counts: Mapping[Cause, int], now: float, *, moving: bool, ready: bool) -> None:
        """Log what is new.

        Args:
            counts: the number of waiting publishes by cause.
            now: by time.monotonic().
            moving: publishes have been confirmed since the last call.
            ready: nothing known stands in their way. Else there is no end of the outage: publishes
                that have all failed do not wait either.
        """
        if counts:
            self._note_waiting(counts, now, moving=moving)
        elif self._told and ready and now - self._last >= CALM:
            logger.info("publisher: publishing is back to normal after %.0f s", now - self._began)
            self._told = {}

    def _note_waiting(self, counts: Mapping[Cause, int], now: float, *, moving: bool) -> None:
        if not self._told:
            self._began = now - AFTER
        self._last = now
        for cause, count in sorted(counts.items()):
            level = logging.INFO if moving and cause in _OF_A_BURST else logging.WARNING
            if level > self._told.get(cause, 0):
                self._told[cause] = level
                message = "publisher: %d publishes have waited for more than %g s: %s"
                logger.log(level, message, count, AFTER, self._why(cause))
