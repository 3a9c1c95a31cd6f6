"""HandlerThread: a thread for handlers on Celery's own pools, and an event loop beside it."""

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

from qt_events.delivery.subscribing.subscription import EventHandler, Subscription
from qt_events.rabbitmq.pools.loop_thread import LoopThread

P = ParamSpec("P")
T = TypeVar("T")


class HandlerThread(Executor):
    """Executor that runs sync handlers in the thread it is made in, and all else on its own loop.

    The loop has another thread, so a sync handler may publish, and run loops. On prefork this is
    the main thread of a child, where Celery raises SoftTimeLimitExceeded: in a sync handler
    wherever it is, even in a blocking call. An async handler is cancelled where it awaits, as by
    asyncio.timeout, because asyncio's own tools tolerate no other exception there.
    """

    def __init__(self) -> None:
        self._beside = LoopThread()
        self._loop = self._beside.start()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # An attempt is being made.
        self._running = False
        # A sync handler may be interrupted by what a signal raises.
        self._exposed = False
        # Of an async handler, while it runs, and whether the soft time limit has cancelled it.
        self._task: asyncio.Task[Any] | None = None
        self._struck = False
        if _limits_strike_here():
            signal.signal(SIG_SOFT_TIMEOUT, self._on_soft_limit)

    @property
    def is_dead(self) -> bool:
        """Tell whether the loop has ended: no further attempt can be made here."""
        return self._beside.is_dead

    @contextmanager
    def attempting(self) -> Iterator[None]:
        """Have the soft time limit interrupt nothing but the handler of this attempt."""
        self._running, self._exposed = True, False
        try:
            yield
        finally:
            self._running = False

    def run(self, attempt: Coroutine[Any, Any, T]) -> T:
        """Return the attempt's result; meanwhile this thread does what is submitted to it."""
        # A soft limit that came late may have left something in the old one.
        calls = self._calls = SimpleQueue()
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
        """Return the subscription with a handler that the soft time limit can interrupt."""
        view = copy(subscription)
        view.called = partial(self._call, subscription.called, is_async=subscription.is_async)
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
        assert task is not None  # noqa: S101
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
        """Interrupt the handler; or a plain Celery task, which runs if no attempt is made."""
        if self._exposed or not self._running:
            raise SoftTimeLimitExceeded
        self._loop.call_soon_threadsafe(self._strike)

    def _strike(self) -> None:
        if self._task is not None and not self._struck:
            self._struck = True
            self._task.cancel()


def _limits_strike_here() -> bool:
    if threading.current_thread() is not threading.main_thread() or SIG_SOFT_TIMEOUT is None:
        return False
    return signal.getsignal(SIG_SOFT_TIMEOUT) is soft_timeout_sighandler


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
    """Raise SystemExit if what ended the handler is to end this process, without an outcome."""
    if terminate_handler_fired():
        raise SystemExit(EX_SOFTWARE)
