"""UnknownTasks: plain tasks that this worker does not know, given back for one that does.

Apps on one broker share the queue `celery` unless they are told otherwise, and apps of two releases
share any queue. Celery discards a task that it does not know, and tells its caller that it failed.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import kombu
from amqp import Channel
from celery.utils.time import maybe_iso8601, maybe_make_aware
from celery.worker.consumer import Consumer

from qt_events.errors import QtEventsError
from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.pools.loop_thread import LoopThread
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.queues import SubscriptionQueue

logger = logging.getLogger("qt_events")

RETURNED = "qt-unknown"  #: header: number of times that it was given back
# Seconds until it comes again. Another worker has it half of the time: few wait for long.
_SHORTEST, _LONGEST = 0.5, 300.0
_HELD = 30.0  # seconds, where it cannot be put aside
MOST, MOST_BYTES = 10_000, 64 * 1024 * 1024  #: that are on their way back at a time, or held


class UnknownTasks:
    """The way back of one consumer's unknown tasks: a delay level, then the same queue's end.

    So they hold up no task that is known, and come again after a pause that grows. If there are too
    many for that, no plain task is taken until half of them are back.
    """

    def __init__(self, consumer: Consumer, runtime: Runtime) -> None:
        self._consumer, self._runtime = consumer, runtime
        self._thread: LoopThread | None = None
        self._loop: asyncio.AbstractEventLoop
        # Of what has not gone back yet.
        self._count = 0
        self._bytes = 0
        # kombu's, of the connection by which no more is taken.
        self._full: kombu.Consumer | None = None

    def give_back(self, message: kombu.Message, name: str) -> None:
        """Put a copy aside and acknowledge the message, on whose thread this is called.

        What cannot be put aside is held for a while, and returned.
        """
        size = len(message.body or b"")
        if self._count >= MOST or self._bytes + size > MOST_BYTES:
            self._take_no_more()
            # What the broker had sent already.
            message.reject_log_error(logger, self._consumer.connection_errors, requeue=True)
            return
        self._count += 1
        self._bytes += size
        returned = _whole(message.headers.get(RETURNED))
        pause = min(_SHORTEST * 2 ** (returned // 2), _LONGEST)
        queue = self._queue(message)
        self._tell(
            message, name, queue, pause, level=logging.WARNING if returned else logging.ERROR
        )
        if self._thread is None:
            self._thread = LoopThread()
            self._loop = self._thread.start()
        asyncio.run_coroutine_threadsafe(
            self._give_back(message, size, queue, pause, returned + 1), self._loop
        )

    def stop(self) -> None:
        """Leave what was not given back yet to the broker, which has it still."""
        if self._thread is not None:
            self._thread.stop()

    def _tell(
        self, message: kombu.Message, name: str, queue: str | None, pause: float, *, level: int
    ) -> None:
        text = (
            "%s: task %s (%s) of %s is not known to this worker, of the app %r: it goes back for "
            "one that knows it, for %g s; apps that share a broker need queues of their own "
            "(task_default_queue)"
        )
        origin = message.headers.get("origin") or "an unknown sender"
        about = (queue or "a queue", name, message.headers.get("id"), origin)
        logger.log(level, text, *about, self._consumer.app.main, pause)

    async def _give_back(
        self, message: kombu.Message, size: int, queue: str | None, pause: float, returned: int
    ) -> None:
        try:
            if queue is None:
                raise QtEventsError("it may have come by several queues")  # noqa: TRY301
            await self._put_aside(message, queue, pause, returned)
        except Exception as error:  # noqa: BLE001  # whatever it is, the task must not be lost
            logger.warning("an unknown task is held for %g s: %s", _HELD, error)
            # There may be many: the broker has the rest of each.
            message.body, message.headers, message.properties = b"", {}, {}
            self._consumer.call_soon(self._leave, 0, size)
            await asyncio.sleep(_HELD)
            self._settle(message.reject_log_error, 0, requeue=True)
        else:
            self._settle(message.ack_log_error, size)

    def _settle(self, settle: Any, size: int, **options: Any) -> None:
        """Acknowledge or return a message, on the thread that owns the connection."""
        consumer = self._consumer
        consumer.call_soon(settle, logger, consumer.connection_errors, **options)
        consumer.call_soon(self._leave, 1, size)

    # On that thread

    def _take_no_more(self) -> None:
        consumers = self._consumer.task_consumer
        if consumers is None or self._full is consumers:
            return
        self._full = consumers
        names = [str(each.name) for each in self._plain_queues()]
        text = (
            "%d tasks are on their way back that this worker does not know: no more tasks are "
            "taken from %s until half of them are gone"
        )
        logger.warning(text, self._count, ", ".join(names))
        for name in names:
            consumers.cancel_by_queue(name)

    def _leave(self, count: int, size: int) -> None:
        """Count what is gone, and take more if that is enough."""
        self._count -= count
        self._bytes -= size
        full = self._full
        if full is None or 2 * self._count > MOST or 2 * self._bytes > MOST_BYTES:
            return
        self._full = None
        # The next connection consumes from all queues anyway.
        if self._consumer.task_consumer is full:
            for queue in self._plain_queues():
                self._consumer.add_task_queue(str(queue.name))

    def _plain_queues(self) -> list[kombu.Queue]:
        queues = self._consumer.app.amqp.queues.consume_from.values()
        return [each for each in queues if not isinstance(each, SubscriptionQueue)]

    async def _put_aside(
        self, message: kombu.Message, queue: str, pause: float, returned: int
    ) -> None:
        topology, publisher = self._runtime.topology, self._runtime.publisher
        exchange, _ = topology.level(pause)
        properties = {**message.properties, "expiration": topology.expiration(pause)}
        properties.pop("application_headers", None)
        body = message.body
        if isinstance(body, str):
            body = body.encode(message.content_encoding or "utf-8")
        content = Content(body, properties, {**message.headers, RETURNED: returned})
        way = _WayBack(self._runtime, queue, pause)
        await publisher.ask(PublishRequest(exchange, way.key, content, first=way))

    def _queue(self, message: kombu.Message) -> str | None:
        """Return the queue that it came by, if that can be told."""
        plain = self._plain_queues()
        info = message.delivery_info
        route = (info.get("exchange"), info.get("routing_key"))
        found = [each for each in plain if route in _routes(each, self._runtime)] or plain
        return str(found[0].name) if len(found) == 1 else None


class _WayBack:
    """Preparation: a delay level from which messages come back to one queue."""

    def __init__(self, runtime: Runtime, queue: str, pause: float) -> None:
        self._queue, self._redeliver = queue, runtime.topology.redeliver
        self._level = runtime.declarations.ways.level(pause)
        self.key = _key(queue)
        self.about = f"the way back to queue {queue!r}"

    def needed(self, _epoch: int) -> bool:
        return True

    def make(self, channel: Channel, epoch: int) -> None:
        if self._level.needed(epoch):
            self._level.make(channel, epoch)
        channel.queue_bind(self._queue, self._redeliver, self.key)


def has_expired(message: kombu.Message) -> bool:
    """Return True if its sender wants it to be done no more, by the option `expires`."""
    try:
        expires = maybe_make_aware(maybe_iso8601(message.headers.get("expires")))
        return expires is not None and expires <= datetime.now(UTC)
    except (TypeError, ValueError, AttributeError):
        return False


def _key(queue: str) -> str:
    """Return the routing key that brings a task back. No subscription's name can be the same."""
    return f"@{queue}"


def _routes(queue: kombu.Queue, runtime: Runtime) -> set[tuple[str, str]]:
    return {
        (queue.exchange.name if queue.exchange else "", str(queue.routing_key)),
        ("", str(queue.name)),
        (runtime.topology.redeliver, _key(queue.name)),
    }


def _whole(count: object) -> int:
    return count if isinstance(count, int) and 0 <= count < 100 else 0  # noqa: PLR2004
