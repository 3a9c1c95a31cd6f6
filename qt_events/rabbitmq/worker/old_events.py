"""OldEvents: a worker consumes old events first, where a subscription is still in its past.

They have a queue of their own, of which the broker gives events to one worker at a time. When that
worker has the mark of the end, and everything before it has an outcome, it deletes the queue. So
all workers are told, and consume the subscription's own queue from then on.
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from amqp import Channel
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import AccessRefused, NotFound, RecoverableConnectionError
from celery.worker import state

from qt_events.errors import QtEventsError
from qt_events.rabbitmq.compat.unreadable import MARK as UNREADABLE
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.publishing.requests import DeclareRequest
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.starting.requests import END, FLAW, is_fence, mark_of
from qt_events.rabbitmq.topology.queues import Arrived, SubscriptionQueue
from qt_events.rabbitmq.worker.answers import OLD_TAG
from qt_events.rabbitmq.worker.consuming_anew import ConsumingAnew

logger = logging.getLogger("qt_events")

#: Old events that a worker takes at least, where the prefetch of live ones adapts.
PREFETCH = 32
_LOOK = 0.1  # seconds between two looks whether all before the end has an outcome


@dataclass(slots=True, eq=False)
class _Past:
    """Queue of old events as this worker consumes it."""

    queue: SubscriptionQueue
    channel: Channel
    arrived: Arrived
    tag: str = field(default_factory=lambda: f"{OLD_TAG}{uuid4().hex}")
    #: Delivery tag of the mark of the end, which is held until the queue is deleted.
    end: int = 0
    #: Looks in a row that found nothing held.
    quiet: int = 0
    is_asking: bool = False
    is_over: bool = False
    #: The subscription is unsubscribed here.
    is_left: bool = False
    #: Delivery tags of what came since then.
    left: list[int] = field(default_factory=list)


class OldEvents:
    """Old events that one worker consumes. Runs on the thread that owns its connection.

    Their consumer has a tag that kombu does not know, so a worker that stops keeps it: no other
    worker gets old events, or the end, while this one holds some.
    """

    def __init__(self, consumer: Any, runtime: Runtime, anew: ConsumingAnew) -> None:
        self._consumer, self._runtime, self._anew = consumer, runtime, anew
        self._pasts: dict[str, _Past] = {}
        self._timer: Any = None
        runtime.newcomers.worker = self.consume

    def consume(self, queue: SubscriptionQueue, arrived: Arrived) -> Arrived | None:
        """See SubscriptionQueue.consume_old."""
        name = queue.subscription
        if not self._runtime.newcomers.is_in_past(name):
            return partial(self._live, queue, arrived)
        known = self._pasts.get(name)
        if known is not None and known.channel is queue.channel:
            known.arrived = arrived
            self._stay(known)
            return None
        past = self._pasts[name] = _Past(queue, queue.channel, arrived)
        queue.limit(self._prefetch(queue))
        queue.channel.basic_consume(
            self._runtime.topology.old(name),
            past.tag,
            callback=partial(self._came, past),
            on_cancel=lambda _tag: self._cancelled(past),
        )
        logger.info("%s: its old events come first", name)
        return None

    def _prefetch(self, queue: SubscriptionQueue) -> int:
        is_adapting = self._anew.adapts(queue.subscription)
        return max(queue.prefetch(), PREFETCH) if is_adapting else queue.prefetch()

    def drop(self, name: str) -> None:
        """Consume no old events of a subscription any more, once those held have an outcome."""
        if (past := self._pasts.get(name)) is not None:
            past.is_left = True
            self._watch()

    def end(self) -> None:
        """End with a connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Messages

    def _live(self, queue: SubscriptionQueue, arrived: Arrived, raw: RawMessage) -> Any:
        if is_fence(self._runtime.topology, raw):
            # Of a recorder that was killed.
            self._settle(queue, raw)
            return None
        return arrived(raw)

    def _came(self, past: _Past, raw: RawMessage) -> None:
        consumers, tag = self._consumer.task_consumer, raw.delivery_info["delivery_tag"]
        if past.is_left:
            past.left.append(tag)
        elif consumers is None or not consumers.consuming_from(past.queue.name):
            # The worker stops: it goes back with the connection.
            return
        elif not (mark := mark_of(raw)):
            past.arrived(raw)
        elif mark.startswith(FLAW):
            raw.properties["application_headers"][UNREADABLE] = mark.removeprefix(FLAW)
            past.arrived(raw)
        elif mark == END and not past.end:
            past.end = tag
            if isinstance(self._consumer.pool, AsyncioPool):
                self._acks(past).take(tag, past.queue.envelope_of(raw))
            self._watch()
        else:
            self._settle(past.queue, raw)

    def _settle(self, queue: SubscriptionQueue, raw: RawMessage) -> None:
        tag = raw.delivery_info["delivery_tag"]
        if isinstance(self._consumer.pool, AsyncioPool):
            acks = self._consumer.pool.acks_of(queue.channel)
            acks.take(tag, queue.envelope_of(raw))
            # Celery's thread owns the connection while it sets the consumers up.
            self._consumer.call_soon(acks.ack, tag)
        else:
            queue.channel.basic_ack(tag)

    def _acks(self, past: _Past) -> Any:
        return self._consumer.pool.acks_of(past.channel)

    # The end

    def _watch(self) -> None:
        if self._timer is None:
            timer = self._consumer.timer
            self._timer = timer.call_repeatedly(_LOOK, self._consumer.call_soon, (self._look,))

    def _look(self) -> None:
        for name, past in tuple(self._pasts.items()):
            if past.is_over:
                self._go_on(past)
            elif past.end or past.is_left:
                past.quiet = 0 if self._holds(name) else past.quiet + 1
                # A thread of a pool settles an event a moment after it is no longer held.
                if past.quiet > 1:
                    self._leave(past) if past.is_left else self._ask(past)
        if not any(each.end or each.is_left for each in self._pasts.values()):
            self.end()

    def _holds(self, name: str) -> bool:
        """Tell whether an event of a subscription waits or is handled here."""
        pool, bucket = self._consumer.pool, self._consumer.task_buckets.get(name)
        if bucket is not None and bucket.contents:
            return True
        if isinstance(pool, AsyncioPool) and name in pool.redeliveries.lanes:
            return True
        held = tuple(state.reserved_requests)
        return any(
            each.name == name and getattr(each.task, "runtime", None) is self._runtime
            for each in held
        )

    def _ask(self, past: _Past) -> None:
        """Have the queue deleted, unless something has come back behind the end."""
        if past.is_asking:
            return
        past.is_asking = True
        if isinstance(self._consumer.pool, AsyncioPool):
            self._acks(past).flush()
        name = self._runtime.topology.old(past.queue.subscription)
        try:
            # The event loop does not wait for answers.
            self._runtime.publisher.begin(DeclareRequest(name, partial(self._delete, past, name)))
        except QtEventsError as error:
            past.is_asking = False
            logger.debug("%s", error)

    def _delete(self, past: _Past, name: str, channel: Channel) -> None:
        """Delete the queue if it is empty. Runs in the publisher's thread."""
        try:
            waiting, _ = self._runtime.topology.depth(channel, name)
            if not waiting:
                channel.queue_delete(name)
                past.is_over = True
        except NotFound:
            past.is_over = True
        except AccessRefused as error:
            logger.error(  # noqa: TRY400  # no traceback would say more
                "%s waits: this user may not delete %r: run `qt-events topology permissions "
                "--apply` as an administrator (%s)",
                past.queue.subscription,
                name,
                error.reply_text,
            )
        finally:
            past.quiet, past.is_asking = 0, False

    def _leave(self, past: _Past) -> None:
        """Give what came since back, to another worker."""
        del self._pasts[past.queue.subscription]
        past.channel.basic_cancel(past.tag)
        self._give_back(past)

    def _stay(self, past: _Past) -> None:
        past.is_left = False
        self._give_back(past)

    def _give_back(self, past: _Past) -> None:
        for tag in past.left:
            past.channel.basic_reject(tag, requeue=True)
        past.left.clear()

    def _cancelled(self, past: _Past) -> None:
        """Go on when the broker has cancelled the consumer: the queue was deleted, most often."""
        if self._pasts.get(past.queue.subscription) is past:
            past.is_over = True
            self._consumer.call_soon(self._go_on, past)

    def _go_on(self, past: _Past) -> None:
        """Consume the subscription's own queue, or its old events again if they are not over.

        Raises:
            RecoverableConnectionError: Celery's own pools hold some, and cannot tell which: the
                connection begins anew.
        """
        name = past.queue.subscription
        if self._pasts.get(name) is not past:
            return
        del self._pasts[name]
        consumer, is_asyncio = self._consumer, isinstance(self._consumer.pool, AsyncioPool)
        if is_asyncio and past.end:
            self._acks(past).ack(past.end)
        if self._holds(name):
            if not is_asyncio:
                raise RecoverableConnectionError(f"the consumer of old events of {name} is gone")
            consumer.pool.cut_off(name, quarantined=False)
            consumer.cut_off_limited(name, quarantined=False)
        self._runtime.newcomers.is_over(name)
        self._runtime.declarations.doubt(name)
        if is_asyncio:
            self._anew.declare_and([past.queue], self._anew.consume)
        elif consumer.connection is not None:
            past.queue.declare(channel=consumer.connection.default_channel)
            self._anew.consume(past.queue)
