"""Measuring: bytecodes, processor time, memory and waiting, as the benchmarks count them."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import interpreter, proc
from benchmarks.failure import BenchmarkFailedError
from benchmarks.interpreter import answer
from benchmarks.opcodes import counting
from benchmarks.pace import Pace, percentiles
from benchmarks.search import highest
from benchmarks.tally import Count, Tally
from benchmarks.worker import Worker


@given(st.integers(-40, 40), st.integers(-40, 40))
def test_the_highest_step_is_found_from_wherever_one_starts(limit: int, start: int) -> None:
    assert highest(lambda step: step <= limit, start) == limit


def test_a_search_that_starts_right_asks_twice() -> None:
    asked: list[int] = []

    def sustains(step: int) -> bool:
        asked.append(step)
        return step <= 12

    assert highest(sustains, 12) == 12
    assert asked == [12, 13]


def test_loops_without_calls_count_as_bytecodes() -> None:
    """Ten times the iterations cost ten times the bytecodes, apart from those at start and end."""

    def loop(times: int) -> None:
        for _ in range(times):
            pass

    def cost(times: int) -> int:
        with counting() as opcodes:
            loop(times)
            return opcodes.read()

    assert cost(1_000) - cost(0) == pytest.approx(10 * (cost(100) - cost(0)), rel=0.01)
    assert cost(100) > 200
    assert cost(100) == cost(100)


FIRST_CALLS = """
from benchmarks.opcodes import counting

def first(): return sum(number for number in range(100))
def second(): return sum(number for number in range(100))

with counting() as opcodes:
    costs = []
    for call in (first, first, second, second):
        before = opcodes.read()
        call()
        costs.append(opcodes.read() - before)
print(costs)
"""


def test_the_first_count_of_a_process_and_the_first_call_of_a_function_count() -> None:
    """Python 3.12 and later miss them where bytecodes are counted by sys.settrace."""
    costs = answer("-c", FIRST_CALLS)
    assert costs[0] > 400
    assert costs == costs[:1] * 4


def test_threads_count_and_nobody_is_traced_afterwards() -> None:
    """Tracing ends for this thread, for new ones, and for a traced thread that goes on."""
    before = sys.gettrace(), threading.gettrace()
    go_on, done = threading.Event(), threading.Event()
    traced: list[object] = []

    def spin(times: int) -> None:
        for _ in range(times):
            pass

    def work() -> None:
        spin(10_000)
        done.set()
        go_on.wait(20)
        spin(1)
        traced.append(sys.gettrace())

    with counting() as opcodes:
        thread = threading.Thread(target=work)
        thread.start()
        done.wait()
        assert opcodes.read() > 20_000
    assert (sys.gettrace(), threading.gettrace()) == before
    go_on.set()
    thread.join()
    assert traced == [None]


def test_cpu_is_finer_than_ticks_and_memory_is_in_million_bytes() -> None:
    """CPU time is at most a hundredth of a second behind.

    The kernel counts in nanoseconds, but adds them up only at every switch and tick.
    """
    before, began = proc.cpu(os.getpid()), time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert proc.cpu(os.getpid()) - before == pytest.approx(time.process_time() - began, abs=0.03)
    assert 0 < proc.resident(os.getpid()) <= proc.peak(os.getpid())


def test_a_process_that_fails_or_hangs_is_a_failed_benchmark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error holds the end of the process's output, and the run goes on without it."""
    assert answer("-c", "print('noise'); print([1])") == [1]
    with pytest.raises(BenchmarkFailedError, match="no broker"):
        answer("-c", "raise SystemExit('no broker')")
    monkeypatch.setattr(interpreter, "_ANSWER", 0.2)
    with pytest.raises(BenchmarkFailedError, match="not done after"):
        answer("-c", "import time; time.sleep(60)")


def test_processes_are_counted_together(tmp_path: Path) -> None:
    assert Count.of(tmp_path).hits == 0
    tally = Tally(tmp_path)
    for _ in range(3):
        tally.hit()
    (tmp_path / "another").write_bytes(next(tmp_path.iterdir()).read_bytes())
    assert Count.of(tmp_path).hits == 6


def test_the_first_batch_counts_neither_by_its_events_nor_by_its_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """How long it took is not known: its events would make the rate of batches look higher."""
    tally, now = Tally(tmp_path), 10.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    class Batches:
        """In place of a worker that handles 500 events in each half second."""

        process = SimpleNamespace(pid=os.getpid())

        def until(self, check: Callable[[], Count | None], _: object) -> Count | None:
            nonlocal now
            for _ in range(500):
                tally.hit()
            now += 0.5
            return check()

    assert Worker(cast("Any", Batches()), tmp_path).pace(1_000)["rate"] == pytest.approx(1_000)


def test_percentiles_are_milliseconds() -> None:
    found = percentiles([number / 1000 for number in range(1, 1001)])
    assert found["p50_ms"] == pytest.approx(500, abs=1)
    assert found["p99_ms"] == pytest.approx(990, abs=2)


async def test_what_never_arrives_took_as_long_as_it_was_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The result is a figure, because JSON has no Infinity."""
    monkeypatch.setattr("benchmarks.pace._LATE", 0.05)
    assert await Pace(100, 0.1).run(lambda _: asyncio.sleep(0)) == {"p50_ms": 50, "p99_ms": 50}
