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

from qt_events.rabbitmq.envelope import Envelope, body_of

ENVELOPE = "envelope"  #: where a message's headers carry the Envelope inside this process
_KEPT_HEADERS = ("x-delivery-count",)
_MAX_MESSAGE_ID = 255


class SubscriptionQueue(kombu.Queue):
    """One subscription's queue, or its quarantine, as Celery consumes it.

    `subscription`, `key` and `quarantined` say whose it is; `redeliver` is the exchange that retries come back
    through: only what comes from there, or straight into the queue, has headers of ours that are believed.
    `declare_all(channel)` declares whatever stands around it; `prefetch()` is how many unacknowledged messages
    this consumer may hold.
    """

    attrs = (
        *kombu.Queue.attrs,
        ("subscription", None),
        ("key", None),
        ("quarantined", bool),
        ("redeliver", None),
        ("declare_all", None),
        ("prefetch", None),
    )

    subscription: str
    key: str
    quarantined: bool = False
    redeliver: str
    declare_all: Callable[[Any], None]
    prefetch: Callable[[], int]

    def as_dict(self, recurse: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # kombu's
        """What a copy is made from; with `recurse` what `inspect active_queues` shows, as JSON."""
        members: dict[str, Any] = super().as_dict(recurse)
        return {name: value for name, value in members.items() if not (recurse and callable(value))}

    def declare(self, nowait: bool = False, channel: Any = None) -> str:  # noqa: ARG002, FBT001, FBT002  # kombu's
        """Declare the subscription's whole topology, never kombu's idea of a queue."""
        with (channel or self.channel).connection.channel() as own:  # a refusal closes the channel it came on
            self.declare_all(own)
        return str(self.name)

    def consume(self, consumer_tag: str = "", callback: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Consume with this queue's own prefetch (basic.qos counts for the consumers after it), and name the task."""
        self.channel.auto_decode = False  # the body stays bytes, whatever encoding a producer claims
        self.channel.basic_qos(0, self.prefetch(), False)  # noqa: FBT003  # a_global
        return super().consume(consumer_tag, partial(self._arrived, callback), *args, **kwargs)

    def _arrived(self, callback: Callable[[Any], Any], raw: RawMessage) -> Any:
        properties = raw.properties
        given = properties.pop("application_headers", None) or {}
        properties["application_headers"] = {
            "task": self.subscription,
            "id": self._task_id(properties.get("message_id")),
            ENVELOPE: self._envelope(raw, given),
        }
        return callback(raw)

    def _task_id(self, message_id: object) -> str:
        sane = isinstance(message_id, str) and 0 < len(message_id) <= _MAX_MESSAGE_ID and message_id.isprintable()
        return f"{message_id if sane else uuid4()}:{self.key}"

    def _envelope(self, raw: RawMessage, headers: dict[str, Any]) -> Envelope:
        ours = ("qt-",) if raw.delivery_info.get("exchange") in (self.redeliver, "") else ()
        return Envelope(
            subscription=self.subscription,
            key=self.key,
            body=body_of(raw),
            properties={name: value for name, value in raw.properties.items() if name != "application_headers"},
            headers={name: value for name, value in headers.items() if name.startswith(ours) or name in _KEPT_HEADERS},
            routing_key=str(raw.delivery_info.get("routing_key", "")),
            quarantined=self.quarantined,
        )
