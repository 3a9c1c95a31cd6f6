"""SubscriptionTask: a subscription as Celery sees it. On the asyncio pool only its name counts."""

import logging
import os
import threading
from time import sleep
from typing import Any

import celery
from celery.exceptions import Reject as CeleryReject
from celery.exceptions import Retry as CeleryRetry
from celery.worker import state

from qt_events.delivery.outcome import HANDLED, Consequences, Done, Outcome, consequences
from qt_events.delivery.subscription import Subscription
from qt_events.errors import BrokerError, BusStateError
from qt_events.rabbitmq.handling.attempt import PAUSE, attempt, begin_attempt, finish_attempt
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.handler_thread import HandlerThread, end_if_told
from qt_events.rabbitmq.runtime import Runtime

logger = logging.getLogger("qt_events")


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
    runtime: Runtime

    def run(self, envelope: Envelope, is_revoked: bool = False) -> None:  # noqa: FBT001, FBT002
        """One attempt, on a pool of processes or threads (the asyncio pool does not come through here).

        Raises:
            celery.exceptions.Retry, Exception: so that Celery's events tell what happened; the outcome is safe.
            celery.exceptions.Reject: it is not; the message goes back to its queue.
        """
        try:
            outcome = self._outcome(envelope, is_revoked=is_revoked)
        except KeyboardInterrupt:
            # On solo, by a second signal: Celery lets its own exceptions pass.
            state.maybe_shutdown()
            raise
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
        if outcome is not HANDLED:
            _tell_celery(consequences(outcome))

    def _outcome(self, envelope: Envelope, *, is_revoked: bool) -> Outcome:
        thread = _handler_thread()
        with thread.attempting():
            # Middleware is async: it needs the loop beside this thread.
            if self.subscription.is_async or self.runtime.middleware.around_handle:
                about = (envelope, self.subscription, self.runtime, thread)
                return thread.run(attempt(*about, is_revoked=is_revoked, expose=thread.exposed))
            return self._outcome_here(envelope, thread, is_revoked=is_revoked)

    def _outcome_here(
        self, envelope: Envelope, thread: HandlerThread, *, is_revoked: bool
    ) -> Outcome:
        """A sync handler is called by this thread anyway: two calls over to the loop's and back are spared."""
        begun = begin_attempt(
            envelope,
            self.subscription,
            self.runtime,
            None,
            is_revoked=is_revoked,
            expose=thread.exposed,
        )
        end_if_told()
        if isinstance(begun, Done):
            self.runtime.concluded(envelope, begun)
            return begun
        return thread.run(finish_attempt(envelope, self.runtime, begun))


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


class DeliveryFailed(
    Exception
):  # no error of this library: how Celery is told of one of a handler's
    """Shown by Celery's events and Flower as the error that the handler raised, as on the asyncio pool."""

    def __init__(self, told: str, exception_type: str, message: str) -> None:
        super().__init__(told, exception_type, message)  # a process pickles them
        self.told, self.exception_type, self.message = told, exception_type, message

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


def task_for(subscription: Subscription, runtime: Runtime) -> SubscriptionTask:
    """The task of a subscription: a class of its own, for Celery binds the app to the class."""
    members: dict[str, Any] = {
        "name": subscription.name,
        "subscription": subscription,
        "runtime": runtime,
    }
    return type("SubscriptionTask", (SubscriptionTask,), {**members, "__module__": __name__})()  # type: ignore[no-any-return]
