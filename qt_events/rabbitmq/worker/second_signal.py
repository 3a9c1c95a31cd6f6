"""Second signal: a worker process ends soon, and what its handlers have goes back to its queue.

asyncio    the pool gives back what is held; see AsyncioPool.drain
prefork    Celery ends the child processes
threads    nobody waits for the threads, which end with the process
solo       the handler is interrupted; see EventConsumer.cancel_active_requests
"""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty
from signal import SIGINT, SIGQUIT, SIGTERM
from types import FrameType
from typing import Any

from celery.platforms import EX_FAILURE, EX_OK

from qt_events.delivery.threads import DaemonThreads
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import pool_name

_POLL = 0.1  # seconds between two looks at whether to wait any longer


def heed_second_signal(controller: Any, is_hurried: Callable[[], bool]) -> None:
    """Make a worker process react to a second SIGTERM or SIGINT, whatever its pool.

    Celery ignores a second SIGTERM, waits for threads however long they take, and after a second
    signal exits with 0 more often than not. Here the first signal decides on the exit status.

    Args:
        controller: the worker.
        is_hurried: tells whether a second signal came; called in signal handlers.
    """
    # Celery's handler of SIGQUIT calls it first, and nobody else does.
    waiting = controller.wait_for_soft_shutdown
    controller.wait_for_soft_shutdown = partial(_wait_and_write_nothing, controller, waiting)
    pool = pool_name(type(controller.pool))
    if pool == "threads":
        controller.pool.executor = ThreadsLeftBehind(controller.pool.limit, is_hurried)
    elif pool == "solo":
        consumer = controller.consumer
        consumer.on_task_request = OneAtATime(consumer.on_task_request, is_hurried)
    # Where Celery has its handlers, that of SIGQUIT is one of Python's.
    if threading.current_thread() is threading.main_thread() and _is_handled(SIGQUIT):
        for number, status in ((SIGTERM, EX_OK), (SIGINT, EX_FAILURE)):
            if _is_handled(number):
                first = partial(_first, controller, status, signal.getsignal(number))
                signal.signal(number, first)


def _wait_and_write_nothing(controller: Any, wait: Callable[[], None]) -> None:
    """Have Celery's signal handler, which is to cancel the consumers next, leave the broker alone.

    It may have interrupted a write to the same connection, and would wait for the lock of that, for
    ever. The thread that was interrupted cancels the consumers when it shuts the worker down.
    """
    wait()
    consumers = controller.consumer.task_consumer
    # While asyncio serves the connection, its thread is told to cancel them, which is safe.
    serving = isinstance(controller.pool, AsyncioPool) and controller.pool.serving
    if consumers is not None and not serving:
        consumers.cancel = partial(delattr, consumers, "cancel")


def _is_handled(number: signal.Signals) -> bool:
    return callable(signal.getsignal(number))


def _first(controller: Any, status: int, celerys: Any, number: int, frame: FrameType) -> None:
    controller.exitcode = status
    try:
        for each in filter(_is_handled, (SIGTERM, SIGINT)):
            signal.signal(each, _as_sigquit)
    finally:
        # On solo, a second signal raises KeyboardInterrupt here.
        celerys(number, frame)


def _as_sigquit(_number: int, frame: Any) -> None:
    """Do what SIGQUIT does now, which Celery changes from one signal to the next."""
    following: Any = signal.getsignal(SIGQUIT)
    following(SIGQUIT, frame)


class OneAtATime:
    """Calls handlers and tasks on solo, but none while another one runs or after a second signal.

    Celery's handler of a second signal reads from the connection, and would begin a handler inside
    the one that it is to interrupt. What is not begun returns to its queue with the connection.
    """

    def __init__(self, call: Callable[[Any], None], is_hurried: Callable[[], bool]) -> None:
        self._call, self._is_hurried, self._is_busy = call, is_hurried, False

    def __call__(self, request: Any) -> None:
        if self._is_busy or self._is_hurried():
            return
        self._is_busy = True
        try:
            self._call(request)
        except (Exception, KeyboardInterrupt):
            # Celery's solo pool raises TypeError over an interrupted task. The worker ends anyhow.
            if not self._is_hurried():
                raise
        finally:
            self._is_busy = False


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
