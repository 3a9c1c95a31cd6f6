"""DaemonThreads: threads for sync handlers, on every backend that has an event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context
from itertools import count
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from qt_events.delivery.ending import UnjudgedError
from qt_events.delivery.subscribing.subscription import EventHandler
from qt_events.errors import text_of
from qt_events.events.event import Event

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """Thread pool whose threads do not keep the process alive.

    ThreadPoolExecutor's are waited for when the interpreter exits: a sync handler that never ends
    would keep the process from ending.
    """

    def __init__(self, size: int) -> None:
        """Make at most `size` threads, as they are needed."""
        self._size = size
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()
        # Threads that have not been told to end.
        self._staying = 0
        # Calls that wait or run.
        self._unfinished = 0
        self._names = count()
        self._lock = threading.Lock()
        self._shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See Executor."""
        future: Future[T] = Future()
        with self._lock:
            if self._shut:
                raise RuntimeError("these threads have been shut down")
            self._unfinished += 1
            try:
                self._hire()
            except RuntimeError:
                # The system lets no more threads begin. Those that there are take this one, too.
                if not self._staying:
                    self._unfinished -= 1
                    raise
            self._work.put(lambda: _settle(future, lambda: fn(*args, **kwargs)))
        return future

    def resize(self, size: int) -> None:
        """Change the most threads there may be.

        Missing ones are made at once for calls that wait; those too many end once they are idle.
        """
        with self._lock:
            self._size = size
            while self._staying > size:
                self._staying -= 1
                self._work.put(None)
            self._hire()

    def __len__(self) -> int:
        """Number of threads."""
        return len(self._threads)

    def _hire(self) -> None:
        while self._staying < min(self._unfinished, self._size):
            name = f"qt_events-handler-{next(self._names)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            thread.start()
            self._threads.add(thread)
            self._staying += 1

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            # An idle thread must not keep the last event alive.
            del work
            with self._lock:
                self._unfinished -= 1
        with self._lock:
            self._threads.discard(threading.current_thread())

    def shutdown(
        self,
        wait: bool = True,  # noqa: FBT001, FBT002  # Executor's signature
        *,
        cancel_futures: bool = False,  # noqa: ARG002
    ) -> None:
        """See Executor. Submitted calls are still done."""
        with self._lock:
            if not self._shut:
                self._shut = True
                for _ in range(self._staying):
                    self._work.put(None)
        if wait:
            for thread in tuple(self._threads):
                thread.join()


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001  # raised again by whoever awaits the future
        future.set_exception(error)


async def call_in_thread(
    executor: Executor, context: Context, handler: EventHandler, event: Event[Any]
) -> tuple[object, BaseException | None]:
    """Call a handler in one of the executor's threads; return its result and its error.

    So whatever the executor raises is the executor's own.

    Raises:
        UnjudgedError: there is no thread: they were shut down, or no more can be started.
    """
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(executor, context.run, _ended, handler, event)
    except Exception as error:
        raise UnjudgedError(f"no thread for its handler: {text_of(error)}") from error


def _ended(handler: EventHandler, event: Event[Any]) -> tuple[object, BaseException | None]:
    """Return the result and the error of a call as values.

    A future does not carry StopIteration: it would never be done.
    """
    try:
        return handler(event), None
    except BaseException as error:  # noqa: BLE001  # raised again by whoever awaits the future
        return None, error
