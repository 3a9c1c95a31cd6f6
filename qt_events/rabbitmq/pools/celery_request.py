"""How a message of a subscription's queue enters a worker of Celery's own pools: as a Request. See arrival.py."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import kombu
from celery import signals
from celery.concurrency.solo import TaskPool as SoloPool
from celery.exceptions import InvalidTaskError, WorkerLostError
from celery.exceptions import Reject as CeleryReject
from celery.exceptions import Retry as CeleryRetry
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.request import Request, create_request_cls

from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.subscription_task import SubscriptionTask
from qt_events.rabbitmq.pools.task_events import TaskEvents
from qt_events.rabbitmq.topology.queues import ENVELOPE

logger = logging.getLogger("qt_events")

REVOKED = {"type": "task-revoked", "terminated": False, "signum": None, "expired": False}


def strategy(task: SubscriptionTask, app: Any, consumer: Consumer) -> Callable[..., None]:
    """Celery's Task.Strategy: the function that takes this task's messages in this worker."""
    make = _request_maker(task, app, consumer)
    monitors = monitors_of(task, consumer)
    handle = consumer.on_task_request
    survived = task.runtime.survived

    def on_message(
        message: kombu.Message, _body: object, ack: Any, reject: Any, callbacks: Any
    ) -> None:
        envelope = message.headers.get(ENVELOPE)
        if not isinstance(envelope, Envelope):
            raise InvalidTaskError(
                f"{task.name} is a subscription: publish an event instead of sending a task"
            )
        if envelope.headers:  # it has been delivered before
            envelope = survived.applied(envelope)
        request = make(message, envelope, ack, reject)
        signals.task_received.send(sender=consumer, request=request)
        if monitors is not None:
            monitors.send(
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


def monitors_of(task: SubscriptionTask, consumer: Consumer) -> TaskEvents | None:
    """How Celery's events are sent; None if nobody is to be told."""
    monitors: TaskEvents | None = consumer.event_dispatcher
    return monitors if monitors and monitors.enabled and task.send_events else None


def shown(envelope: Envelope) -> str:
    """The arguments, as Flower and inspect show them."""
    return f"({envelope.event_id!r}, {envelope.event_type!r})"


def _request_maker(task: SubscriptionTask, app: Any, consumer: Consumer) -> Callable[..., Request]:
    """For Celery's own pools: a Request whose one argument is the envelope."""
    eventer = consumer.event_dispatcher
    request_class = create_request_cls(
        EventRequest, task, consumer.pool, consumer.hostname, eventer, app=app
    )

    def make(message: kombu.Message, envelope: Envelope, ack: Any, reject: Any) -> Request:
        headers = {
            "task": task.name,
            "id": message.headers["id"],
            "retries": envelope.attempt - 1,
            "argsrepr": shown(envelope),
            "kwargsrepr": "{}",
            "timelimit": (
                task.time_limit,
                task.soft_time_limit,
            ),  # as they are now: remote control may change them
        }
        message.properties.pop("application_headers", None)  # they hold the envelope once more
        return request_class(
            message, on_ack=ack, on_reject=reject, app=app, hostname=consumer.hostname, eventer=eventer, task=task,
            connection_errors=consumer.connection_errors, body=((envelope, take_revocation(headers["id"])), {}, {}),
            headers=headers, decoded=True,
        )  # fmt: skip

    return make


def take_revocation(id: str) -> bool:
    """Whether an operator revoked this id by remote control; once, so that its dead letter can be sent back."""
    revoked = id in state.revoked
    state.revoked.discard(id)
    return revoked


def tell_it_goes_on(request: Any, envelope: Envelope) -> None:
    """Why it is not terminated."""
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

    def on_failure(
        self,
        exc_info: Any,
        send_failed_event: bool = True,  # noqa: FBT001, FBT002
        return_ok: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Celery calls it when there is no outcome, or it is a dead letter: one by remote control is no failure."""
        error = getattr(
            exc_info.exception, "exc", exc_info.exception
        )  # billiard wraps what comes from a child
        survived = self.task.runtime.survived
        if isinstance(error, CeleryReject):  # its outcome is not safe, and nobody died of it
            survived.grant(self.envelope)
        elif isinstance(error, WorkerLostError):
            survived.revoke(self.envelope)
        revoked = getattr(exc_info.exception, "told", "") == "revoked"
        super().on_failure(exc_info, send_failed_event and not revoked, return_ok)
        if revoked:
            self.send_event(**REVOKED)

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001  # Celery's signature
        """Celery tells of a time limit; at the hard one it kills the child."""
        if not soft:
            self.task.runtime.survived.revoke(self.envelope)
        super().on_timeout(soft, timeout)

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:  # noqa: FBT001, FBT002
        """End the handler after a second signal, where the pool can.

        Raises:
            KeyboardInterrupt: on solo, whose handler this interrupts.
        """
        if isinstance(pool, SoloPool):
            state.active_requests.discard(self)
            raise KeyboardInterrupt
        # By threads: the process ends without them.
        with suppress(NotImplementedError):
            super().cancel(pool, signal, emit_retry)

    def terminate(self, pool: Any, signal: Any = None) -> None:  # noqa: ARG002  # Celery's signature
        """`revoke --terminate`: the handler goes on; Celery would acknowledge the event without an outcome."""
        tell_it_goes_on(self, self.envelope)
