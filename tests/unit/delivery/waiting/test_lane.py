"""Lane: events that wait for one subscription."""

import asyncio
import time
from collections.abc import Awaitable
from contextvars import ContextVar, copy_context

import pytest

from qt_events.delivery.waiting.lanes import Lane

variable: ContextVar[str] = ContextVar("variable", default="unset")


class Work:
    """Process that waits for a gate and remembers its items."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self.contexts: list[str] = []
        self.gate = asyncio.Event()
        self.changed = asyncio.Condition()
        self.cancel_itself = False

    async def __call__(self, item: int) -> None:
        self.contexts.append(variable.get())
        variable.set("inside")
        await self._note(self.began, item)
        if self.cancel_itself:
            self.cancel_itself = False
            task = asyncio.current_task()
            assert task
            task.cancel()
            await asyncio.sleep(0)  # where the cancellation arrives
        await self.gate.wait()
        await self._note(self.ended, item)

    async def _note(self, notes: list[int], item: int) -> None:
        async with self.changed:
            notes.append(item)
            self.changed.notify_all()

    async def reaches(self, *, began: int = 0, ended: int = 0) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(
                lambda: len(self.began) >= began and len(self.ended) >= ended
            )


def started(lane: Lane[int]) -> Lane[int]:
    lane.start(asyncio.get_running_loop(), copy_context())
    return lane


async def test_one_at_a_time_in_order() -> None:
    """With concurrency 1 items are processed in order, each after the one before has ended."""
    work = Work()
    lane = started(Lane(1, work))
    for n in range(5):
        lane.push(n)
    await work.reaches(began=1)
    assert (work.began, len(lane), lane.busy, list(lane)) == ([0], 4, 1, [1, 2, 3, 4])
    work.gate.set()
    await work.reaches(ended=5)
    assert work.began == work.ended == [0, 1, 2, 3, 4]
    await lane.settled()
    assert (len(lane), lane.busy) == (0, 0)


async def test_as_many_at_a_time_as_allowed() -> None:
    """With concurrency 3 three are processed at a time."""
    work = Work()
    lane = started(Lane(3, work))
    for n in range(5):
        lane.push(n)
    await work.reaches(began=3)
    assert (len(lane), lane.busy, sorted(work.began)) == (2, 3, [0, 1, 2])
    work.gate.set()
    await work.reaches(ended=5)


async def test_items_pushed_before_the_start_are_processed_after_it() -> None:
    """A lane that has not started keeps its items."""
    work = Work()
    work.gate.set()
    lane: Lane[int] = Lane(2, work)
    for n in range(3):
        lane.push(n)
    assert (len(lane), lane.busy) == (3, 0)
    started(lane)
    await work.reaches(ended=3)


async def test_a_paused_lane_takes_up_nothing_new() -> None:
    """Items being processed go on, the rest waits for the next start."""
    work = Work()
    lane = started(Lane(1, work))
    for n in range(3):
        lane.push(n)
    await work.reaches(began=1)
    lane.pause()
    lane.push(3)
    work.gate.set()
    await lane.settled()
    assert (work.ended, list(lane)) == ([0], [1, 2, 3])
    started(lane)
    await work.reaches(ended=4)
    assert work.ended == [0, 1, 2, 3]


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_cancelled_items_go_back_to_the_head(concurrency: int) -> None:
    """After cancel() all unfinished items wait again, those that had begun first."""
    work = Work()
    lane = started(Lane(concurrency, work))
    for n in range(5):
        lane.push(n)
    await work.reaches(began=concurrency)
    await lane.cancel()
    assert (sorted(list(lane)[:concurrency]), list(lane)[concurrency:]) == (
        work.began,
        list(range(concurrency, 5)),
    )
    assert lane.busy == 0
    work.gate.set()
    started(lane)
    await work.reaches(ended=5)


async def test_clear_takes_the_waiting_items_away() -> None:
    """Items being processed stay."""
    work = Work()
    lane = started(Lane(1, work))
    for n in range(3):
        lane.push(n)
    await work.reaches(began=1)
    assert lane.clear() == [1, 2]
    assert (len(lane), lane.busy) == (0, 1)
    await lane.cancel()


async def test_a_worker_that_was_cancelled_from_inside_is_replaced() -> None:
    """A handler that cancels the task it runs in stops neither the lane nor its own item."""
    work = Work()
    work.cancel_itself = True
    work.gate.set()
    lane = started(Lane(1, work))
    lane.push(0)
    lane.push(1)
    await work.reaches(ended=2)
    assert (work.began, work.ended) == ([0, 0, 1], [0, 1])


async def test_items_see_the_context_of_the_start() -> None:
    """Each worker has a copy of the context given to start(): variables set inside do not leak."""
    work = Work()
    work.gate.set()
    variable.set("of the start")
    lane = started(Lane(2, work))
    variable.set("later")
    lane.push(0)
    await work.reaches(ended=1)
    assert work.contexts == ["of the start"]
    assert variable.get() == "later"


async def test_a_long_queue_lets_the_loop_run() -> None:
    """Processing without waiting gives the rest of the loop a turn now and then."""
    done: list[int] = []

    async def process(item: int) -> None:
        done.append(item)

    lane = started(Lane(1, process))
    for n in range(1000):
        lane.push(n)
    turns = 0
    while len(done) < 1000:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 10
    assert done == list(range(1000))


async def test_it_tells_when_it_is_idle() -> None:
    """It calls once, after the last item, however many workers there were."""
    work, idle = Work(), list[tuple[int, int]]()
    lane: Lane[int] = Lane(2, work, lambda: idle.append((len(lane), lane.busy)))
    started(lane)
    for n in range(3):
        lane.push(n)
    await work.reaches(began=2)
    assert idle == []
    work.gate.set()
    await lane.settled()
    await asyncio.sleep(0)
    assert (sorted(work.ended), idle) == ([0, 1, 2], [(0, 0)])


async def test_an_idle_lane_has_no_task() -> None:
    """When nothing waits there is no worker."""
    work = Work()
    work.gate.set()
    lane = started(Lane(2, work))
    assert lane.busy == 0
    lane.push(0)
    await work.reaches(ended=1)
    await lane.settled()
    assert lane.busy == 0


async def test_an_item_processed_at_once_is_not_awaited() -> None:
    """A process returns None if it is done, else an awaitable that comes before the next item."""
    done: list[int] = []

    async def later(item: int) -> None:
        await asyncio.sleep(0)
        done.append(item)

    def process(item: int) -> Awaitable[None] | None:
        if item % 2:
            return later(item)
        done.append(item)
        return None

    lane = started(Lane(1, process))
    for n in range(6):
        lane.push(n)
    await lane.settled()
    assert done == list(range(6))


async def test_a_blocking_process_lets_the_loop_run_after_each_item() -> None:
    """Heartbeats and acknowledgements wait for one handler, not for eight."""
    turns: list[int] = []

    def process(item: int) -> None:
        time.sleep(0.006)  # a turn is 5 ms
        asyncio.get_running_loop().call_soon(turns.append, item)

    lane = started(Lane(1, process))
    for n in range(3):
        lane.push(n)
    await asyncio.sleep(0)
    assert (turns, len(lane)) == ([], 2)
    await asyncio.sleep(0)
    assert (turns, len(lane)) == ([0], 1)


async def test_an_item_that_cancels_its_task_does_not_cancel_the_next() -> None:
    """A cancellation that comes late, or is never taken back, is not the next item's."""
    began, done = list[int](), list[int]()

    async def process(item: int) -> None:
        began.append(item)
        task = asyncio.current_task()
        assert task
        if item == 0:
            task.cancel()
            return
        await asyncio.sleep(0)
        done.append(item)

    lane = started(Lane(1, process))
    for n in range(3):
        lane.push(n)
    await lane.settled()
    assert (began, done) == ([0, 1, 2], [1, 2])
