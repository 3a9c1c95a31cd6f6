"""What a handler with an inbox publishes is a part of its transaction."""

import asyncio
import contextvars
from typing import Any

import pytest
from sqlalchemy.orm import Session

from qt_events import Event, InMemoryEventBus, Published, RetryPolicy
from qt_events.outbox import Inbox, NoInboxError, current_inbox
from tests.integration.inbox.conftest import Shop, deliver, effect

ONCE = RetryPolicy(max_attempts=1)
ASYNC = pytest.mark.parametrize("shop", ["sqlite-async", "postgresql-async"], indirect=True)


async def test_it_waits_in_the_outbox_with_its_cause(shop: Shop) -> None:
    """It is published after the commit, by a relay, and not at once."""
    bus, heard = InMemoryEventBus(), list[str]()
    bus.subscribe("#", lambda event: heard.append(event.type), name="all")
    bus.subscribe(
        "paid",
        shop.handler(bus=bus, publishes="shipped"),
        name="ledger",
        inbox=Inbox(shop.engine),
    )
    event = Event("paid")
    await deliver(bus, event)
    assert shop.waiting() == [("shipped", event.id)]
    assert heard == ["paid"]
    assert bus.get_stats()["published"] == 1


async def test_a_publish_before_any_statement_is_a_part_of_it_too(shop: Shop) -> None:
    """The transaction has begun before the handler has."""
    bus = InMemoryEventBus()
    handler = shop.handler(lambda *_: None, bus=bus, publishes="shipped")
    bus.subscribe("paid", handler, name="ledger", inbox=Inbox(shop.engine))
    event = Event("paid")
    await deliver(bus, event)
    assert shop.waiting() == [("shipped", event.id)]


async def test_a_handler_that_fails_has_published_nothing(shop: Shop) -> None:
    """The event is rolled back with the effects."""
    bus = InMemoryEventBus()
    handler = shop.handler(bus=bus, publishes="shipped")

    async def fail_async(event: Any) -> None:
        await handler(event)
        raise OSError("out of order")

    def fail(event: Any) -> None:
        handler(event)
        raise OSError("out of order")

    failing: Any = fail_async if shop.is_async else fail
    bus.subscribe("paid", failing, name="ledger", inbox=Inbox(shop.engine), retry=ONCE)
    await deliver(bus, Event("paid"))
    assert (shop.waiting(), shop.effects()) == ([], [])


async def test_a_savepoint_that_is_rolled_back_has_published_nothing(shop: Shop) -> None:
    """An event belongs to the savepoint in which it was published."""
    bus = InMemoryEventBus()

    def handle(event: Any) -> None:
        session: Session = current_inbox().session
        with session.begin_nested() as savepoint:
            effect(session, event)
            assert bus.publish_sync(Event("undone")) is Published.IN_TRANSACTION
            savepoint.rollback()
        bus.publish_sync(Event("shipped"))

    async def handle_async(event: Any) -> None:
        session = current_inbox().session
        async with session.begin_nested() as savepoint:
            await session.run_sync(effect, event)
            assert await bus.publish(Event("undone")) is Published.IN_TRANSACTION
            await savepoint.rollback()
        await bus.publish(Event("shipped"))

    handler: Any = handle_async if shop.is_async else handle
    bus.subscribe("paid", handler, name="ledger", inbox=Inbox(shop.engine))
    event = Event("paid")
    await deliver(bus, event)
    assert shop.waiting() == [("shipped", event.id)]
    assert shop.effects() == []


async def test_another_bus_publishes_at_once(shop: Shop) -> None:
    """The outbox is the one of the subscription's own bus; a bridge to another is no part of it."""
    bus, other, heard = InMemoryEventBus(), InMemoryEventBus(), list[str]()
    other.subscribe("#", lambda event: heard.append(event.type), name="all")
    bus.subscribe(
        "paid",
        shop.handler(bus=other, publishes="shipped"),
        name="ledger",
        inbox=Inbox(shop.engine),
    )
    async with other:
        await deliver(bus, Event("paid"))
        await other.join()
    assert (shop.waiting(), heard) == ([], ["shipped"])


async def test_middleware_sees_it_when_it_is_published(shop: Shop) -> None:
    """around_publish is called once for each event: from the relay, not in the handler."""

    class Seen:
        types: list[str]

        async def around_publish(self, event: Event[Any], call_next: Any) -> None:
            self.types.append(event.type)
            await call_next(event)

    bus, seen = InMemoryEventBus(), Seen()
    seen.types = []
    bus.use(seen)
    bus.subscribe(
        "paid",
        shop.handler(bus=bus, publishes="shipped"),
        name="ledger",
        inbox=Inbox(shop.engine),
    )
    await deliver(bus, Event("paid"))
    assert seen.types == ["paid"]
    assert len(shop.waiting()) == 1


@ASYNC
async def test_a_task_that_outlives_its_handler_is_told_so(shop: Shop) -> None:
    """Its publish would belong to no transaction any more. In a context of its own it may."""
    bus, over, left = InMemoryEventBus(), asyncio.Event(), list[asyncio.Task[Any]]()

    async def publish_late() -> None:
        await over.wait()
        await bus.publish(Event("late"))

    async def use_session_late() -> None:
        inbox = current_inbox()
        await over.wait()
        await inbox.session.run_sync(effect, Event("late"))

    async def handle(_: Any) -> None:
        for late in (publish_late(), use_session_late()):
            left.append(asyncio.create_task(late))
        left.append(asyncio.create_task(publish_late(), context=contextvars.Context()))
        await asyncio.sleep(0)

    bus.subscribe("paid", handle, name="ledger", inbox=Inbox(shop.engine))
    await deliver(bus, Event("paid"))
    over.set()
    *late, own = await asyncio.gather(*left, return_exceptions=True)
    assert {type(each).__name__ for each in late} == {"TransactionOverError"}
    assert "create_task" in str(late[0])
    assert own is None
    assert (shop.waiting(), shop.effects()) == ([], [])


async def test_middleware_publishes_after_the_transaction_by_itself(shop: Shop) -> None:
    """Around the handler no transaction is there, so what middleware publishes goes out at once."""

    class Telling:
        async def around_handle(self, event: Any, _s: Any, _n: int, call_next: Any) -> None:
            await call_next()
            if event.type == "paid":
                await bus.publish(Event("told"))

    bus, heard = InMemoryEventBus(), list[str]()
    bus.use(Telling())
    bus.subscribe("told", lambda event: heard.append(event.type), name="all")
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=Inbox(shop.engine))
    await deliver(bus, Event("paid"))
    assert (heard, shop.waiting()) == (["told"], [])


@ASYNC
async def test_publish_sync_from_a_thread_of_an_async_handler_is_refused(shop: Shop) -> None:
    """Its transaction belongs to the loop."""
    bus = InMemoryEventBus()

    async def handle(_: Any) -> None:
        await asyncio.to_thread(bus.publish_sync, Event("shipped"))

    bus.subscribe("paid", handle, name="ledger", inbox=Inbox(shop.engine), retry=ONCE)
    await deliver(bus, Event("paid"))
    [letter] = await bus.dead_letters.list("ledger")
    assert letter.exception_type == "qt_events.errors.NotSupportedError"
    assert "await bus.publish(event)" in letter.message


async def test_outside_of_a_handler_there_is_no_inbox() -> None:
    """current_inbox() says what is missing."""
    with pytest.raises(NoInboxError, match=r"inbox=Inbox\(engine\)"):
        current_inbox()

    bus = InMemoryEventBus()

    async def handle(_: Event[Any]) -> None:
        current_inbox()

    bus.subscribe("paid", handle, name="ledger", retry=ONCE)
    await deliver(bus, Event("paid"))
    [letter] = await bus.dead_letters.list("ledger")
    assert letter.exception_type.endswith("NoInboxError")
