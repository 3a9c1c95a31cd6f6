"""AsyncioLoop: Celery's event loop for one connection, run by asyncio while that stands."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import wait
from functools import partial
from threading import get_ident
from typing import Any

from amqp import Channel
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.loops import asynloop
from kombu.common import ignore_errors

from qt_events.rabbitmq.connection.connections import own
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.subscription_task import is_plain
from qt_events.rabbitmq.worker.answers import all_cancelled, wait_for_none
from qt_events.rabbitmq.worker.celery_flags import follow_flags, raise_if_stopping
from qt_events.rabbitmq.worker.hub import HandedOverHub
from qt_events.shutdown import Shutdown, State, Trigger

logger = logging.getLogger("qt_events")

_POLL = 0.2  # seconds between two looks at Celery's flags


class AsyncioLoop:
    """Event loop of a worker on the asyncio pool. Celery's thread calls its methods.

    The `shutdown` is this worker's. `grace` is how many seconds it has to finish what it holds.
    """

    def __init__(self, consumer: Consumer, shutdown: Shutdown, grace: float) -> None:
        self._consumer, self._shutdown, self._grace = consumer, shutdown, grace
        self._pool: AsyncioPool = consumer.pool

    def run(self, *args: Any) -> None:
        """Serve one connection, until it or the worker ends. `args` are those of asynloop."""
        consumer, connection, task_consumer, blueprint, celerys_hub, *rest = args
        frames, channel = consumer.frames(), task_consumer.channel
        hub = HandedOverHub(
            celerys_hub,
            self._pool.loop,
            resume=partial(self._resume, frames, channel),
            pause=partial(self._pause, frames, get_ident()),
            look=partial(raise_if_stopping, self._shutdown),
        )
        celerys_cancel = task_consumer.cancel
        cancel = partial(ignore_errors, connection, celerys_cancel)
        # Celery's handler of a second signal calls it in the main thread, while the connection
        # belongs to the loop.
        task_consumer.cancel = partial(self._pool.loop.call_soon_threadsafe, cancel)
        self._pool.on_death = hub.give_up
        try:
            asynloop(consumer, connection, task_consumer, blueprint, hub, *rest)
        except SystemExit:
            # The worker is to stop. The loop has the connection until all is finished.
            self.finish(partial(self._cancel, frames, channel, cancel))
            raise
        finally:
            hub.take_back()
            task_consumer.cancel = celerys_cancel

    def _resume(self, frames: Sequence[Any], channel: Channel) -> None:
        own(frames)
        wait_for_none(channel)
        self._pool.resume()

    def _pause(
        self, frames: Sequence[Any], celerys_thread: int, error: BaseException | None
    ) -> None:
        self._pool.pause(error)
        own(frames, celerys_thread)
        if error is None:
            return
        if self._shutdown.state is State.FINISHING:
            message = "stopping: the connection is lost (%s): events that are held come again"
            logger.warning(message, error)
        self._shutdown.tell(Trigger.CONNECTION_LOST)

    async def _cancel(
        self, frames: Sequence[Any], channel: Channel, cancel: Callable[[], object]
    ) -> None:
        # The worker may have been told to stop before the loop took over.
        own(frames)
        wait_for_none(channel)
        cancel()
        if self._pool.serving:
            await self._shutdown.finish(all_cancelled(channel), self._grace)

    def finish(self, cancel: Callable[[], Awaitable[object]] | None = None) -> None:
        """Return when the pool holds nothing more. `cancel` ends deliveries, on the loop."""
        # Remote control raises SystemExit without telling anybody.
        self._shutdown.tell(Trigger.STOP)
        loop = self._pool.loop
        if loop.is_closed() or self._pool.is_dead:
            return
        finishing = asyncio.run_coroutine_threadsafe(self._finish(cancel), loop)
        while not (wait([finishing], timeout=_POLL).done or loop.is_closed()):
            follow_flags(self._shutdown)
        if finishing.done() and not finishing.cancelled() and finishing.exception() is not None:
            message = "finishing failed: events without an outcome go back to their queues"
            logger.error(message, exc_info=finishing.exception())

    async def _finish(self, cancel: Callable[[], Awaitable[object]] | None) -> None:
        until = self._pool.loop.time() + self._grace
        if cancel is not None:
            await cancel()
        if not self._pool.serving:
            # Told to stop while it connected: no outcome can be acknowledged.
            self._shutdown.tell(Trigger.CONNECTION_LOST)
        if self._pool.held and self._shutdown.state is State.FINISHING:
            logger.info("stopping: %d events to finish within %g s", self._pool.held, self._grace)
        self._tell_tasks()
        await self._pool.drain(self._shutdown, max(0.0, until - self._pool.loop.time()))

    def _tell_tasks(self) -> None:
        """Log what becomes of the app's own tasks, of which no more is begun from now on."""
        tasks = self._pool.plain_tasks
        if waiting := tasks.close() + _held_back(self._consumer):
            logger.info("stopping: %d tasks that have not begun go back to their queues", waiting)
        if running := len(tasks.running):
            logger.info("stopping: %d tasks to finish within %g s", running, self._grace)


def _held_back(consumer: Consumer) -> int:
    """Return how many plain tasks wait for their time, or for a rate limit."""
    scheduled = sum(each.task.app is consumer.app for each in tuple(state.scheduled_requests))
    buckets = (bucket for bucket in consumer.task_buckets.values() if bucket is not None)
    requests = (request for bucket in buckets for request, _tokens in tuple(bucket.contents))
    return scheduled + sum(is_plain(request.task) for request in requests)
