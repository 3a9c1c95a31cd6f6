"""deliver_batch(): one attempt to hand many events to one batch handler, and an outcome for each.

The handler is called by `deliver.begin`, as every other is: what that does about contexts, threads,
cancellations and the end of a run it does here, too. See docs/adr/034.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from copy import copy
from functools import partial
from itertools import chain
from typing import Any, NoReturn

from qt_events.delivery.deliver import begin, within
from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import HANDLED, SKIPPED, Failed, Outcome, consequences
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.stats import SLOW_AFTER, Watch
from qt_events.delivery.subscribing.subscription import EventHandler, Subscription
from qt_events.errors import InvalidBatchError, InvalidPayloadError, name_of_type, text_of
from qt_events.events.event import Event
from qt_events.events.raw import as_raw

logger = logging.getLogger("qt_events")

# What one handler is called with that stands for no event: there is no current event in a batch.
_NO_EVENT: Any = None
# Ids that an error's text names.
_NAMED = 5


class BatchFailed(Exception):
    """Raise it in a batch handler to fail some of its events, each by an error of its own.

    The other events of the batch are handled. The retry policy decides about each error as if a
    handler of one event had raised it: Reject and RetryLater mean what they mean there.

    Args:
        failures: errors by the event's id, or by its source and id: an id is one source's own.

    Raises:
        InvalidBatchError: `failures` is no mapping of ids to exceptions. Raised in a handler, that
            is a failed attempt of all events of the batch, as is an id that is not among them.
    """

    # Logs and tracebacks name it by its public path.
    __module__ = "qt_events"

    def __init__(self, failures: Mapping[Any, BaseException]) -> None:
        if not isinstance(failures, Mapping):
            raise InvalidBatchError(
                f"BatchFailed takes errors by event id, not {type(failures).__name__}: "
                "raise BatchFailed({event.id: error})"
            )
        for key, error in failures.items():
            if not _is_key(key) or not isinstance(error, BaseException):
                raise InvalidBatchError(
                    f"BatchFailed takes errors by event id, and got {error!r:.80} by "
                    f"{key!r:.80}: raise BatchFailed({{event.id: error}})"
                )
        #: By event id, or by source and id.
        self.failures = dict(failures)
        super().__init__(self.failures)

    def __str__(self) -> str:
        first = next(iter(self.failures.items()), None)
        about = f", the first is {_words(first[0])}: {text_of(first[1])}" if first else ""
        return f"{len(self.failures)} events failed{about}"


def _is_key(key: object) -> bool:
    match key:
        case str() | (str(), str()):
            return True
    return False


def _words(key: str | tuple[str, str]) -> str:
    return key if isinstance(key, str) else f"{key[1]} from {key[0]}"


class _Call:
    """Call of a batch handler, in the place of that of a handler of one event."""

    def __init__(self, handler: EventHandler, events: Sequence[Any]) -> None:
        self._handler, self._events = handler, events

    def __call__(self, _: object) -> object:
        return self._handler(list(self._events))

    def __repr__(self) -> str:
        return repr(self._handler)


class _NotDecidedError(Exception):
    """Error of a batch handler, which the policy has to decide about for each event."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class _Undecided(RetryPolicy):
    """Policy that hands an error on to those who know the events."""

    def decide(self, attempt: int, error: BaseException, *_: Any) -> NoReturn:  # noqa: ARG002
        raise _NotDecidedError(error)


_UNDECIDED = _Undecided()


async def deliver_batch(
    events: Sequence[Any],
    subscription: Subscription,
    attempts: Iterable[int],
    *,
    executor: Executor | None = None,
    watch: Watch | None = None,
    slow_after: float = SLOW_AFTER,
    middleware: MiddlewareStack | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Call the handler with a list of the events, and return the outcome of each.

    The predicate is not asked: see `asked`.

    Args:
        events: at least one.
        subscription: the batch subscription to deliver them to.
        attempts: number of the attempt of each, from 1; looked at after an error alone.
        executor, watch, slow_after: as of `deliver`.
        middleware: its around_batch are called around the handler.
        on_wait: called if the handler waits for something.

    Raises:
        asyncio.CancelledError, UnjudgedError: as of `deliver`; none of the events has an outcome.
    """
    if subscription.raw:
        try:
            events = [as_raw(event) for event in events]
        except InvalidPayloadError as error:
            return _decided(events, subscription, attempts, error)
    call = _Call(subscription.handler, events)
    if middleware is not None and middleware.around_batch:
        around = middleware.around_events(events)
        called = within(around, subscription, 1, executor, call)
    else:
        called = copy(subscription)
        called.called = call
    called.when, called.raw, called.retry = None, False, _UNDECIDED
    try:
        begun = begin(_NO_EVENT, called, 1, executor, watch, slow_after)
        if not isinstance(begun, Outcome):
            on_wait()
            await begun
    except _NotDecidedError as failed:
        return _decided(events, subscription, attempts, failed.error)
    return [HANDLED] * len(events)


async def deliver_alone(
    event: Any, subscription: Subscription, attempt: int, **options: Any
) -> Outcome:
    """Do what `deliver_batch` does for a batch of one, whose predicate is asked first."""
    outcome = asked(event, subscription, attempt, options.get("watch"))
    if outcome is None:
        [outcome] = await deliver_batch([event], subscription, [attempt], **options)
    return outcome


def asked(
    event: Any, subscription: Subscription, attempt: int, watch: Watch | None = None
) -> Outcome | None:
    """Ask the predicate. Return None if the event belongs in a batch, else its outcome."""
    if subscription.when is None:
        return None
    view = copy(subscription)
    # Turned round, for a handler that has ended is logged.
    view.when, view.called, view.is_async = partial(_refuses, subscription.when), _nothing, False
    outcome = begin(event, view, attempt, None, watch, SLOW_AFTER)
    if outcome is SKIPPED:
        return None
    return SKIPPED if outcome is HANDLED else outcome  # type: ignore[return-value]


def _refuses(when: Callable[[Any], object], event: Any) -> bool:
    return not when(event)


def _nothing(_: Event[Any]) -> None: ...


# Errors


def _decided(
    events: Sequence[Any], subscription: Subscription, numbers: Iterable[int], error: BaseException
) -> list[Outcome]:
    """Have the policy decide for each event that failed."""
    attempts = list(numbers)
    if isinstance(error, BatchFailed):
        failures = error.failures
        keys = [((event.source, event.id), event.id) for event in events]
        if not (unknown := failures.keys() - set(chain.from_iterable(keys))):
            each = [failures.get(exact, failures.get(id_alone)) for exact, id_alone in keys]
            outcomes: list[Outcome] = [
                HANDLED if one is None else subscription.retry.decide(attempt, one)
                for one, attempt in zip(each, attempts, strict=True)
            ]
            _log(subscription, outcomes, next(filter(None, each), error))
            return outcomes
        error = _unknown(subscription, unknown, error)
    # One decision for all with the same attempt: so they come back together, in a batch again.
    by_attempt = {each: subscription.retry.decide(each, error) for each in sorted(set(attempts))}
    decided: list[Outcome] = [by_attempt[attempt] for attempt in attempts]
    _log(subscription, decided, error)
    return decided


def _unknown(
    subscription: Subscription, unknown: set[Any], cause: BatchFailed
) -> InvalidBatchError:
    named = ", ".join(f"{_words(key)!r:.80}" for key in sorted(unknown, key=_words)[:_NAMED])
    error = InvalidBatchError(
        f"{subscription.name}: BatchFailed names {len(unknown)} events that are not in its batch "
        f"({named}), so all of the batch failed: give errors by event.id of the events in the list"
    )
    error.__cause__ = cause
    return error


def _log(subscription: Subscription, outcomes: Sequence[Outcome], error: BaseException) -> None:
    failed = [consequences(each) for each in outcomes if isinstance(each, Failed)]
    if not failed:
        return
    again = sum(each.again_after is not None for each in failed)
    message = "%s: %d of a batch of %d events failed, %d of them are dead letters: %s: %s"
    dead, why = len(failed) - again, (name_of_type(error), text_of(error))
    level, fault = (logging.ERROR, error) if dead else (logging.WARNING, None)
    about = (subscription.name, len(failed), len(outcomes), dead, *why)
    logger.log(level, message, *about, exc_info=fault, extra={"subscription": subscription.name})
