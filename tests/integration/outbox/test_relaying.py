"""Relaying: what is committed is sent, in order, and nothing else."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from qt_events import (
    BrokerUnreachableError,
    BusStateError,
    CeleryEventBus,
    InMemoryEventBus,
    PublishNackedError,
    PublishRefusedError,
)
from qt_events.events.raw import RawEvent
from qt_events.outbox import Outbox
from qt_events.outbox.relaying import relay as relaying
from qt_events.outbox.tables import DEAD, SENT, WAITING, events
from tests.support.shop import Heard, hearing, placed, rows
from tests.support.waiting import until, until_told


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(relaying, "LONGEST_PAUSE", 0.1)


def add(engine: sa.Engine, outbox: Outbox, *ids: str, key: str | None = None) -> None:
    """Add events in one transaction."""
    with engine.begin() as connection:
        for each in ids:
            outbox.add(connection, placed(each), key=key)


class Broker(InMemoryEventBus):
    """A bus that keeps what it is told to send, and fails as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []
        self.fail: Callable[[str], Exception | None] = lambda _: None
        self.hold: Callable[[str], asyncio.Event | None] = lambda _: None

    async def forward(self, event: RawEvent) -> None:
        if (held := self.hold(event.id)) is not None:
            await held.wait()
        if (error := self.fail(event.id)) is not None:
            raise error
        self.sent.append(event.id)

    async def until(self, number: int) -> list[str]:
        await until(lambda: len(self.sent) >= number)
        return self.sent


async def test_what_is_committed_is_sent(engine: sa.Engine, outbox: Outbox) -> None:
    """What was there before, and what comes; with its cause, and as it was."""
    add(engine, outbox, "1")
    async with hearing() as (bus, heard), outbox.relay(bus) as relay:
        await heard.until(1)
        event = placed("2", source="shop", correlation_id="all", causation_id="1")
        with Session(engine) as session, session.begin():
            outbox.add(session, event)
        assert await heard.until(2) == ["1", "2"]
        assert heard.events[1] == event
        await until(lambda: relay.sent == 2)
    assert rows(engine, SENT) == ["1", "2"]


async def test_an_async_engine_relays_too(engine: sa.Engine, async_engine: AsyncEngine) -> None:
    outbox = Outbox(async_engine)
    async with hearing() as (bus, heard), outbox.relay(bus):
        for number in range(3):
            async with AsyncSession(async_engine) as session, session.begin():
                outbox.add(session, placed(str(number)))
        assert sorted(await heard.until(3)) == ["0", "1", "2"]
        # In a thread: a transaction of the relay goes on by this loop.
        await until_told(lambda: len(rows(engine, SENT)) == 3)


async def test_over_rabbitmq(
    engine: sa.Engine, outbox: Outbox, make_bus: Callable[..., CeleryEventBus]
) -> None:
    heard = Heard()
    bus = make_bus()
    bus.subscribe("#", heard, name="heard")
    async with bus, outbox.relay(bus):
        add(engine, outbox, *map(str, range(100)))
        assert sorted(await heard.until(100), key=int) == list(map(str, range(100)))
    assert len(rows(engine, SENT)) == 100


async def test_a_rolled_back_transaction_sends_nothing(engine: sa.Engine, outbox: Outbox) -> None:
    async with hearing() as (bus, heard), outbox.relay(bus, poll=0.01):
        with engine.connect() as connection:
            connection.begin()
            outbox.add(connection, placed("no"))
            connection.rollback()
        add(engine, outbox, "yes")
        assert await heard.until(1) == ["yes"]


async def test_emptied_returns_when_nothing_waits(engine: sa.Engine, outbox: Outbox) -> None:
    """Also if nothing did; and not before the end of an outage."""
    bus = Broker()
    relay = outbox.relay(bus)
    with pytest.raises(BusStateError, match="does not run"):
        await relay.emptied()
    async with relay:
        await relay.emptied()
        bus.fail = lambda _: BrokerUnreachableError("away")
        add(engine, outbox, "1", "2")
        waiting = asyncio.create_task(relay.emptied())
        await until(lambda: "away" in str(reasons(engine)))
        assert not waiting.done()
        bus.fail = lambda _: None
        await waiting
        assert rows(engine, WAITING) == []
        bus.fail = lambda _: BrokerUnreachableError("away")
        add(engine, outbox, "3")
        waiting = asyncio.create_task(relay.emptied())
        await until(lambda: "away" in str(reasons(engine)))
    with pytest.raises(BusStateError, match="ended before"):
        await waiting


def reasons(engine: sa.Engine) -> list[str | None]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(events.c.reason).order_by(events.c.sequence)))


# Order


async def test_the_events_of_a_key_go_in_the_order_of_their_adding(
    engine: sa.Engine, outbox: Outbox
) -> None:
    """Each is confirmed before the next one is sent; other keys do not wait for them."""
    bus, gate = Broker(), asyncio.Event()
    bus.hold = lambda each: gate if each == "a1" else None
    async with outbox.relay(bus):
        with engine.begin() as connection:
            for each in ("a1", "a2", "b1", "a3", "b2"):
                outbox.add(connection, placed(each), key=each[0])
        assert await bus.until(2) == ["b1", "b2"]
        gate.set()
        assert await bus.until(5) == ["b1", "b2", "a1", "a2", "a3"]


async def test_a_sequence_that_is_committed_late_is_not_skipped(
    postgres_engine: sa.Engine,
) -> None:
    """The first of two transactions has the lower numbers, and is committed after the second was
    sent: no cursor goes past it. On SQLite, one transaction writes at a time.
    """
    engine, bus = postgres_engine, Broker()
    outbox = Outbox(engine)
    async with outbox.relay(bus):
        with engine.begin() as late:
            outbox.add(late, placed("early number"), key="a")
            add(engine, outbox, "late number", key="a")
            assert await bus.until(1) == ["late number"]
            await until(lambda: rows(engine, SENT) == ["late number"])
        assert await bus.until(2) == ["late number", "early number"]
    assert rows(engine) == ["early number", "late number"]


async def test_one_that_began_after_another_had_committed_goes_after_it(
    engine: sa.Engine, outbox: Outbox
) -> None:
    bus = Broker()
    for number in range(50):
        add(engine, outbox, str(number), key="a")
    async with outbox.relay(bus, batch=7):
        assert await bus.until(50) == list(map(str, range(50)))


async def test_several_relays_share_the_work_and_keep_the_order(
    engine: sa.Engine, outbox: Outbox
) -> None:
    """Nothing is sent twice, and each key is in order."""
    bus = Broker()
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(outbox.relay(bus, batch=10, poll=0.05))
        for number in range(60):
            with engine.begin() as connection:
                for key in "abcdef":
                    outbox.add(connection, placed(f"{key}{number}"), key=key)
            await asyncio.sleep(0)
        await bus.until(360)
    assert len(bus.sent) == 360
    for key in "abcdef":
        own = [each for each in bus.sent if each[0] == key]
        assert own == [f"{key}{number}" for number in range(60)]


# Faults


@pytest.mark.parametrize("error", [BrokerUnreachableError("away"), PublishNackedError("full")])
async def test_a_broker_that_is_away_is_waited_for(
    engine: sa.Engine, outbox: Outbox, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is given up, and the order stays. It is logged once, and its end."""
    caplog.set_level(logging.INFO, "qt_events")
    bus, tried = Broker(), list[str]()
    bus.fail = lambda each: tried.append(each) or error  # type: ignore[func-returns-value]
    add(engine, outbox, "1", "2", key="a")
    async with outbox.relay(bus):
        await until(lambda: len(tried) >= 5)
        assert rows(engine, WAITING) == ["1", "2"]
        with engine.connect() as connection:
            reasons = connection.scalars(sa.select(events.c.reason).order_by(events.c.sequence))
            assert [each and str(error) in each for each in reasons] == [True, None]
        bus.fail = lambda _: None
        assert await bus.until(2) == ["1", "2"]
    said = [each.getMessage() for each in caplog.records if "outbox" in each.getMessage()]
    assert [each.partition(":")[2][:12] for each in said] == [" events wait", " it works ag"]


async def test_a_refused_event_is_given_up_and_its_key_goes_on(
    engine: sa.Engine, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Broker()
    bus.fail = lambda each: PublishRefusedError(f"{each} is too large") if each == "a2" else None
    with engine.begin() as connection:
        for each in ("a1", "a2", "a3", "b1"):
            outbox.add(connection, placed(each), key=each[0])
    async with outbox.relay(bus) as relay:
        assert sorted(await bus.until(3)) == ["a1", "a3", "b1"]
        await until(lambda: relay.dead == 1)
    assert rows(engine, DEAD) == ["a2"]
    with engine.connect() as connection:
        (reason,) = connection.scalars(sa.select(events.c.reason).where(events.c.state == DEAD))
    assert reason == "qt_events.errors.PublishRefusedError: a2 is too large"
    assert "is given up" in caplog.text


async def test_an_event_that_no_message_can_carry_holds_up_no_other(
    outbox: Outbox, engine: sa.Engine, make_bus: Callable[..., CeleryEventBus]
) -> None:
    heard, bus = Heard(), make_bus()
    bus.subscribe("#", heard, name="heard")
    with engine.begin() as connection:
        outbox.add(connection, placed("1"), key="a")
        # No AMQP text is that long, and no routing key.
        outbox.add(connection, placed("2"), key="a")
        outbox.add(connection, placed("3"), key="a")
        connection.execute(sa.update(events).where(events.c.id == "2").values(type="x" * 300))
    async with bus, outbox.relay(bus):
        assert await heard.until(2) == ["1", "3"]
        await until(lambda: rows(engine, DEAD) == ["2"])


async def test_what_was_sent_and_not_marked_goes_again(engine: sa.Engine, outbox: Outbox) -> None:
    """With the same id: a relay was killed between the confirm and the mark."""
    bus, never = Broker(), asyncio.Event()
    add(engine, outbox, "1", "2", key="a")
    bus.hold = lambda each: never if each == "2" else None
    relay = await outbox.relay(bus).__aenter__()
    await bus.until(1)
    # As a kill does it: nothing is written down.
    (task,) = [each for each in asyncio.all_tasks() if each.get_name() == relaying.NAME]
    task.cancel()
    await asyncio.wait([task])
    assert relay.sent == 0
    assert rows(engine, WAITING) == ["1", "2"]
    bus.hold = lambda _: None
    async with outbox.relay(bus):
        assert await bus.until(3) == ["1", "1", "2"]


async def test_the_end_waits_for_confirms_but_not_for_long(
    engine: sa.Engine, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "GRACE", 0.05)
    bus, never = Broker(), asyncio.Event()
    bus.hold = lambda each: never if each == "never" else None
    add(engine, outbox, "1", "never")
    async with outbox.relay(bus):
        await bus.until(1)
    assert (rows(engine, SENT), rows(engine, WAITING)) == (["1"], ["never"])


# Keeping


async def test_sent_rows_are_removed_after_a_while(engine: sa.Engine, outbox: Outbox) -> None:
    """Those that wait, and dead ones, are not."""
    bus = Broker()
    bus.fail = lambda each: PublishRefusedError("no") if each == "dead" else None
    add(engine, outbox, "1", "dead", "2")
    async with outbox.relay(bus, keep=3600):
        await until(lambda: len(rows(engine, SENT)) == 2)
    assert len(rows(engine)) == 3
    async with outbox.relay(bus, keep=0):
        await until(lambda: rows(engine) == ["dead"])
