"""LoopThread: an event loop in a thread of its own, and its end."""

import asyncio

from qt_events.rabbitmq.pools.loop_thread import LoopThread


def test_a_stopped_loop_thread_cancels_what_runs() -> None:
    """The thread ends, and its loop is closed."""
    thread = LoopThread()
    loop = thread.start()
    waiting = asyncio.run_coroutine_threadsafe(asyncio.sleep(1000), loop)
    thread.stop()
    assert waiting.cancelled()
    assert loop.is_closed()
    thread.stop()
