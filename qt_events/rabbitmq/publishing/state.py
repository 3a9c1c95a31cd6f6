"""PublisherState: facts about the broker, written by the publisher's thread and read by any."""

import math
from time import monotonic

from qt_events.rabbitmq.publishing.requests import Preparation


class PublisherState:
    """Connection, alarm and declaration of one publisher, as far as they are known."""

    def __init__(self) -> None:
        self.where = "the broker"  #: its addresses, without passwords
        self.connected = False
        self.last_error: BaseException | None = None  #: the reason why a connection was lost
        self.blocked = False  #: the broker reads nothing from this connection
        self.alarmed = False  #: the broker has reported an alarm, and confirmed nothing since
        #: time.monotonic() when the last alarm ended, or was last known to be on.
        self.alarm_ended = -math.inf
        #: What is being declared.
        self.preparation: Preparation | None = None
        #: Incremented on every new connection and after a 404. What was declared in an earlier
        #: epoch must be declared again.
        self.epoch = 0
        self.channels = 0  #: number of channels that were opened for publishing

    @property
    def declaring(self) -> str:
        """Name of what is being declared, with the progress; empty if nothing is."""
        preparation = self.preparation
        return "" if preparation is None else preparation.about

    @property
    def ready(self) -> bool:
        """True if nothing known stands between a publish and its confirm."""
        return self.connected and not self.alarmed and not self.declaring

    def connection_made(self) -> None:
        self.connected = True
        self.epoch += 1

    def connection_lost(self, error: BaseException) -> None:
        """Keep the reason. Without a connection nobody reports the end of an alarm."""
        if self.alarmed and self.connected:
            self.alarm_ended = monotonic()
        self.connected, self.blocked, self.last_error = False, False, error

    def alarm_began(self) -> None:
        self.alarmed = self.blocked = True

    def alarm_over(self) -> None:
        # Before `alarmed`: others read both, without a lock.
        self.alarm_ended = monotonic()
        self.alarmed = self.blocked = False

    def confirmed(self) -> None:
        """Conclude that an alarm of an earlier connection is over.

        On a blocked connection the broker still confirms what it took before.
        """
        self.alarmed = self.blocked
