"""A time of a history once more: a small desk is recorded, then fed again in memory."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qt_events import (
    DecodeError,
    Event,
    EventBus,
    InMemoryEventBus,
    Payload,
    RawEvent,
    RetryPolicy,
    UsageError,
)
from qt_events.history import History, rerun
from tests.support.stored import NOON, raw

#: By the rerun's clock it takes no time.
RETRY = RetryPolicy(max_attempts=3, initial=300.0, jitter=0.0)


class Desk:
    """Answers a quote with an order, which a sync handler answers with a trade."""

    def __init__(self, bus: EventBus, limit: int = 10) -> None:
        self.bus, self.limit = bus, limit
        bus.subscribe("quote", self.on_quote, name="quotes", retry=RETRY)
        bus.subscribe("order", self.on_order, name="orders", retry=RETRY)

    async def on_quote(self, event: Event[Any]) -> None:
        await self.bus.publish(Event("order", None, {"size": event.payload["size"]}))

    def on_order(self, event: Event[Any]) -> None:
        time.sleep(0.001)
        if event.payload["size"] <= self.limit:
            self.bus.publish_sync(Event("trade", None, dict(event.payload)))


def quote(number: int, **more: Any) -> Event[Any]:
    at = NOON + timedelta(minutes=number)
    return Event("quote", at, {"size": number, **more}, id=f"quote-{number}", source="market")


async def recorded(*quotes: Event[Any], app: Callable[[EventBus], object] = Desk) -> History:
    history = History()
    async with InMemoryEventBus() as bus:
        history.attach(bus)
        app(bus)
        for each in quotes:
            await bus.publish(each)
        await bus.join()
    return history


@pytest.fixture
async def day() -> History:
    """History of four quotes, a minute apart."""
    return await recorded(*map(quote, range(1, 5)))


async def test_the_same_app_ends_in_the_same(day: History) -> None:
    found = await rerun(day, Desk)
    assert (found.fed, found.before, found.after, found.differences) == (4, 12, 12, [])


async def test_another_rule_shows_what_differs_first(day: History) -> None:
    found = await rerun(day, lambda bus: Desk(bus, limit=2))
    assert [(each.kind, each.event.type) for each in found.differences] == [
        ("missing", "trade"), ("missing", "trade"),
    ]  # fmt: skip
    assert found.differences[0].causes == ("quote", "order")
    assert b'"size":3' in found.differences[0].event.body.replace(b" ", b"")


async def test_only_the_time_that_is_asked_for(day: History) -> None:
    # What followed has the time of its recording, long after or before the quotes' own.
    quotes = await recorded(*map(quote, range(1, 5)), app=lambda _: None)
    found = await rerun(quotes, Desk, since=quote(2).timestamp, until=quote(4).timestamp)
    assert (found.fed, found.before) == (2, 2)
    assert [each.kind for each in found.differences] == ["added"] * 4


async def test_what_followed_later_than_the_time_belongs_to_it() -> None:
    def later(id: str, type: str, cause: str | None, seconds: int) -> RawEvent:
        at = NOON + timedelta(seconds=seconds)
        return raw(id, type, causation_id=cause, time=at, source="qt_events")

    history = History()
    conversation = [later("o", "order", "q", 2), later("t", "trade", "o", 3)]
    history.store.append(
        [raw("q", "quote", time=NOON), later("other", "quote", None, 1), *conversation]
    )
    found = await rerun(history, Desk, until=NOON + timedelta(seconds=1))
    assert (found.fed, found.before, found.after, found.differences) == (1, 3, 3, [])


async def test_retries_come_at_their_time_between_the_root_events(day: History) -> None:
    """Those of minute 1 after five minutes, with all that is fed before them."""
    heard: list[tuple[str, int]] = []

    def desk(bus: EventBus) -> None:
        tried: set[str] = set()

        async def fails_once(event: Event[Any]) -> None:
            heard.append((event.id, len(tried)))
            if event.id == "quote-1" and event.id not in tried:
                tried.add(event.id)
                raise TimeoutError

        bus.subscribe("quote", fails_once, name="fails_once", retry=RETRY)

    began = time.monotonic()
    found = await rerun(day, desk)
    assert [each for each, _ in heard] == [f"quote-{n}" for n in (1, 2, 3, 4, 1)]
    assert (found.dead_letters, found.unfinished) == ([], 0)
    assert time.monotonic() - began < 60


async def test_what_fails_for_good_is_told(day: History) -> None:
    def desk(bus: EventBus) -> None:
        Desk(bus)
        bus.subscribe("quote", fails, name="fails", retry=RETRY)

    async def fails(_: Event[Any]) -> None:
        raise ValueError("no")

    found = await rerun(day, desk)
    assert found.differences == []
    told = [(each.subscription, each.event_id, each.attempts) for each in found.dead_letters]
    assert told == [("fails", f"quote-{n}", 3) for n in (1, 2, 3, 4)]


async def test_any_number_may_wait_for_the_clock_and_is_told() -> None:
    """More than a list of dead letters shows by default."""
    history = History()
    history.store.append([raw(str(n), "quote") for n in range(1001)])
    retry = RetryPolicy(max_attempts=2, initial=300.0)

    async def fails(_: Event[Any]) -> None:
        raise ValueError("no")

    def desk(bus: EventBus) -> None:
        # Whoever waited for a place would wait for the clock, too.
        assert isinstance(bus, InMemoryEventBus)
        assert bus.max_queue_size > 1_000_000
        bus.subscribe("quote", fails, name="fails", retry=retry)

    found = await rerun(history, desk)
    assert (found.fed, len(found.dead_letters), found.unfinished) == (1001, 1001, 0)


async def _async(bus: EventBus) -> None:
    Desk(bus)


def _generator(bus: EventBus) -> Iterator[None]:
    Desk(bus)
    yield


@asynccontextmanager
async def _async_context(bus: EventBus) -> AsyncIterator[None]:
    Desk(bus)
    yield


@pytest.mark.parametrize("subscribe", [_async, _generator, _async_context])
async def test_a_subscribe_that_does_not_run_is_named(
    day: History, subscribe: Callable[[EventBus], object]
) -> None:
    """Else all would be missing."""
    with pytest.raises(UsageError, match="nothing is subscribed"):
        await rerun(day, subscribe)


async def test_batches_are_handled_by_the_clock(day: History) -> None:
    got: list[int] = []

    async def many(events: list[Event[Any]]) -> None:
        got.append(len(events))

    found = await rerun(
        day, lambda bus: bus.subscribe("#", many, name="many", batch=500, within=0.5)
    )
    # The quotes are a minute apart.
    assert (got, found.unfinished) == ([1, 1, 1, 1], 0)


async def test_a_context_manager_ends_with_the_rerun(day: History) -> None:
    steps: list[str] = []

    @contextmanager
    def subscribe(bus: EventBus) -> Iterator[None]:
        Desk(bus)
        steps.append("begun")
        yield
        steps.append("ended")

    assert (await rerun(day, subscribe)).differences == []
    assert steps == ["begun", "ended"]


async def test_a_root_event_that_no_longer_fits_its_class_is_named() -> None:
    class Other(Payload):
        volume: int

    class OtherEvent(Event[Other], type="rerun.other"): ...

    fits = RawEvent.of(OtherEvent.create(volume=1).replace(id="root-1"))
    history = History()
    history.store.append([replace(fits, body=fits.body.replace(b"1}", b'"x"}'))])
    with pytest.raises(DecodeError, match="OtherEvent: ") as failed:
        await rerun(history, Desk)
    assert "rerun.other root-1" in failed.value.__notes__[0]
