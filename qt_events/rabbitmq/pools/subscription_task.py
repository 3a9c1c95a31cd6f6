"""SubscriptionTask: a subscription as Celery sees it. The asyncio pool uses only its name."""

import logging
import os
import threading
from functools import partial
from time import monotonic, sleep

import celery
from celery.exceptions import Reject as CeleryReject
from celery.exceptions import Retry as CeleryRetry
from celery.worker import state

from qt_events.delivery.ending import UnjudgedError, bind_end
from qt_events.delivery.outcome import (
    HANDLED,
    Consequences,
    Done,
    Outcome,
    TaskEventName,
    consequences,
)
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import BrokerError, BusStateError
from qt_events.rabbitmq.handling.attempt import (
    PAUSE,
    STORED_WITHIN,
    Patience,
    attempt,
    begin_attempt,
    finish_attempt,
)
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.handler_thread import HandlerThread, end_if_told
from qt_events.rabbitmq.pools.process_end import end_child, end_worker, is_told_to_end
from qt_events.rabbitmq.runtime import Runtime
from qt_events.shutdown import State

logger = logging.getLogger("qt_events")

_GOES_BACK = "%s: event %s goes back to its queue: %s"
_ENDS = "%s: KeyboardInterrupt came out of its handler: the process ends, event %s goes back"
# Seconds before a hard time limit, which ends the process, at which an outcome is given up.
_SPARE = 5.0
_FAULT = "a fault of this library, or nothing left to run it with"


# Not a QtEventsError: it is raised for Celery alone.
class DeliveryFailed(Exception):
    """Handler's error for Celery, whose events and Flower show it as on the asyncio pool."""

    def __init__(self, told: TaskEventName, exception_type: str, message: str) -> None:
        # A process pickles them.
        super().__init__(told, exception_type, message)
        self.told, self.exception_type, self.message = told, exception_type, message

    def __repr__(self) -> str:
        return f"{self.exception_type}({self.message!r})"


class HandlerTraceback(Exception):
    """Cause of a DeliveryFailed that puts the handler's traceback into that of the task."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class SubscriptionTask(celery.Task):
    """Task with the name of a subscription, which the queue of a message tells."""

    Strategy = "qt_events.rabbitmq.pools.celery_request:strategy"
    acks_late = True
    # A child that is killed, also at its hard time limit, gives its event back.
    reject_on_worker_lost = True
    acks_on_timeout = False
    # Its dead letter is safe by then.
    acks_on_failure = True
    # An app's own settings are about its tasks: no outcome of an event is stored, nor sent again.
    ignore_result, track_started, store_errors_even_if_ignored = True, False, False
    retry_on_worker_lost = False
    # It is logged already, with the handler's own error. Celery's tracer and Sentry would report it
    # once more.
    throws = (DeliveryFailed,)
    typing = False
    subscription: Subscription
    runtime: Runtime

    def run(self, envelope: Envelope, is_revoked: bool = False) -> None:  # noqa: FBT001, FBT002
        """Make one attempt, on a pool of processes or threads.

        Raises:
            celery.exceptions.Retry, DeliveryFailed: the outcome is safe; Celery's events tell it.
            celery.exceptions.Reject: it is not safe, and the message goes back to its queue.
        """
        thread = _handler_thread()
        try:
            outcome = self._outcome(envelope, thread, is_revoked=is_revoked)
        except KeyboardInterrupt as error:
            # On solo, by a second signal: Celery lets its own exceptions pass.
            state.maybe_shutdown()
            about = (self.name, envelope.event_id)
            logger.critical(_ENDS, *about, exc_info=error, extra=envelope.log_fields())
            end_child()
            end_worker()
            raise CeleryReject(error, requeue=True) from error
        except (BrokerError, BusStateError, UnjudgedError) as error:
            about = (self.name, envelope.event_id)
            logger.warning(_GOES_BACK, *about, error, extra=envelope.log_fields())
            if not isinstance(error, BusStateError):
                sleep(PAUSE)
            raise CeleryReject(error, requeue=True) from error
        # Celery would acknowledge it.
        except Exception as error:
            if thread.is_dead:
                end_child()
                raise CeleryReject(error, requeue=True) from error
            about = (self.name, envelope.event_id)
            logger.exception(_GOES_BACK, *about, _FAULT, extra=envelope.log_fields())
            sleep(PAUSE)
            raise CeleryReject(error, requeue=True) from error
        if outcome is not HANDLED:
            _tell_celery(consequences(outcome))

    def _outcome(self, envelope: Envelope, thread: HandlerThread, *, is_revoked: bool) -> Outcome:
        bind_end(self._gives_back)
        self.runtime.fates.follow()
        patience = partial(_patience, monotonic(), (self.request.timelimit or (None,))[0])
        with thread.attempting():
            # Middleware is async: it needs the loop beside this thread.
            if self.subscription.is_async or self.runtime.middleware.around_handle:
                about = (envelope, self.subscription, self.runtime, thread)
                trying = attempt(
                    *about, is_revoked=is_revoked, expose=thread.exposed, patience=patience
                )
                return thread.run(trying)
            return self._outcome_here(envelope, thread, patience, is_revoked=is_revoked)

    def _gives_back(self) -> bool:
        """Tell whether this process ends without waiting for its handlers."""
        is_over = self.runtime.app.qt_events_serving.shutdown.state >= State.GIVING_BACK
        return is_over or is_told_to_end()

    def _outcome_here(
        self, envelope: Envelope, thread: HandlerThread, patience: Patience, *, is_revoked: bool
    ) -> Outcome:
        """Call a sync handler in this thread, which spares two calls to the loop's and back."""
        about = (envelope, self.subscription, self.runtime, None)
        begun = begin_attempt(*about, is_revoked=is_revoked, expose=thread.exposed)
        end_if_told()
        if isinstance(begun, Done):
            self.runtime.concluded(envelope, begun)
            return begun
        return thread.run(finish_attempt(envelope, self.runtime, begun, patience=patience))


def _patience(began: float, limit: float | None) -> float:
    """Return the seconds for which to try to store an outcome, of an attempt with a time limit."""
    if not limit:
        return STORED_WITHIN
    left = max(began + limit - monotonic(), 0.0)
    return min(STORED_WITHIN, max(left - _SPARE, left / 2))


def _tell_celery(follows: Consequences) -> None:
    """Raise the exception that Celery's events are to tell of, if there is one."""
    failure = follows.failure
    if failure is None:
        return
    failed = DeliveryFailed(follows.told, failure.exception_type, failure.message)
    cause = HandlerTraceback(failure.traceback)
    if follows.again_after is not None:
        raise CeleryRetry(failure.message, exc=failed, when=follows.again_after) from cause
    raise failed from cause


class _Own(threading.local):
    pid = 0
    thread: HandlerThread


_own = _Own()


def _handler_thread() -> HandlerThread:
    """Return this thread's, so that what handlers open on its loop stays usable.

    A forked child gets its own.
    """
    if _own.pid != os.getpid():
        _own.pid, _own.thread = os.getpid(), HandlerThread()
    return _own.thread


def is_plain(task: celery.Task) -> bool:
    """Tell whether a task is the app author's, neither a subscription's nor one of Celery's own."""
    return not isinstance(task, SubscriptionTask) and not str(task.name).startswith("celery.")


def task_for(subscription: Subscription, runtime: Runtime) -> SubscriptionTask:
    """Make a subscription's task, of a class of its own: Celery binds the app to the class."""
    members = {"name": subscription.name, "subscription": subscription, "runtime": runtime}
    return type("SubscriptionTask", (SubscriptionTask,), {**members, "__module__": __name__})()  # type: ignore[no-any-return]
