"""A handler's transaction: what ends it, what breaks it, and what is kept of it."""

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, registry

from qt_events import Event, InMemoryEventBus, RetryPolicy
from qt_events.outbox import Inbox, current_inbox
from tests.integration.inbox.conftest import AT_ONCE, Shop, deliver, effect, effects, row_of


async def test_commit_in_a_handler_commits_nothing(shop: Shop) -> None:
    """It writes what is pending; the transaction is the inbox's to end."""
    bus = InMemoryEventBus()

    def commit(session: Session, event: Any) -> None:
        effect(session, event)
        session.commit()
        effect(session, event)
        raise OSError("out of order")

    bus.subscribe(
        "paid",
        shop.handler(commit),
        name="ledger",
        inbox=Inbox(shop.engine),
        retry=RetryPolicy(max_attempts=1),
    )
    await deliver(bus, Event("paid"))
    assert (shop.effects(), shop.notes()) == ([], [])


def add_twice(session: Session, event: Any) -> None:
    """Have a statement of the session's fail, and go on as if nothing were."""
    for _ in range(2):
        try:
            session.execute(sa.insert(effects).values(event=event.id, word="one"))
        except sa.exc.IntegrityError:
            continue


class Effect:
    """Row of the effects, as an object."""


registry().map_imperatively(Effect, effects)


def flush_in_vain(session: Session, event: Any) -> None:
    """Have a flush fail, which leaves the session in a failed state, and return."""
    for _ in range(2):
        made: Any = Effect()
        made.event, made.word = event.id, "one"
        session.add(made)
    with suppress(sa.exc.IntegrityError):
        session.flush()


def roll_back(session: Session, event: Any) -> None:
    effect(session, event)
    session.rollback()


def roll_back_and_go_on(session: Session, event: Any) -> None:
    roll_back(session, event)
    try:
        effect(session, event)
        session.commit()
    except Exception:  # noqa: BLE001, S110  # the worst of handlers
        pass


def end_by_sql(session: Session, event: Any) -> None:
    effect(session, event)
    session.connection().exec_driver_sql("ROLLBACK")


@pytest.mark.parametrize(
    "step", [flush_in_vain, roll_back, roll_back_and_go_on, end_by_sql, add_twice]
)
async def test_a_handler_with_a_broken_transaction_has_not_handled_it(
    shop: Shop, step: Any
) -> None:
    """It returned, but a commit would keep nothing: the attempt has failed, by name.

    SQLite goes on after a failed statement, and keeps the others of the transaction.
    """
    bus, handler = InMemoryEventBus(), shop.handler(step)
    bus.subscribe(
        "paid",
        handler,
        name="ledger",
        inbox=Inbox(shop.engine),
        retry=RetryPolicy(max_attempts=2, initial=0),
    )
    event = Event("paid")
    await deliver(bus, event)
    if shop.is_sqlite and step is add_twice:
        assert shop.effects() == [event.id]
        return
    [letter] = await bus.dead_letters.list("ledger")
    assert letter.exception_type == "qt_events.outbox.inbox.errors.BrokenTransactionError"
    assert "the handler of 'ledger'" in letter.message
    assert (shop.effects(), shop.notes(), handler.calls()) == ([], [], 2)  # type: ignore[attr-defined]


async def test_a_savepoint_may_fail_alone(shop: Shop) -> None:
    """What the handler tried in vain is gone, and all else is kept."""
    bus = InMemoryEventBus()

    def try_it(session: Session, event: Any) -> None:
        session.execute(sa.insert(effects).values(event=event.id, word="one"))
        try:
            with session.begin_nested():
                session.execute(sa.insert(effects).values(event=event.id, word="one"))
        except sa.exc.IntegrityError:
            effect(session, event)

    bus.subscribe("paid", shop.handler(try_it), name="ledger", inbox=Inbox(shop.engine))
    event = Event("paid")
    await deliver(bus, event)
    assert shop.effects() == [event.id] * 2
    assert row_of(bus) == {"delivered": 1}


async def test_a_savepoint_that_was_left_open_is_kept(shop: Shop) -> None:
    """As session.commit() would keep it: what is noted as handled has had its effects."""
    bus = InMemoryEventBus()

    def leave(session: Session, event: Any) -> None:
        for _ in range(2):
            session.begin_nested()
            effect(session, event)

    bus.subscribe("paid", shop.handler(leave), name="ledger", inbox=Inbox(shop.engine))
    event = Event("paid")
    await deliver(bus, event)
    assert (shop.effects(), shop.notes()) == ([event.id] * 2, [event.id])


async def test_a_handler_that_is_cut_off_keeps_nothing(shop: Shop) -> None:
    """The event goes back when the bus is cancelled, and is handled by the next run."""
    bus, begun, calls = InMemoryEventBus(), asyncio.Event(), list[int]()
    loop, go_on = asyncio.get_running_loop(), threading.Event()

    async def handle_async(event: Any) -> None:
        calls.append(1)
        await current_inbox().session.run_sync(effect, event)
        if len(calls) == 1:
            begun.set()
            await asyncio.Event().wait()

    def handle(event: Any) -> None:
        calls.append(1)
        effect(current_inbox().session, event)
        if len(calls) == 1:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(20)
            raise OSError("too late to be judged")

    handler: Any = handle_async if shop.is_async else handle
    bus.subscribe("paid", handler, name="ledger", inbox=Inbox(shop.engine))
    event = Event("paid")
    run = asyncio.create_task(bus.run_forever())
    await bus.publish(event)
    await begun.wait()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    go_on.set()
    async with bus:
        await bus.join()
    assert (shop.effects(), shop.notes(), len(calls)) == ([event.id], [event.id], 2)


async def test_a_commit_whose_answer_is_lost_is_found_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt fails, its retry finds the note, and the effect is there once."""
    bus, handler = InMemoryEventBus(), shop.handler()
    bus.subscribe("paid", handler, name="ledger", inbox=Inbox(shop.engine), retry=AT_ONCE)
    first, event = Event("paid"), Event("paid")
    sync = shop.engine.sync_engine if shop.is_async else shop.engine
    commit = sync.dialect.do_commit

    def commit_and_lose(connection: Any) -> None:
        commit(connection)
        monkeypatch.undo()
        raise sa.exc.OperationalError("COMMIT", None, OSError("connection lost"))

    async with bus:
        await bus.publish(first)
        await bus.join()
        monkeypatch.setattr(sync.dialect, "do_commit", commit_and_lose)
        await bus.publish(event)
        await bus.join()
    assert shop.effects() == [first.id, event.id]
    assert handler.calls() == 2  # type: ignore[attr-defined]
    assert row_of(bus) == {"delivered": 1, "deduplicated": 1, "errors": 1, "retries": 1}
