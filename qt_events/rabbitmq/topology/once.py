"""Once: what a publish needs besides the subscriptions, declared once an epoch."""

from collections.abc import Callable

from amqp import Channel


class Once:
    """Preparation that is made once an epoch, and again if `forget` says so."""

    def __init__(self, about: str, declare: Callable[[Channel], object]) -> None:
        self.about, self._declare = about, declare
        self._epoch = 0  # the publisher's, in which it was declared

    def needed(self, epoch: int) -> bool:
        return epoch != self._epoch

    @property
    def is_made(self) -> bool:
        """True if it was declared, in this epoch or before."""
        return self._epoch > 0

    def make(self, channel: Channel, epoch: int) -> None:
        """Declare it. TopologyError: it exists on the broker with other arguments."""
        self._declare(channel)
        self._epoch = epoch

    def forget(self) -> None:
        """Declare it again before the next publish: no queue took the last one."""
        self._epoch = 0
