"""InProcessWorker: a Celery worker inside the caller's process, its handlers on its loop."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

import kombu.asynchronous
from celery.exceptions import WorkerTerminate

from qt_events.errors import BrokerUnreachableError
from qt_events.rabbitmq.compat.celery_worker import GuestController
from qt_events.rabbitmq.connection.connections import for_errands
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.runtime import Runtime
from qt_events.shutdown import Shutdown, Trigger

logger = logging.getLogger("qt_events")

_LAST_WAIT = 10.0  # seconds for Celery's thread to end, after the grace period

# Held while a worker is made: kombu's hub is a global then.
_making = threading.Lock()


class InProcessWorker:
    """Celery's WorkController in a thread of its own, which connects, reconnects and stops."""

    def __init__(self, runtime: Runtime, shutdown: Shutdown) -> None:
        self._runtime, self._shutdown = runtime, shutdown
        self.last_refusal: BaseException | None = None  #: why there is no connection
        self._loop = asyncio.get_running_loop()
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="qt_events-worker", daemon=True)

    async def serve(self) -> None:
        """Return when the bus was stopped. If cancelled, give back at once what is held.

        Raises:
            BrokerUnreachableError: there was no connection at all within `publish_timeout`.
            QtEventsError: another error ended the worker.
        """
        self._thread.start()
        try:
            await self._until_ready()
            await self.ended.wait()
        except BaseException:
            self._shutdown.tell(Trigger.CANCELLED)
            raise
        finally:
            self._shutdown.tell(Trigger.STOP)
            await self._until_ended()
        if self._error is not None:
            raise self._error

    async def _until_ready(self) -> None:
        timeout = self._runtime.settings.publish_timeout
        while True:
            try:
                async with asyncio.timeout(timeout):
                    await first_of(self.ready.wait(), self.ended.wait())
                return
            except TimeoutError:
                # It is connected. If the broker does not answer, the connection ends.
                if progress := self._runtime.declarations.progress:
                    logger.info("not ready after %g s: %s", timeout, progress)
                    continue
            where = for_errands(self._runtime.app).places
            why = self.last_refusal or "no answer"
            raise BrokerUnreachableError(
                f"no connection to {where} in {timeout:g} s ({why}): is RabbitMQ running there?"
            )

    async def _until_ended(self) -> None:
        """Wait for Celery's thread, even if cancelled, because it needs this loop to end.

        At most for `grace` + 10 s.
        """
        deadline = self._loop.time() + self._runtime.settings.grace + _LAST_WAIT
        cancelled: asyncio.CancelledError | None = None
        while not self.ended.is_set():
            try:
                async with asyncio.timeout_at(deadline):
                    await self.ended.wait()
            except asyncio.CancelledError as error:
                cancelled = error
                self._shutdown.tell(Trigger.CANCELLED)
            except TimeoutError:
                message = (
                    "the worker's thread has not ended; what it held is given back when the "
                    "process ends"
                )
                logger.error(message)  # noqa: TRY400  # no traceback would say more
                break
        if cancelled is not None:
            raise cancelled

    # In the thread

    def _run(self) -> None:
        try:
            self._control()
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever awaits serve()
            self._error = error
        finally:
            self._tell(self.ended)

    def _control(self) -> None:
        controller = self._controller()
        try:
            controller.blueprint.start(controller)
        except WorkerTerminate:
            controller.terminate()
        except SystemExit as end:
            controller.stop(exitcode=end.code)
        except BaseException:
            controller.stop(exitcode=1)
            raise

    def _controller(self) -> GuestController:
        app, node = self._runtime.app, f"{os.getpid()}-{uuid4().hex[:8]}@{socket.gethostname()}"
        with _making:
            # Else two workers of one process share a hub.
            kombu.asynchronous.set_event_loop(None)
            try:
                return GuestController(
                    app=app,
                    hostname=f"{self._runtime.topology.prefix}-{node}",
                    pool=AsyncioPool,
                    concurrency=self._runtime.settings.max_workers,
                    # Else there is an exchange for nobody.
                    without_heartbeat=not app.conf.worker_send_task_events,
                    ready_callback=lambda _: self._tell(self.ready),
                )
            finally:
                kombu.asynchronous.set_event_loop(None)

    def _tell(self, event: asyncio.Event) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)


async def first_of(*awaitables: Awaitable[Any]) -> int:
    """Return which of them ended first, or raise its error. The others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = next(index for index, task in enumerate(tasks) if task.done())
        tasks[ended].result()
        return ended
    finally:
        for task in tasks:
            task.cancel()
