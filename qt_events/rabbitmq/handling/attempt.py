"""Attempt: one attempt at a message, and what follows from its outcome, on every worker pool.

Done        nothing
GivenBack   the same copy as for a retry, with its attempt unchanged
Retry       a confirmed copy in a delay level, which returns to this subscription alone
DeadLetter  a confirmed copy in the subscription's dead letters

Only then is the message acknowledged. For one that comes back without an outcome see quarantine.py.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, assert_never

from qt_events.delivery.batching.batches import deliver_alone
from qt_events.delivery.deliver import begin, within
from qt_events.delivery.outcome import (
    HANDLED,
    SKIPPED,
    Consequences,
    DeadLetter,
    DeadLetterReason,
    Failure,
    Outcome,
    consequences,
    unreadable,
)
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import (
    BusStateError,
    MessageError,
    NewerReleaseError,
    PoisonError,
    PublishTimeoutError,
)
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.rabbitmq.handling.copies import bury, delay, isolate
from qt_events.rabbitmq.handling.giving_back import given_back, unknown_here
from qt_events.rabbitmq.handling.quarantine import NextStep, next_step
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.runtime import Runtime

logger = logging.getLogger("qt_events")

#: Seconds before an event without an outcome goes back: the broker delivers it again at once.
PAUSE = 1.0
#: Seconds for which Celery's own pools try to store an outcome: a worker that is to stop waits.
STORED_WITHIN = 300.0
REVOKED = DeadLetter(
    DeadLetterReason.REVOKED,
    Failure("celery.exceptions.TaskRevokedError", "revoked by remote control"),
)
_POISON = (
    "it came back without an outcome though nothing else was handled beside it: it ends its process"
)

#: Returns the seconds for which an outcome is tried to be stored, from now on.
Patience = Callable[[], float]
#: Returns the subscription with a handler that a time limit can interrupt.
Expose = Callable[[Subscription], Subscription]
#: What a subscription is given.
EVENTS = (Event, RawEvent)
#: An outcome, a step to take instead of the handler, or a coroutine that waits for the outcome.
Begun = Outcome | NextStep | Coroutine[Any, Any, Outcome]


async def attempt(
    envelope: Envelope,
    subscription: Subscription,
    runtime: Runtime,
    executor: Executor,
    *,
    is_revoked: bool = False,
    expose: Expose | None = None,
    patience: Patience = lambda: STORED_WITHIN,
) -> Outcome:
    """Handle the message once and make its outcome safe.

    A message that an operator revoked (`is_revoked`) becomes a dead letter, for nothing is dropped
    in silence. After an error the message must be given back. `patience`: see below.

    Raises:
        BrokerError: the outcome could not be made safe.
        BusStateError: the subscription is not served here any more.
        asyncio.CancelledError: there is no outcome.
    """
    begun = begin_attempt(
        envelope, subscription, runtime, executor, is_revoked=is_revoked, expose=expose
    )
    return await finish_attempt(envelope, runtime, begun, patience=patience)


def begin_attempt(
    envelope: Envelope,
    subscription: Subscription,
    runtime: Runtime,
    executor: Executor | None,
    *,
    is_revoked: bool = False,
    expose: Expose | None = None,
) -> Begun:
    """Do what `attempt` does as far as it comes without waiting.

    Without an executor a sync handler is called right here. Raises BusStateError, see `attempt`.
    """
    opened = open_message(envelope, subscription, runtime, is_revoked=is_revoked)
    if not isinstance(opened, EVENTS):
        return opened
    return _begin(opened, envelope, subscription, runtime, executor, expose)


def open_message(
    envelope: Envelope, subscription: Subscription, runtime: Runtime, *, is_revoked: bool = False
) -> Event[Any] | RawEvent | Outcome | NextStep:
    """Return the event for the handler, or what follows instead. BusStateError: see `attempt`."""
    if runtime.subscriptions.get(subscription.name) is not subscription:
        message = f"{subscription.name} has been unsubscribed"
        raise BusStateError(message)
    if "expiration" in envelope.properties:
        runtime.declarations.may_expire(subscription.name)
    if is_revoked:
        return REVOKED
    step = NextStep.HANDLE if subscription.broadcast else next_step(envelope)
    match step:
        case NextStep.HANDLE:
            return _decoded(envelope, subscription, runtime)
        case NextStep.BURY:
            return _refused(envelope, PoisonError(_POISON))
        case NextStep.ISOLATE | NextStep.TRY_ALONE:
            return step
        case _:
            assert_never(step)


async def finish_attempt(
    envelope: Envelope,
    runtime: Runtime,
    begun: Begun,
    *,
    is_void: Callable[[], bool] = lambda: False,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
    on_retry: Callable[[Consequences], None] = lambda _: None,
    patience: Patience = lambda: STORED_WITHIN,
) -> Outcome:
    """Do the rest of `attempt`, on the loop that the handler's coroutine is to run on.

    Nothing follows if `is_void` tells after the handler that the broker delivers the message again
    anyway. `on_outcome` is called before that with the outcome: it stands, even if an error says
    that it could not be made safe. `on_retry` is called before a retry is published, for another
    process may handle it at once. What follows is tried for as long as `patience` says then.
    """
    if isinstance(begun, NextStep):
        message = "%s: event %s came back without an outcome (%d): %s"
        about = (envelope.key, envelope.event_id, envelope.returns, begun.value)
        logger.warning(message, *about, extra=envelope.log_fields())
        trials = envelope.trials + (begun is NextStep.TRY_ALONE)
        await _within(patience(), isolate(envelope, runtime, trials, is_void))
        return SKIPPED
    outcome = begun if isinstance(begun, Outcome) else await begun
    on_outcome(outcome)
    envelope.end()
    if not is_void():
        if outcome is not HANDLED:
            follows = consequences(outcome)
            if follows.again_after is not None:
                on_retry(follows)
            await _within(patience(), _make_safe(envelope, follows, runtime, is_void))
        runtime.concluded(envelope, outcome)
    return outcome


async def fails(error: Exception) -> Outcome:
    """Raise the error that kept an attempt from beginning, in place of its rest."""
    raise error


def _decoded(
    envelope: Envelope, subscription: Subscription, runtime: Runtime
) -> Event[Any] | RawEvent | Outcome:
    try:
        event: Event[Any] | RawEvent = envelope.event(raw=subscription.raw)
    except NewerReleaseError as error:
        return _left_to_another(envelope, subscription, error, runtime)
    except MessageError as error:
        return _refused(envelope, error)
    # Old bindings stay on the broker.
    if runtime.subscriptions.is_unheard(subscription, event):
        return _unwanted(envelope, subscription, event.type, runtime)
    return event


def _begin(  # noqa: PLR0917
    event: Event[Any] | RawEvent,
    envelope: Envelope,
    subscription: Subscription,
    runtime: Runtime,
    executor: Executor | None,
    expose: Expose | None,
) -> Outcome | Coroutine[Any, Any, Outcome]:
    if runtime.middleware.watching:
        envelope.begin()
    if subscription.batch is not None:
        return deliver_alone(
            event,
            subscription,
            envelope.attempt,
            executor=executor,
            watch=runtime.watch,
            slow_after=runtime.settings.slow_after,
            middleware=runtime.middleware,
        )
    called = subscription if expose is None else expose(subscription)
    number = envelope.attempt
    if runtime.middleware.around_handle:
        called = within(runtime.middleware, subscription, number, executor, called.called)
    return begin(event, called, number, executor, runtime.watch, runtime.settings.slow_after)


def _unwanted(
    envelope: Envelope, subscription: Subscription, event_type: str, runtime: Runtime
) -> Outcome:
    """Return the outcome of an event by a binding that this process does not have."""
    if subscription.broadcast or runtime.declarations.has_unbound(subscription, event_type):
        return SKIPPED
    error = unknown_here(subscription, event_type)
    return _left_to_another(envelope, subscription, error, runtime)


def _left_to_another(
    envelope: Envelope, subscription: Subscription, error: MessageError, runtime: Runtime
) -> Outcome:
    """Return the outcome of an event that another release may handle."""
    # Nobody else reads the queue of a broadcast.
    if subscription.broadcast:
        return _refused(envelope, error)
    outcome = given_back(envelope, error, runtime.settings.rollout)
    if isinstance(outcome, DeadLetter):
        return _refused(envelope, error)
    message = "%s: event %s is left to another release, for the next time in %.3g s: %s"
    about = (envelope.key, envelope.event_id, outcome.delay, error)
    level = logging.INFO if envelope.given_back_since else logging.WARNING
    logger.log(level, message, *about, extra=envelope.log_fields())
    return outcome


def _refused(envelope: Envelope, error: MessageError) -> DeadLetter:
    """Return the outcome of a message for which no handler is called."""
    message, about = "%s: event %s is a dead letter: %s", (envelope.key, envelope.event_id, error)
    logger.error(message, *about, extra=envelope.log_fields())
    return unreadable(error)


async def _within(seconds: float, storing: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine for so long. PublishTimeoutError: it has not ended."""
    if seconds == math.inf:
        await storing
        return
    try:
        async with asyncio.timeout(seconds) as late:
            await storing
    except TimeoutError as error:
        if not late.expired():
            raise
        message = f"its outcome could not be stored within {seconds:.3g} s"
        raise PublishTimeoutError(message) from error


async def _make_safe(
    envelope: Envelope, follows: Consequences, runtime: Runtime, is_void: Callable[[], bool]
) -> None:
    """Publish a copy for the next attempt, or for an operator. Raises BrokerError."""
    if follows.again_after is not None:
        await delay(envelope, follows, runtime, is_void)
    if follows.dead_letter is not None:
        await bury(envelope, envelope.record_headers(follows.dead_letter), runtime, is_void)
