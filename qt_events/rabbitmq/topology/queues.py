"""SubscriptionQueue: a queue that names the task of what comes out of it.

Celery finds a task by the message's header `task`. One event is copied into many queues with one
set of headers, so the header is set on arrival, from the queue. A message cannot choose the code
that runs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import kombu
from amqp import spec
from amqp.basic_message import Message as RawMessage

from qt_events.events.cloudevents import MAX_BODY, too_large
from qt_events.rabbitmq.compat.unreadable import MARK
from qt_events.rabbitmq.messages.envelope import (
    AGAIN,
    ATTEMPT,
    FIRST_FAILED,
    GIVEN_BACK,
    REPLAY,
    RETURNS,
    TRIAL,
    TYPE,
    Envelope,
    body_of,
    encodable,
)
from qt_events.rabbitmq.topology.trust import ASTRAY, RETURNED

ENVELOPE = "envelope"  #: header with the Envelope, inside this process
BEGINNING = 64 * 1024  #: bytes that are kept of a body that is too large to be read
#: Headers of ours that an event carries on its way back to its queue.
OURS = (ATTEMPT, TYPE, FIRST_FAILED, GIVEN_BACK, TRIAL, REPLAY)
#: Takes a message as it came.
Arrived = Callable[[RawMessage], Any]
_MAX_MESSAGE_ID = 255
_QOS = "lBb"  # prefetch_size, prefetch_count, global


class SubscriptionQueue(kombu.Queue):
    """Queue of one subscription, or its quarantine, as Celery consumes it.

    `subscription`, `key` and `quarantined` say whose it is.
    `origin(delivery, headers)` returns the route of a message: see Provenance. Our own headers are
    believed only of a message that was RETURNED.
    `counts_returns`: the broker counts earlier deliveries of a message in x-delivery-count.
    `declare_all(connection)` declares the queue and everything around it, unless they stand.
    `prefetch()` returns the number of unacknowledged messages that this consumer may hold.
    `taker(queue, channel)` returns a function that takes its messages past Celery, or None.
    `consume_old(queue, arrived)`, if set, consumes old events for now instead, and returns None; or
    it returns what takes messages in place of `arrived`.
    `on_cancelled(queue)`, if set, is called when the broker has cancelled its consumer.
    """

    attrs = (
        *kombu.Queue.attrs,
        ("subscription", None),
        ("key", None),
        ("quarantined", bool),
        ("origin", None),
        ("counts_returns", bool),
        ("declare_all", None),
        ("prefetch", None),
        ("taker", None),
        ("consume_old", None),
    )

    subscription: str
    key: str
    quarantined: bool = False
    origin: Callable[[dict[str, Any], dict[Any, Any]], str]
    counts_returns: bool = False
    declare_all: Callable[[Any], None]
    prefetch: Callable[[], int]
    taker: Callable[["SubscriptionQueue", Any], Callable[[str, int, Envelope], None] | None]
    consume_old: Callable[["SubscriptionQueue", Arrived], Arrived | None] | None = None
    on_cancelled: Callable[["SubscriptionQueue"], None] | None = None

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # kombu's
        """Return the members for a copy; with `recurse`, JSON for `inspect active_queues`."""
        members: dict[str, Any] = super().as_dict(recurse)
        return {name: value for name, value in members.items() if not (recurse and callable(value))}

    def declare(self, nowait: bool = False, channel: Any = None) -> str:  # noqa: ARG002, FBT001, FBT002  # kombu's
        """Declare the subscription's whole topology in place of kombu's queue."""
        self.declare_all((channel or self.channel).connection)
        return str(self.name)

    def consume(
        self, consumer_tag: str = "", callback: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Consume with this queue's own prefetch, and name the task.

        basic.qos counts for the consumers that follow it. Nobody waits for its answer, which comes
        before that of the last consumer: many queues are consumed from in one round trip.
        """
        # The body stays bytes, whatever encoding a producer claims.
        self.channel.auto_decode = False
        take = self.taker(self, self.channel)
        arrived: Arrived = (
            partial(self._arrived, callback) if take is None else partial(self._taken, take)
        )
        if self.consume_old is not None:
            if (live := self.consume_old(self, arrived)) is None:
                return None
            arrived = live
        self.limit(self.prefetch())
        if self.on_cancelled is not None:
            # Else py-amqp ends the connection.
            kwargs["on_cancel"] = lambda _tag, told=self.on_cancelled: told(self)
        return super().consume(consumer_tag, arrived, *args, **kwargs)

    def limit(self, prefetch: int) -> None:
        """Let the next consumer of its channel hold so many unacknowledged messages."""
        self.channel.send_method(spec.Basic.Qos, _QOS, (0, prefetch, False))

    def envelope_of(self, raw: RawMessage) -> Envelope:
        """Return the envelope of a message that no worker handles."""
        return self._envelope(raw, raw.properties, {})

    def _taken(self, take: Callable[[str, int, Envelope], None], raw: RawMessage) -> None:
        given = raw.properties.pop("application_headers", None) or {}
        task_id = self._task_id(raw.properties.get("message_id"))
        take(task_id, raw.delivery_info["delivery_tag"], self._envelope(raw, raw.properties, given))

    def _arrived(self, callback: Callable[[Any], Any], raw: RawMessage) -> Any:
        given = raw.properties.pop("application_headers", None) or {}
        raw.properties["application_headers"] = {
            "task": self.subscription,
            "id": self._task_id(raw.properties.get("message_id")),
            ENVELOPE: self._envelope(raw, dict(raw.properties), given),
        }
        return callback(raw)

    def _task_id(self, message_id: object) -> str:
        sane = (
            isinstance(message_id, str)
            and 0 < len(message_id) <= _MAX_MESSAGE_ID
            and message_id.isprintable()
        )
        return f"{message_id if sane else uuid4()}:{self.key}"

    def _envelope(
        self, raw: RawMessage, properties: dict[str, Any], given: dict[Any, Any]
    ) -> Envelope:
        body, size = _kept(raw)
        routing_key = str(raw.delivery_info.get("routing_key", ""))
        origin = self.origin(raw.delivery_info, given)
        return Envelope(
            subscription=self.subscription,
            key=self.key,
            body=body,
            properties=properties,
            headers=self._believed(origin, raw.delivery_info, given)
            if given or not self.counts_returns
            else given,
            routing_key=encodable(routing_key),
            quarantined=self.quarantined,
            flaw=(
                _astray(raw.delivery_info) if origin == ASTRAY else _flaw(size, routing_key, given)
            ),
            size=size,
        )

    def _believed(
        self, origin: str, delivery: dict[str, Any], given: dict[Any, Any]
    ) -> dict[str, Any]:
        names = OURS if origin == RETURNED else ()
        # In a first delivery the count is the producer's word.
        if delivery.get("redelivered"):
            if self.counts_returns and RETURNS in given:
                names = (*names, RETURNS)
            else:
                # RabbitMQ 4.3 does not count what it takes from a consumer that it cancels.
                given, names = {**given, AGAIN: True}, (*names, AGAIN)
        return {name: given[name] for name in names if name in given}


def _astray(delivery: dict[str, Any]) -> str:
    exchange, key = delivery.get("exchange"), delivery.get("routing_key")
    return (
        f"it came by a route that this bus does not use, from exchange {exchange!a} with routing "
        f"key {key!a}: see docs/security.md"
    )


def _flaw(size: int, routing_key: str, given: dict[Any, Any]) -> str:
    """Return why it cannot be read, if that shows without reading its body; else empty."""
    if size > MAX_BODY:
        return too_large(size)
    if encodable(routing_key) != routing_key:
        return f"its routing key {routing_key!a} is no UTF-8"
    return str(given.get(MARK, ""))


def _kept(raw: RawMessage) -> tuple[bytes, int]:
    """Return the part of the body that is kept, and the size of the whole.

    The rest is dropped at once: as many messages wait as were prefetched.
    """
    body = body_of(raw)
    if len(body) > MAX_BODY:
        raw.body = body[:BEGINNING]
        return raw.body, len(body)
    return body, len(body)
