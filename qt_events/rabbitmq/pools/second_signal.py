"""Second signal: a worker process ends soon, and what its handlers have goes back to its queue.

asyncio    the pool gives back what is held; see AsyncioPool.drain
prefork    Celery ends the child processes
threads    nobody waits for the threads, which end with the process
solo       the handler is interrupted; see EventRequest.cancel
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any

from celery import signals

from qt_events.delivery.threads import DaemonThreads
from qt_events.rabbitmq.pools.names import pool_name

_POLL = 0.1  # seconds between two looks at whether to wait any longer


def heed_second_signal(controller: Any, is_hurried: Callable[[], bool]) -> None:
    """Have a worker process heed a second SIGTERM or SIGINT on each pool.

    Celery ignores a second SIGTERM, waits for threads however long they take, and after a second
    signal exits with 0 more often than not. Here the first signal decides on the exit status.

    Args:
        controller: the worker.
        is_hurried: tells whether a second signal came; called in signal handlers.
    """

    def heed(how: str, exitcode: int, **_: object) -> None:
        is_first = controller.exitcode is None
        if is_first:
            controller.exitcode = exitcode
        # Celery's handler of SIGQUIT is that of a second SIGINT, or of a third one by now.
        following: Any = signal.getsignal(signal.SIGQUIT)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, following)
        # The second one came while the handler of the first one ran.
        if how == "Warm" and not is_first:
            following(signal.SIGQUIT, None)

    signals.worker_shutting_down.connect(heed, sender=controller.hostname, weak=False)
    if pool_name(type(controller.pool)) == "threads":
        controller.pool.executor = ThreadsLeftBehind(controller.pool.limit, is_hurried)


class ThreadsLeftBehind(DaemonThreads):
    """Threads for Celery's threads pool, which waits for them at the end unless it is hurried."""

    def __init__(self, size: int, is_hurried: Callable[[], bool]) -> None:
        super().__init__(size)
        self._is_hurried = is_hurried

    def shutdown(
        self,
        wait: bool = True,  # noqa: FBT001, FBT002  # Executor's signature
        *,
        cancel_futures: bool = False,
    ) -> None:
        """See Executor. `cancel_futures` leaves out what has not begun."""
        if cancel_futures:
            with suppress(Empty):
                while True:
                    self._work.get_nowait()
        # Celery calls this in a signal handler too, which may have interrupted a lock's owner.
        if self._is_hurried():
            return
        super().shutdown(wait=False)
        for thread in tuple(self._threads) if wait else ():
            while thread.is_alive() and not self._is_hurried():
                thread.join(_POLL)
