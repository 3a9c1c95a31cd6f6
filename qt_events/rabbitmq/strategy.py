"""How a message of a subscription's queue enters a Celery worker: as a Delivery on the asyncio pool, else a Request."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import kombu
from celery import signals
from celery.exceptions import InvalidTaskError, WorkerLostError
from celery.exceptions import Reject as CeleryReject
from celery.exceptions import Retry as CeleryRetry
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.request import Request, create_request_cls

from qt_events.delivery import DeadLetter, Done, Outcome, Retry
from qt_events.rabbitmq.envelope import Envelope
from qt_events.rabbitmq.pool import AsyncioPool
from qt_events.rabbitmq.queues import ENVELOPE
from qt_events.rabbitmq.tasks import SubscriptionTask

logger = logging.getLogger("qt_events")

_REVOKED = {"type": "task-revoked", "terminated": False, "signum": None, "expired": False}


def strategy(task: SubscriptionTask, app: Any, consumer: Consumer) -> Callable[..., None]:
    """Celery's Task.Strategy: the function that takes this task's messages in this worker."""
    make = (
        _delivery_maker(task, consumer)
        if isinstance(consumer.pool, AsyncioPool)
        else _request_maker(task, app, consumer)
    )
    events = _events(task, consumer)
    handle = consumer.on_task_request
    pardons = task.bus.serving.pardons

    def on_message(message: kombu.Message, _body: object, ack: Any, reject: Any, callbacks: Any) -> None:
        envelope = message.headers.get(ENVELOPE)
        if not isinstance(envelope, Envelope):
            raise InvalidTaskError(f"{task.name} is a subscription: publish an event instead of sending a task")
        if envelope.headers:  # it has been delivered before
            envelope = pardons.applied(envelope)
        request = make(message, envelope, ack, reject)
        signals.task_received.send(sender=consumer, request=request)
        if events is not None:
            events(
                "task-received",
                uuid=request.id,
                name=task.name,
                args=request.argsrepr,
                kwargs="{}",
                retries=_retries(message),
            )
        if consumer.limits_rate(request):
            return
        state.task_reserved(request)
        for callback in callbacks:
            callback(request)
        handle(request)

    return on_message


def _retries(message: kombu.Message) -> int:
    return int(message.headers[ENVELOPE].attempt) - 1


def _events(task: SubscriptionTask, consumer: Consumer) -> Callable[..., None] | None:
    eventer = consumer.event_dispatcher
    return eventer.send if eventer and eventer.enabled and task.send_events else None


def _shown(envelope: Envelope) -> str:
    """The arguments, as Flower and inspect show them."""
    return f"({envelope.event_id!r}, {envelope.event_type!r})"


def _request_maker(task: SubscriptionTask, app: Any, consumer: Consumer) -> Callable[..., Request]:
    """For Celery's own pools: a Request whose one argument is the envelope."""
    eventer = consumer.event_dispatcher
    request_class = create_request_cls(EventRequest, task, consumer.pool, consumer.hostname, eventer, app=app)

    def make(message: kombu.Message, envelope: Envelope, ack: Any, reject: Any) -> Request:
        headers = {
            "task": task.name,
            "id": message.headers["id"],
            "retries": envelope.attempt - 1,
            "argsrepr": _shown(envelope),
            "kwargsrepr": "{}",
            "timelimit": (task.time_limit, task.soft_time_limit),  # as they are now: remote control may change them
        }
        message.properties.pop("application_headers", None)  # they hold the envelope once more
        return request_class(
            message, on_ack=ack, on_reject=reject, app=app, hostname=consumer.hostname, eventer=eventer, task=task,
            connection_errors=consumer.connection_errors, body=((envelope, _take_revocation(headers["id"])), {}, {}),
            headers=headers, decoded=True,
        )  # fmt: skip

    return make


def _take_revocation(id: str) -> bool:
    """Whether an operator revoked this id by remote control; once, so that its dead letter can be sent back."""
    revoked = id in state.revoked
    state.revoked.discard(id)
    return revoked


def _tell_it_goes_on(request: Any, envelope: Envelope) -> None:
    message = "%s: %s is being handled and goes on; a revoked event becomes a dead letter"
    logger.warning(message, request.name, request.id, extra=envelope.log_fields())


class EventRequest(Request):
    """A Request that is never dropped in silence: where Celery would acknowledge what it revokes, see `attempt`."""

    @property
    def envelope(self) -> Envelope:
        """The message that it is about."""
        return self.args[0]  # type: ignore[no-any-return]

    def revoked(self) -> bool:
        """Not for Celery to handle."""
        return False

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # Celery's signature
        """What `inspect active` and `inspect reserved` show: JSON, so not the envelope itself."""
        return {**super().info(safe), "args": [self.envelope.event_id, self.envelope.event_type]}

    def on_retry(self, exc_info: Any) -> None:
        """Celery's own tells of the handler's error on prefork only, elsewhere of itself."""
        retry = getattr(exc_info.exception, "exc", None)
        error = retry.exc if isinstance(retry, CeleryRetry) else retry
        self.acknowledge()
        self.send_event("task-retried", exception=repr(error), traceback=exc_info.traceback)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:  # noqa: FBT001, FBT002
        """Celery calls it when there is no outcome, or it is a dead letter: one by remote control is no failure."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps what comes from a child
        pardons = self.task.bus.serving.pardons
        if isinstance(error, CeleryReject):  # its outcome is not safe, and nobody died of it
            pardons.grant(self.envelope)
        elif isinstance(error, WorkerLostError):
            pardons.revoke(self.envelope)
        revoked = getattr(exc_info.exception, "reason", "") == "revoked"
        super().on_failure(exc_info, send_failed_event and not revoked, return_ok)
        if revoked:
            self.send_event(**_REVOKED)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001  # Celery's signature
        """Celery tells of a time limit; at the hard one it kills the child."""
        if not soft:
            self.task.bus.serving.pardons.revoke(self.envelope)
        super().on_timeout(soft, timeout)

    def terminate(self, pool: Any, signal: Any = None) -> None:  # noqa: ARG002  # Celery's signature
        """`revoke --terminate`: the handler goes on; Celery would acknowledge the event without an outcome."""
        _tell_it_goes_on(self, self.envelope)


def _delivery_maker(task: SubscriptionTask, consumer: Consumer) -> Callable[..., "Delivery"]:
    events = _events(task, consumer)
    errors = (*consumer.connection_errors, *consumer.channel_errors)

    def make(message: kombu.Message, envelope: Envelope, _ack: Any, _reject: Any) -> Delivery:
        return Delivery(task, message, envelope, consumer.hostname, events, errors)

    return make


class Delivery:
    """A message on the asyncio pool: what Celery's worker state and remote control ask of a Request, and no more."""

    __slots__ = (
        "__weakref__", "_errors", "_events", "_message", "acknowledged", "connection", "envelope", "hostname", "id",
        "task", "time_start", "worker_pid",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917
        self,
        task: SubscriptionTask,
        message: kombu.Message,
        envelope: Envelope,
        hostname: str,
        events: Callable[..., None] | None,
        errors: tuple[type[BaseException], ...],
    ) -> None:
        self.task, self.envelope, self.hostname = task, envelope, hostname
        self.id: str = message.headers["id"]
        self.acknowledged = False
        self.time_start: float | None = None
        self.worker_pid: int | None = None
        self.connection: object = None  # the pool's mark of what it came by
        self._message, self._events, self._errors = message, events, errors

    @property
    def name(self) -> str:
        """The task's name: the subscription's."""
        return str(self.task.name)

    task_name = name

    @property
    def task_id(self) -> str:
        """The id, as some remote control commands call it."""
        return self.id

    @property
    def argsrepr(self) -> str:
        """Event id and type."""
        return _shown(self.envelope)

    def _tell_over(self, eventer: Any) -> None:
        if self._events is not None:
            self._events = eventer.send

    eventer = property(None, _tell_over, doc="Celery sets it after reconnecting, for what is held by then.")

    def execute_using_pool(self, pool: AsyncioPool, **_: Any) -> None:
        """Celery's way of saying: go."""
        pool.admit(self)

    def revoked(self) -> bool:
        """Whether an operator revoked it, and it is to become a dead letter; True once."""
        return _take_revocation(self.id)

    def started(self) -> None:
        """Its handler is about to be called."""
        self.time_start, self.worker_pid = time.time(), os.getpid()
        state.task_accepted(self)
        if self._events is not None:
            self._events("task-started", uuid=self.id)

    def settle(self, outcome: Outcome, seconds: float) -> None:
        """Its outcome is safe: acknowledge, and tell who watches."""
        state.task_ready(self, successful=isinstance(outcome, Done))
        self._answer(self._message.ack)
        if self._events is not None:
            self._events(uuid=self.id, **_event_of(outcome, seconds))

    def give_back(self) -> None:
        """Its outcome is not safe: the broker is to deliver it again."""
        state.task_ready(self)
        self._answer(self._message.requeue)
        if self._events is not None and self.time_start is not None:
            self._events("task-rejected", uuid=self.id, requeue=True)

    def replace(self) -> None:
        """A copy of it is safe in its stead: acknowledge, and say nothing."""
        state.task_ready(self)
        self._answer(self._message.ack)

    def forget(self) -> None:
        """Its channel is gone, and with it this delivery; the broker delivers it again."""
        state.task_ready(self)

    def _answer(self, say: Callable[[], None]) -> None:
        if self._message.acknowledged:
            return
        try:
            say()
            self.acknowledged = True
        except self._errors as error:  # never on another channel: the tag would be somebody else's
            logger.info(
                "%s: event %s is delivered again: its channel is gone (%s)",
                self.name,
                self.envelope.event_id,
                error,
                extra=self.envelope.log_fields(),
            )

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
            "delivery_info": {"routing_key": self.envelope.routing_key, "redelivered": self.envelope.returns > 0},
            "worker_pid": self.worker_pid,
        }

    def cancel(self, pool: AsyncioPool, signal: Any = None, *, emit_retry: bool = True) -> None:
        """After a lost connection: the handler goes on, the broker delivers the event again."""

    def terminate(self, pool: AsyncioPool, signal: Any = None) -> None:  # noqa: ARG002
        """`revoke --terminate`: no process is this handler's alone."""
        _tell_it_goes_on(self, self.envelope)


def _event_of(outcome: Outcome, seconds: float) -> dict[str, Any]:
    match outcome:
        case DeadLetter(reason="revoked"):
            return _REVOKED
        case Retry(failure=failure):
            shown = f"{failure.exception_type}({failure.message!r})"
            return {"type": "task-retried", "exception": shown, "traceback": failure.traceback}
        case DeadLetter(failure=failure):
            shown = f"{failure.exception_type}({failure.message!r})"
            return {"type": "task-failed", "exception": shown, "traceback": failure.traceback}
    return {"type": "task-succeeded", "result": "None", "runtime": seconds}
