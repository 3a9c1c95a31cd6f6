"""Recording: what is published is kept once, and what cannot be kept now waits."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest

from qt_events import BatchFailed, Event, InMemoryEventBus, RetryPolicy
from qt_events.events.cloudevents import encode
from qt_events.events.raw import RawEvent
from qt_events.history import History, HistoryUnavailableError, RefusedRowError, recorder
from qt_events.history.filters import EventFilter
from qt_events.history.stores.in_memory_store import InMemoryStore
from tests.support.stored import fate, many, raw


class UnreliableStore(InMemoryStore):
    """A store that is away for the first few times, and takes no event of some ids."""

    def __init__(self, *, away: int = 0, refused: Sequence[str] = ()) -> None:
        super().__init__()
        self.tries, self._away, self._refused = 0, away, refused
        self.tried = threading.Event()

    def append(self, events: Sequence[RawEvent]) -> int:
        self.tries += 1
        self.tried.set()
        if self.tries <= self._away:
            raise HistoryUnavailableError("the history is away")
        if any(event.id in self._refused for event in events):
            raise RefusedRowError("the history refuses a value")
        return super().append(events)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "FIRST_WAIT", 0.001)


async def test_what_a_bus_publishes_is_recorded_as_on_the_wire() -> None:
    history = History()
    async with InMemoryEventBus() as bus:
        history.attach(bus)
        events = [Event("recorded.happened", None, {"n": n}) for n in range(1200)]
        for event in events:
            await bus.publish(event)
        await bus.join()
    assert [each.event for each in history.store.page(limit=2000)] == [
        RawEvent.of(event) for event in events
    ]
    assert history.store.page(limit=1)[0].event.body == encode(events[0])
    assert (history.recorder.seen, history.recorder.new) == (1200, 1200)
    await history.close()


async def test_a_bus_records_into_a_database(url: str) -> None:
    history = History(url)
    async with InMemoryEventBus() as bus:
        history.attach(bus)
        for number in range(700):
            await bus.publish(Event("recorded.happened", None, {"n": number}))
        await bus.join()
    assert (await history.stats()).events == 700
    assert await history.count(EventFilter(pattern="recorded.#")) == 700
    await history.close()


async def test_a_redelivered_event_is_no_second_row() -> None:
    history = History()
    await history.recorder.record(many(3))
    await history.recorder.record(many(4))
    assert (history.recorder.seen, history.recorder.new) == (7, 4)


@pytest.mark.usefixtures("impatient")
async def test_events_wait_for_a_store_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """No attempt is used up, and each try says when the next one is."""
    caplog.set_level(logging.WARNING, "qt_events")
    history = History()
    history.store = store = UnreliableStore(away=7)
    history.recorder = recorder.Recorder(store)
    async with InMemoryEventBus() as bus:
        history.attach(bus)
        await bus.publish(Event("recorded.happened"))
        await bus.join()
        assert bus.get_stats()["errors"] == 0
        assert await bus.dead_letters.list("history") == []
    assert (store.tries, store.stats().events) == (8, 1)
    waits = [record.message for record in caplog.records if "next try in" in record.message]
    assert len(waits) == 7
    assert "away" in waits[0]


async def test_a_bus_that_stops_gives_back_what_waits_for_the_store() -> None:
    history = History()
    store = UnreliableStore(away=1000)
    history.recorder = recorder.Recorder(store)
    bus = InMemoryEventBus(grace=0.01)
    history.attach(bus)
    running = asyncio.create_task(bus.run_forever())
    await bus.publish(Event("recorded.happened"))
    assert await asyncio.to_thread(store.tried.wait, 30)
    bus.stop()
    async with asyncio.timeout(30):
        await running
    assert bus.get_stats()["queue_size"] == 1
    assert history.recorder.seen == 0


async def test_only_what_a_store_refuses_fails() -> None:
    store = UnreliableStore(refused=["1", "3"])
    with pytest.raises(BatchFailed) as failed:
        await recorder.Recorder(store).record(many(5))
    assert sorted(failed.value.failures) == [("tests", "1"), ("tests", "3")]
    assert [each.event.id for each in store.page()] == ["0", "2", "4"]


async def test_another_sources_event_with_the_id_of_one_that_is_refused_is_handled(
    url: str,
) -> None:
    history = History(url)
    with pytest.raises(BatchFailed) as failed:
        await history.recorder.record([raw(body=object()), raw(source="elsewhere")])
    assert list(failed.value.failures) == [("tests", "1")]
    assert [each.event.source for each in history.store.page()] == ["elsewhere"]
    await history.close()


async def test_pruning_goes_on_beside_a_recorder(url: str) -> None:
    """Both take their turns; what is new stays."""
    history, other = History(url), History(url)
    await history.recorder.record(many(300))
    old = EventFilter(until=many(300)[-1].time + timedelta(seconds=1))

    async def record() -> None:
        for number in range(10):
            await history.recorder.record(many(30, first=1000 + 30 * number))

    async def prune() -> int:
        removed = 0
        while some := (await other.prune(old, limit=20)).events:
            removed += some
        return removed

    _, removed = await asyncio.gather(record(), prune())
    assert removed == 300
    assert [each.event.id for each in history.store.page()] == [str(n) for n in range(1000, 1300)]
    await history.close()
    await other.close()


async def test_a_fate_that_a_database_refuses_is_left_out_alone(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not keep the recorder waiting: it would be refused for ever."""
    history = History(url)
    wrong = [fate("2", event_type=None), fate("3", attempt=2**70)]
    async with asyncio.timeout(60):
        await history.recorder.record_fates([fate("1"), *wrong, fate("4")])
    assert history.store.fates_of(["1", "2", "3", "4"]) == [fate("1"), fate("4")]
    assert caplog.text.count("a fate is left out") == 2
    await history.close()


async def test_fates_are_recorded_once() -> None:
    history = History()
    await history.recorder.record_fates([fate(), fate()])
    await history.recorder.record([raw()])
    assert history.store.fates_of(["1"]) == [fate()]


async def test_what_becomes_of_events_is_recorded_with_them() -> None:
    """What becomes of the recording itself is not: it would double what is kept."""
    history = History()

    async def fail(event: Event) -> None:
        raise OSError("out of order")

    async with InMemoryEventBus() as bus:
        history.attach(bus)
        policy = RetryPolicy(max_attempts=2, initial=0.01)
        bus.subscribe("recorded.happened", fail, name="failing", retry=policy)
        await bus.publish(event := Event("recorded.happened"))
        await bus.join()
    fates = history.store.fates_of([event.id])
    assert [(each.subscription, each.attempt, each.outcome) for each in fates] == [
        ("failing", 1, "retried"),
        ("failing", 2, "dead"),
    ]
    assert history.store.count() == 1
