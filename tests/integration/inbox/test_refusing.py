"""Inboxes that cannot work are refused where they are made, or where they are given."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from qt_events import (
    DuplicateSubscriptionError,
    Event,
    InMemoryEventBus,
    InvalidOptionError,
    NotSupportedError,
    RetryPolicy,
)
from qt_events.outbox import Inbox, SqliteBeginError, WrongEngineError, begin_immediately
from tests.integration.inbox.conftest import Shop


def plain(_: Any) -> None: ...
async def waits(_: Any) -> None: ...


ENGINE = sa.create_engine("sqlite:///nowhere.db")
ASYNC_ENGINE = create_async_engine("sqlite+aiosqlite:///nowhere.db")


@pytest.mark.parametrize("engine", [None, "sqlite:///a.db", object()])
def test_something_else_than_an_engine_is_refused(engine: Any) -> None:
    with pytest.raises(WrongEngineError, match="create_engine"):
        Inbox(engine)


def test_an_engine_of_another_database_is_refused() -> None:
    engine = sa.create_mock_engine("mysql://", lambda *_: None)
    with pytest.raises(WrongEngineError):
        Inbox(engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("window", [0, -1, None, float("nan"), "7 days"])
def test_a_window_that_is_none_is_refused(window: Any) -> None:
    with pytest.raises(InvalidOptionError, match="window"):
        Inbox(ENGINE, window=window)


@pytest.mark.parametrize("key", ["order_id", waits, 7])
def test_a_key_that_is_no_plain_function_is_refused(key: Any) -> None:
    with pytest.raises(InvalidOptionError, match="plain function"):
        Inbox(ENGINE, key=key)


@pytest.mark.parametrize(
    ("handler", "engine", "advice"),
    [(waits, ENGINE, "create_async_engine"), (plain, ASYNC_ENGINE, "async def")],
)
def test_an_engine_of_the_wrong_kind_for_a_handler_is_refused(
    handler: Any, engine: Any, advice: str
) -> None:
    """The error says both ways out, where the subscription is made, and nothing has changed."""
    bus = InMemoryEventBus()
    with pytest.raises(WrongEngineError, match=advice):
        bus.subscribe("paid", handler, name="ledger", inbox=Inbox(engine))
    assert bus.get_stats()["total_handlers"] == 0


def test_a_broadcast_and_a_batch_are_refused() -> None:
    bus, inbox = InMemoryEventBus(), Inbox(ENGINE)
    with pytest.raises(NotSupportedError, match="leave broadcast= out"):
        bus.subscribe("paid", plain, name="ledger", inbox=inbox, broadcast=True)
    with pytest.raises(NotSupportedError, match="leave batch= out"):
        bus.subscribe("paid", plain, name="ledger", inbox=inbox, batch=10)


def test_something_else_than_an_inbox_is_refused() -> None:
    bus = InMemoryEventBus()
    for wrong in (True, ENGINE, "inbox"):
        with pytest.raises(InvalidOptionError, match=r"outbox.Inbox\(engine\)"):
            bus.subscribe("paid", plain, name="ledger", inbox=wrong)  # type: ignore[arg-type]


def test_another_inbox_for_the_same_subscription_is_refused() -> None:
    """Its option is compared as all others are; left out it stays."""
    bus, inbox = InMemoryEventBus(), Inbox(ENGINE)
    bus.subscribe("paid", plain, name="ledger", inbox=inbox)
    bus.subscribe("sent", plain, name="ledger", inbox=inbox)
    bus.subscribe("lost", plain, name="ledger")
    with pytest.raises(DuplicateSubscriptionError, match="inbox="):
        bus.subscribe("kept", plain, name="ledger", inbox=Inbox(ENGINE))
    bus.unsubscribe("paid", plain)


async def refused(bus: InMemoryEventBus) -> Any:
    async with bus:
        await bus.publish(Event("paid"))
        await bus.join()
    [letter] = await bus.dead_letters.list("ledger")
    return letter


@pytest.mark.parametrize("shop", ["postgresql", "postgresql-async"], indirect=True)
async def test_an_engine_that_commits_each_statement_is_refused(shop: Shop) -> None:
    """No note is written: a retry would find it, and the event would be lost."""
    bus, handler = InMemoryEventBus(), shop.handler()
    engine = shop.make_engine(isolation_level="AUTOCOMMIT")
    once = RetryPolicy(max_attempts=1)
    bus.subscribe("paid", handler, name="ledger", inbox=Inbox(engine), retry=once)
    letter = await refused(bus)
    assert letter.exception_type.endswith("WrongEngineError")
    assert "AUTOCOMMIT" in letter.message
    assert handler.calls() == 0  # type: ignore[attr-defined]


async def test_an_engine_for_sqlite_that_begins_late_is_refused(tmp_path: Path) -> None:
    """The error names the listener that is missing."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/a.db")
    bus = InMemoryEventBus()
    once = RetryPolicy(max_attempts=1)
    bus.subscribe("paid", plain, name="ledger", inbox=Inbox(engine), retry=once)
    letter = await refused(bus)
    assert letter.exception_type == f"{SqliteBeginError.__module__}.SqliteBeginError"
    assert begin_immediately.__name__ in letter.message
    engine.dispose()


async def test_a_plain_function_that_returns_a_coroutine_has_not_handled_it(
    tmp_path: Path,
) -> None:
    """It would be awaited after its transaction."""
    engine = begin_immediately(sa.create_engine(f"sqlite:///{tmp_path}/a.db"))
    bus = InMemoryEventBus()
    once = RetryPolicy(max_attempts=1)

    def returns_one(event: Event[Any]) -> object:
        return waits(event)

    bus.subscribe("paid", returns_one, name="ledger", inbox=Inbox(engine), retry=once)
    letter = await refused(bus)
    assert letter.exception_type == "qt_events.errors.InvalidHandlerError"
    with engine.connect() as connection:
        assert not connection.scalar(sa.text("SELECT count(*) FROM outbox_handled"))
    engine.dispose()
