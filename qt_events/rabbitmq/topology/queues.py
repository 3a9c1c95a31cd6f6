"""SubscriptionQueue: a queue that names the task of what comes out of it.

Celery finds a task by the message's header `task`. One event is copied into many queues with one set of
headers, so the header is set on arrival, from the queue. A message cannot choose what code runs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import kombu
from amqp.basic_message import Message as RawMessage

from qt_events.events.cloudevents import MAX_BODY, too_large
from qt_events.rabbitmq.compat.unreadable import MARK
from qt_events.rabbitmq.messages.envelope import (
    ATTEMPT,
    FIRST_FAILED,
    RETURNS,
    TRIAL,
    TYPE,
    Envelope,
    body_of,
    encodable,
)
from qt_events.rabbitmq.topology.trust import ASTRAY, RETURNED

ENVELOPE = "envelope"  #: where a message's headers carry the Envelope inside this process
BEGINNING = 64 * 1024  #: bytes that are kept of a body that is too large to be read
_OURS = (ATTEMPT, TYPE, FIRST_FAILED, TRIAL)
_MAX_MESSAGE_ID = 255


class SubscriptionQueue(kombu.Queue):
    """One subscription's queue, or its quarantine, as Celery consumes it.

    `subscription`, `key` and `quarantined` say whose it is; `way(delivery, headers)` says how a
    message came: only one that was RETURNED has headers of ours that are believed. See Provenance.
    `counts_returns` says that the broker counts in x-delivery-count how often it has delivered a message before.
    `declare_all(channel)` declares whatever stands around it; `prefetch()` is how many unacknowledged messages
    this consumer may hold; `taker(subscription, channel)` gives what takes its messages past Celery, or None.
    """

    attrs = (
        *kombu.Queue.attrs,
        ("subscription", None),
        ("key", None),
        ("quarantined", bool),
        ("way", None),
        ("counts_returns", bool),
        ("declare_all", None),
        ("prefetch", None),
        ("taker", None),
    )

    subscription: str
    key: str
    quarantined: bool = False
    way: Callable[[dict[str, Any], dict[Any, Any]], str]
    counts_returns: bool = False
    declare_all: Callable[[Any], None]
    prefetch: Callable[[], int]
    taker: Callable[[str, Any], Callable[[str, int, Envelope], None] | None]

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # kombu's
        """What a copy is made from; with `recurse` what `inspect active_queues` shows, as JSON."""
        members: dict[str, Any] = super().as_dict(recurse)
        return {name: value for name, value in members.items() if not (recurse and callable(value))}

    def declare(self, nowait: bool = False, channel: Any = None) -> str:  # noqa: ARG002, FBT001, FBT002  # kombu's
        """Declare the subscription's whole topology, never kombu's idea of a queue."""
        with (
            channel or self.channel
        ).connection.channel() as own:  # a refusal closes the channel it came on
            self.declare_all(own)
        return str(self.name)

    def consume(
        self, consumer_tag: str = "", callback: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Consume with this queue's own prefetch (basic.qos counts for the consumers after it), and name the task."""
        self.channel.auto_decode = (
            False  # the body stays bytes, whatever encoding a producer claims
        )
        self.channel.basic_qos(0, self.prefetch(), False)  # noqa: FBT003  # a_global
        take = self.taker(self.subscription, self.channel)
        arrived = partial(self._arrived, callback) if take is None else partial(self._taken, take)
        return super().consume(consumer_tag, arrived, *args, **kwargs)

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
        body, size = _held(raw)
        routing_key = str(raw.delivery_info.get("routing_key", ""))
        way = self.way(raw.delivery_info, given)
        return Envelope(
            subscription=self.subscription,
            key=self.key,
            body=body,
            properties=properties,
            headers=self._believed(way, raw.delivery_info, given) if given else given,
            routing_key=encodable(routing_key),
            quarantined=self.quarantined,
            flaw=_astray(raw.delivery_info) if way == ASTRAY else _flaw(size, routing_key, given),
            size=size,
        )

    def _believed(
        self, way: str, delivery: dict[str, Any], given: dict[Any, Any]
    ) -> dict[str, Any]:
        names = _OURS if way == RETURNED else ()
        if self.counts_returns and delivery.get(
            "redelivered"
        ):  # a first delivery has what its producer wrote there
            names = (*names, RETURNS)
        return {name: given[name] for name in names if name in given}


def _astray(delivery: dict[str, Any]) -> str:
    exchange, key = delivery.get("exchange"), delivery.get("routing_key")
    return f"it came by no way of ours, from exchange {exchange!a} with routing key {key!a}: see docs/security.md"


def _flaw(size: int, routing_key: str, given: dict[Any, Any]) -> str:
    """Why it cannot be read, as far as that shows without a look at its body."""
    if size > MAX_BODY:
        return too_large(size)
    if encodable(routing_key) != routing_key:
        return f"its routing key {routing_key!a} is no UTF-8"
    return str(given.get(MARK, ""))


def _held(raw: RawMessage) -> tuple[bytes, int]:
    """What is kept of the body, and how many bytes it had. At once: as many of them wait as were prefetched."""
    body = body_of(raw)
    if len(body) > MAX_BODY:
        raw.body = body[:BEGINNING]
        return raw.body, len(body)
    return body, len(body)
