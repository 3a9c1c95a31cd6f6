"""Each event takes effect once, on SQLite and PostgreSQL, by plain and by async handlers."""

import asyncio
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from qt_events import Event, InMemoryEventBus, Reject, RetryLater, RetryPolicy
from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import DEDUPLICATED, HANDLED, DeadLetterReason
from qt_events.outbox import Inbox, current_inbox
from qt_events.outbox.inbox import notes, pruning
from tests.integration.inbox.conftest import Shop, effect, effects

AT_ONCE = RetryPolicy(initial=0, jitter=0)
#: Counters that say how fast the machine is.
TIMES = {"slow", "blocked"}


async def deliver(bus: InMemoryEventBus, *events: Event[Any]) -> dict[str, Any]:
    """Publish the events, one after the other has an outcome, and return the statistics."""
    async with bus:
        for event in events:
            await bus.publish(event)
            await bus.join()
    return bus.get_stats()


def row_of(bus: InMemoryEventBus, name: str = "ledger") -> dict[str, int]:
    found: dict[str, int] = bus.get_stats()["by_subscription"][name]
    return {key: count for key, count in found.items() if count and key not in TIMES}


async def test_an_event_published_twice_takes_effect_once(shop: Shop) -> None:
    """The second one is acknowledged without its handler, and counted as deduplicated."""
    bus, handler = InMemoryEventBus(), shop.handler()
    bus.subscribe("paid", handler, name="ledger", inbox=Inbox(shop.engine))
    event, other = Event("paid"), Event("paid")
    stats = await deliver(bus, event, event, other, event)
    assert shop.effects() == [event.id, other.id]
    assert handler.calls() == 2  # type: ignore[attr-defined]
    assert row_of(bus) == {"delivered": 2, "deduplicated": 2}
    assert (stats["deduplicated"], stats["errors"], stats["dispatched"]) == (2, 0, 4)


async def test_it_is_noted_for_each_subscription_by_itself(shop: Shop) -> None:
    """One subscription's note keeps the event from no other."""
    bus, inbox = InMemoryEventBus(), Inbox(shop.engine)
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=inbox)
    bus.subscribe("paid", shop.handler(), name="audit", inbox=inbox)
    event = Event("paid")
    await deliver(bus, event, event)
    assert shop.effects() == [event.id] * 2


async def test_the_same_id_of_another_source_is_another_event(shop: Shop) -> None:
    """An id is unique in one source alone, as CloudEvents has it."""
    bus = InMemoryEventBus()
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=Inbox(shop.engine))
    await deliver(bus, *(Event("paid", id="1", source=source) for source in ("a", "b", "a")))
    assert shop.effects() == ["1", "1"]


async def test_a_handler_that_fails_leaves_neither_effects_nor_a_note(shop: Shop) -> None:
    """So its retry is handled, and takes effect once."""
    bus, left = InMemoryEventBus(), iter([True, True, False])

    def fail(_: Session, __: object) -> None:
        if next(left):
            raise OSError("out of order")

    bus.subscribe(
        "paid", shop.handler(effect, fail), name="ledger", inbox=Inbox(shop.engine), retry=AT_ONCE
    )
    event = Event("paid")
    await deliver(bus, event, event)
    assert shop.effects() == [event.id]
    assert row_of(bus) == {"delivered": 1, "deduplicated": 1, "errors": 2, "retries": 2}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Reject("no"), DeadLetterReason.REJECTED), (RetryLater(0), DeadLetterReason.EXHAUSTED)],
)
async def test_reject_and_retry_later_keep_nothing(
    shop: Shop, error: Exception, reason: DeadLetterReason
) -> None:
    """Both end the transaction as any other error does; a dead letter sent back is handled."""
    bus, errors = InMemoryEventBus(), [error] * 2

    def fail(_: Session, __: object) -> None:
        if errors:
            raise errors.pop()

    policy = RetryPolicy(max_attempts=2, initial=0)
    bus.subscribe(
        "paid", shop.handler(effect, fail), name="ledger", inbox=Inbox(shop.engine), retry=policy
    )
    event = Event("paid")
    async with bus:
        await bus.publish(event)
        await bus.join()
        [letter] = await bus.dead_letters.list("ledger")
        assert letter.reason == reason
        assert (shop.effects(), shop.notes()) == ([], [])
        errors.clear()
        await bus.dead_letters.retry_all("ledger")
        await bus.join()
    assert shop.effects() == [event.id]


async def test_what_a_predicate_refuses_is_not_noted(shop: Shop) -> None:
    """Another time it may be wanted."""
    bus, wanted = InMemoryEventBus(), [False, True]
    bus.subscribe(
        "paid",
        shop.handler(),
        name="ledger",
        when=lambda _: wanted.pop(0),
        inbox=Inbox(shop.engine),
    )
    event = Event("paid")
    await deliver(bus, event, event)
    assert shop.effects() == [event.id]
    assert row_of(bus) == {"delivered": 1, "filtered": 1}


async def test_a_replay_is_not_handled_again(shop: Shop) -> None:
    """It has the id of the event that was handled."""
    bus = InMemoryEventBus()
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=Inbox(shop.engine))
    event = Event("paid")
    async with bus:
        await bus.publish(event)
        await bus.join()
        await bus.redeliver(event, "ledger", replay_id="again")
    assert shop.effects() == [event.id]
    assert row_of(bus) == {"delivered": 1, "deduplicated": 1}


async def test_a_business_key_makes_two_events_one(shop: Shop) -> None:
    """A key stands in the place of the event's id."""
    bus, inbox = InMemoryEventBus(), Inbox(shop.engine, key=lambda event: event.payload["order"])
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=inbox)
    first, again, other = (Event("paid", payload={"order": order}) for order in ("7", "7", "8"))
    await deliver(bus, first, again, other)
    assert shop.effects() == [first.id, other.id]
    assert shop.notes() == ["7", "8"]


@pytest.mark.parametrize("key", [7, None, "", "x" * 256, "ü" * 128, ["7"]])
async def test_a_key_that_is_none_fails_by_name(shop: Shop, key: object) -> None:
    """What no note can have is the attempt's failure, and nothing is handled."""
    bus = InMemoryEventBus()
    bus.subscribe(
        "paid",
        shop.handler(),
        name="ledger",
        retry=RetryPolicy(max_attempts=1),
        inbox=Inbox(shop.engine, key=lambda _: key),  # type: ignore[arg-type,return-value]
    )
    await deliver(bus, Event("paid"))
    [letter] = await bus.dead_letters.list("ledger")
    assert letter.exception_type == "qt_events.outbox.inbox.errors.InvalidKeyError"
    assert "return" in letter.message
    assert shop.effects() == []


async def test_hostile_texts_are_keys_too(shop: Shop) -> None:
    """A business key may have what no database takes as it is."""
    keys = ["nul\0", "\ud800", "\\", "0\\0", "e\u0301"]
    bus, left = InMemoryEventBus(), iter([*keys, *keys])
    bus.subscribe(
        "paid", shop.handler(), name="ledger", inbox=Inbox(shop.engine, key=lambda _: next(left))
    )
    await deliver(bus, *(Event("paid") for _ in range(2 * len(keys))))
    assert row_of(bus) == {"delivered": len(keys), "deduplicated": len(keys)}


async def test_a_raw_subscription_has_one_too(shop: Shop) -> None:
    """A RawEvent has source and id as an event has them."""
    bus = InMemoryEventBus()
    bus.subscribe("paid", shop.handler(), name="ledger", raw=True, inbox=Inbox(shop.engine))
    event = Event("paid")
    await deliver(bus, event, event)
    assert shop.effects() == [event.id]


async def test_middleware_and_observers_see_it(shop: Shop) -> None:
    """The inbox is inside the middleware, which gets DEDUPLICATED as the handler's result."""

    class Seen:
        def __init__(self) -> None:
            self.results: list[object] = []
            self.outcomes: list[object] = []

        async def around_handle(self, event: Any, _s: Any, _n: int, call_next: Any) -> None:
            self.results.append(await call_next())

        def concluded(self, attempt: Attempt) -> None:
            self.outcomes.append(attempt.outcome)

    bus, seen = InMemoryEventBus(), Seen()
    bus.use(seen)
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=Inbox(shop.engine))
    event = Event("paid")
    await deliver(bus, event, event)
    assert seen.results == [None, DEDUPLICATED]
    assert seen.outcomes == [HANDLED, DEDUPLICATED]
    assert shop.effects() == [event.id]


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


@pytest.mark.parametrize("step", [roll_back, roll_back_and_go_on, end_by_sql, add_twice])
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


async def test_an_inbox_costs_one_statement_a_delivery(shop: Shop) -> None:
    """Beside the handler's own there is the note, and nothing else."""
    bus, said = InMemoryEventBus(), list[str]()
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=Inbox(shop.engine))
    sync = shop.engine.sync_engine if shop.is_async else shop.engine
    async with bus:
        await bus.publish(Event("paid"))
        await bus.join()
        sa.event.listen(sync, "before_cursor_execute", lambda *given: said.append(given[2]))
        for _ in range(3):
            await bus.publish(Event("paid"))
        await bus.join()
    kinds = [each.split()[:3] for each in said if not each.startswith("BEGIN")]
    assert kinds == [["INSERT", "INTO", "outbox_handled"], ["INSERT", "INTO", "effects"]] * 3


async def test_notes_older_than_the_window_are_removed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A duplicate that comes later is handled again; younger notes and others' stay."""
    monkeypatch.setattr(pruning, "EVERY", 1)
    bus = InMemoryEventBus()
    inbox = Inbox(shop.engine, window=3600)
    bus.subscribe("paid", shop.handler(), name="ledger", inbox=inbox)
    bus.subscribe("kept", shop.handler(), name="others", inbox=Inbox(shop.engine, window=36_000))
    old, young, last = (Event("paid") for _ in range(3))
    async with bus:
        for event in (Event("kept"), old, young):
            await bus.publish(event)
            await bus.join()
        aged = sa.update(notes.handled).values(at=notes.handled.c.at - 3_700_000_000)
        with shop.outside.begin() as connection:
            connection.execute(aged.where(notes.handled.c.key != young.id))
        for event in (last, old, young):
            await bus.publish(event)
            await bus.join()
    assert shop.effects()[1:] == [old.id, young.id, last.id, old.id]
    assert len(shop.notes()) == 4


async def test_two_deliveries_at_a_time_are_one(shop: Shop) -> None:
    """The second waits for the first one's transaction, and is deduplicated."""
    await _two_at_a_time(shop, fails=False)
    assert len(shop.effects()) == 1


async def test_the_second_of_two_is_handled_if_the_first_fails(shop: Shop) -> None:
    """It waited for a transaction that was rolled back."""
    await _two_at_a_time(shop, fails=True)
    assert len(shop.effects()) == 1


async def _two_at_a_time(shop: Shop, *, fails: bool) -> None:
    """Deliver an event by two buses; the first handler ends while the second one waits."""
    event, loop = Event("paid"), asyncio.get_running_loop()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        begun.set()
        await go_on.wait()
        if fails:
            raise OSError("out of order")

    slow = shop.handler()
    buses = [InMemoryEventBus(), InMemoryEventBus()]

    async def handle_async(event: Any) -> None:
        await slow(event)
        await pause()

    def handle(event: Any) -> None:
        slow(event)
        asyncio.run_coroutine_threadsafe(pause(), loop).result()

    first: Any = handle_async if shop.is_async else handle
    policy = RetryPolicy(max_attempts=1)
    for bus, handler in zip(buses, (first, shop.handler()), strict=True):
        inbox = Inbox(shop.make_engine())
        bus.subscribe("paid", handler, name="ledger", inbox=inbox, retry=policy)
    async with buses[0], buses[1]:
        await buses[0].publish(event)
        await begun.wait()
        await buses[1].publish(event)
        # Long enough for it to come as far as the note; a shorter wait would prove less.
        await asyncio.sleep(0.3)
        assert shop.effects() == []
        go_on.set()
        await buses[0].join()
        await buses[1].join()
    outcomes = [row_of(bus) for bus in buses]
    assert outcomes == (
        [{"errors": 1, "dead_letters": 1}, {"delivered": 1}]
        if fails
        else [{"delivered": 1}, {"deduplicated": 1}]
    )
