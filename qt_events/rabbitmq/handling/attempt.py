"""One attempt at a message, and what follows from its outcome: the same on every worker pool.

Done       nothing more
Retry      a confirmed copy in a delay level, which brings it back to this subscription alone
DeadLetter a confirmed copy, with every detail, in the subscription's dead letters
Only then is the message acknowledged. What comes back without an outcome may end in quarantine: quarantine.py.
"""

import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from time import sleep
from typing import TYPE_CHECKING, Any

import celery
from celery.exceptions import Reject as CeleryReject
from celery.exceptions import Retry as CeleryRetry

from qt_events.delivery.deliver import begin
from qt_events.delivery.outcome import SKIPPED, DeadLetter, Done, Failure, Outcome, Retry
from qt_events.delivery.subscription import Subscription
from qt_events.errors import (
    BrokerError,
    BusStateError,
    DecodeError,
    MessageError,
    PoisonError,
    TypeMismatchError,
)
from qt_events.events.cloudevents import Message
from qt_events.rabbitmq.handling.envelope import Envelope
from qt_events.rabbitmq.handling.quarantine import NextStep, next_step
from qt_events.rabbitmq.pools.handler_thread import HandlerThread, end_if_told
from qt_events.rabbitmq.publishing.requests import PublishRequest

if TYPE_CHECKING:
    from qt_events.rabbitmq.bus import CeleryEventBus

logger = logging.getLogger("qt_events")

PAUSE = 1.0  #: seconds before an event without an outcome goes back: the broker delivers it again at once
_REVOKED = DeadLetter(
    "revoked", Failure("celery.exceptions.TaskRevokedError", "revoked by remote control")
)
_POISON = (
    "it came back without an outcome though nothing else was handled beside it: it ends its process"
)
_REASONS: dict[type[MessageError], str] = {
    DecodeError: "undecodable",
    TypeMismatchError: "mistyped",
    PoisonError: "poison",
}


def _never() -> bool:
    return False


def _tell_nobody(_: Retry) -> None: ...


def _as_it_is(subscription: Subscription) -> Subscription:
    return subscription


async def attempt(
    envelope: Envelope,
    subscription: Subscription,
    bus: "CeleryEventBus",
    executor: Executor,
    *,
    is_revoked: bool = False,
    expose: Callable[[Subscription], Subscription] = _as_it_is,
) -> Outcome:
    """Handle the message once and make its outcome safe.

    Args:
        envelope: the message.
        subscription: whose it is.
        bus: of the subscription.
        executor: where sync handlers run.
        is_revoked: an operator revoked it: it is a dead letter, for nothing is dropped in silence.
        expose: gives the subscription whose handler is called in its stead: one that a time limit can interrupt.

    Raises:
        BrokerError: the outcome could not be made safe; the message must be given back.
        BusStateError: it is not served here any more; the message must be given back.
        asyncio.CancelledError: there is no outcome; the message must be given back.
    """
    begun = begin_attempt(
        envelope, subscription, bus, executor, is_revoked=is_revoked, expose=expose
    )
    return await finish_attempt(envelope, bus, begun)


Begun = (
    Outcome | NextStep | Coroutine[Any, Any, Outcome]
)  #: an outcome, what to do instead, or what has to wait for one


def begin_attempt(
    envelope: Envelope,
    subscription: Subscription,
    bus: "CeleryEventBus",
    executor: Executor | None,
    *,
    is_revoked: bool = False,
    expose: Callable[[Subscription], Subscription] = _as_it_is,
) -> Begun:
    """`attempt`, as far as it comes without waiting; `executor` None: a sync handler is called right here.

    Raises:
        BusStateError: see `attempt`.
    """
    if bus.subscriptions.get(subscription.name) is not subscription:
        message = f"{subscription.name} has been unsubscribed"
        raise BusStateError(message)
    if is_revoked:
        return _REVOKED
    step = NextStep.HANDLE if subscription.broadcast else next_step(envelope)
    match step:
        case NextStep.HANDLE:
            return _begin(envelope, subscription, bus, executor, expose)
        case NextStep.BURY:
            return _unreadable(envelope, PoisonError(_POISON))
    return step


async def finish_attempt(
    envelope: Envelope,
    bus: "CeleryEventBus",
    begun: Begun,
    *,
    is_void: Callable[[], bool] = _never,
    on_retry: Callable[[Retry], None] = _tell_nobody,
) -> Outcome:
    """The rest of `attempt`. On the loop that the handler's coroutine is to run on.

    `is_void` is asked after the handler: the broker delivers the message again anyway, so nothing need follow.
    `on_retry` is called before the retry can be anywhere: another process may be through with it in no time. That it
    cannot be published shows afterwards: then the message is given back.
    """
    if isinstance(begun, NextStep):
        message = "%s: event %s came back without an outcome (%d): %s"
        about = (envelope.key, envelope.event_id, envelope.returns, begun.value)
        logger.warning(message, *about, extra=envelope.log_fields())
        await isolate(envelope, bus, envelope.trials + (begun is NextStep.TRY_ALONE))
        return SKIPPED
    outcome = begun if isinstance(begun, Outcome) else await begun
    if not is_void():
        if isinstance(outcome, Retry):
            on_retry(outcome)
        if not isinstance(outcome, Done):
            await _make_safe(envelope, outcome, bus)
        bus.concluded(envelope, outcome)
    return outcome


async def isolate(envelope: Envelope, bus: "CeleryEventBus", trials: int) -> None:
    """Put a copy into quarantine, marked as being handled alone for the `trials`th time, or not at all. BrokerError."""
    message = Message(envelope.body, envelope.carried(), envelope.quarantine_headers(trials))
    await bus.publisher.ask(
        PublishRequest(bus.topology.quarantined, envelope.subscription, message)
    )


def _begin(
    envelope: Envelope,
    subscription: Subscription,
    bus: "CeleryEventBus",
    executor: Executor | None,
    expose: Callable[[Subscription], Subscription],
) -> Outcome | Coroutine[Any, Any, Outcome]:
    try:
        event = envelope.event()
    except MessageError as error:
        return _unreadable(envelope, error)
    if not bus.wants(subscription, event.type):
        return SKIPPED
    return begin(event, expose(subscription), envelope.attempt, executor, bus.watch, bus.slow_after)


def _unreadable(envelope: Envelope, error: MessageError) -> DeadLetter:
    """The handler is not called."""
    message, about = "%s: event %s is a dead letter: %s", (envelope.key, envelope.event_id, error)
    logger.error(message, *about, extra=envelope.log_fields())
    return DeadLetter(_REASONS[type(error)], Failure.of(error))


async def _make_safe(envelope: Envelope, outcome: Outcome, bus: "CeleryEventBus") -> None:
    match outcome:
        case Retry(delay=delay):
            await bus.publisher.ask(_delayed(envelope, delay, bus))
        case DeadLetter():
            message = Message(envelope.body, envelope.carried(), envelope.record_headers(outcome))
            await bus.publisher.ask(
                PublishRequest(bus.topology.dead_letters, envelope.subscription, message)
            )


def _delayed(envelope: Envelope, delay: float, bus: "CeleryEventBus") -> PublishRequest:
    exchange, _ = bus.topology.level(delay)
    properties = {**envelope.carried(), "expiration": bus.topology.expiration(delay)}
    message = Message(envelope.body, properties, envelope.retry_headers())
    return PublishRequest(exchange, envelope.key, message, first=bus.declarations.level(delay))


# As Celery tasks


class SubscriptionTask(celery.Task):
    """A subscription as Celery sees it: a task of the subscription's name. Its queue, not the message, names it."""

    Strategy = "qt_events.rabbitmq.pools.celery_request:strategy"
    acks_late = True
    reject_on_worker_lost = True  # a killed child gives its event back; the broker counts how often
    acks_on_timeout = False  # one that is killed at its hard time limit too
    acks_on_failure = True  # its dead letter is safe by then
    ignore_result = True
    typing = False
    subscription: Subscription
    bus: "CeleryEventBus"

    def run(self, envelope: Envelope, is_revoked: bool = False) -> None:  # noqa: FBT001, FBT002
        """One attempt, on a pool of processes or threads (the asyncio pool does not come through here).

        Raises:
            celery.exceptions.Retry, Exception: so that Celery's events tell what happened; the outcome is safe.
            celery.exceptions.Reject: it is not; the message goes back to its queue.
        """
        try:
            outcome = self._outcome(envelope, is_revoked=is_revoked)
        except (BrokerError, BusStateError) as error:
            logger.warning(
                "%s: event %s goes back to its queue: %s",
                self.name,
                envelope.event_id,
                error,
                extra=envelope.log_fields(),
            )
            if isinstance(error, BrokerError):
                sleep(PAUSE)
            raise CeleryReject(error, requeue=True) from error
        except Exception as error:  # Celery would acknowledge it
            message = "%s: event %s goes back to its queue: a fault of this library, or nothing left to run it with"
            logger.exception(message, self.name, envelope.event_id, extra=envelope.log_fields())
            sleep(PAUSE)
            raise CeleryReject(error, requeue=True) from error
        match outcome:
            case Retry(delay=delay, failure=failure):
                failed = DeliveryFailed("retried", failure.exception_type, failure.message)
                raise CeleryRetry(failure.message, exc=failed, when=delay) from HandlerTraceback(
                    failure.traceback
                )
            case DeadLetter(reason=reason, failure=failure):
                failed = DeliveryFailed(reason, failure.exception_type, failure.message)
                raise failed from HandlerTraceback(failure.traceback)

    def _outcome(self, envelope: Envelope, *, is_revoked: bool) -> Outcome:
        thread = _handler_thread()
        with thread.attempting():
            if self.subscription.is_async:
                about = (envelope, self.subscription, self.bus, thread)
                return thread.run(attempt(*about, is_revoked=is_revoked, expose=thread.exposed))
            return self._outcome_here(envelope, thread, is_revoked=is_revoked)

    def _outcome_here(
        self, envelope: Envelope, thread: HandlerThread, *, is_revoked: bool
    ) -> Outcome:
        """A sync handler is called by this thread anyway: two calls over to the loop's and back are spared."""
        begun = begin_attempt(
            envelope,
            self.subscription,
            self.bus,
            None,
            is_revoked=is_revoked,
            expose=thread.exposed,
        )
        end_if_told()
        if isinstance(begun, Done):
            self.bus.concluded(envelope, begun)
            return begun
        return thread.run(finish_attempt(envelope, self.bus, begun))


class DeliveryFailed(
    Exception
):  # no error of this library: how Celery is told of one of a handler's
    """Shown by Celery's events and Flower as the error that the handler raised, as on the asyncio pool."""

    def __init__(self, reason: str, exception_type: str, message: str) -> None:
        super().__init__(reason, exception_type, message)  # a process pickles them
        self.reason, self.exception_type, self.message = reason, exception_type, message

    def __repr__(self) -> str:
        return f"{self.exception_type}({self.message!r})"


class HandlerTraceback(Exception):  # the same
    """Brings the handler's own traceback into that of the task."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Own(threading.local):
    pid = 0
    thread: HandlerThread


_own = _Own()


def _handler_thread() -> HandlerThread:
    """This thread's, for its life: what handlers open on its event loop stays usable. A forked child begins anew."""
    if _own.pid != os.getpid():
        _own.pid, _own.thread = os.getpid(), HandlerThread()
    return _own.thread


def is_plain(task: celery.Task) -> bool:
    """A task of the app's author, neither a subscription's nor one of Celery's own."""
    return not isinstance(task, SubscriptionTask) and not str(task.name).startswith("celery.")


def task_for(subscription: Subscription, bus: "CeleryEventBus") -> SubscriptionTask:
    """The task of a subscription: a class of its own, for Celery binds the app to the class."""
    members: dict[str, Any] = {"name": subscription.name, "subscription": subscription, "bus": bus}
    return type("SubscriptionTask", (SubscriptionTask,), {**members, "__module__": __name__})()  # type: ignore[no-any-return]
