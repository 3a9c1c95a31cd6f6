"""Once: what a publish needs besides the subscriptions, declared once an epoch."""

from collections.abc import Callable
from time import monotonic

from amqp import Channel

_PAUSE = 10.0  # seconds between two requests for what nobody waits for


class Once:
    """Preparation that is made once an epoch, and again if `forget` says so."""

    def __init__(self, about: str, declare: Callable[[Channel], object]) -> None:
        self.about, self._declare = about, declare
        self._epoch = 0  # the publisher's, in which it was declared
        self._asked = -_PAUSE  # see is_due

    def needed(self, epoch: int) -> bool:
        return epoch != self._epoch

    def is_due(self) -> bool:
        """Return True if it was never declared, nor was this asked just now: it may be on its way.

        The publisher may be blocked or refused, and its line must not grow with each event.
        """
        now = monotonic()
        if self._epoch > 0 or now < self._asked + _PAUSE:
            return False
        self._asked = now
        return True

    def make(self, channel: Channel, epoch: int) -> None:
        """Declare it. TopologyError: it exists on the broker with other arguments."""
        self._declare(channel)
        self._epoch = epoch

    def forget(self) -> None:
        """Declare it again before the next publish: no queue took the last one."""
        self._epoch = 0
