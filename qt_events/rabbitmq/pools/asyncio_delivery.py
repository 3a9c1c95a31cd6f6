"""Arrival: how a message enters the asyncio pool: straight from its queue, as a Delivery.

On Celery's own pools it goes Celery's way, which makes half a dozen objects for each message: strategy.py.
"""

import logging
import os
import time
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from celery import signals
from celery.worker import state
from celery.worker.consumer import Consumer

from qt_events.delivery.outcome import Consequences, Outcome, consequences
from qt_events.rabbitmq.connection.connections import LOST
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.acks import Acks
from qt_events.rabbitmq.pools.celery_request import (
    REVOKED,
    monitors_of,
    shown,
    take_revocation,
    tell_it_goes_on,
)
from qt_events.rabbitmq.pools.subscription_task import SubscriptionTask
from qt_events.rabbitmq.pools.task_events import TaskEvents

logger = logging.getLogger("qt_events")

Arrive = Callable[
    [str, int, Envelope, Acks], None
]  #: of a task's id, a delivery tag, what it tags, its channel's acks


class Arrivals(dict[str, Arrive]):
    """By subscription how its messages are taken. Made anew for each connection; a task may come later than that."""

    def __init__(self, consumer: Consumer) -> None:
        super().__init__()
        self._consumer = consumer

    def __missing__(self, name: str) -> Arrive:
        task = self._consumer.app.tasks.get(name)
        arrive = self[name] = _not_served if task is None else arrival(task, self._consumer)
        return arrive


def _not_served(id: str, tag: int, envelope: Envelope, acks: Acks) -> None:
    acks.take(tag)
    message = "%s is not served here (any more): event %s goes back to its queue"
    logger.warning(message, envelope.subscription, id, extra=envelope.log_fields())
    acks.requeue(tag)


def arrival(task: SubscriptionTask, consumer: Consumer) -> Arrive:
    """How messages of this task are taken over this connection: what Celery would do for a Request, and no more."""
    monitors = monitors_of(task, consumer)
    survived = task.runtime.survived
    pool, hostname = consumer.pool, consumer.hostname

    def arrive(id: str, tag: int, envelope: Envelope, acks: Acks) -> None:
        if envelope.headers:  # it has been delivered before
            envelope = survived.applied(envelope)
        acks.take(tag)
        delivery = Delivery(id, task, envelope, tag, acks, hostname, monitors)
        signals.task_received.send(sender=consumer, request=delivery)
        if monitors is not None:
            monitors.send(
                "task-received",
                uuid=id,
                name=task.name,
                args=delivery.argsrepr,
                kwargs="{}",
                retries=envelope.attempt - 1,
            )
        if consumer.limits_rate(delivery):
            return
        delivery.reserve()
        for callback in consumer.on_task_message:
            callback(delivery)
        pool.admit(delivery)

    return arrive


class Admits(Protocol):
    """A pool that takes deliveries."""

    def admit(self, delivery: "Delivery") -> None:
        """Queue a delivery in its subscription's lane."""


class Delivery:
    """A message on the asyncio pool: what Celery's worker state and remote control ask of a Request, and no more."""

    __slots__ = (
        "__weakref__", "_acks", "_began", "_monitors", "_tag", "acknowledged", "envelope", "hostname", "id", "task",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917
        self,
        id: str,
        task: SubscriptionTask,
        envelope: Envelope,
        tag: int,
        acks: Acks,
        hostname: str,
        monitors: TaskEvents | None,
    ) -> None:
        self.id, self.task, self.envelope, self.hostname = id, task, envelope, hostname
        self.acknowledged = False
        self._began: float | None = None  # by the monotonic clock
        self._tag, self._acks, self._monitors = tag, acks, monitors

    @property
    def name(self) -> str:
        """The task's name: the subscription's."""
        return self.envelope.subscription

    task_name = name

    @property
    def task_id(self) -> str:
        """The id, as some remote control commands call it."""
        return self.id

    @property
    def argsrepr(self) -> str:
        """Event id and type."""
        return shown(self.envelope)

    def _tell_over(self, eventer: TaskEvents) -> None:
        if self._monitors is not None:
            self._monitors = eventer

    eventer = property(
        None, _tell_over, doc="Celery sets it after reconnecting, for what is held by then."
    )

    def execute_using_pool(self, pool: Admits, **_: Any) -> None:
        """Celery's way of saying: go."""
        pool.admit(self)

    def revoked(self) -> bool:
        """Whether an operator revoked it, and it is to become a dead letter; True once."""
        return take_revocation(self.id)

    # What Celery's worker state says of it: as `task_reserved`, `task_accepted` and `task_ready` do, less what counts
    # only for tasks with a countdown, or for those that are to run once: that took as long as all the rest.

    def reserve(self) -> None:
        """It is held here."""
        state.requests[self.id] = self
        state.reserved_requests.add(self)

    def is_void(self) -> bool:
        """Its channel is gone: the broker delivers it again, whatever comes of it here."""
        return self._acks.ended

    def started(self) -> None:
        """Its handler is about to be called."""
        self._began = monotonic()
        state.total_count[self.envelope.subscription] += 1
        state.all_total_count[0] += 1
        if self._monitors is not None:
            self._monitors.send("task-started", uuid=self.id)

    def goes_on(self) -> None:
        """Its handler waits for something: others may see meanwhile that it is active."""
        state.active_requests.add(self)

    @property
    def time_start(self) -> float | None:
        """When its handler was called, in seconds since 1970."""
        return None if self._began is None else time.time() - (monotonic() - self._began)

    @property
    def worker_pid(self) -> int | None:
        """The process that handles it."""
        return None if self._began is None else os.getpid()

    def _release(self) -> None:
        if (
            state.requests.get(self.id) is self
        ):  # else it came once more meanwhile, by another connection
            del state.requests[self.id]
        state.reserved_requests.discard(self)
        state.active_requests.discard(self)

    def settle(self, outcome: Outcome) -> None:
        """Its outcome is safe: acknowledge it and tell monitors; of a retry they know already."""
        self._release()
        self._acks.ack(self._tag)
        self.acknowledged = True
        if self._monitors is None:
            return
        follows = consequences(outcome)
        if follows.again_after is None:
            seconds = 0.0 if self._began is None else monotonic() - self._began
            self._monitors.send(uuid=self.id, **_event_of(follows, seconds))

    def tell_retry(self, follows: Consequences) -> None:
        """Tell monitors of a retry that is about to be published, at once.

        Whatever process has the next attempt is not to be heard before: in Celery's State, and so in Flower, a task
        that is retried after it has succeeded waits for its retry for ever.
        """
        if self._monitors is not None:
            self._monitors.send(uuid=self.id, **_event_of(follows, 0.0))
            self._monitors.flush()

    def give_back(self) -> None:
        """Its outcome is not safe: the broker is to deliver it again."""
        self._release()
        try:
            self._acks.requeue(self._tag)
        except LOST as error:  # never on another channel: the tag would be somebody else's
            message = "%s: event %s is delivered again: its channel is gone (%s)"
            logger.info(
                message, self.name, self.envelope.event_id, error, extra=self.envelope.log_fields()
            )
        if self._monitors is not None and self._began is not None:
            self._monitors.send("task-rejected", uuid=self.id, requeue=True)

    def replace(self) -> None:
        """A copy of it is safe in its stead: acknowledge, and say nothing."""
        self._release()
        self._acks.ack(self._tag)

    def forget(self) -> None:
        """Its channel is gone, and with it this delivery; the broker delivers it again."""
        self._release()

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002  # Celery's signature
        """What `inspect active` and `inspect reserved` show."""
        return {
            "id": self.id,
            "name": self.name,
            "args": [self.envelope.event_id, self.envelope.event_type],
            "kwargs": {},
            "type": self.name,
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": self.acknowledged,
            "delivery_info": {
                "routing_key": self.envelope.routing_key,
                "redelivered": self.envelope.returns > 0,
            },
            "worker_pid": self.worker_pid,
        }

    def cancel(self, pool: object, signal: Any = None, *, emit_retry: bool = True) -> None:
        """After a lost connection: the handler goes on, the broker delivers the event again."""

    def terminate(self, pool: object, signal: Any = None) -> None:  # noqa: ARG002
        """`revoke --terminate`: no process is this handler's alone."""
        tell_it_goes_on(self, self.envelope)


def _event_of(follows: Consequences, seconds: float) -> dict[str, Any]:
    kind, failure = f"task-{follows.told}", follows.failure
    if kind == REVOKED["type"]:
        return REVOKED
    if failure is None:
        return {"type": kind, "result": "None", "runtime": seconds}
    text = f"{failure.exception_type}({failure.message!r})"
    return {"type": kind, "exception": text, "traceback": failure.traceback}
