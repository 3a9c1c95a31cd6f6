"""PlainTasks: tasks of the app's own on the asyncio pool, in the threads of sync handlers."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.concurrency.base import apply_target
from celery.worker import state

from qt_events.delivery.threads import DaemonThreads
from qt_events.shutdown import Shutdown

logger = logging.getLogger("qt_events")

_POLL = 0.1  # seconds between two looks at whether the tasks may still be waited for


class PlainTasks:
    """Plain Celery tasks that wait for a thread or run in one, and what becomes of them at the end.

    Celery acknowledges a task when it begins, or with `acks_late` when it has ended. So one that
    has not begun is never lost: the broker delivers it again when the connection is closed.
    """

    def __init__(self, app: Celery, threads: DaemonThreads) -> None:
        self._app, self._threads = app, threads
        # With name and id.
        self._calls: dict[Future[None], tuple[str, str]] = {}
        self._closed = False

    def submit(
        self, target: Callable[..., Any], args: Any, kwargs: Any, options: Mapping[str, Any]
    ) -> None:
        """Run a task in a thread, see BasePool.apply_async. Once closed, leave it to the broker."""
        if self._closed:
            return
        future = self._threads.submit(self._run, target, args, kwargs, options)
        self._calls[future] = (args[0], args[1])
        future.add_done_callback(self._forget)

    def _forget(self, call: Future[None]) -> None:
        self._calls.pop(call, None)

    def _run(
        self, target: Callable[..., Any], args: Any, kwargs: Any, options: Mapping[str, Any]
    ) -> None:
        def settle(result: Any) -> None:
            # Celery's own pool of threads never settles a task that calls sys.exit().
            lost = isinstance(result, ExceptionInfo)
            options["error_callback" if lost else "callback"](result)

        # Celery looks the task up in its thread's app.
        self._app.set_current()
        try:
            apply_target(target, args, kwargs, settle, options["accept_callback"])
        except Exception:
            logger.exception("a task of %r has no result", self._app.main)

    @property
    def running(self) -> dict[Future[None], tuple[str, str]]:
        """Tasks that run, with name and id."""
        return {call: about for call, about in tuple(self._calls.items()) if call.running()}

    def flush(self) -> int:
        """Forget what has not begun, which the broker delivers again, and return its number."""
        return sum(call.cancel() for call in tuple(self._calls))

    def close(self) -> int:
        """Begin nothing more, and return how many were waiting for a thread."""
        self._closed = True
        return self.flush()

    async def ended(self, shutdown: Shutdown, until: float) -> None:
        """Return when none runs, at the loop's time `until`, or at once if the shutdown hurries."""
        loop = asyncio.get_running_loop()
        running = [asyncio.wrap_future(each) for each in self.running]
        while running and loop.time() < until and not shutdown.hurried:
            _, left = await asyncio.wait(running, timeout=_POLL)
            running = list(left)

    def abandon(self) -> None:
        """Leave what still runs to the end of the process, and log what becomes of each task."""
        for name, task_id in self.running.values():
            request = state.requests.get(task_id)
            if request is not None and request.acknowledged:
                message = (
                    "stopping: task %s[%s] is cut off and is lost, for Celery acknowledged it when "
                    "it began: give it acks_late=True, or the bus a longer grace"
                )
            else:
                message = "stopping: task %s[%s] is cut off and goes back to its queue"
            logger.warning(message, name, task_id)
        self._calls.clear()
