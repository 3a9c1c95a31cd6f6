"""Delivery: a message on the asyncio pool, straight from its queue.

Celery's own way makes half a dozen objects for each message. Its own pools use it: celery_request.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any

from celery import signals
from celery.worker import state
from celery.worker.consumer import Consumer

from qt_events.delivery.ending import UnjudgedError
from qt_events.delivery.outcome import HANDLED, Consequences, Outcome, consequences
from qt_events.errors import BrokerError, BusStateError
from qt_events.rabbitmq.connection.connections import LOST
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.acks import Acks
from qt_events.rabbitmq.pools.celery_request import (
    REVOKED,
    describe_arguments,
    monitors_of,
    take_revocation,
    tell_it_goes_on,
)
from qt_events.rabbitmq.pools.subscription_task import SubscriptionTask
from qt_events.rabbitmq.pools.task_events import TaskEvents

logger = logging.getLogger("qt_events")

#: Takes a message: a task's id, a delivery tag, the envelope, and the acks of its channel.
Arrive = Callable[[str, int, Envelope, Acks], None]


class Arrivals(dict[str, Arrive]):
    """Functions that take messages, by subscription; filled as messages come over a connection."""

    def __init__(self, consumer: Consumer) -> None:
        super().__init__()
        self._consumer = consumer

    def __missing__(self, name: str) -> Arrive:
        task = self._consumer.app.tasks.get(name)
        arrive = self[name] = _not_served if task is None else arrival(task, self._consumer)
        return arrive


def _not_served(id: str, tag: int, envelope: Envelope, acks: Acks) -> None:
    acks.take(tag, envelope)
    message = "%s is not served here (any more): event %s goes back to its queue"
    logger.warning(message, envelope.subscription, id, extra=envelope.log_fields())
    acks.requeue(tag)


def arrival(task: SubscriptionTask, consumer: Consumer) -> Arrive:
    """Return the function that takes this task's messages, as Celery would take a Request."""
    monitors = monitors_of(task, consumer)
    survived = task.runtime.survived
    pool, hostname = consumer.pool, consumer.hostname

    def arrive(id: str, tag: int, envelope: Envelope, acks: Acks) -> None:
        acks.take(tag, envelope)
        # One with headers has been delivered before, or is a copy.
        if envelope.headers:
            if pool.redeliveries.knows(envelope):
                again = Delivery(id, task, envelope, tag, acks, hostname, monitors)
                pool.redeliveries.take(again, now=pool.is_in_charge)
                return
            envelope = survived.applied(envelope)
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


class Delivery:
    """Message on the asyncio pool, with what Celery's worker state and remote control ask for."""

    __slots__ = (
        "__weakref__", "acknowledged", "acks", "began", "envelope", "event", "hostname", "id",
        "monitors", "outcome", "tag", "task", "was_void",
    )  # fmt: skip

    #: For a batch, once it is gathered.
    event: Any

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
        #: Known before it is safe. It stands, whatever becomes of this delivery.
        self.outcome: Outcome | None = None
        #: Call of its handler, by the monotonic clock.
        self.began: float | None = None
        self.tag, self.acks, self.monitors = tag, acks, monitors

    @property
    def name(self) -> str:
        """Name of the task: that of the subscription."""
        return self.envelope.subscription

    task_name = name

    @property
    def lane_key(self) -> tuple[str, bool]:
        """Key of its lane: its subscription, and whether it comes from the quarantine."""
        return (self.envelope.subscription, self.envelope.quarantined)

    @property
    def task_id(self) -> str:
        """Id, as some remote control commands call it."""
        return self.id

    @property
    def argsrepr(self) -> str:
        """Event id and type."""
        return describe_arguments(self.envelope)

    def _tell_over(self, eventer: TaskEvents) -> None:
        if self.monitors is not None:
            self.monitors = eventer

    # Celery sets it after reconnecting, for what is held by then.
    eventer = property(None, _tell_over, doc="Dispatcher of Celery's events.")

    def execute_using_pool(self, pool: Any, **_: Any) -> None:
        """Begin. Celery calls it."""
        pool.admit(self)

    def revoked(self) -> bool:
        """Tell once whether an operator revoked it, so that it becomes a dead letter."""
        return take_revocation(self.id)

    # Celery's worker state, as `task_reserved`, `task_accepted` and `task_ready` keep it, without
    # what serves tasks with a countdown and tasks that run once: that took as long as all the rest.

    def reserve(self) -> None:
        """Note that it is held here."""
        state.requests[self.id] = self
        state.reserved_requests.add(self)

    def is_void(self) -> bool:
        """Tell whether its channel is gone: then the broker delivers it again in any case."""
        return self.acks.ended

    def cut_off(self) -> None:
        """Use its tag no more: the broker has cancelled its consumer, and delivers it again."""
        self.acks = self.acks.without(self.tag)

    def renew(self, again: "Delivery") -> None:
        """Settle another delivery of the same message instead, while this one is handled."""
        self.tag, self.acks = again.tag, again.acks

    def decided(self, outcome: Outcome) -> None:
        """Note the outcome, which is to be made safe."""
        self.outcome = outcome

    def check_void(self) -> bool:
        """Do what `is_void` does, and keep the answer in `was_void`: nothing follows then."""
        self.was_void = self.acks.ended
        return self.was_void

    def started(self) -> None:
        """Note that its handler is about to be called."""
        self.began = monotonic()
        state.total_count[self.envelope.subscription] += 1
        state.all_total_count[0] += 1
        if self.monitors is not None:
            self.monitors.send("task-started", uuid=self.id)

    def goes_on(self) -> None:
        """Show it as active while its handler waits for something."""
        self.was_void = False
        state.active_requests.add(self)

    @property
    def time_start(self) -> float | None:
        """Time at which its handler was called, in seconds since 1970."""
        return None if self.began is None else time.time() - (monotonic() - self.began)

    @property
    def worker_pid(self) -> int | None:
        """Process that handles it."""
        return None if self.began is None else os.getpid()

    def forget(self) -> None:
        """Remove it from the events that this worker holds."""
        # Another one may have come meanwhile, by another connection.
        if state.requests.get(self.id) is self:
            del state.requests[self.id]
        state.reserved_requests.discard(self)
        state.active_requests.discard(self)

    def settle(self, outcome: Outcome) -> None:
        """Acknowledge it, for its outcome is safe, and tell monitors unless it is a retry."""
        self.forget()
        self.acks.ack(self.tag)
        self.acknowledged = True
        if self.monitors is None:
            return
        follows = consequences(outcome)
        if follows.again_after is None:
            seconds = 0.0 if self.began is None else monotonic() - self.began
            self.monitors.send(uuid=self.id, **_event_of(follows, seconds))

    # Many at once, of one subscription. Monitors are told of each.

    @staticmethod
    def start_together(deliveries: Sequence["Delivery"]) -> None:
        """Do what `started` does for each."""
        if any(each.monitors is not None for each in deliveries):
            for each in deliveries:
                each.started()
            return
        began, number = monotonic(), len(deliveries)
        for each in deliveries:
            each.began = began
        state.total_count[deliveries[0].name] += number
        state.all_total_count[0] += number

    @staticmethod
    def settle_together(deliveries: Sequence["Delivery"]) -> None:
        """Do what `settle` does for each, once its handler has returned."""
        if any(each.monitors is not None for each in deliveries):
            for each in deliveries:
                each.settle(HANDLED)
            return
        for each in deliveries:
            each.outcome, each.acknowledged = HANDLED, True
            if state.requests.get(each.id) is each:
                del state.requests[each.id]
        state.reserved_requests.difference_update(deliveries)
        if state.active_requests:
            state.active_requests.difference_update(deliveries)
        for acks, own in groupby(deliveries, attrgetter("acks")):
            acks.ack_together([each.tag for each in own])

    def tell_retry(self, follows: Consequences) -> None:
        """Tell monitors of a retry that is about to be published, at once.

        They must not hear earlier of the next attempt, in whatever process: in Celery's State, and
        so in Flower, a task that is retried after it has succeeded waits for its retry for ever.
        """
        if self.monitors is not None:
            self.monitors.send(uuid=self.id, **_event_of(follows, 0.0))
            self.monitors.flush()

    def give_back(self) -> None:
        """Have the broker deliver it again, for its outcome is not safe."""
        self.forget()
        try:
            self.acks.requeue(self.tag)
        # Not tried on another channel, where the tag would mean another message.
        except LOST as error:
            message = "%s: event %s is delivered again: its channel is gone (%s)"
            logger.info(
                message, self.name, self.envelope.event_id, error, extra=self.envelope.log_fields()
            )
        if self.monitors is not None and self.began is not None:
            self.monitors.send("task-rejected", uuid=self.id, requeue=True)

    def log_return(self, error: Exception) -> None:
        """Log why it has no outcome."""
        if isinstance(error, BusStateError):
            level, why, fault = logging.INFO, str(error), None
        elif isinstance(error, BrokerError | UnjudgedError):
            level, why, fault = logging.WARNING, str(error), None
        else:
            level, why, fault = logging.ERROR, "a fault of this library", error
        message, event_id = "%s: event %s goes back to its queue: %s", self.envelope.event_id
        extra = self.envelope.log_fields()
        logger.log(level, message, self.name, event_id, why, exc_info=fault, extra=extra)

    def replace(self) -> None:
        """Acknowledge it and tell nobody: a copy of it is safe."""
        self.forget()
        self.acks.ack(self.tag)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002  # Celery's signature
        """Describe it for `inspect active` and `inspect reserved`."""
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
        """Let the handler go on after a lost connection: the broker delivers the event again."""

    def terminate(self, pool: object, signal: Any = None) -> None:  # noqa: ARG002
        """Let the handler go on after `revoke --terminate`: other handlers share its process."""
        tell_it_goes_on(self, self.envelope)


def _event_of(follows: Consequences, seconds: float) -> dict[str, Any]:
    if follows.told == "revoked":
        return REVOKED
    kind, failure = f"task-{follows.told}", follows.failure
    if failure is None:
        return {"type": kind, "result": "None", "runtime": seconds}
    text = f"{failure.exception_type}({failure.message!r})"
    return {"type": kind, "exception": text, "traceback": failure.traceback}
