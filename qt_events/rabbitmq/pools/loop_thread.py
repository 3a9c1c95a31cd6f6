"""LoopThread: an event loop in a thread of its own, where the main thread is Celery's."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from qt_events.rabbitmq.pools.process_end import end_worker

logger = logging.getLogger("qt_events")


class LoopThread:
    """Event loop in a daemon thread.

    A `sys.exit()` in a task or a callback ends the loop, as it ends a program of asyncio's. Nothing
    can be handled without it, so the worker ends too. `on_death` is called first, in the thread.
    """

    def __init__(self, on_death: Callable[[], object] = lambda: None) -> None:
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._on_death = on_death
        #: The loop has ended though nobody has stopped it.
        self.is_dead = False
        self._thread = threading.Thread(target=self._run, name="qt_events-loop", daemon=True)

    def start(self) -> asyncio.AbstractEventLoop:
        """Start the thread and return its loop."""
        self._thread.start()
        return self._loop

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._until_stopped())
            except BaseException as error:  # noqa: BLE001  # not only Exception ends a loop
                # The runner closes the loop afterwards, which may take long.
                self._die(error)

    def _die(self, error: BaseException) -> None:
        self.is_dead = True
        message = (
            "%s in a handler, a task or a callback has ended an event loop: this process ends, and "
            "what it holds comes again"
        )
        logger.critical(message, type(error).__name__, exc_info=error)
        self._on_death()
        end_worker()

    async def _until_stopped(self) -> None:
        await self._stopped.wait()

    def stop(self, timeout: float = 5.0) -> None:
        """Cancel all tasks, close the loop and wait up to `timeout` seconds for the thread."""
        if self._thread.is_alive():
            # The loop may be closed just now.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(timeout)
