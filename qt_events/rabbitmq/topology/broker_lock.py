"""Lock that one process holds on the broker: an exclusive queue, which ends with its connection."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from amqp import Channel
from amqp.exceptions import ResourceLocked

PATIENCE = 10.0  #: seconds to wait for the others, at most
_PAUSES = (0.01, 0.25)  # seconds between two tries, the first one and the longest


class LockedError(Exception):
    """Lock that cannot be had now; the text says why."""


@contextmanager
def broker_lock(channel: Channel, queue: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of this name; wait for others `patience` seconds at most.

    Raises:
        LockedError: another process has had it for longer than that.
        amqp.exceptions.AccessRefused: this user may not declare the queue.
    """
    # A channel forgets its connection when that ends.
    connection = channel.connection
    _acquire(channel, queue, patience)
    try:
        yield
    finally:
        if connection.connected:
            # In order with what was done before it, so nobody need wait for the answer.
            channel.queue_delete(queue, nowait=True)


def _acquire(channel: Channel, queue: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    pause, longest = _PAUSES
    while True:
        try:
            channel.queue_declare(queue, exclusive=True, durable=False, auto_delete=False)
        except ResourceLocked as error:
            if time.monotonic() >= deadline:
                text = f"another process has had it for more than {patience:g} s"
                raise LockedError(text) from error
        else:
            return
        # Not all at the same time again.
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(2 * pause, longest)
