"""EventRequest: a message on Celery's own pools. For the asyncio pool see asyncio_delivery.py."""

import logging
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

from qt_events.rabbitmq.handling.quarantine import NextStep, next_step
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.subscription_task import DeliveryFailed, SubscriptionTask
from qt_events.rabbitmq.pools.task_events import TaskEvents
from qt_events.rabbitmq.topology.queues import ENVELOPE

logger = logging.getLogger("qt_events")

REVOKED = {"type": "task-revoked", "terminated": False, "signum": None, "expired": False}


def strategy(task: SubscriptionTask, app: Any, consumer: Consumer) -> Callable[..., None]:
    """Return the function that takes this task's messages in this worker, for Task.Strategy."""
    make = _request_maker(task, app, consumer)
    monitors = monitors_of(task, consumer)
    handle = consumer.on_task_request
    survived, unacknowledged = task.runtime.survived, task.runtime.unacknowledged

    def on_message(
        message: kombu.Message, _body: object, ack: Any, reject: Any, callbacks: Any
    ) -> None:
        envelope = message.headers.get(ENVELOPE)
        if not isinstance(envelope, Envelope):
            raise InvalidTaskError(
                f"{task.name} is a subscription: publish an event instead of sending a task"
            )
        # One with headers has been delivered before, or is a copy.
        if envelope.headers:
            if unacknowledged.knows(envelope):
                unacknowledged.take(envelope)
                ack(logger, consumer.connection_errors)
                return
            envelope = survived.applied(envelope)
            if next_step(envelope) is NextStep.ISOLATE:
                consumer.quarantines.look_soon()
        request = make(message, envelope, ack, reject)
        signals.task_received.send(sender=consumer, request=request)
        if monitors is not None:
            monitors.send(
                "task-received",
                uuid=request.id,
                name=task.name,
                args=request.argsrepr,
                kwargs="{}",
                retries=envelope.attempt - 1,
            )
        if consumer.limits_rate(request):
            return
        state.task_reserved(request)
        for callback in callbacks:
            callback(request)
        handle(request)

    return on_message


def monitors_of(task: SubscriptionTask, consumer: Consumer) -> TaskEvents | None:
    """Return what sends the task's events to monitors, or None if none are sent."""
    monitors: TaskEvents | None = consumer.event_dispatcher
    return monitors if monitors and monitors.enabled and task.send_events else None


def describe_arguments(envelope: Envelope) -> str:
    """Return the arguments as Flower and inspect show them."""
    return f"({envelope.event_id!r}, {envelope.event_type!r})"


def _request_maker(task: SubscriptionTask, app: Any, consumer: Consumer) -> Callable[..., Request]:
    """Return a function that makes Requests whose one argument is the envelope."""
    eventer = consumer.event_dispatcher
    request_class = create_request_cls(
        EventRequest, task, consumer.pool, consumer.hostname, eventer, app=app
    )

    worker_limit = consumer.pool.options.get("timeout")

    def make(message: kombu.Message, envelope: Envelope, ack: Any, reject: Any) -> Request:
        headers = {
            "task": task.name,
            "id": message.headers["id"],
            "retries": envelope.attempt - 1,
            "argsrepr": describe_arguments(envelope),
            "kwargsrepr": "{}",
            # As they are now: remote control may change them.
            "timelimit": (task.time_limit or worker_limit, task.soft_time_limit),
        }
        # They hold the envelope once more.
        message.properties.pop("application_headers", None)
        return request_class(
            message, on_ack=ack, on_reject=reject, app=app, hostname=consumer.hostname,
            eventer=eventer, connection_errors=consumer.connection_errors, headers=headers,
            body=((envelope, take_revocation(headers["id"])), {}, {}), task=task, decoded=True,
        )  # fmt: skip

    return make


def take_revocation(id: str) -> bool:
    """Tell whether an operator revoked this id; once, so that its dead letter can be sent back."""
    # Nearly always there is none, and Celery's set takes ten calls to say so of an id.
    if not state.revoked:
        return False
    revoked = id in state.revoked
    state.revoked.discard(id)
    return revoked


def tell_it_goes_on(request: Any, envelope: Envelope) -> None:
    """Log that a handler is not terminated."""
    message = "%s: %s is being handled and goes on; a revoked event becomes a dead letter"
    logger.warning(message, request.name, request.id, extra=envelope.log_fields())


class EventRequest(Request):
    """Request that Celery does not revoke: a revoked event becomes a dead letter, see `attempt`."""

    @property
    def envelope(self) -> Envelope:
        """Message of the request."""
        return self.args[0]  # type: ignore[no-any-return]

    def acknowledge(self) -> None:
        """Acknowledge it. If the broker does not hear that, it is not handled here again.

        It hangs up on solo, where a handler may keep heartbeats from being answered.
        """
        connection = self.message.channel.connection
        if not self.acknowledged and (connection is None or connection.frames.is_hung_up()):
            self.task.runtime.unacknowledged.add(self.envelope, None)
        super().acknowledge()

    def revoked(self) -> bool:
        """Return False, so that Celery does not acknowledge it."""
        return False

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # Celery's signature
        """Describe it for `inspect active` and `inspect reserved`, in JSON."""
        return {**super().info(safe), "args": [self.envelope.event_id, self.envelope.event_type]}

    def on_retry(self, exc_info: Any) -> None:
        """Tell monitors of the handler's own error, which Celery does on prefork only."""
        retry = getattr(exc_info.exception, "exc", None)
        error = retry.exc if isinstance(retry, CeleryRetry) else retry
        self.acknowledge()
        self.send_event("task-retried", exception=repr(error), traceback=exc_info.traceback)

    def on_failure(
        self,
        exc_info: Any,
        send_failed_event: bool = True,  # noqa: FBT001, FBT002
        return_ok: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Handle a missing outcome, or a dead letter, which is no failure if it was revoked."""
        # billiard wraps what comes from a child.
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        survived = self.task.runtime.survived
        # The outcome is not safe, and no process died of it.
        if isinstance(error, CeleryReject):
            survived.grant(self.envelope)
        # billiard may report how a child ends before it has ended.
        elif isinstance(error, WorkerLostError | SystemExit):
            survived.revoke(self.envelope)
        revoked = isinstance(error, DeliveryFailed) and error.told == "revoked"
        super().on_failure(exc_info, send_failed_event and not revoked, return_ok)
        if revoked:
            self.send_event(**REVOKED)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001  # Celery's signature
        """Note a hard time limit, at which Celery kills the child."""
        if not soft:
            self.task.runtime.survived.revoke(self.envelope)
        super().on_timeout(soft, timeout)

    def terminate(self, pool: Any, signal: Any = None) -> None:  # noqa: ARG002  # Celery's signature
        """Let the handler go on after `revoke --terminate`. Celery would acknowledge the event."""
        tell_it_goes_on(self, self.envelope)
