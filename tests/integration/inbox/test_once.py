"""Each event takes effect once, on SQLite and PostgreSQL, by plain and by async handlers."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from qt_events import Event, InMemoryEventBus, Reject, RetryLater, RetryPolicy
from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import DEDUPLICATED, HANDLED, DeadLetterReason
from qt_events.outbox import Inbox
from qt_events.outbox.inbox import notes, pruning
from tests.integration.inbox.conftest import AT_ONCE, Shop, deliver, effect, row_of


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
