"""Bursts: events that wait for one async handler and are handed over in one pass."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from qt_events.delivery.retry import Reject, RetryPolicy
from qt_events.events.current import current_event
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus

variable: ContextVar[int] = ContextVar("variable", default=-1)


def event(n: int) -> Event[Any]:
    return Event("unit.burst", None, {"n": n})


class Handler:
    """Handler that remembers its events, and does what it is told to with one of them."""

    def __init__(self, **doings: Callable[[], Any]) -> None:
        self.seen: list[int] = []
        self._doings = {int(name.lstrip("_")): do for name, do in doings.items()}

    async def __call__(self, event: Event[Any]) -> Any:
        n = event.payload["n"]
        self.seen.append(n)
        result = self._doings.get(n, lambda: None)()
        return await result if asyncio.iscoroutine(result) else result


async def handled(bus: InMemoryEventBus, count: int = 8) -> dict[str, Any]:
    """Publish events that wait together, and return the statistics once all have an outcome."""
    async with bus:
        for n in range(count):
            await bus.publish(event(n))
        await bus.join(40)
    return bus.get_stats()


def reject() -> None:
    raise Reject("no")


async def generated() -> AsyncIterator[int]:
    yield 1


async def test_one_that_fails_waits_or_is_slow_does_not_change_the_others() -> None:
    """All are handled in order, and each has the outcome that it would have alone."""
    bus = InMemoryEventBus(slow_after=0.2)
    handler = Handler(
        _1=reject, _3=lambda: asyncio.sleep(0), _5=lambda: time.sleep(0.25), _6=generated
    )
    bus.subscribe("unit.burst", handler, name="burst", retry=RetryPolicy(max_attempts=1))
    stats = await handled(bus)
    assert handler.seen == list(range(8))
    assert {n: stats[n] for n in ("delivered", "dead_letters", "dispatched", "queue_size")} == {
        "delivered": 6,
        "dead_letters": 2,
        "dispatched": 8,
        "queue_size": 0,
    }
    assert stats["blocked"] >= 1


async def test_a_handler_sees_what_was_counted_before_it() -> None:
    """Statistics that a handler asks for have all earlier deliveries."""
    bus = InMemoryEventBus()
    rows: list[tuple[int, int, int]] = []

    def look() -> None:
        stats = bus.get_stats()
        rows.append((stats["delivered"], stats["dispatched"], stats["queue_size"]))

    bus.subscribe("unit.burst", Handler(_5=look))
    await handled(bus)
    assert rows == [(5, 5, 3)]


async def test_an_event_of_two_subscriptions_is_dispatched_once() -> None:
    """It has its outcome when both have, whichever of them is last."""
    bus = InMemoryEventBus()
    for name in ("one", "other"):
        bus.subscribe("unit.burst", Handler(), name=name)
    stats = await handled(bus)
    assert (stats["delivered"], stats["dispatched"]) == (16, 8)


async def test_no_event_sees_the_context_of_another() -> None:
    """What a handler sets is gone with its event; the event being handled is its own."""
    seen: list[tuple[int, int]] = []

    async def handler(event: Event[Any]) -> None:
        current = current_event()
        assert current is event
        seen.append((event.payload["n"], variable.get()))
        variable.set(event.payload["n"])

    bus = InMemoryEventBus()
    bus.subscribe("unit.burst", handler)
    await handled(bus)
    assert seen == [(n, -1) for n in range(8)]


async def test_what_waits_is_filtered_from_the_unsubscribing_on() -> None:
    """A handler that takes its subscription back has none of the events that wait already."""
    bus = InMemoryEventBus()
    handler = Handler(_2=lambda: bus.unsubscribe("unit.burst", handler))
    bus.subscribe("unit.burst", handler)
    stats = await handled(bus)
    assert (handler.seen, stats["filtered"], stats["dispatched"]) == ([0, 1, 2], 5, 8)


async def test_a_task_that_a_handler_cancelled_handles_nothing_more() -> None:
    """The next event is not hit by a cancellation that another one's handler asked for."""
    tasks: list[asyncio.Task[Any] | None] = []

    async def handler(event: Event[Any]) -> None:
        tasks.append(asyncio.current_task())
        if event.payload["n"] == 3:
            tasks[-1].cancel()  # type: ignore[union-attr]

    bus = InMemoryEventBus()
    bus.subscribe("unit.burst", handler)
    stats = await handled(bus)
    assert stats["delivered"] == 8
    assert tasks[0] is tasks[3] is not tasks[4]


async def test_a_burst_lets_the_loop_run() -> None:
    """However many events wait, other tasks have their turn."""
    bus, turns = InMemoryEventBus(), 0
    handler = Handler()

    async def other() -> None:
        nonlocal turns
        while len(handler.seen) < 1_000:
            turns += 1
            await asyncio.sleep(0)

    bus.subscribe("unit.burst", handler)
    for n in range(1_000):
        await bus.publish(event(n))
    async with bus:
        await other()
        await bus.join(40)
    assert turns > 10


async def test_each_attempt_is_logged_where_somebody_wants_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With DEBUG every attempt has its line, also those that wait together."""
    caplog.set_level(logging.DEBUG, "qt_events")
    bus = InMemoryEventBus()
    bus.subscribe("unit.burst", Handler(), name="burst")
    await handled(bus)
    assert caplog.messages.count("burst: attempt 1 done") == 8


async def test_middleware_that_comes_while_events_wait_sees_the_rest() -> None:
    """From the next event on: use() need not wait for the end of a burst."""
    seen: list[int] = []

    class Watching:
        async def around_handle(
            self, event: Event[Any], _subscription: Any, _attempt: int, call_next: Any
        ) -> None:
            seen.append(event.payload["n"])
            await call_next()

    bus = InMemoryEventBus()
    handler = Handler(_1=lambda: bus.use(Watching()))
    bus.subscribe("unit.burst", handler)
    await handled(bus)
    assert seen == list(range(2, 8))
