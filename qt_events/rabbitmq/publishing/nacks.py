"""Which publishes the broker could not store (nack), and when each is due again. Pure bookkeeping, no I/O."""

import math

from qt_events.rabbitmq.publishing.requests import PublishRequest

PAUSE = 0.1  #: seconds after the first nack; each further one doubles it, for every try may reach other queues again
LONGEST = 2.0  #: seconds between two tries, at most: so soon after an outage all that waited for its end goes
ANSWER = 0.5  #: seconds before the order's deadline, for the answer to the last try


class Nacks:
    """Orders that wait for another try."""

    def __init__(self) -> None:
        self._due: dict[
            PublishRequest, float
        ] = {}  # by time.monotonic(), in the order of their nacks

    def add(self, request: PublishRequest, now: float) -> bool:
        """Note a nack; whether there is another try before the order's waiter has given up."""
        request.nacks += 1
        last = request.deadline - ANSWER
        if now >= last:
            return False
        self._due[request] = min(now + _pause(request.nacks), last)
        return True

    @property
    def next(self) -> float:
        """When the first of them is due; infinite if there is none."""
        return min(self._due.values(), default=math.inf)

    def take(self, until: float = math.inf) -> list[PublishRequest]:
        """Those that are due by then, which wait no more, in the order of their nacks."""
        taken = [request for request, due in self._due.items() if due <= until]
        for request in taken:
            del self._due[request]
        return taken


def _pause(nacks: int) -> float:
    """Seconds. The exponent has a bound too: an order may be nacked for days."""
    return float(min(PAUSE * 2 ** min(nacks - 1, 16), LONGEST))
