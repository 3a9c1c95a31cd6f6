"""Turns: one process at a time binds, on a broker whose answer to a duplicate proves nothing.

RabbitMQ 3.12 to 4.2 writes a binding into its routing tables after the transaction that makes it.
If another process asks for the same one meanwhile, it is answered before that: what it publishes
next is confirmed and reaches no queue. Only who made a binding may trust the answer, and nobody can
see who that was. In its turn a process meets no binding that is half made.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from amqp import Channel
from amqp.exceptions import AccessRefused

from qt_events.rabbitmq.connection.broker_version import BrokerVersion
from qt_events.rabbitmq.connection.refusals import is_about_a_publish
from qt_events.rabbitmq.topology.broker_lock import LockedError, broker_lock

logger = logging.getLogger("qt_events")

#: Seconds for others to finish what they bind, where no turn is to be had.
PAUSE = 1.0


@contextmanager
def turn_to_bind(channel: Channel, lock: str, refused: dict[str, object]) -> Iterator[None]:
    """Have no other process bind or unbind meanwhile; nothing at all on other brokers.

    A component with rights of its own may not lock (an administrator has bound its queue), and
    somebody may hold the lock for too long: then there is a pause behind the bindings instead.
    `refused` remembers the former.
    """
    if not BrokerVersion.of(channel.connection).answers_duplicates_early:
        yield
        return
    # A refusal closes the channel, and py-amqp opens it again. Another one would be two round trips
    # more.
    with ExitStack() as turn:
        has_turn = _take(turn, channel, lock, refused)
        yield
    if not has_turn:
        time.sleep(PAUSE)


def _take(turn: ExitStack, channel: Channel, lock: str, refused: dict[str, object]) -> bool:
    if lock in refused:
        return False
    try:
        turn.enter_context(broker_lock(channel, lock))
    except (AccessRefused, LockedError) as error:
        # The publisher's own channel may end meanwhile.
        if is_about_a_publish(error):
            raise
        why = str(error)
        if isinstance(error, AccessRefused):
            refused[lock] = channel.connection
            why = "it is not for this user"
        logger.info("%r: %s, so %g s go by after a queue was bound", lock, why, PAUSE)
        return False
    return True
