"""DaemonThreads: where sync handlers run, on every backend that has an event loop."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """A thread pool whose threads do not keep the process alive: a sync handler that never ends must not either.

    ThreadPoolExecutor's are waited for when the interpreter exits, however long they take.
    """

    def __init__(self, size: int) -> None:
        """At most `size` threads, made as they are needed."""
        self._size = size
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See Executor."""
        future: Future[T] = Future()
        with self._lock:
            if self._shut:
                message = "these threads have been shut down"
                raise RuntimeError(message)
            if not self._idle.acquire(blocking=False) and len(self._threads) < self._size:
                self._start()
            self._work.put(lambda: _settle(future, lambda: fn(*args, **kwargs)))
        return future

    def _start(self) -> None:
        name = f"qt_events-handler-{len(self._threads)}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work  # nor keep its event alive until the next
            self._idle.release()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """See Executor: what was submitted is still done."""
        with self._lock:
            if not self._shut:
                self._shut = True
                for _ in self._threads:
                    self._work.put(None)
        if wait:
            for thread in self._threads:
                thread.join()


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001  # it belongs to whoever awaits it
        future.set_exception(error)
