"""Which publishes the broker could not store (nack), and when each is due again. Pure bookkeeping, no I/O."""

import math

from qt_events.rabbitmq.orders import Publish

PAUSE = 0.1  #: seconds after the first nack; each further one doubles it, for every try may reach other queues again


class Nacks:
    """Orders that wait for another try."""

    def __init__(self) -> None:
        self._due: dict[Publish, float] = {}  # by time.monotonic(), in the order of their nacks

    def add(self, order: Publish, now: float) -> bool:
        """Note a nack; whether there is another try before the order's waiter has given up."""
        order.nacks += 1
        due = now + PAUSE * 2 ** (order.nacks - 1)
        if due >= order.deadline:
            return False
        self._due[order] = due
        return True

    @property
    def next(self) -> float:
        """When the first of them is due; infinite if there is none."""
        return min(self._due.values(), default=math.inf)

    def take(self, until: float = math.inf) -> list[Publish]:
        """Those that are due by then, which wait no more, in the order of their nacks."""
        taken = [order for order, due in self._due.items() if due <= until]
        for order in taken:
            del self._due[order]
        return taken
