"""Telling fates: those of attempts wait here until they are told, and listeners are called."""

import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
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
from qt_events.delivery.telling.fates import Fate, by_subscription, ending_of, fates_in, type_of
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


BATCH = 500  #: fates that are told together, at most
MOST = 10_000  #: fates that wait to be told, at most


class WaitingFates:
    """AttemptObserver that keeps fates until they are told. Safe from any thread.

    `wake` is called with the number that waits, when that is 1 or BATCH. Where MOST wait, further
    ones are dropped and counted.
    """

    def __init__(self, subscriptions: Subscriptions, wake: Callable[[int], object]) -> None:
        self._subscriptions, self._wake = subscriptions, wake
        self._waiting: deque[Fate] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def concluded(self, attempt: Attempt) -> None:
        """Keep the fate of an attempt, unless it is of a subscription that tells none."""
        subscription = self._subscriptions.get(attempt.subscription)
        if subscription is None or subscription.tells_fates:
            self.add(fate_of(attempt))

    def add(self, fate: Fate) -> None:
        """Keep a fate."""
        count = len(self._waiting)
        if count >= MOST:
            self.dropped += 1
            return
        self._waiting.append(fate)
        if count in {0, BATCH - 1}:
            self._wake(count + 1)

    def take(self) -> list[Fate]:
        """Remove and return all that wait now."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]


def of_subscriptions(fates: Iterable[Fate]) -> Iterator[tuple[str, list[Fate]]]:
    """Yield fates as they are told: those of one subscription, at most BATCH, in their order.

    Nobody can be told of a subscription whose name has an empty word: that is no topic.
    """
    for name, of_one in by_subscription(fates).items():
        for start in range(0, len(of_one) if is_topic(name) else 0, BATCH):
            yield name, of_one[start : start + BATCH]


@lru_cache
def is_topic(subscription: str) -> bool:
    """Return True if anybody can be told of it."""
    try:
        routing_key(type_of(subscription))
    except InvalidPatternError as error:
        logger.warning("fates of %r are not told: %s", subscription, error)
        return False
    return True


def fate_of(attempt: Attempt) -> Fate:
    """Return the fate of an attempt that has ended just now."""
    ending = ending_of(attempt.outcome)
    return Fate(
        attempt.event_id,
        attempt.event_source,
        attempt.event_type,
        attempt.number,
        datetime.now(UTC),
        ending.outcome,
        attempt.seconds,
        ending.reason,
        ending.message,
        ending.delay,
        attempt.replayed,
        attempt.subscription,
    )


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
