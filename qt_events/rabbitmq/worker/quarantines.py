"""Quarantines: a worker consumes those of its subscriptions once they are made, here or elsewhere.

A quarantine is made when an event is first moved there. Its maker takes it up at once. Others learn
of it from the register, with each new connection and now and then.
"""

import random
from typing import Any

from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.queues import SubscriptionQueue

#: Seconds between two looks at the register.
LOOK = 30.0
# Seconds in which a child of prefork has moved the event that it was given.
_SOON = 1.0


class Quarantines:
    """Quarantines of one worker. Runs on the thread that owns its connection."""

    def __init__(self, consumer: Any, runtime: Runtime) -> None:
        self._consumer, self._runtime = consumer, runtime
        self._is_due_soon = False

    def begin(self) -> Any:
        """Look from now on, at other times than other workers do. Return what has `cancel`."""
        pause = LOOK * random.uniform(0.8, 1.2)
        return self._consumer.timer.call_repeatedly(pause, self._consumer.call_soon, (self._look,))

    def look_soon(self) -> None:
        """Look when an event has been moved to its quarantine: a child cannot tell this process."""
        if not self._is_due_soon:
            self._is_due_soon = True
            self._consumer.timer.call_after(_SOON, self._consumer.call_soon, (self._look_now,))

    def _look_now(self) -> None:
        self._is_due_soon = False
        self._look()

    def know(self) -> list[SubscriptionQueue]:
        """Have the next connection consume those that are made. Return the new ones."""
        known = self._consumer.app.amqp.queues
        made = self._runtime.declarations.quarantines(self._consumer.selection)
        new = [each for each in made if each.name not in known]
        for queue in new:
            known.select_add(queue)
        return new

    def take_up(self) -> None:
        """Consume those that are made by now."""
        if new := self.know():
            self._consumer.take_up(new)

    def _look(self) -> None:
        if isinstance(self._consumer.pool, AsyncioPool):
            # Handlers run on this thread.
            self._runtime.declarations.begin_to_look()
        elif self._consumer.connection is not None:
            with self._consumer.connection.channel() as channel:
                self._runtime.declarations.look_for_quarantines(channel)
