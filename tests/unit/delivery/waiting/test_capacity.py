"""Capacity: the number of events that a bus may hold, and the line for a place."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from qt_events.delivery.waiting.capacity import Capacity


async def waiting(room: Capacity, *names: str, let_in: list[str]) -> list[asyncio.Task[None]]:
    """Make tasks that wait in this order, and note their names once they have a place."""

    async def enter(name: str) -> None:
        await room.enter(5)
        let_in.append(name)

    tasks = [asyncio.create_task(enter(name)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_first_come_first_served() -> None:
    """Each place that becomes free goes to the head of the line."""
    room, let_in = Capacity(1), list[str]()
    await room.enter(5)
    tasks = await waiting(room, "a", "b", "c", let_in=let_in)
    for n in range(1, 4):
        room.leave()
        await tasks[n - 1]
        assert (let_in, room.taken) == (["a", "b", "c"][:n], 1)


async def test_a_place_is_taken_when_it_is_given() -> None:
    """A place is taken from the moment it is given, not when its owner wakes up."""
    room, let_in = Capacity(1), list[str]()
    await room.enter(5)
    [task] = await waiting(room, "a", let_in=let_in)
    room.leave()
    with pytest.raises(TimeoutError):
        room.enter_blocking(0)
    await task
    assert room.taken == 1


async def test_places_given_back_together_let_as_many_in() -> None:
    """Some were one too many: nobody gets those."""
    room, let_in = Capacity(3), list[str]()
    for _ in range(5):
        room.enter_at_once(anyway=True)
    tasks = await waiting(room, "a", "b", let_in=let_in)
    room.leave_together(2)
    assert (room.taken, let_in) == (3, [])
    room.leave_together(3)
    await asyncio.gather(*tasks)
    assert (room.taken, let_in) == (2, ["a", "b"])
    emptied = asyncio.create_task(room.emptied(5))
    await asyncio.sleep(0)
    room.leave_together(2)
    assert await emptied
    assert [room.enter_at_once() for _ in range(4)] == [True, True, True, False]


async def test_a_cancelled_waiter_takes_no_place() -> None:
    """The next one in line gets it, also if it had been given already."""
    room, let_in = Capacity(1), list[str]()
    await room.enter(5)
    first, second, third = await waiting(room, "a", "b", "c", let_in=let_in)
    second.cancel()
    room.leave()  # lets the first in, who does not know yet
    first.cancel()
    await asyncio.wait_for(third, 5)
    assert (let_in, room.taken) == (["c"], 1)


async def test_enter_times_out() -> None:
    """A waiter that has given up is not counted."""
    room = Capacity(1)
    await room.enter(5)
    with pytest.raises(TimeoutError):
        await room.enter(0.01)
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(room.enter_blocking, 0.01)
    room.leave()
    assert room.taken == 0


async def test_entering_anyway_exceeds_the_size() -> None:
    """The line waits until fewer places are taken than there are."""
    room, let_in = Capacity(1), list[str]()
    await room.enter(5)
    assert room.enter_at_once(anyway=True)
    [task] = await waiting(room, "a", let_in=let_in)
    room.leave()
    assert (room.taken, let_in) == (1, [])
    room.leave()
    await task
    assert room.taken == 1


async def test_emptied_waits_for_the_last_place() -> None:
    """emptied() is true once no place is taken, false after stop_waiting(), and times out."""
    room = Capacity(2)
    assert await room.emptied(None)
    await room.enter(5)
    with pytest.raises(TimeoutError):
        await room.emptied(0.01)
    hoping = [asyncio.create_task(room.emptied(5)) for _ in range(2)]
    await asyncio.sleep(0)
    room.leave()
    assert await asyncio.gather(*hoping) == [True, True]
    await room.enter(5)
    hoping = [asyncio.create_task(room.emptied(5))]
    await asyncio.sleep(0)
    room.stop_waiting()
    assert await hoping[0] is False


def test_threads_never_exceed_the_size() -> None:
    """Places stay as many as there are, and at last all are free."""
    room, most, lock = Capacity(3), 0, threading.Lock()

    def visit(_: int) -> None:
        nonlocal most
        room.enter_blocking(10)
        with lock:
            most = max(most, room.taken)
        room.leave()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(visit, range(400)))
    assert (room.taken, 1 <= most <= 3) == (0, True)


async def test_late_waiters_are_reported_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten waiters make one report in ten seconds; who left the line is not late."""
    monkeypatch.setattr("qt_events.delivery.waiting.capacity.LATE", 0.01)
    reports: list[int] = []

    def slowest() -> str:
        reports.append(room.late)
        return "the slowest"

    room = Capacity(1)
    room.slowest = slowest
    await room.enter(5)
    waiting = [asyncio.create_task(room.enter(0.1)) for _ in range(10)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, TimeoutError) for each in results)
    assert (len(reports), reports[0] > 0, room.late) == (1, True, 0)
