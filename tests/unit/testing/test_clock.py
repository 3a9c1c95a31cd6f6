"""ManualClock jumps from what is due to what is due."""

from qt_events.testing.clock import ManualClock


async def test_time_jumps_to_what_is_due_soonest() -> None:
    """Just so much time passes that it runs, and what is due at the same moment with it."""
    clock, ran = ManualClock(), []
    for delay in (0.1, 0.30000000000000004, 0.1):
        clock.call_later(delay, lambda: ran.append(clock.time()))
    await clock.advance_to_next()
    assert ran == [0.1, 0.1]
    await clock.advance_to_next()
    assert ran == [0.1, 0.1, 0.30000000000000004]
    assert clock.due == []


async def test_time_stands_still_while_nothing_waits() -> None:
    """What was cancelled does not wait."""
    clock = ManualClock()
    clock.call_later(5, lambda: None).cancel()
    await clock.advance_to_next()
    assert clock.time() == 0.0
