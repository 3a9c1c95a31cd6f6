"""HandlerThread: what Celery's prefork, threads and solo give a handler: a thread, and an event loop beside it."""

import asyncio
import inspect
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from copy import copy
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from billiard.common import EX_SOFTWARE, terminate_handler_fired
from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler
from celery.exceptions import SoftTimeLimitExceeded

from qt_events.delivery.subscription import EventHandler, Subscription
from qt_events.rabbitmq.pools.loop_thread import LoopThread

P = ParamSpec("P")
T = TypeVar("T")


class HandlerThread(Executor):
    """The thread that it is made in: sync handlers run here, all else on an event loop of its own in another one.

    So a sync handler may publish, and run loops. On prefork this is the main thread of a child, where Celery raises
    SoftTimeLimitExceeded: a sync handler gets it wherever it is, in a blocking call too. An async one is cancelled
    where it awaits, as by asyncio.timeout: asyncio's own tools stand no other exception there.
    """

    def __init__(self) -> None:
        self._loop = LoopThread().start()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._running = False  # an attempt
        self._exposed = False  # a sync handler, to what a signal raises
        self._task: asyncio.Task[Any] | None = None  # of an async handler, while it runs
        self._struck = False  # that one, by the soft time limit
        if _limits_strike_here():
            signal.signal(SIG_SOFT_TIMEOUT, self._on_soft_limit)

    @contextmanager
    def attempting(self) -> Iterator[None]:
        """From beginning to end of an attempt the soft time limit strikes its handler only."""
        self._running, self._exposed = True, False
        try:
            yield
        finally:
            self._running = False

    def run(self, attempt: Coroutine[Any, Any, T]) -> T:
        """Its result; meanwhile this thread does what is submitted to it."""
        calls = self._calls = (
            SimpleQueue()
        )  # a soft limit that struck late may have left something in the old one
        future = asyncio.run_coroutine_threadsafe(attempt, self._loop)
        future.add_done_callback(lambda _: calls.put(None))
        try:
            while (call := calls.get()) is not None:
                call()
        except KeyboardInterrupt:
            future.cancel()
            raise
        return future.result()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See Executor. Only from the attempt that runs."""
        future: Future[T] = Future()
        self._calls.put(partial(_settle, future, partial(fn, *args, **kwargs)))
        return future

    # Soft time limits

    def exposed(self, subscription: Subscription) -> Subscription:
        """The same, but its handler is within reach of the soft time limit; nothing else is, publishing for example."""
        view = copy(subscription)
        view.handler = partial(self._call, subscription.handler, is_async=subscription.is_async)
        return view

    def _call(self, handler: EventHandler, event: Any, *, is_async: bool) -> object:
        result = handler(event) if is_async else self._expose(handler, event)
        return self._expose_steps(result) if inspect.iscoroutine(result) else result

    def _expose(self, handler: EventHandler, event: Any) -> object:
        try:
            self._exposed = True
            return handler(event)
        finally:
            self._exposed = False

    async def _expose_steps(self, coroutine: Coroutine[Any, Any, object]) -> object:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # an attempt is one
        self._task, self._struck = task, False
        try:
            return await coroutine
        except asyncio.CancelledError as cancelled:
            if self._struck:
                raise SoftTimeLimitExceeded from cancelled
            raise
        finally:
            self._task = None
            if self._struck:
                task.uncancel()

    def _on_soft_limit(self, *_: object) -> None:
        """The signal's handler: it interrupts whatever this thread is doing."""
        if self._exposed or not self._running:  # or a plain Celery task runs
            raise SoftTimeLimitExceeded
        self._loop.call_soon_threadsafe(self._strike)

    def _strike(self) -> None:
        if self._task is not None and not self._struck:
            self._struck = True
            self._task.cancel()


def _limits_strike_here() -> bool:
    in_main = threading.current_thread() is threading.main_thread()
    return (
        in_main
        and SIG_SOFT_TIMEOUT is not None
        and signal.getsignal(SIG_SOFT_TIMEOUT) is soft_timeout_sighandler
    )


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    result, failure = None, None
    try:
        result = call()
    except KeyboardInterrupt:
        # Meant for the process, and not for the loop in the other thread.
        raise
    except BaseException as error:  # noqa: BLE001  # it belongs to whoever awaits it
        failure = error
    end_if_told()
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)  # type: ignore[arg-type]  # a T, or there is a failure


def end_if_told() -> None:
    """What ended the handler is meant to end this process: the event has no outcome."""
    if terminate_handler_fired():
        raise SystemExit(EX_SOFTWARE)
