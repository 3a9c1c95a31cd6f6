"""Confirms: publishes that the broker has not answered yet, and those that it could not store.

Bookkeeping only, without I/O.
"""

import math
from collections.abc import Iterator
from typing import Generic, TypeVar

from qt_events.rabbitmq.publishing.requests import PublishRequest

T = TypeVar("T")

#: Seconds after the first nack; each further one doubles it. A retry may deliver the event again to
#: queues that already have it.
PAUSE = 0.1
LONGEST = 2.0  #: seconds between two tries, at most: soon after an outage all publishes are tried
ANSWER = 0.5  #: seconds before a request's deadline, for the answer to the last try


class UnconfirmedPublishes(Generic[T]):
    """Publishes of one channel by delivery tag: 1, 2, 3, ... (RabbitMQ, Publisher Confirms)."""

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, T] = {}  # in order of tags

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[T]:
        """Iterate over a copy, in the order of publishing."""
        return iter(tuple(self._open.values()))

    def add(self, item: T) -> int:
        """Record a publish and return its delivery tag."""
        self._last += 1
        self._open[self._last] = item
        return self._last

    def settle(self, tag: int, *, multiple: bool = False) -> list[T]:
        """Remove and return what an ack or nack is about; with `multiple` all up to this tag.

        An unknown tag is about nothing.
        """
        if not multiple:
            return [self._open.pop(tag)] if tag in self._open else []
        tags = []
        for open_tag in self._open:
            if open_tag > tag:
                break
            tags.append(open_tag)
        return [self._open.pop(open_tag) for open_tag in tags]


class NackedPublishes:
    """Publishes that the broker could not store (nack), each with the time of its next try."""

    def __init__(self) -> None:
        # Times by time.monotonic(), in the order of the nacks.
        self._due: dict[PublishRequest, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, request: PublishRequest, now: float) -> bool:
        """Record a nack. Return False if no further try could be answered before the deadline."""
        request.nacks += 1
        last = request.deadline - ANSWER
        if now >= last:
            return False
        # The exponent is bounded too: a request may be nacked for days.
        pause = min(PAUSE * 2 ** min(request.nacks - 1, 16), LONGEST)
        self._due[request] = min(now + pause, last)
        return True

    @property
    def next(self) -> float:
        """Time of the next try, infinite if there is none."""
        return min(self._due.values(), default=math.inf)

    def take(self, until: float = math.inf) -> list[PublishRequest]:
        """Remove and return those due until then, in the order of their nacks."""
        taken = [request for request, due in self._due.items() if due <= until]
        for request in taken:
            del self._due[request]
        return taken
