"""Redelivery: an event sent again, to one subscription alone, marked as replayed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.errors import DecodeError, NotSupportedError
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent, as_event
from qt_events.events.replays import marked


class Redelivery(Protocol):
    """Redelivery of one backend; see Redelivers."""

    async def send(
        self,
        events: Sequence[Event[Any] | RawEvent],
        subscription: str,
        replay_id: str,
        *,
        wait_for_room: bool,
    ) -> list[DecodeError]:
        """Send events to the subscription of this name, marked with the name of a replay.

        `wait_for_room`: as long as too many are held in this process, where that can be.

        Return the errors of those that were not sent, for they cannot be decoded.
        """

    async def patterns(self, subscription: str) -> frozenset[str]:
        """Return the patterns that a subscription hears."""


@runtime_checkable
class Redelivers(Protocol):
    """Bus that sends an event again to one subscription: the core of a replay."""

    async def redeliver(
        self, event: Event[Any] | RawEvent, subscription: str, *, replay_id: str
    ) -> None:
        """Send an event to the subscription of this name, and to no other.

        It arrives with its own id, source, time and body, as a first attempt, and `event.replayed`
        is true, also after retries and as a dead letter that is sent back. Whether the subscription
        hears its type is not asked. When this returns, the backend has it safely.

        Args:
            event: as it was published, or as a raw subscription got it.
            subscription: name of the subscription.
            replay_id: name of the replay, printable, at most 255 bytes; `event.replay_id` there.

        Raises:
            UnknownSubscriptionError: nobody has made such a subscription.
            NotSupportedError: it is a broadcast, or listens to fates.
            InvalidEventError: `replay_id` is no such text.
            DecodeError: in memory, a raw event does not fit its class.
            BrokerError: it is unknown whether the event was taken.
        """

    async def redeliver_all(
        self, events: Sequence[Event[Any] | RawEvent], subscription: str, *, replay_id: str
    ) -> list[DecodeError]:
        """Do for many events what `redeliver` does for one, in their order and in less time.

        Return the errors of those that were left out, for they cannot be decoded; that happens in
        memory alone. When this returns, the backend has all others safely. If two calls overlap,
        the events of the later one come last. In memory they wait for room, as publish() does.

        Raises:
            BackpressureError: in memory, there was no room.
            QtEventsError: see `redeliver`. Nothing is on its way any more, and any number of the
                events may have been taken.
        """

    async def patterns_of(self, subscription: str) -> frozenset[str]:
        """Return the patterns that a subscription hears, as far as is known here; perhaps none.

        Raises:
            UnknownSubscriptionError: nobody has made such a subscription.
            NotSupportedError: it is a broadcast, or listens to fates.
        """


class InMemoryRedelivery:
    """Redelivery within one process.

    `take` queues an event for subscriptions at once, `hand` for one of them, when there is room.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        take: Callable[[Event[Any], Sequence[Subscription]], None],
        hand: Callable[[Event[Any], Subscription], Awaitable[None]],
    ) -> None:
        self._subscriptions, self._take, self._hand = subscriptions, take, hand

    async def queue(self, event: Event[Any], subscription: str) -> None:
        """Queue a dead letter for its subscription only, as a first attempt."""
        self._take(event, (self._subscriptions.served(subscription),))

    async def send(
        self,
        events: Sequence[Event[Any] | RawEvent],
        subscription: str,
        replay_id: str,
        *,
        wait_for_room: bool,
    ) -> list[DecodeError]:
        """See Redelivers."""
        served = self._subscriptions.served(subscription)
        must_take_replays(served)
        decoded, errors = list[Event[Any]](), list[DecodeError]()
        for each in events:
            try:
                decoded.append(marked(as_event(each), replay_id))
            except DecodeError as error:
                errors.append(error)
        if wait_for_room and decoded:
            # The others come behind it at once: a later call stays behind this one.
            await self._hand(decoded.pop(0), served)
        for event in decoded:
            self._take(event, (served,))
        return errors

    async def patterns(self, subscription: str) -> frozenset[str]:
        """See Redelivers."""
        served = self._subscriptions.served(subscription)
        must_take_replays(served)
        return frozenset(served.patterns)


def must_take_replays(subscription: Subscription) -> None:
    """Raise NotSupportedError for a subscription that no event can be sent to again."""
    if subscription.broadcast:
        raise NotSupportedError(
            f"{subscription.name!r} is a broadcast, with a queue in each process: replay to a "
            "subscription that processes share"
        )
    if subscription.hears_fates:
        raise no_hearer(subscription.name)


def no_hearer(subscription: str) -> NotSupportedError:
    """Return the error for one that listens to fates."""
    return NotSupportedError(f"{subscription!r} listens to fates, and hears no events")
