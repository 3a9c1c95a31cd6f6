"""Parts of Celery's worker, and of kombu's event loop in it, that have no public name."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.worker import WorkController, loops
from kombu.asynchronous import Hub

from qt_events.rabbitmq.compat.names import FIRST_MESSAGES, POLLING, PREFORK, SHUTDOWN, are_there

_CAN_POLL = are_there(POLLING)
_KNOWS_DRAIN = are_there(FIRST_MESSAGES)
are_there(SHUTDOWN)


class GuestController(WorkController):
    """Leaves the default socket timeout alone. Celery changes it while it shuts down."""

    def _shutdown(self, warm: bool = True) -> None:  # noqa: FBT001, FBT002  # Celery's
        self.blueprint.stop(self, terminate=not warm)
        self.blueprint.join()


def descriptor_of(poller: Any) -> int | None:
    """Return a descriptor that is readable when any descriptor of the poller is.

    None if there is none: without epoll (Linux), or in another version of kombu.
    """
    epoll = getattr(poller, "_epoll", None) if _CAN_POLL else None
    return None if epoll is None else int(epoll.fileno())


def has_callbacks(hub: Hub) -> bool:
    """Return True if another cycle of the hub has something to do at once, as far as is known."""
    return _CAN_POLL and bool(hub._ready)  # noqa: SLF001


def waits_for_first_messages(callback: Callable[..., Any]) -> bool:
    """Return True for the function by which Celery reads for 0.1 s once it has connected."""
    return _KNOWS_DRAIN and callback is loops._quick_drain  # noqa: SLF001


@contextmanager
def remembering(pool: Any) -> Iterator[None]:
    """Keep the prefork pool's jobs that were sent to a child, while Celery stops its consumer.

    Celery 5.7 has the pool discard every job that no child has said to have begun. One that was
    written to a child's pipe is begun nevertheless. Nobody would read its result: handled and never
    acknowledged, it would come again, and the child would wait 30 s for a reader.
    """
    jobs = _jobs(pool)
    sent = {number: job for number, job in jobs.items() if job._write_to is not None}  # noqa: SLF001
    try:
        yield
    finally:
        jobs.update(sent)


def _jobs(pool: Any) -> dict[int, Any]:
    """Return the pool's jobs by number. Other pools have none."""
    # A worker that uses it has imported it.
    prefork = sys.modules.get("celery.concurrency.prefork")
    if prefork is None or not isinstance(pool, prefork.TaskPool) or not are_there(PREFORK):
        return {}
    processes = pool._pool  # noqa: SLF001
    return {} if processes is None else processes._cache  # noqa: SLF001
