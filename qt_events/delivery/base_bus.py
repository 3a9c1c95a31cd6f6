"""BaseBus: subscribe() and use(), which are the same on every backend."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar
from warnings import warn

from qt_events.delivery.middleware import Middleware, MiddlewareStack, Observer
from qt_events.delivery.redelivering import Redelivery
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.starting import PastEvents, Start, begins_in_the_past
from qt_events.delivery.subscribing.subscription import (
    FATES,
    EventHandler,
    Predicate,
    Subscription,
    SubscriptionOptions,
    pattern_of,
)
from qt_events.delivery.telling.fate_telling import FatesHandler, listener
from qt_events.delivery.transacting.inbox import Inbox, InboxOnBus
from qt_events.errors import DecodeError, NoRecorderError, NotSupportedError
from qt_events.events.attributes import checked_text
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent


class BaseBus:
    """Base of a bus that subscribes by `_subscribe` and calls the middleware in `middleware`."""

    #: Whether it calls handlers with batches; subscribe() refuses `batch=` otherwise.
    takes_batches: ClassVar[bool] = False
    #: Whether new subscriptions may begin with old events; subscribe() refuses `start=` otherwise.
    takes_starts: ClassVar[bool] = False
    #: Whether each publish in a handler goes through `middleware`, which holds it for the handler's
    #: transaction; subscribe() refuses `inbox=` otherwise.
    takes_inboxes: ClassVar[bool] = False
    #: Old events come from a history in this process.
    _needs_past: ClassVar[bool] = True
    _past: PastEvents | None = None
    _observer: Observer | None = None
    #: Sends events of a replay; None if this backend cannot.
    _redelivery: Redelivery | None = None
    #: `_subscribe` makes subscriptions to FATES, too.
    _tells_fates = False

    @cached_property
    def middleware(self) -> MiddlewareStack:
        """Middleware that was used; for the backend to call."""
        return MiddlewareStack()

    def subscribe(
        self,
        event_type: str | type[Event[Any]],
        handler: EventHandler,
        *,
        name: str | None = None,
        when: Predicate | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int | None = None,
        broadcast: bool | None = None,
        prefetch: int | None = None,
        batch: int | None = None,
        within: float | None = None,
        raw: bool | None = None,
        start: Start | None = None,
        inbox: Inbox | None = None,
    ) -> Subscription:
        """See EventBus."""
        if batch is not None and not self.takes_batches:
            raise NotSupportedError(
                f"{type(self).__name__} gives handlers one event at a time: leave batch= out, or "
                "use memory:// or amqp://"
            )
        if inbox is not None and not self.takes_inboxes:
            raise NotSupportedError(
                f"{type(self).__name__} publishes at once what a handler publishes: leave inbox= "
                "out, or use memory:// or amqp://"
            )
        if begins_in_the_past(start):
            self._must_have_past()
        options = SubscriptionOptions(
            when=when,
            retry=retry,
            concurrency=concurrency,
            broadcast=broadcast,
            prefetch=prefetch,
            batch=batch,
            within=within,
            raw=raw,
            start=start,
            inbox=None if inbox is None else InboxOnBus(inbox, self.middleware),
        )
        return self._subscribe(pattern_of(event_type), handler, name, options)

    def _subscribe(
        self, pattern: str, handler: EventHandler, name: str | None, options: SubscriptionOptions
    ) -> Subscription:
        """Make a subscription or add a pattern to one; without a name, find or make one."""
        raise NotImplementedError

    def listen_to_fates(
        self,
        handler: FatesHandler,
        *,
        name: str,
        retry: RetryPolicy | None = None,
        concurrency: int | None = None,
        prefetch: int | None = None,
    ) -> Subscription:
        """See TellsFates."""
        options = SubscriptionOptions(
            retry=retry, concurrency=concurrency, prefetch=prefetch, raw=True
        )
        if not self._tells_fates:
            raise NotSupportedError(f"{type(self).__name__} tells no fates: choose another backend")
        return self._subscribe(FATES, listener(handler), name, options)

    def remember(self, past: PastEvents) -> None:
        """See RemembersEvents."""
        self._past = past

    def _must_have_past(self) -> None:
        if not self.takes_starts:
            raise NotSupportedError(
                f"{type(self).__name__} gives new subscriptions what is published from now on: "
                "leave start= out, and send old events by `qt-events replay`"
            )
        if self._past is None and self._needs_past:
            raise NoRecorderError(
                "no history is attached to this bus, from which a subscription could get old "
                "events: call History(...).attach(bus) first, or leave start= out"
            )

    async def redeliver(
        self, event: Event[Any] | RawEvent, subscription: str, *, replay_id: str
    ) -> None:
        """See Redelivers."""
        for error in await self._redeliver([event], subscription, replay_id, wait_for_room=False):
            raise error

    async def redeliver_all(
        self, events: Sequence[Event[Any] | RawEvent], subscription: str, *, replay_id: str
    ) -> list[DecodeError]:
        """See Redelivers."""
        return await self._redeliver(events, subscription, replay_id, wait_for_room=True)

    async def _redeliver(
        self,
        events: Sequence[Event[Any] | RawEvent],
        subscription: str,
        replay_id: str,
        *,
        wait_for_room: bool,
    ) -> list[DecodeError]:
        redelivery, name = self._must_redeliver(), checked_text("replay_id", replay_id)
        return await redelivery.send(events, subscription, name, wait_for_room=wait_for_room)

    async def patterns_of(self, subscription: str) -> frozenset[str]:
        """See Redelivers."""
        return await self._must_redeliver().patterns(subscription)

    def _must_redeliver(self) -> Redelivery:
        if self._redelivery is None:
            raise NotSupportedError(f"{type(self).__name__} sends no event to one subscription")
        return self._redelivery

    def use(self, middleware: Middleware) -> None:
        """See EventBus."""
        self.middleware.add(middleware)

    @property
    def observer(self) -> Observer | None:
        """Deprecated: call `use(observer)`, which takes several."""
        return self._observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        message = "bus.observer is deprecated: call bus.use(observer), which takes several"
        warn(message, DeprecationWarning, stacklevel=2)
        if self._observer is not None:
            self.middleware.remove(self._observer)
        self._observer = observer
        if observer is not None:
            self.use(observer)
