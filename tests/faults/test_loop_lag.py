"""LoopLag tells blocking, which is our own, from a busy machine."""

import asyncio
import hashlib
import threading
import time

from tests.faults.loop_lag import LoopLag, smoothest


async def test_a_blocking_call_is_our_own_stall() -> None:
    """All of it counts, with the line it was in."""
    async with LoopLag() as lag:
        await asyncio.sleep(0.05)
        time.sleep(1.0)  # noqa: ASYNC251  # the point
        await asyncio.sleep(0.05)
    # At such a time a busy machine takes its part: seven tenths, once
    assert lag.worst.own > 0.1
    assert "time.sleep(1.0)" in lag.worst.doing


async def test_computing_is_our_own_stall() -> None:
    """Computing counts as long as it takes on a processor of its own."""
    async with LoopLag() as lag:
        await asyncio.sleep(0.05)
        began = time.thread_time()
        while time.thread_time() < began + 0.2:
            pass
        await asyncio.sleep(0.05)
    assert lag.worst.own > 0.15


async def test_a_busy_machine_is_not() -> None:
    """Threads that compute without the interpreter's lock outnumber the processors."""
    over = threading.Event()
    data = bytes(2_000_000)

    def compute() -> None:
        while not over.is_set():
            hashlib.sha256(data)

    threads = [threading.Thread(target=compute) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        async with LoopLag() as lag:
            await asyncio.sleep(1.0)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert lag.worst.own < 0.05, str(lag.worst)


async def test_a_stall_of_every_time_is_found_and_one_of_once_is_not() -> None:
    """A host that takes a processor away cannot be told from computing but by doing it again."""
    seconds = iter([0.6, 0.0, 0.6, 0.6, 0.6])

    async def stalls() -> None:
        await asyncio.sleep(0.02)
        # The loop stands still.
        time.sleep(next(seconds))  # noqa: ASYNC251  # the point
        await asyncio.sleep(0.02)

    assert (await smoothest(stalls, 0.1)).worst.own < 0.1
    assert (await smoothest(stalls, 0.1)).worst.own > 0.1
    assert list(seconds) == []
