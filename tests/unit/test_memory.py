"""InMemoryEventBus: what the contract suite does not look into. The contract itself is in tests/contract."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from unittest.mock import AsyncMock

import pytest

from qt_events.bus import EventBus
from qt_events.errors import (
    BackpressureError,
    BusStateError,
    InvalidOptionError,
    UnknownSubscriptionError,
    UnroutableError,
)
from qt_events.events import Event
from qt_events.memory import InMemoryEventBus
from qt_events.retry import RetryLater, RetryPolicy
from qt_events.testing.clock import ManualClock

ONCE = RetryPolicy(max_attempts=1)


def event(n: int = 0, event_type: str = "unit.memory") -> Event[Any]:
    return Event(event_type, None, {"n": n})


class Gate:
    """A handler that waits until it is opened; remembers what began and what ended."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self._open = asyncio.Event()
        self._changed = asyncio.Condition()

    async def __call__(self, event: Event[Any]) -> None:
        await self._note(self.began, event)
        await self._open.wait()
        await self._note(self.ended, event)

    async def _note(self, notes: list[int], event: Event[Any]) -> None:
        async with self._changed:
            notes.append(event.payload["n"])
            self._changed.notify_all()

    def open(self) -> None:
        self._open.set()

    async def reaches(self, *, began: int = 0, ended: int = 0) -> None:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.began) >= began and len(self.ended) >= ended)


async def run(bus: InMemoryEventBus) -> asyncio.Task[None]:
    task = asyncio.create_task(bus.run_forever())
    await asyncio.sleep(0)
    return task


async def end(bus: InMemoryEventBus, task: asyncio.Task[None]) -> None:
    bus.stop()
    await task


# Made


def test_it_is_an_event_bus() -> None:
    """InMemoryEventBus fulfils the Protocol."""
    assert isinstance(InMemoryEventBus(), EventBus)


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_queue_size": 0},
        {"max_queue_size": True},
        {"max_queue_size": 1.5},
        {"max_workers": 0},
        {"publish_timeout": 0},
        {"publish_timeout": float("inf")},
        {"grace": -1},
        {"slow_after": "1"},
    ],
)
def test_a_limit_out_of_its_range_is_refused_by_name(arguments: dict[str, Any]) -> None:
    """Each limit is checked where it is given."""
    with pytest.raises(InvalidOptionError, match=next(iter(arguments))):
        InMemoryEventBus(**arguments)


def test_lambdas_get_a_name_with_a_number() -> None:
    """Nothing outlives the process here, so a handler without a name may have a made-up one."""
    bus = InMemoryEventBus()
    first, second = bus.subscribe("a", lambda _: None), bus.subscribe("a", lambda _: None)
    assert first.name != second.name


def test_event_types_and_handlers_are_counted() -> None:
    """`handler_types` counts distinct patterns, `total_handlers` subscriptions."""
    bus = InMemoryEventBus()
    bus.subscribe("a", AsyncMock(), name="x")
    bus.subscribe("a", AsyncMock(), name="y")
    handler = AsyncMock()
    bus.subscribe("b", handler, name="z")
    bus.subscribe("a", handler, name="z")
    stats = bus.get_stats()
    assert (stats["handler_types"], stats["total_handlers"]) == (2, 3)


# Backpressure


async def test_a_bus_that_does_not_run_holds_so_many_and_no_more() -> None:
    """Events published before run_forever() wait; one too many is a BackpressureError after publish_timeout."""
    bus, gate = InMemoryEventBus(2, publish_timeout=0.05), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    await bus.publish(event(0))
    await bus.publish(event(1))
    with pytest.raises(
        BackpressureError, match=r"0\.05 s: 2 events are held \(max_queue_size=2\).*'gate' with 2 events"
    ):
        await bus.publish(event(2))
    with pytest.raises(BackpressureError, match="not running"):
        await asyncio.to_thread(bus.publish_sync, event(2))
    gate.open()
    async with bus:
        await bus.join(5)
    assert gate.ended == [0, 1]


async def test_the_slowest_subscription_is_named() -> None:
    """The one with the most events to go, not the one that was made first."""
    bus, slow, quick = InMemoryEventBus(3, publish_timeout=0.05), Gate(), Gate()
    bus.subscribe("unit.memory", quick, name="quick")
    bus.subscribe("unit.memory", slow, name="slow")
    quick.open()
    task = await run(bus)
    for n in range(3):
        await bus.publish(event(n))
    await quick.reaches(ended=3)
    with pytest.raises(BackpressureError, match="'slow'"):
        await bus.publish(event(3))
    slow.open()
    await bus.join(5)
    await end(bus, task)


async def test_unroutable_events_take_no_room() -> None:
    """What reaches nobody is not held."""
    bus = InMemoryEventBus(1)
    for n in range(3):
        await bus.publish(event(n))
    assert bus.get_stats()["queue_size"] == 0


async def test_many_publishers_never_exceed_the_bound() -> None:
    """However many publish at once, the bus holds `max_queue_size` events at most, each publisher's in order."""
    bus = InMemoryEventBus(3)
    sizes: list[int] = []
    order: list[int] = []

    async def handler(event: Event[Any]) -> None:
        sizes.append(bus.get_stats()["queue_size"])
        order.append(event.payload["n"])
        await asyncio.sleep(0)

    bus.subscribe("unit.memory", handler, name="handler")

    async def publish(first: int) -> None:
        for n in range(10):
            await bus.publish(event(first + n))
            sizes.append(bus.get_stats()["queue_size"])

    async with bus:
        await asyncio.gather(*(publish(100 * p) for p in range(8)))
    assert len(order) == 80
    assert max(sizes) == 3
    for publisher in range(8):
        assert [n for n in order if n // 100 == publisher] == [100 * publisher + n for n in range(10)]


async def test_a_cancelled_publish_gives_its_turn_to_the_next() -> None:
    """Room that was meant for a publisher that has gone goes to the one behind it."""
    bus, gate = InMemoryEventBus(1), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    task = await run(bus)
    await bus.publish(event(0))
    waiting = [asyncio.create_task(bus.publish(event(n))) for n in (1, 2)]
    await gate.reaches(began=1)
    waiting[0].cancel()
    gate.open()
    async with asyncio.timeout(5):
        await waiting[1]
        await bus.join()
    assert gate.ended == [0, 2]
    await end(bus, task)


async def test_a_waiting_retry_is_held() -> None:
    """An event that waits for its retry counts in queue_size."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    handler = AsyncMock(side_effect=[OSError, None])
    bus.subscribe("unit.memory", handler, name="flaky")
    task = await run(bus)
    await bus.publish(event())
    await clock.advance(0.9)
    assert (handler.await_count, bus.get_stats()["queue_size"], clock.due != []) == (1, 1, True)
    await clock.advance(0.3)
    assert (handler.await_count, bus.get_stats()["queue_size"], clock.due) == (2, 0, [])
    await end(bus, task)


# The clock


async def test_backoff_runs_on_the_clock() -> None:
    """Attempts happen when the policy says, to the moment, however long that is."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    times: list[float] = []

    async def failing(event: Event[Any]) -> None:
        times.append(clock.time())
        message = "never"
        raise OSError(message)

    bus.subscribe(
        "unit.memory",
        failing,
        retry=RetryPolicy(max_attempts=5, initial=10, factor=3, max_delay=60, jitter=0),
        name="f",
    )
    async with bus:
        await bus.publish(event())
        await clock.advance(0)
        assert (times, clock.due) == ([0.0], [10.0])
        await clock.advance(9.99)
        assert times == [0.0]
        await clock.advance(1000)
    assert times == [0.0, 10.0, 40.0, 100.0, 160.0]
    [letter] = await bus.dead_letters.list()
    assert (letter.attempts, letter.reason) == (5, "exhausted")


async def test_a_handlers_own_delay_runs_on_the_clock() -> None:
    """RetryLater is obeyed to the moment."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    handler = AsyncMock(side_effect=[RetryLater(3600), None])
    bus.subscribe("unit.memory", handler, name="later")
    async with bus:
        await bus.publish(event())
        await clock.advance(3599)
        assert handler.await_count == 1
        await clock.advance(1)
        assert handler.await_count == 2


async def test_a_manual_clock_runs_what_is_due_in_order() -> None:
    """Each callback sees the time it was due at; what it schedules runs too; cancelled ones do not."""
    clock, seen = ManualClock(), []

    def note(name: str) -> Callable[[], None]:
        return lambda: seen.append((name, clock.time()))

    clock.call_later(2, note("second"))

    def schedule_third() -> None:
        clock.call_later(2, note("third"))

    clock.call_later(1, schedule_third)
    cancelled = clock.call_later(1.5, note("cancelled"))
    clock.call_later(2, note("second too"))
    clock.call_later(9, note("late"))
    cancelled.cancel()
    await clock.advance(5)
    assert seen == [("second", 2.0), ("second too", 2.0), ("third", 3.0)]
    assert (clock.time(), clock.due) == (5.0, [9.0])


# Run, stop, run again


async def test_cancelling_gives_back_what_was_being_handled() -> None:
    """run_forever() that is cancelled loses nothing: the next one handles what had no outcome, first things first."""
    bus, gate = InMemoryEventBus(), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    task = await run(bus)
    for n in range(3):
        await bus.publish(event(n))
    await gate.reaches(began=1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bus.get_stats()["queue_size"] == 3
    gate.open()
    async with bus:
        pass
    assert (gate.began, gate.ended) == ([0, 0, 1, 2], [0, 1, 2])


async def test_after_the_grace_period_the_rest_is_given_back() -> None:
    """stop() waits for what is held, at most `grace` seconds; what is unfinished then is handled after a restart."""
    bus, gate = InMemoryEventBus(grace=0.05), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    task = await run(bus)
    await bus.publish(event(0))
    await gate.reaches(began=1)
    await end(bus, task)
    assert (gate.ended, bus.get_stats()["queue_size"]) == ([], 1)
    gate.open()
    async with bus:
        pass
    assert gate.ended == [0]


async def test_a_retry_that_waits_does_not_hold_up_a_stop() -> None:
    """stop() does not wait for retries; after a restart they come when they are due, at once if that has passed."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    handler = AsyncMock(side_effect=[OSError, None])
    bus.subscribe("unit.memory", handler, name="flaky")
    task = await run(bus)
    await bus.publish(event())
    await clock.advance(0)
    async with asyncio.timeout(5):
        await end(bus, task)
    await clock.advance(100)
    assert handler.await_count == 1
    task = await run(bus)
    await clock.advance(0)
    assert handler.await_count == 2
    await end(bus, task)


def test_a_bus_may_run_on_one_loop_after_another() -> None:
    """Events that wait when a loop ends are handled on the next one."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("unit.memory", handler, name="handler")

    async def publish_only() -> None:
        await bus.publish(event())

    async def deliver() -> None:
        async with bus:
            pass

    asyncio.run(publish_only())
    asyncio.run(deliver())
    asyncio.run(publish_only())
    asyncio.run(deliver())
    assert handler.await_count == 2


async def test_a_stop_before_run_forever_has_begun_is_kept_for_it() -> None:
    """create_task(bus.run_forever()) and stop() at once: it delivers what is queued, and returns."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("a.b", handler)
    running = asyncio.create_task(bus.run_forever())
    await bus.publish(Event("a.b"))
    bus.stop()
    async with asyncio.timeout(5):
        await running
    assert handler.await_count == 1


async def test_a_sync_handler_that_never_ends_does_not_keep_the_process() -> None:
    """Its thread is a daemon: the program ends when it wants to."""
    program = (
        "import asyncio, time\n"
        "from qt_events import Event, InMemoryEventBus\n"
        "async def main():\n"
        "    bus = InMemoryEventBus(grace=0.1)\n"
        "    bus.subscribe('a.b', lambda event: time.sleep(600), name='hang')\n"
        "    task = asyncio.create_task(bus.run_forever())\n"
        "    await bus.publish(Event('a.b'))\n"
        "    await asyncio.sleep(0)\n"
        "    bus.stop()\n"
        "    await task\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    async with asyncio.timeout(30):
        assert await process.wait() == 0


async def test_a_stop_from_before_does_not_end_what_async_with_begins() -> None:
    """stop() before and after running is harmless, and does not stop the next run."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("unit.memory", handler, name="handler")
    bus.stop()
    async with bus:
        await bus.publish(event())
    bus.stop()
    assert handler.await_count == 1


async def test_a_stop_from_another_thread_ends_it() -> None:
    """stop() may be called from any thread."""
    bus = InMemoryEventBus()
    task = await run(bus)
    await asyncio.to_thread(bus.stop)
    async with asyncio.timeout(5):
        await task


async def test_a_handler_may_stop_the_bus() -> None:
    """stop() inside a handler ends the bus after that handler."""
    bus = InMemoryEventBus()
    bus.subscribe("unit.memory", lambda _: bus.stop(), name="stopper")
    task = await run(bus)
    await bus.publish(event())
    async with asyncio.timeout(5):
        await task
    assert bus.get_stats()["dispatched"] == 1


async def test_an_error_inside_async_with_is_not_waited_for() -> None:
    """`async with` that is left by an exception stops without waiting for retries, and lets the exception through."""
    bus = InMemoryEventBus(clock=ManualClock())
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")

    async def leave_by_an_error() -> None:
        async with asyncio.timeout(5), bus:
            await bus.publish(event())
            message = "of the caller"
            raise LookupError(message)

    with pytest.raises(LookupError):
        await leave_by_an_error()


async def test_leaving_async_with_is_bounded_by_the_grace_period() -> None:
    """A retry that is due later than `grace` does not keep `async with` from ending; the event stays held."""
    bus = InMemoryEventBus(grace=0.05, clock=ManualClock())
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")
    async with asyncio.timeout(5):
        async with bus:
            await bus.publish(event())
    assert bus.get_stats()["queue_size"] == 1


# Join


async def test_join_on_a_bus_that_does_not_run_is_an_error() -> None:
    """join() with events that nobody will deliver would wait for ever; without any it returns."""
    bus = InMemoryEventBus()
    await bus.join()
    bus.subscribe("unit.memory", AsyncMock(), name="handler")
    await bus.publish(event())
    with pytest.raises(BusStateError, match="run_forever"):
        await bus.join()


async def test_join_waits_for_a_run_forever_made_just_before() -> None:
    """create_task(run_forever()) and join() at once is fine."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("unit.memory", handler, name="handler")
    await bus.publish(event())
    task = asyncio.create_task(bus.run_forever())
    await bus.join(5)
    assert handler.await_count == 1
    await end(bus, task)


async def test_join_says_what_it_waited_for() -> None:
    """The TimeoutError tells how many events are open and how many of them wait for a retry."""
    bus = InMemoryEventBus(clock=ManualClock(), grace=0.05)
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")
    task = await run(bus)
    await bus.publish(event())
    with pytest.raises(TimeoutError, match="1 events have no outcome; 1 wait for a retry"):
        await bus.join(0.05)
    await end(bus, task)


async def test_join_ends_with_the_bus() -> None:
    """When the bus stops with work unfinished, whoever joins is told instead of waiting for ever."""
    bus = InMemoryEventBus(clock=ManualClock())
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")
    task = await run(bus)
    await bus.publish(event())
    joining = asyncio.create_task(bus.join())
    await asyncio.sleep(0)
    await end(bus, task)
    async with asyncio.timeout(5):
        with pytest.raises(BusStateError, match="stopped"):
            await joining


async def test_several_may_join() -> None:
    """Everyone who joins returns."""
    bus, gate = InMemoryEventBus(), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    async with bus:
        await bus.publish(event())
        joining = [asyncio.create_task(bus.join()) for _ in range(3)]
        await gate.reaches(began=1)
        assert not any(task.done() for task in joining)
        gate.open()
        async with asyncio.timeout(5):
            await asyncio.gather(*joining)


# Threads and loops


async def test_publishing_from_another_loop() -> None:
    """publish() works on any loop; the handler runs on the bus's own."""
    bus, threads = InMemoryEventBus(), []

    async def handler(event: Event[Any]) -> None:
        threads.append(threading.get_ident())

    bus.subscribe("unit.memory", handler, name="handler")
    async with bus:
        await asyncio.to_thread(lambda: asyncio.run(bus.publish(event())))
        await bus.join(5)
    assert threads == [threading.get_ident()]


async def test_errors_of_a_publish_from_another_loop_come_back_to_it() -> None:
    """UnroutableError reaches the thread that published."""
    async with InMemoryEventBus() as bus:
        with pytest.raises(UnroutableError):
            await asyncio.to_thread(lambda: asyncio.run(bus.publish(event(), mandatory=True)))
        with pytest.raises(UnroutableError):
            await asyncio.to_thread(bus.publish_sync, event(), mandatory=True)


def test_threads_publish_while_the_bus_starts_and_stops() -> None:
    """Whatever threads publish, before it runs, while it does, and after: nothing is lost or counted twice."""
    bus, heard = InMemoryEventBus(), list[int]()
    bus.subscribe("unit.memory", lambda event: heard.append(event.payload["n"]), name="handler")

    def publish(first: int) -> None:
        for n in range(first, first + 100):
            bus.publish_sync(event(n))

    async def start_and_stop() -> None:
        for _ in range(5):
            await end(bus, await run(bus))
        task = await run(bus)
        await asyncio.gather(*publishing)
        await bus.join(20)
        await end(bus, task)

    async def begin() -> None:
        publishing.extend(asyncio.create_task(asyncio.to_thread(publish, 1000 * thread)) for thread in range(4))
        await start_and_stop()

    publishing: list[asyncio.Task[None]] = []
    publish(9000)
    asyncio.run(begin())
    assert sorted(heard) == [1000 * thread + n for thread in (0, 1, 2, 3, 9) for n in range(100)]
    for thread in (0, 1, 2, 3, 9):  # each publisher's in order
        assert [n for n in heard if n // 1000 == thread] == sorted(n for n in heard if n // 1000 == thread)
    stats = bus.get_stats()
    assert (stats["published"], stats["dispatched"], stats["queue_size"]) == (500, 500, 0)


async def test_a_thread_waits_for_room_like_everybody() -> None:
    """publish_sync() on a full bus that runs waits in line, at most publish_timeout."""
    bus, gate = InMemoryEventBus(1, publish_timeout=0.05), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    async with bus:
        await bus.publish(event(0))
        await gate.reaches(began=1)
        with pytest.raises(BackpressureError, match=r"no room for 0\.05 s.*'gate'"):
            await asyncio.to_thread(bus.publish_sync, event(1))
        bus.publish_timeout = 5
        publishing = asyncio.create_task(asyncio.to_thread(bus.publish_sync, event(2)))
        gate.open()
        await publishing
    assert gate.ended == [0, 2]


async def test_sync_handlers_share_max_workers_threads() -> None:
    """As many sync handlers run at a time as there are workers."""
    bus = InMemoryEventBus(max_workers=2)
    running, most, lock = 0, 0, threading.Lock()

    def handler(event: Event[Any]) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    bus.subscribe("unit.memory", handler, name="sync", concurrency=10)
    async with bus:
        for n in range(10):
            await bus.publish(event(n))
    assert most == 2


variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_handlers_see_the_context_of_run_forever() -> None:
    """Context variables set before run_forever() are seen by handlers; the publisher's are not."""
    bus, seen = InMemoryEventBus(), []

    async def handler(event: Event[Any]) -> None:
        seen.append(variable.get())

    bus.subscribe("unit.memory", handler, name="handler")
    variable.set("of the bus")
    async with bus:
        variable.set("of the publisher")
        await bus.publish(event())
    assert seen == ["of the bus"]


# Unsubscribe


async def test_what_waits_for_a_removed_pattern_is_filtered() -> None:
    """After unsubscribe() nothing more is handled; what waited has an outcome all the same."""
    bus, gate = InMemoryEventBus(), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    async with bus:
        for n in range(3):
            await bus.publish(event(n))
        await gate.reaches(began=1)
        bus.unsubscribe("unit.memory", gate)
        gate.open()
    assert (gate.ended, bus.get_stats()["filtered"], bus.get_stats()["dispatched"]) == ([0], 2, 3)


async def test_subscriptions_that_come_and_go_leave_nothing() -> None:
    """Ten thousand lambdas, each gone after its event, cost no memory: what waited for one is counted as filtered."""
    bus = InMemoryEventBus()
    lanes = bus._lanes._lanes  # noqa: SLF001
    async with bus:
        for n in range(100):
            handler = AsyncMock(side_effect=OSError if n % 2 else None)
            bus.subscribe("unit.memory", handler, retry=RetryPolicy(initial=0.001))
            await bus.publish(event(n))
            bus.unsubscribe("unit.memory", handler)
        await bus.join(5)
        await asyncio.sleep(0)
        assert len(lanes) == 0
        handler = AsyncMock()
        bus.subscribe("unit.memory", handler)
        await bus.publish(event())
        await bus.join(5)
        await asyncio.sleep(0)
        assert len(lanes) == 1
        bus.unsubscribe("unit.memory", handler)
        assert len(lanes) == 0
    assert bus.get_stats()["filtered"] == 100


async def test_what_waits_for_its_retry_is_filtered_too() -> None:
    """A retry of a subscription that is gone ends without a call."""
    clock = ManualClock()
    bus, handler = InMemoryEventBus(clock=clock), AsyncMock(side_effect=OSError)
    bus.subscribe("unit.memory", handler, name="flaky")
    async with bus:
        await bus.publish(event())
        await clock.advance(0)
        bus.unsubscribe("unit.memory", handler)
        await clock.advance(10)
    stats = bus.get_stats()
    assert (handler.await_count, stats["filtered"], stats["dispatched"]) == (1, 1, 1)


async def test_a_name_may_be_taken_again_with_other_options() -> None:
    """After unsubscribe() the name is free, and the new subscription's concurrency holds."""
    bus, gate = InMemoryEventBus(), Gate()
    first = AsyncMock()
    bus.subscribe("unit.memory", first, name="taken")
    async with bus:
        bus.unsubscribe("unit.memory", first)
        bus.subscribe("unit.memory", gate, name="taken", concurrency=3)
        for n in range(3):
            await bus.publish(event(n))
        await gate.reaches(began=3)
        gate.open()
    first.assert_not_called()


# Dead letters


async def test_a_dead_letter_goes_back_to_whoever_has_the_name_now() -> None:
    """The name is a subscription's identity: a mended handler under the same name gets what the broken one left."""
    bus, mended = InMemoryEventBus(), AsyncMock()
    broken = AsyncMock(side_effect=OSError)
    bus.subscribe("unit.memory", broken, name="ledger", retry=ONCE)
    async with bus:
        await bus.publish(event())
        await bus.join(5)
        [letter] = await bus.dead_letters.list()
        bus.unsubscribe("unit.memory", broken)
        with pytest.raises(UnknownSubscriptionError, match="ledger"):
            await bus.dead_letters.retry(letter.id)
        assert await bus.dead_letters.list() == [letter]
        bus.subscribe("unit.memory", mended, name="ledger")
        await bus.dead_letters.retry(letter.id)
        await bus.join(5)
    assert mended.await_count == 1
    assert await bus.dead_letters.list() == []


async def test_dead_letters_are_listed_by_subscription() -> None:
    """list() shows all; list(name) one subscription's; retry_all() sends only those back."""
    bus = InMemoryEventBus()
    handlers = {name: AsyncMock(side_effect=OSError) for name in ("a", "b")}
    for name, handler in handlers.items():
        bus.subscribe("unit.memory", handler, name=name, retry=ONCE)
    async with bus:
        await bus.publish(event())
        await bus.join(5)
        assert {letter.subscription for letter in await bus.dead_letters.list()} == {"a", "b"}
        assert [letter.subscription for letter in await bus.dead_letters.list("a")] == ["a"]
        assert await bus.dead_letters.retry_all("a") == 1
        await bus.join(5)
    assert (handlers["a"].await_count, handlers["b"].await_count) == (2, 1)


async def test_ten_thousand_idle_subscriptions_have_no_tasks() -> None:
    """A subscription costs something only while it has events."""
    bus = InMemoryEventBus()
    for n in range(10_000):
        bus.subscribe(f"idle.s{n}", _handler(n), name=f"s{n}")
    before = len(asyncio.all_tasks())
    async with bus:
        await bus.publish(event(0, "idle.s5"))
        await bus.join(5)
        assert len(asyncio.all_tasks()) <= before + 2
    assert bus.get_stats()["delivered"] == 1


def _handler(_n: int) -> Any:
    async def handler(event: Event[Any]) -> None: ...

    return handler


async def test_who_publishes_in_a_loop_lets_the_loop_run() -> None:
    """A task that publishes and waits for nothing else does not fill the room before the first event is handled."""
    held: list[int] = []
    async with InMemoryEventBus() as bus:
        bus.subscribe("unit.memory", AsyncMock())
        for n in range(1000):
            await bus.publish(event(n))
            held.append(bus.get_stats()["queue_size"])
        await bus.join(5)
    assert max(held) < 200
    assert bus.get_stats()["dispatched"] == 1000


async def test_what_each_thread_counts_is_in_the_statistics() -> None:
    """Published from the bus's own thread or from another, heard by one, by several or by nobody: counted once."""
    async with InMemoryEventBus() as bus:
        for n in range(2):
            bus.subscribe("unit.several", AsyncMock(), name=f"s{n}")
        bus.subscribe("unit.one", AsyncMock(), name="one")
        for event_type in ("unit.one", "unit.several", "unit.none"):
            await bus.publish(event(0, event_type))
            await asyncio.to_thread(bus.publish_sync, event(1, event_type))
        await bus.join(5)
        stats = bus.get_stats()
    assert [stats[key] for key in ("published", "dispatched", "delivered", "unroutable")] == [6, 4, 6, 2]
    assert stats["by_type"]["unit.one"]["published"] == stats["by_subscription"]["one"]["delivered"] == 2
