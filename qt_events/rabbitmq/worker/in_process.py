"""A Celery worker inside the caller's process, its async handlers on the caller's own event loop."""

import asyncio
import logging
import os
import socket
import threading
from uuid import uuid4

import kombu.asynchronous
from celery.exceptions import WorkerTerminate

from qt_events.errors import BrokerUnreachableError
from qt_events.rabbitmq.compat.controller import GuestController
from qt_events.rabbitmq.connection.connections import for_errands
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.runtime import Runtime
from qt_events.shutdown import Shutdown, Trigger

logger = logging.getLogger("qt_events")

_LAST_WAIT = 10.0  # seconds for Celery's thread to end, after the grace period


_making = threading.Lock()  # of a worker: kombu's hub is a global while it is made


class InProcessWorker:
    """Celery's WorkController in a thread of its own, which connects, reconnects and stops; see hub.py for the rest."""

    def __init__(self, runtime: Runtime, shutdown: Shutdown) -> None:
        self._runtime, self._shutdown = runtime, shutdown
        #: Why there is no connection.
        self.last_refusal: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="qt_events-worker", daemon=True)

    async def serve(self) -> None:
        """Return when the bus was stopped; cancelled, give back at once what is held.

        Raises:
            BrokerUnreachableError: there was no connection at all within `publish_timeout`.
            QtEventsError: what ended the worker instead.
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
        waits = [asyncio.create_task(event.wait()) for event in (self.ready, self.ended)]
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not self.ready.is_set() and not self.ended.is_set():
            raise self._unreachable(timeout)

    def _unreachable(self, timeout: float) -> BrokerUnreachableError:
        where = for_errands(self._runtime.app).places
        why = self.last_refusal or "no answer"
        return BrokerUnreachableError(
            f"no connection to {where} in {timeout:g} s ({why}): is RabbitMQ running there?"
        )

    async def _until_ended(self) -> None:
        """Celery's thread needs this loop to end: cancelled or not, wait for it, but not for ever."""
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
                logger.error(  # noqa: TRY400  # no traceback would say more
                    "the worker's thread has not ended; what it held is given back when the process ends"
                )
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
        with _making:
            kombu.asynchronous.set_event_loop(None)  # else two workers of one process share a hub
            try:
                return GuestController(
                    app=self._runtime.app,
                    hostname=f"{self._runtime.topology.prefix}-{os.getpid()}-{uuid4().hex[:8]}@{socket.gethostname()}",
                    pool=AsyncioPool,
                    concurrency=self._runtime.settings.max_workers,
                    without_heartbeat=not self._runtime.app.conf.worker_send_task_events,  # else an exchange for nobody
                    ready_callback=lambda _: self._tell(self.ready),
                )
            finally:
                kombu.asynchronous.set_event_loop(None)

    def _tell(self, event: asyncio.Event) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)
