"""ObservedEventBus: any bus, with a record of what it did and assertions about it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self

from qt_events.bus import EventBus
from qt_events.dead_letters.filters import Where
from qt_events.dead_letters.operations import DeadLetters, takes_on_look
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import OnScan
from qt_events.delivery.base_bus import BaseBus
from qt_events.delivery.forwarding import Forwards
from qt_events.delivery.middleware import Middleware
from qt_events.delivery.publishing.published import Published
from qt_events.delivery.subscribing.subscription import (
    EventHandler,
    Subscription,
    SubscriptionOptions,
)
from qt_events.errors import BusStateError, NotSupportedError
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.testing.assertions import Assertions
from qt_events.testing.clock import ManualClock
from qt_events.testing.journal import Journal
from qt_events.testing.story import describe

# Seconds of real time that join() waits by default
PATIENCE = 60.0


class ObservedEventBus(BaseBus, Assertions):
    """EventBus that passes every call to `bus` and records what that does.

    Its journal observes `bus`. With a clock, `join` lets the time jump from retry to retry. Without
    one, time is real.
    """

    def __init__(self, bus: EventBus, clock: ManualClock | None = None) -> None:
        super().__init__(Journal())
        self.bus = bus  #: the bus that does the work
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self.journal.on_change = self._wake
        bus.use(self.journal)

    @property
    def clock(self) -> ManualClock:
        """Clock of the retries; NotSupportedError on a bus whose time is real."""
        if self._clock is None:
            raise NotSupportedError(
                "time is real on this bus: join() waits for retries. A test that moves the clock "
                'itself runs in memory only: @pytest.mark.event_bus(backend="memory")'
            )
        return self._clock

    # EventBus

    @property
    def dead_letters(self) -> DeadLetters:
        """Dead letters as on any bus. The test is taken to expect those that it looks at."""
        return _SeenDeadLetters(self.bus.dead_letters, self)

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        return await self.bus.publish(event, mandatory=mandatory)

    async def forward(self, event: RawEvent) -> None:
        """See Forwards: a relay of an outbox sends by it."""
        if not isinstance(self.bus, Forwards):
            raise NotSupportedError(f"{type(self.bus).__name__} has no forward()")
        await self.bus.forward(event)

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        return self.bus.publish_sync(event, mandatory=mandatory)

    def _subscribe(
        self, pattern: str, handler: EventHandler, name: str | None, options: SubscriptionOptions
    ) -> Subscription:
        subscription = self.bus.subscribe(pattern, handler, name=name, **options.given())
        self._known[subscription.name] = subscription
        return subscription

    def use(self, middleware: Middleware) -> None:
        self.bus.use(middleware)

    def unsubscribe(self, event_type: str | type[Event[Any]], handler: EventHandler) -> None:
        self.bus.unsubscribe(event_type, handler)

    async def run_forever(self, *, handle_signals: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        await self.bus.run_forever(handle_signals=handle_signals)

    async def join(self, timeout: float | None = PATIENCE) -> None:
        """Wait until everything has an outcome; with a clock, retries take no time.

        Raises:
            TimeoutError: not within `timeout` seconds of real time, with what happened so far.
        """
        __tracebackhide__ = True
        if self._loop is not None and asyncio.get_running_loop() is not self._loop:
            raise BusStateError(
                "the test runs on another event loop than its event_bus: give both one scope, with "
                "asyncio_default_fixture_loop_scope and asyncio_default_test_loop_scope"
            )
        try:
            await self._join(timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{describe(self.journal)}") from None

    async def _join(self, timeout: float | None) -> None:
        """Wait for the next thing to happen, or go to the next retry if nothing else is left."""
        joining = asyncio.create_task(self.bus.join(timeout))
        joining.add_done_callback(lambda _: self._changed.set())
        try:
            while not joining.done():
                self._changed.clear()
                if self._clock is not None and self.journal.only_waits(len(self._clock.due)):
                    await self._clock.advance_to_next()
                else:
                    await self._changed.wait()
            await joining
        finally:
            joining.cancel()

    def stop(self) -> None:
        self.bus.stop()

    def close(self) -> None:
        self.bus.close()

    def get_stats(self) -> dict[str, Any]:
        return self.bus.get_stats()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self.bus.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.bus.__aexit__(kind, error, tb)

    # For the fixture that ends it

    async def settle(self, timeout: float) -> None:
        """Wait until each delivery was attempted once, or for `timeout` seconds; no time jumps."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self.journal.moving:
                    self._changed.clear()
                    await self._changed.wait()

    def _wake(self) -> None:
        """Tell the loop of an entry in the journal, from whichever thread wrote it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)


class _SeenDeadLetters:
    """Dead letters that the test expects once it has seen them.

    An event that is sent back may fail again: the test has not seen that yet.
    """

    def __init__(self, letters: DeadLetters, test: Assertions) -> None:
        self._letters, self._test = letters, test
        self.groups, self.retry = letters.groups, letters.retry
        self.retry_many, self.retry_all = letters.retry_many, letters.retry_all

    def _expect(self, record: DeadLetterRecord) -> DeadLetterRecord:
        self._test.expect(record.subscription, record.event_id)
        return record

    async def list(
        self, subscription: str | None = None, limit: int = 1000, *, where: Where | None = None
    ) -> Sequence[DeadLetterRecord]:
        found = await self._letters.list(subscription, limit, where=where)
        return [self._expect(record) for record in found]

    @takes_on_look
    async def stream(
        self,
        subscription: str | None = None,
        *,
        where: Where | None = None,
        on_scan: OnScan | None = None,
    ) -> AsyncGenerator[DeadLetterRecord, None]:
        streamed = self._letters.stream(subscription, where=where, on_scan=on_scan)
        async with aclosing(streamed) as records:
            async for record in records:
                yield self._expect(record)

    @takes_on_look
    async def show(
        self, id: str, *, subscription: str | None = None, on_scan: OnScan | None = None
    ) -> DeadLetterRecord:
        record = await self._letters.show(id, subscription=subscription, on_scan=on_scan)
        return self._expect(record)

    async def discard(self, id: str) -> None:
        await self.show(id)
        await self._letters.discard(id)

    @takes_on_look
    async def discard_many(self, ids: Iterable[str], **options: Any) -> int:
        ids = list(ids)
        for id in ids:  # noqa: A001
            await self.show(id)
        return await self._letters.discard_many(ids, **options)

    async def discard_all(self, subscription: str, **options: Any) -> int:
        await self.list(subscription, where=options.get("where"))
        return await self._letters.discard_all(subscription, **options)
