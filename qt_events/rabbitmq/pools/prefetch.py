"""Prefetch: how many events a worker holds of one subscription, by what its handler takes."""

import math

from qt_events.limits import MAX_PREFETCH

SECONDS = 1.0  #: of work that a worker holds
_MOST = 100  # events, or twice the concurrency if that is more
_BYTES = 16 * 1024 * 1024  # of the bodies of what is held, about
_BEYOND = 8  # events that came beyond what was held, before the rate is known
_IDLE = 1.0  # seconds without an event after which the rate is measured anew
_MUCH = 4  # times more than would do, from which it is lowered


class Prefetch:
    """Number of unacknowledged events of one subscription on the asyncio pool.

    It begins with one event more than are handled at a time, so that slow handlers in several
    processes share what there is, and grows to about a second of work once the handler has shown
    that it is fast. Events with large bodies keep it low. RabbitMQ takes a new number only with a
    new consumer, so it changes rarely, and by much.

    With `batch` it is the batches that are handled and one more, unless their bodies are large.
    """

    def __init__(self, concurrency: int, batch: int | None = None) -> None:
        self.concurrency, self.batch = concurrency, batch
        self._least, self._most = concurrency + 1, max(_MOST, 2 * concurrency)
        self.count = self._least
        if batch is not None:
            self.count = self._most = min(batch * (concurrency + 1), MAX_PREFETCH)
        self._begin_at(0.0)
        self._looked, self._done = 0.0, 0

    def _begin_at(self, now: float) -> None:
        self._began = self._last = now
        self._came = self._size = 0

    @property
    def may_grow(self) -> bool:
        """Return True if `came` is to be told of each event."""
        return self.count < self._most

    def came(self, size: int, now: float) -> bool:
        """Count an event of so many bytes. Return True if `count` has grown."""
        if now - self._last > _IDLE:
            self._begin_at(now)
        self._last = now
        self._came += 1
        self._size += size
        # Of those that came, no more than `count` can wait for their outcome.
        done = self._came - self.count
        if done < _BEYOND:
            return False
        wanted = self._within(done / max(now - self._began, 1e-6), self._size / self._came)
        self._begin_at(now)
        grown = 2 * wanted >= 3 * self.count
        if grown:
            self.count = wanted
        return grown

    def look(self, held: int, size: int, done: int, now: float) -> bool:
        """Return True if `count` was lowered: what is held has too many bytes, or takes too long.

        Args:
            held: events that wait or are handled.
            size: bytes of their bodies.
            done: events that were handled so far, in all.
            now: by the monotonic clock; once a second or so.
        """
        passed, handled = now - self._looked, done - self._done
        self._looked, self._done = now, done
        # Unless so many are held, the queue is empty and the rate unknown.
        is_much = 2 * held >= self.count or size > 2 * _BYTES
        if passed > _MUCH * SECONDS or not is_much:
            return False
        wanted = self._within(handled / passed, size / held)
        lowered = _MUCH * wanted <= self.count or (size > 2 * _BYTES and wanted < self.count)
        if lowered:
            self.count = wanted
            self._begin_at(now)
        return lowered

    def _within(self, rate: float, size: float) -> int:
        """Return how many there should be, at so many events a second of so many bytes."""
        worth = math.inf if self.batch else rate * SECONDS
        wanted = min(worth, self._most, _BYTES / max(size, 1.0))
        return max(self._least, int(wanted))
