"""Middleware: code of the user's around every publish and every handler, and plain observers.

The seam for tracing, metrics and tests; see docs/middleware.md and docs/adr/018.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any, Protocol

from qt_events.delivery.outcome import Outcome
from qt_events.delivery.publishing.published import CONFIRMED, IN_TRANSACTION, Published
from qt_events.delivery.subscribing.subscription import Subscription, is_async
from qt_events.delivery.transacting.outgoing import outgoing_of
from qt_events.errors import InvalidMiddlewareError
from qt_events.events.current import checked_event
from qt_events.events.event import Event

logger = logging.getLogger("qt_events")

#: Publishes the event: the next middleware, or the bus. Its result is the Published; Any, so that
#: middleware which has no use for it may call it an Awaitable[None].
CallPublish = Callable[[Event[Any]], Awaitable[Any]]
#: Calls the next middleware, or the handler; returns what the handler returned.
CallHandler = Callable[[], Awaitable[object]]

# Names of the methods that a middleware may have; async or not.
_METHODS = {
    "around_publish": True,
    "around_handle": True,
    "around_batch": True,
    "published": False,
    "concluded": False,
}
_OF_ATTEMPTS = {"around_handle", "concluded"}
_Around = Callable[[Event[Any], Subscription, int, CallHandler], Awaitable[object]]
_AroundBatch = Callable[[Sequence[Any], Subscription, CallHandler], Awaitable[object]]


# Not frozen: making a frozen one takes four times as long.
@dataclass(slots=True, unsafe_hash=True)
class Attempt:
    """One call of one subscription, and its end. Nothing changes it."""

    #: "" where the message could not tell.
    event_id: str
    event_type: str
    subscription: str
    #: From 1.
    number: int
    outcome: Outcome
    #: "" where the message could not tell.
    event_source: str = ""
    #: Time from before the predicate to the end of the handler, of a batch that of its call alone;
    #: None: there was no attempt.
    seconds: float | None = None
    #: A replay sent the event again, to this subscription.
    replayed: bool = False


class PublishMiddleware(Protocol):
    """Middleware around publish() and publish_sync()."""

    async def around_publish(self, event: Event[Any], call_next: CallPublish, /) -> object:
        """Await `call_next(event)`, or raise: then the event is not published.

        `call_next` may be given another event, such as a copy with a `traceparent`, and may be
        awaited again after an error. A return without having awaited it is an
        InvalidMiddlewareError, for an event is never dropped in silence.
        """


class HandlerMiddleware(Protocol):
    """Middleware around every call of a handler, inside the attempt."""

    async def around_handle(
        self,
        event: Event[Any],
        subscription: Subscription,
        attempt: int,
        call_next: CallHandler,
        /,
    ) -> object:
        """Await `call_next()`, once, which returns what the handler returned or raises its error.

        It returns DEDUPLICATED where an inbox has kept the event from the handler.
        An error that this raises is the attempt's failure. It cannot make a failed attempt good:
        the handler's error counts even if it is caught here. Its own return value is ignored.
        """


class BatchMiddleware(Protocol):
    """Middleware around every call of a batch handler; around_handle is not called for those."""

    async def around_batch(
        self, events: Sequence[Any], subscription: Subscription, call_next: CallHandler, /
    ) -> object:
        """Do for the events of a batch what around_handle does for one.

        An error that this raises is the failure of each, unless it is a BatchFailed.
        """


class PublishObserver(Protocol):
    """Observer of publishes. It must be quick: the bus waits. Its errors are logged."""

    def published(self, event: Event[Any], subscriptions: Sequence[Subscription], /) -> None:
        """Note an event that was taken, and the subscriptions of this process that hear it.

        Over RabbitMQ one of them may have handled it already.
        """


class AttemptObserver(Protocol):
    """Observer of attempts. It must be quick: the bus waits. Its errors are logged."""

    def concluded(self, attempt: Attempt, /) -> None:
        """Note an attempt that has an outcome; `join` does not return before."""


class Observer(PublishObserver, AttemptObserver, Protocol):
    """Observer of all that happens in this process, on whichever thread it happens.

    Publishes and attempts of other processes are not among it.
    """


#: Argument of `bus.use`: at least one of the five methods.
Middleware = (
    PublishMiddleware | HandlerMiddleware | BatchMiddleware | PublishObserver | AttemptObserver
)


class MiddlewareStack:
    """Middleware of one bus, the first one outermost. Any thread may add some at any time."""

    def __init__(self) -> None:
        # The lists stay the same objects: a bus keeps them to see at once whether there is any.
        self.around_publish: list[Callable[[Event[Any], CallPublish], Awaitable[object]]] = []
        self.around_handle: list[_Around] = []
        self.around_batch: list[_AroundBatch] = []
        self.published: list[Callable[[Event[Any], Sequence[Subscription]], None]] = []
        self.concluded: list[Callable[[Attempt], None]] = []
        # Those of the two that are about attempts.
        self.watching: list[object] = []

    def add(self, middleware: object) -> None:
        """Add those of the five methods that the middleware has.

        Raises:
            InvalidMiddlewareError: it has none of them, or one that is async but must not be, or
                the other way round. Nothing has changed then.
        """
        for name, method in _methods_of(middleware).items():
            getattr(self, name).append(method)
            if name in _OF_ATTEMPTS:
                self.watching.append(method)

    def remove(self, middleware: object) -> None:
        """Remove what `add` added."""
        for name, method in _methods_of(middleware).items():
            getattr(self, name).remove(method)
            if name in _OF_ATTEMPTS:
                self.watching.remove(method)

    # Observers

    def tell_published(self, event: Event[Any], subscriptions: Sequence[Subscription]) -> None:
        """Call every observer's `published`."""
        for published in self.published:
            _tell(published, event, subscriptions)

    def tell_concluded(self, attempt: Attempt) -> None:
        """Call every observer's `concluded`."""
        # One may be removed meanwhile, by another thread.
        for concluded in tuple(self.concluded):
            _tell(concluded, attempt)

    # Publish

    async def publish(self, event: Event[Any], last: CallPublish) -> Published:
        """Publish the event through every around_publish; `last` is the bus's own part.

        In a handler with an inbox its transaction takes the event; the middleware is called when
        that is committed, and the event is published from there.

        Return what that has returned, whatever a middleware does.

        Raises:
            InvalidEventError: the bus or a middleware was given something else than an event.
        """
        event, call_next = checked_event(event), last
        if (outgoing := outgoing_of(self)) is not None:
            await outgoing.take(event)
            return IN_TRANSACTION
        for around in reversed(self.around_publish):
            call_next = partial(_publish_through, around, call_next)
        published: Published = await call_next(event)
        return published

    def publish_sync(self, event: Event[Any], last: Callable[[Event[Any]], Any]) -> Published:
        """Do what `publish` does on an event loop made for this call, which `last` may block."""
        event, outgoing = checked_event(event), outgoing_of(self)
        if outgoing is not None:
            outgoing.take_sync(event)
            return IN_TRANSACTION
        if not self.around_publish:
            published: Published = last(event)
            return published

        async def call(event: Event[Any]) -> Any:
            return last(event)

        return asyncio.run(self.publish(event, call))

    # Handle

    async def handle(
        self, event: Event[Any], subscription: Subscription, attempt: int, handler: CallHandler
    ) -> object:
        """Call the handler through every around_handle, and return what it returned.

        Raises:
            Exception: the attempt failed; see HandlerMiddleware.
        """
        call = _HandlerCall(handler)
        call_next = call.make
        for around in reversed(self.around_handle):
            here = partial(around, event, subscription, attempt, call_next)
            call_next = partial(call.through, around, here)
        return await call_next()

    def around_events(self, events: Sequence[Any]) -> "MiddlewareStack":
        """Return a stack whose around_handle are the around_batch of this one, for one batch."""
        stack = MiddlewareStack()
        stack.around_handle += [
            update_wrapper(partial(_around_events, around, events), around)
            for around in self.around_batch
        ]
        return stack


async def _around_events(  # those of around_handle
    around: _AroundBatch,
    events: Sequence[Any],
    _event: object,
    subscription: Subscription,
    _attempt: int,
    call_next: CallHandler,
) -> object:
    return await around(events, subscription, call_next)


def _methods_of(middleware: object) -> dict[str, Callable[..., Any]]:
    methods = {name: getattr(middleware, name, None) for name in _METHODS}
    found = {name: method for name, method in methods.items() if method is not None}
    if not found or isinstance(middleware, type):
        raise InvalidMiddlewareError(
            f"{middleware!r} is no middleware: use() takes an object with at least one of the "
            f"methods {', '.join(_METHODS)}"
        )
    for name, method in found.items():
        if not callable(method) or is_async(method) != _METHODS[name]:
            kind = "async def" if _METHODS[name] else "plain def"
            raise InvalidMiddlewareError(f"{middleware!r}: {name} must be a method made by {kind}")
    return found


def _tell(hook: Callable[..., None], *arguments: object) -> None:
    try:
        hook(*arguments)
    except Exception:
        logger.exception("the observer %s failed; the bus goes on", _named(hook))


def _named(method: object) -> str:
    return getattr(method, "__qualname__", None) or repr(method)


async def _publish_through(
    around: Callable[[Event[Any], CallPublish], Awaitable[object]],
    call_next: CallPublish,
    event: Event[Any],
) -> Published:
    published = CONFIRMED
    failure: BaseException | None = InvalidMiddlewareError(
        f"{_named(around)} returned, but no call_next(event) has come to its end: the event is not "
        "published. Await call_next(event), or raise an error of your own"
    )

    async def call(event: Event[Any]) -> Any:
        nonlocal failure, published
        try:
            published = await call_next(checked_event(event))
        except BaseException as error:
            failure = error
            raise
        failure = None
        return published

    await around(event, call)
    if failure is not None:
        raise failure
    return published


class _HandlerCall:
    """Call of a handler, in the middle of its middleware. It is made once."""

    def __init__(self, handler: CallHandler) -> None:
        self._handler = handler
        self._begun = self._ended = False
        self._result: object = None
        self._error: BaseException | None = None

    async def make(self) -> object:
        """Call the handler."""
        if self._begun:
            raise InvalidMiddlewareError(
                "call_next() around a handler can be awaited once: retry= repeats attempts"
            )
        self._begun = True
        try:
            self._result = await self._handler()
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._ended = True
        return self._result

    async def through(self, around: object, call: Callable[[], Awaitable[object]]) -> object:
        """Call one middleware; whatever it returns, return the handler's result or its error."""
        await call()
        if not self._ended:
            raise InvalidMiddlewareError(
                f"{_named(around)} returned, but no call_next() has come to its end: "
                "await call_next(), or raise an error of your own"
            )
        if self._error is not None:
            raise self._error
        return self._result
