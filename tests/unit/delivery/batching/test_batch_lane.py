"""BatchLane: items that are gathered, and batches of them."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from qt_events.delivery.batching import batch_lane
from qt_events.delivery.batching.batch_lane import BatchLane, ProcessBatch
from qt_events.delivery.ending import UnjudgedError
from qt_events.testing.clock import ManualClock
from tests.support.waiting import until
from tests.unit.delivery.samples import subscription

LONG = 30.0


class Work:
    """Process that records its batches, waits for a gate, and raises what it is told to, once."""

    def __init__(self, *errors: BaseException) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._errors = list(errors)

    async def __call__(self, batch: list[int]) -> None:
        self.batches.append(batch)
        await self.gate.wait()
        if self._errors:
            raise self._errors.pop()


def lane_of(
    work: ProcessBatch[int], admit: Callable[[int], Any] = bool, **options: Any
) -> BatchLane[int]:
    """Return a lane that runs, for batches of three unless told otherwise."""
    numbers = {"batch": 3, "within": LONG, **options}
    clock, size_of = numbers.pop("clock", None), numbers.pop("size_of", None)
    served = subscription(print, **numbers)
    lane = BatchLane(served, admit, work, clock=clock, size_of=size_of)
    lane.start(asyncio.get_running_loop(), copy_context())
    return lane


def push(lane: BatchLane[int], *items: int) -> None:
    for item in items:
        lane.push(item)


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_full_batches_are_processed_at_once_in_order() -> None:
    """What is left waits until its time is over."""
    work, clock = Work(), ManualClock()
    lane = lane_of(work, clock=clock)
    push(lane, *range(1, 8))
    await turns()
    assert (work.batches, list(lane), lane.to_do) == ([[1, 2, 3], [4, 5, 6]], [7], 1)
    assert clock.due == [LONG]
    await clock.advance(LONG)
    assert (work.batches[2:], lane.to_do, clock.due) == ([[7]], 0, [])


async def test_the_time_of_a_batch_begins_with_its_first_item() -> None:
    """Later ones do not put it off."""
    work, clock = Work(), ManualClock()
    lane = lane_of(work, clock=clock)
    push(lane, 1)
    await clock.advance(LONG / 2)
    push(lane, 2)
    await turns()
    await clock.advance(LONG / 2)
    assert work.batches == [[1, 2]]


async def test_without_time_it_takes_what_is_there() -> None:
    """`within=0` waits for nothing."""
    work = Work()
    lane = lane_of(work, within=0)
    push(lane, 1, 2)
    await turns()
    assert work.batches == [[1, 2]]


async def test_a_batch_is_gathered_while_others_are_processed() -> None:
    """As many as `concurrency` at a time. One that is due meanwhile follows at once."""
    work, clock = Work(), ManualClock()
    work.gate.clear()
    lane = lane_of(work, concurrency=2, clock=clock)
    push(lane, *range(1, 9))
    await turns()
    assert (work.batches, list(lane), lane.busy) == ([[1, 2, 3], [4, 5, 6]], [7, 8], 6)
    await clock.advance(LONG)
    assert len(work.batches) == 2
    work.gate.set()
    await turns()
    assert (work.batches[2:], lane.to_do) == ([[7, 8]], 0)


async def test_what_does_not_belong_takes_no_place() -> None:
    """A batch is full of those that do; to admit may take a while."""

    async def later(item: int) -> bool:
        await asyncio.sleep(0)
        return item % 2 == 1

    for admit in (lambda item: item % 2 == 1, later):
        work = Work()
        lane = lane_of(work, admit)
        push(lane, *range(1, 7))
        await turns(40)
        assert work.batches == [[1, 3, 5]]


async def test_bytes_end_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has at most one item more than there are bytes for."""
    monkeypatch.setattr(batch_lane, "MOST_BYTES", 100)
    work = Work()
    lane = lane_of(work, batch=50, size_of=lambda _: 40)
    push(lane, *range(1, 8))
    await turns()
    assert work.batches == [[1, 2, 3], [4, 5, 6]]


async def test_settled_waits_for_no_further_items() -> None:
    """At a stop what was gathered is processed at once, and what comes then, too."""
    work = Work()
    lane = lane_of(work)
    push(lane, 1, 2)
    await turns()
    await lane.settled()
    push(lane, 3)
    await lane.settled()
    assert (work.batches, lane.to_do) == ([[1, 2], [3]], 0)
    lane.start(asyncio.get_running_loop(), copy_context())
    push(lane, 4)
    await turns()
    assert list(lane) == [4]


async def test_cancelled_batches_go_back_to_the_head() -> None:
    """Before those that were gathered since: the order stays."""
    work = Work()
    work.gate.clear()
    lane = lane_of(work)
    push(lane, *range(1, 6))
    await turns()
    assert work.batches == [[1, 2, 3]]
    assert await lane.cancel() == 0
    assert list(lane) == [1, 2, 3, 4, 5]
    work.gate.set()
    lane.start(asyncio.get_running_loop(), copy_context())
    await turns()
    assert (work.batches[1:], list(lane)) == ([[1, 2, 3]], [4, 5])


async def test_what_has_an_outcome_does_not_go_back_with_its_batch() -> None:
    """A process may take out of its list what has one already."""
    begun, never = list[list[int]](), asyncio.Event()

    async def process(batch: list[int]) -> None:
        begun.append(list(batch))
        batch[:] = [item for item in batch if item % 2]
        await never.wait()

    lane = lane_of(process)
    push(lane, 1, 2, 3)
    await until(lambda: begun)
    await lane.cancel()
    assert (begun, list(lane)) == ([[1, 2, 3]], [1, 3])


async def test_a_batch_without_an_outcome_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause, in order."""
    monkeypatch.setattr("qt_events.delivery.waiting.lanes._PAUSE", 0.01)
    work = Work(UnjudgedError("no thread"))
    lane = lane_of(work)
    push(lane, *range(1, 7))
    await until(lambda: len(work.batches) == 3)
    assert work.batches == [[1, 2, 3], [1, 2, 3], [4, 5, 6]]


async def test_no_error_loses_a_batch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault is logged, and its items wait for another try, in order."""
    monkeypatch.setattr("qt_events.delivery.waiting.lanes._PAUSE", 0.01)
    work = Work(ZeroDivisionError("a fault"))
    lane = lane_of(work)
    push(lane, *range(1, 7))
    await until(lambda: len(work.batches) == 3)
    assert work.batches == [[1, 2, 3], [1, 2, 3], [4, 5, 6]]
    assert "a fault" in caplog.text


@pytest.mark.parametrize("error", [UnjudgedError("at the end"), ZeroDivisionError("a fault")])
async def test_an_admission_without_an_end_goes_back(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An item is not lost between the queue and its batch."""
    monkeypatch.setattr("qt_events.delivery.waiting.lanes._PAUSE", 0.01)
    errors: list[BaseException] = [error]

    def admit(_: int) -> bool:
        if errors:
            raise errors.pop()
        return True

    work = Work()
    lane = lane_of(work, admit)
    push(lane, 1, 2, 3)
    await until(lambda: work.batches)
    assert work.batches == [[1, 2, 3]]


async def test_clear_returns_what_was_gathered_too() -> None:
    """In order; nothing is processed afterwards."""
    work, clock = Work(), ManualClock()
    lane = lane_of(work, clock=clock)
    push(lane, 1, 2)
    await turns()
    lane.push(3)
    assert lane.clear() == [1, 2, 3]
    await turns()
    await clock.advance(LONG)
    assert (work.batches, lane.to_do) == ([], 0)
