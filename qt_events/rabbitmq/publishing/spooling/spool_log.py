"""SpoolLog: the log's lines about a spool."""

import logging
from time import monotonic, time

from qt_events.delivery.publishing.spooling import SpoolCounts, SpooledEvent

logger = logging.getLogger("qt_events")

EVERY = 60.0  #: seconds between two lines about events that wait


class SpoolLog:
    """Logs begin and end of spooling, now and then how much waits, and each event set aside."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._began = self._next = 0.0
        self._fault = ""

    def began(self, why: str) -> None:
        """Log that events go to the disk from now on."""
        self._began, self._next = monotonic(), monotonic() + EVERY
        logger.warning("publisher: events go to the spool %s: %s", self.where, why)

    def left_over(self, counts: SpoolCounts) -> None:
        """Log what was there at the beginning."""
        self._began, self._next = monotonic(), monotonic() + EVERY
        logger.info("publisher: the spool %s holds events: %s", self.where, _size(counts))

    def goes_on(self, counts: SpoolCounts) -> None:
        """Log how much waits, if that was not said for a while."""
        if counts.waiting and monotonic() >= self._next:
            self._next = monotonic() + EVERY
            logger.warning("publisher: in the spool %s wait %s", self.where, _size(counts))

    def ended(self, sent: int) -> None:
        """Log that everything was sent."""
        seconds = monotonic() - self._began
        message = "publisher: the spool %s is empty after %.0f s: %d events were sent"
        logger.info(message, self.where, seconds, sent)

    def closed(self, counts: SpoolCounts) -> None:
        """Log what is left to the next process."""
        if counts.waiting:
            logger.warning(
                "publisher: closed; in the spool %s wait %s, for the next process that has it",
                self.where,
                _size(counts),
            )

    def set_aside(self, event: SpooledEvent, reason: str) -> None:
        """Log an event that the broker refuses."""
        logger.error(
            "publisher: event %s of type %r is set aside in the spool %s: %s. "
            "Send it by `qt-events spool retry`",
            event.id,
            event.type,
            self.where,
            reason,
        )

    def expired(self, count: int) -> None:
        """Log events that have waited for too long."""
        logger.error(
            "publisher: %d events are set aside in the spool %s, for they have waited longer than "
            "max_age. Send them by `qt-events spool retry`",
            count,
            self.where,
        )

    def failed(self, error: BaseException) -> None:
        """Log a fault of the disk, or a declaration that the broker refuses; each text once."""
        if str(error) != self._fault:
            self._fault = str(error)
            logger.error("publisher: the spool %s: %s", self.where, error)

    def worked(self) -> None:
        """Note that there is no fault any more."""
        self._fault = ""


def _size(counts: SpoolCounts) -> str:
    age = 0.0 if counts.oldest is None else max(0.0, time() - counts.oldest)
    aside = f"; {counts.aside} are set aside" if counts.aside else ""
    return f"{counts.waiting} events, {counts.bytes} bytes, since {age:.0f} s{aside}"
