"""Telling fates: those of attempts wait here until they are told, and listeners are called."""

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import time_ns
from typing import Any, Protocol, runtime_checkable

from qt_events.delivery.middleware import Attempt
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import (
    EventHandler,
    Subscription,
    is_async,
    validate_handler,
)
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.telling.fates import (
    LONGEST_IDENTITY,
    Columns,
    Fate,
    ending_of,
    fates_in,
    type_of,
    warn_of_too_long,
)
from qt_events.errors import InvalidPatternError
from qt_events.events.raw import RawEvent
from qt_events.events.topics import routing_key

logger = logging.getLogger("qt_events")

#: Takes fates, some at a time.
FatesHandler = Callable[[list[Fate]], Awaitable[object] | object]


@runtime_checkable
class TellsFates(Protocol):
    """Bus that tells those who listen what becomes of its events; see docs/fates.md."""

    def listen_to_fates(
        self,
        handler: FatesHandler,
        *,
        name: str,
        retry: RetryPolicy | None = None,
        concurrency: int | None = None,
        prefetch: int | None = None,
    ) -> Subscription:
        """Call `handler` with a list of fates, again and again.

        The subscription is like any other: each batch is handled once in all processes that listen
        by this name, again after an error, and becomes a dead letter in the end. What becomes of
        fates is told to nobody; nor is what becomes of the events of a subscription whose
        `tells_fates` is False. What ended before anybody listened is never told.

        Args:
            handler: any callable that takes the list; sync ones run in threads.
            name: identity of the subscription, on RabbitMQ its queue.
            retry, concurrency, prefetch: as for `subscribe`, of batches.

        Raises:
            NotSupportedError: this backend tells no fates.
            InvalidHandlerError, InvalidOptionError, InvalidPolicyError,
            DuplicateSubscriptionError: see their texts.
        """


_WIDTH = 9  # values that are kept of a fate
MOST = 10_000  #: fates that wait to be told, at most
FULL = MOST // 2  #: fates that wait no longer for others


class WaitingFates:
    """AttemptObserver that keeps fates until they are told. Safe from any thread.

    `wake` is called with 1 for the first fate after a `take`, and with FULL when so many wait.
    Where MOST wait, further ones are dropped and counted.
    """

    def __init__(self, subscriptions: Subscriptions, wake: Callable[[int], object]) -> None:
        self._find, self._wake = subscriptions.get, wake
        # _WIDTH values for each: objects that wait would have the interpreter look for garbage.
        self._waiting: list[Any] = []
        self.dropped = self._too_long = 0
        # Since the last take; not by the number: another thread may take while one is counted.
        self._is_woken = False

    def __len__(self) -> int:
        return len(self._waiting) // _WIDTH

    def concluded(self, attempt: Attempt) -> None:
        """Keep the fate of an attempt, unless it is of a subscription that tells none."""
        name, waiting = attempt.subscription, self._waiting
        subscription = self._find(name)
        if subscription is not None and not subscription.tells_fates:
            return
        count, own, source = len(waiting) // _WIDTH, attempt.event_id, attempt.event_source
        if len(own) + len(source) > LONGEST_IDENTITY:
            self._too_long += 1
        elif count >= MOST:
            self.dropped += 1
        else:
            # One call, which no other thread comes between.
            waiting.extend((
                own, source, attempt.event_type, attempt.number, time_ns(), attempt.outcome,
                attempt.seconds, attempt.replayed, name,
            ))  # fmt: skip
            if not self._is_woken:
                self._is_woken = True
                self._wake(1)
            elif count == FULL - 1:
                self._wake(FULL)

    def take(self) -> dict[str, Columns]:
        """Remove and return all that wait now, by subscription."""
        if count := self._too_long:
            self._too_long -= count
            warn_of_too_long(count)
        # Before the look: what comes behind it wakes again.
        self._is_woken = False
        size = len(self._waiting)
        taken = self._waiting[:size]
        del self._waiting[:size]
        names = taken[_WIDTH - 1 :: _WIDTH]
        if len(set(names)) <= 1:
            return {name: _columns(taken) for name in names[:1]}
        parts: dict[str, list[Any]] = {}
        for n, name in enumerate(names):
            parts.setdefault(name, []).extend(taken[n * _WIDTH : (n + 1) * _WIDTH])
        return {name: _columns(part) for name, part in parts.items()}


def _columns(taken: list[Any]) -> Columns:
    """Return fates of one subscription as they travel."""
    ids, sources, types, numbers, times, outcomes, seconds, replayed, _ = (
        taken[n::_WIDTH] for n in range(_WIDTH)
    )
    ends = [ending_of(each) for each in outcomes]
    return {
        "event_id": ids,
        "event_source": sources,
        "event_type": types,
        "attempt": numbers,
        "at": [each // 1000 for each in times],
        "outcome": [each.outcome for each in ends],
        "seconds": seconds,
        "reason": [each.reason for each in ends],
        "message": [each.message for each in ends],
        "delay": [each.delay for each in ends],
        "replayed": replayed,
    }


def number_of(told: Mapping[str, Columns]) -> int:
    """Return the number of fates."""
    return sum(len(each["event_id"]) for each in told.values())


def topics_of(told: Mapping[str, Columns]) -> Iterator[tuple[str, Columns]]:
    """Yield fates by subscription, as they are told.

    Nobody can be told of a subscription whose name has an empty word: that is no topic.
    """
    return ((name, fates) for name, fates in told.items() if is_topic(name))


@lru_cache
def is_topic(subscription: str) -> bool:
    """Return True if anybody can be told of it."""
    try:
        routing_key(type_of(subscription))
    except InvalidPatternError as error:
        logger.warning("fates of %r are not told: %s", subscription, error)
        return False
    return True


def fates_of(attempt: Attempt) -> dict[str, Columns]:
    """Return the fate of an attempt that has ended just now."""
    waiting = WaitingFates(Subscriptions(), lambda _: None)
    waiting.concluded(attempt)
    return waiting.take()


def this_worker() -> str:
    """Return the name by which fates call this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def listener(handler: FatesHandler) -> EventHandler:
    """Return a handler of events that calls `handler` with the fates in them.

    Raises:
        InvalidHandlerError: it cannot be called with one argument.
    """
    validate_handler(handler)
    return _AsyncListener(handler) if is_async(handler) else _Listener(handler)


# Equal if their handlers are: the same one may listen again under its name.


@dataclass(frozen=True, slots=True)
class _Listener:
    handler: FatesHandler

    def __call__(self, event: RawEvent) -> object:
        # A worker that asks whether anybody listens tells none.
        return self.handler(fates) if (fates := fates_in(event)) else None


@dataclass(frozen=True, slots=True)
class _AsyncListener:
    handler: Callable[[list[Fate]], Any]

    async def __call__(self, event: RawEvent) -> None:
        if fates := fates_in(event):
            await self.handler(fates)
