"""New subscriptions of the in-memory bus that begin with old events."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from qt_events.errors import BackpressureError
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.history.errors import HistoryUnavailableError
from qt_events.history.filters import EventFilter
from qt_events.history.history import History
from qt_events.history.recorder import MARK
from qt_events.memory import InMemoryEventBus
from tests.support.waiting import PATIENCE, until

NEW = "newcomer"


def numbers(events: Sequence[Event[Any]]) -> list[int]:
    return [event.payload["n"] for event in events]


async def publish(bus: InMemoryEventBus, *ns: int) -> None:
    for n in ns:
        await bus.publish(Event("happened", None, {"n": n}))


async def test_it_goes_on_after_the_bus_has_stopped_half_way() -> None:
    """What a stop finds unhandled comes in the next run: old before live, and each once."""
    bus, heard, passed = InMemoryEventBus(grace=PATIENCE), list[Event[Any]](), asyncio.Event()
    History().attach(bus)

    async def handler(event: Event[Any]) -> None:
        heard.append(event)
        if event.payload["n"] == 700:
            bus.stop()
            await passed.wait()

    running = asyncio.create_task(bus.run_forever())
    await publish(bus, *range(1200))
    bus.subscribe("happened", handler, name=NEW, start="first")
    await until(lambda: numbers(heard)[-1:] == [700])
    await publish(bus, 1200)
    passed.set()
    await asyncio.wait_for(running, PATIENCE)
    assert len(heard) < 1200
    async with bus:
        await publish(bus, 1201)
    assert numbers(heard) == list(range(1202))


async def test_a_bus_that_does_not_run_yet_begins_with_what_was_published_before() -> None:
    """Patterns that are added before it runs count from the beginning, too."""
    bus, heard = InMemoryEventBus(), list[Event[Any]]()
    History().attach(bus)
    await publish(bus, 1)
    await bus.publish(Event("also.happened", None, {"n": 2}))
    bus.subscribe("happened", heard.append, name=NEW, start="first")
    bus.subscribe("also.happened", heard.append, name=NEW)
    await publish(bus, 3)
    async with bus:
        pass
    assert numbers(heard) == [1, 2, 3]


async def test_nothing_is_missed_or_doubled_while_threads_publish() -> None:
    """Subscribed in the middle of other threads' publishes, each thread's events come in order."""
    bus, heard, over = InMemoryEventBus(max_queue_size=100_000), list[Event[Any]](), False
    History().attach(bus)

    def keep_publishing(thread: int) -> None:
        n = 0
        while not over or n < 10:
            bus.publish_sync(Event("happened", None, {"n": n, "thread": thread}))
            n += 1

    threads = [threading.Thread(target=keep_publishing, args=(each,)) for each in range(3)]
    async with bus:
        for each in threads:
            each.start()
        await until(lambda: bus.get_stats()["queue_size"] > 0)
        bus.subscribe("happened", heard.append, name=NEW, start="first")
        await until(lambda: heard)
        over = True
        for each in threads:
            await asyncio.to_thread(each.join)
    by_thread: dict[int, list[int]] = {}
    for event in heard:
        by_thread.setdefault(event.payload["thread"], []).append(event.payload["n"])
    assert sorted(by_thread) == [0, 1, 2]
    for found in by_thread.values():
        assert found == list(range(len(found)))
    assert max(Counter(event.id for event in heard).values()) == 1


async def test_live_events_have_their_places_meanwhile() -> None:
    """A bus that is full of them has publishers wait, and goes on once the old ones are done."""
    bus, heard, gate = (
        InMemoryEventBus(10, publish_timeout=0.1),
        list[Event[Any]](),
        asyncio.Event(),
    )
    History().attach(bus)

    async def handler(event: Event[Any]) -> None:
        heard.append(event)
        await gate.wait()

    async with bus:
        await publish(bus, 0)
        bus.subscribe("happened", handler, name=NEW, start="first")
        await until(lambda: heard)
        with pytest.raises(BackpressureError):
            await publish(bus, *range(1, 30))
        gate.set()
        await bus.join(PATIENCE)
        await publish(bus, 99)
    found = numbers(heard)
    assert found == [*range(len(found) - 1), 99]


async def test_one_that_is_unsubscribed_meanwhile_holds_up_nobody() -> None:
    """What waited for it is dropped, and the bus comes to its end."""
    bus, heard, gate = InMemoryEventBus(), list[Event[Any]](), asyncio.Event()
    History().attach(bus)

    async def handler(event: Event[Any]) -> None:
        heard.append(event)
        await gate.wait()

    async with bus:
        await publish(bus, 0, 1)
        bus.subscribe("happened", handler, name=NEW, start="first")
        await until(lambda: heard)
        await publish(bus, 2)
        bus.unsubscribe("happened", handler)
        gate.set()
        await bus.join(PATIENCE)
    assert numbers(heard) == [0]


async def test_a_history_that_is_away_is_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says why nothing comes, and nothing is left out."""
    history, heard, tries = History(), list[Event[Any]](), 0
    bus, page = InMemoryEventBus(), history.store.page

    def failing(which: EventFilter, **options: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise HistoryUnavailableError("the disk is full")
        return page(which, **options)

    history.attach(bus)
    async with bus:
        await publish(bus, 0, 1)
        monkeypatch.setattr(history.store, "page", failing)
        bus.subscribe("happened", heard.append, name=NEW, start="first")
        await bus.join(PATIENCE)
    assert numbers(heard) == [0, 1]
    assert "events for a new subscription wait for the history" in caplog.text


async def test_a_fault_is_in_the_log_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is: live events must not wait without end, and without a word."""
    history, heard, bus = History(), list[Event[Any]](), InMemoryEventBus()
    page, faults = history.store.page, [ZeroDivisionError("a fault")]

    def failing(*args: Any, **options: Any) -> Any:
        if faults:
            raise faults.pop()
        return page(*args, **options)

    history.attach(bus)
    async with bus:
        await publish(bus, 0, 1)
        monkeypatch.setattr(history.store, "page", failing)
        bus.subscribe("happened", heard.append, name=NEW, start="first")
        await bus.join(PATIENCE)
    assert numbers(heard) == [0, 1]
    assert f"{NEW} waits for its old events" in caplog.text


async def test_an_old_event_that_does_not_fit_its_class_any_more_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The subscription begins without it, and goes on with the next."""
    history, heard = History(), list[Event[Any]]()
    bus = InMemoryEventBus()
    history.attach(bus)
    good = RawEvent.of(Event("happened", None, {"n": 1}))
    broken = RawEvent.of(Event("happened", None, {"n": 0}))
    object.__setattr__(broken, "body", b"{")
    history.store.append([broken, good])
    async with bus:
        bus.subscribe("happened", heard.append, name=NEW, start="first")
    assert numbers(heard) == [1]
    assert f"{NEW} starts without an event of the past" in caplog.text


async def test_marks_are_not_recorded() -> None:
    """What is sent through the recorder's queue for its order alone is no event of the history."""
    history, bus = History(), InMemoryEventBus()
    history.attach(bus)
    async with bus:
        await publish(bus, 0)
        bus.subscribe("happened", lambda _: None, name=NEW, start="first")
        await bus.join(PATIENCE)
    assert [each.event.type async for each in history.events()] == ["happened"]
    # A foreign event of that type is one like any other.
    async with bus:
        await bus.publish(Event(MARK, datetime.now().astimezone(), {}))
    assert [each.event.type async for each in history.events()] == ["happened", MARK]
