"""LoopThread: an event loop in a thread of its own, where the main thread is Celery's."""

import asyncio
import threading


class LoopThread:
    """Event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="qt_events-loop", daemon=True)

    def start(self) -> asyncio.AbstractEventLoop:
        """Start the thread and return its loop."""
        self._thread.start()
        return self._loop

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stopped.wait()

    def stop(self, timeout: float = 5.0) -> None:
        """Cancel all tasks, close the loop and wait up to `timeout` seconds for the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(timeout)
