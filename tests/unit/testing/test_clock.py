"""ManualClock jumps from one due callback to the next."""

from collections.abc import Callable

from qt_events.testing.clock import ManualClock


async def test_time_jumps_to_what_is_due_soonest() -> None:
    """Time passes until it runs, with everything due at the same moment."""
    clock, ran = ManualClock(), []
    for delay in (0.1, 0.30000000000000004, 0.1):
        clock.call_later(delay, lambda: ran.append(clock.time()))
    await clock.advance_to_next()
    assert ran == [0.1, 0.1]
    await clock.advance_to_next()
    assert ran == [0.1, 0.1, 0.30000000000000004]
    assert clock.due == []


async def test_time_stands_still_while_nothing_waits() -> None:
    """Cancelled callbacks do not wait."""
    clock = ManualClock()
    clock.call_later(5, lambda: None).cancel()
    await clock.advance_to_next()
    assert clock.time() == 0.0


async def test_a_manual_clock_runs_what_is_due_in_order() -> None:
    """Each callback sees the time it was due at; new ones run too, cancelled ones do not."""
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
