"""Inboxes as the core knows them: something around a handler, and an outcome of its own."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from qt_events import (
    DEDUPLICATED,
    DuplicateSubscriptionError,
    Event,
    InMemoryEventBus,
    NotSupportedError,
)
from qt_events.delivery.deliver import deliver
from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.subscribing.subscription import Subscription, is_async
from qt_events.delivery.transacting.inbox import InboxOnBus
from qt_events.delivery.transacting.outgoing import outgoing_of


class Seen:
    """Inbox that keeps ids in memory, without a transaction."""

    def __init__(self) -> None:
        self.ids = set[str]()
        self.around_whom: list[tuple[str, object]] = []

    def around(
        self, subscription: str, handler: Callable[[Any], Any], bus: object
    ) -> Callable[[Any], Any]:
        self.around_whom.append((subscription, bus))

        async def call_async(event: Any) -> object:
            return await handler(event) if self._note(event) else DEDUPLICATED

        def call(event: Any) -> object:
            return handler(event) if self._note(event) else DEDUPLICATED

        return call_async if is_async(handler) else call

    def _note(self, event: Any) -> bool:
        is_new = event.id not in self.ids
        self.ids.add(event.id)
        return is_new


def plain(_: Any) -> None: ...
async def waits(_: Any) -> None: ...


class Passing:
    async def around_handle(self, _e: Any, _s: Any, _n: int, call_next: Any) -> None:
        await call_next()


@pytest.mark.parametrize("handler", [plain, waits])
@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("middleware", [True, False])
async def test_what_an_inbox_returns_is_the_outcome(
    handler: Any, in_thread: bool, middleware: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """On every way to a handler DEDUPLICATED is no result but the end of the attempt."""
    caplog.set_level(logging.INFO)
    stack = MiddlewareStack()
    if middleware:
        stack.add(Passing())
    subscription = Subscription("ledger", handler, inbox=InboxOnBus(Seen(), stack))
    event = Event("paid")
    with ThreadPoolExecutor(1) as threads:
        executor = threads if in_thread else None
        outcomes = [
            await deliver(event, subscription, executor=executor, middleware=stack)
            for _ in range(2)
        ]
    assert outcomes[1] is DEDUPLICATED
    assert outcomes[0] is not DEDUPLICATED
    assert "ledger: was handled before" in caplog.text


async def test_a_burst_of_duplicates_is_counted_one_by_one() -> None:
    """Events that wait for one async handler are handed over in one pass, duplicates too."""
    bus, event = InMemoryEventBus(), Event("paid")
    bus.subscribe("paid", waits, name="ledger", inbox=Seen())
    for _ in range(100):
        await bus.publish(event)
    async with bus:
        await bus.join()
    stats = bus.get_stats()
    assert (stats["delivered"], stats["deduplicated"]) == (1, 99)
    assert (stats["dispatched"], stats["errors"]) == (100, 0)


def test_a_subscription_keeps_its_own_handler() -> None:
    """The inbox is around it, and it is found, compared and unsubscribed as ever."""
    bus, inbox = InMemoryEventBus(), Seen()
    subscription = bus.subscribe("paid", plain, name="ledger", inbox=inbox)
    assert subscription.handler is plain
    assert subscription.called is not plain
    assert inbox.around_whom == [("ledger", bus.middleware)]
    assert bus.subscribe("sent", plain, inbox=inbox) is subscription
    with pytest.raises(DuplicateSubscriptionError, match="inbox="):
        bus.subscribe("lost", plain, inbox=Seen())
    for pattern in ("paid", "sent"):
        bus.unsubscribe(pattern, plain)
    assert bus.get_stats()["total_handlers"] == 0


def test_a_new_definition_of_a_handler_is_in_the_same_inbox() -> None:
    """As in a notebook, where the same lines are run again without a thought of the inbox."""
    stack = MiddlewareStack()
    subscription = Subscription("ledger", plain, inbox=InboxOnBus(Seen(), stack))

    def again(_: Any) -> str:
        return "again"

    subscription.become(Subscription("ledger", again))
    assert subscription.handler is again
    event = Event("paid")
    assert [subscription.called(event), subscription.called(event)] == ["again", DEDUPLICATED]


def test_a_backend_that_holds_no_publishes_refuses_one() -> None:
    """What the handler published would not be a part of its transaction."""

    class Other(InMemoryEventBus):
        takes_inboxes = False

    with pytest.raises(NotSupportedError, match="leave inbox= out"):
        Other().subscribe("paid", plain, name="ledger", inbox=Seen())


def test_outside_of_a_transaction_nobody_takes_what_is_published() -> None:
    assert outgoing_of(InMemoryEventBus().middleware) is None
