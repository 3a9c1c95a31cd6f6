"""Prefetch: about a second of work, at least what is handled at a time, and bounded bytes."""

from qt_events.limits import MAX_PREFETCH
from qt_events.rabbitmq.pools.prefetch import Prefetch

MIB = 1024 * 1024


def arrive(prefetch: Prefetch, seconds: float, size: int = 300, events: int = 500) -> int:
    """Have events come as their handlers end, and return how often the prefetch has grown."""
    now, grown = 100.0, 0
    # A consumer that is new gets all that it may hold at once.
    credit = prefetch.count
    for _ in range(events):
        if credit:
            credit -= 1
        else:
            now += seconds / prefetch.concurrency
        if prefetch.came(size, now):
            grown += 1
    return grown


def test_a_slow_handler_keeps_one_event_waiting() -> None:
    """Another process gets the others."""
    prefetch = Prefetch(1)
    assert arrive(prefetch, 1.0) == 0
    assert prefetch.count == 2


def test_a_fast_handler_gets_all_there_may_be_in_one_step() -> None:
    """Each step costs three round trips."""
    prefetch = Prefetch(1)
    assert arrive(prefetch, 0.0005) == 1
    assert (prefetch.count, prefetch.may_grow) == (100, False)


def test_between_them_it_is_about_a_second_of_work() -> None:
    """20 ms an event are 50 events."""
    prefetch = Prefetch(1)
    arrive(prefetch, 0.02)
    assert 30 <= prefetch.count <= 60


def test_concurrency_is_always_reached() -> None:
    """Slow handlers side by side, and fast ones."""
    slow, fast = Prefetch(50), Prefetch(200)
    arrive(slow, 1.0)
    arrive(fast, 0.01, events=2_000)
    assert (slow.count, fast.count) == (51, 400)


def test_idle_times_are_no_work() -> None:
    """An event now and then tells nothing; a burst afterwards does."""
    prefetch = Prefetch(1)
    for minute in range(100):
        assert not prefetch.came(300, 60.0 * minute)
    assert arrive(prefetch, 0.0005) == 1


def test_large_events_are_few() -> None:
    """100 events of 3 MB would take 300 MB."""
    prefetch = Prefetch(1)
    arrive(prefetch, 0.0005, size=3 * MIB)
    assert prefetch.count <= 6


def test_it_is_lowered_when_the_events_have_become_large() -> None:
    """By what is held then."""
    prefetch = Prefetch(1)
    arrive(prefetch, 0.0005)
    prefetch.look(100, 100, 1_000, 200.0)
    assert prefetch.look(100, 300 * MIB, 1_050, 201.0)
    assert prefetch.count == 5


def test_it_is_lowered_when_the_handler_has_become_slow() -> None:
    """It would hold a hundred seconds of work."""
    prefetch = Prefetch(1)
    arrive(prefetch, 0.0005)
    prefetch.look(100, 30_000, 1_000, 200.0)
    assert prefetch.look(100, 30_000, 1_001, 201.0)
    assert (prefetch.count, prefetch.may_grow) == (2, True)


def test_it_stays_while_nothing_speaks_against_it() -> None:
    """A queue that is empty tells nothing, nor does a look after a long time."""
    prefetch = Prefetch(1)
    arrive(prefetch, 0.0005)
    prefetch.look(100, 30_000, 1_000, 200.0)
    assert not prefetch.look(3, 900, 1_001, 201.0)
    assert not prefetch.look(100, 30_000, 1_060, 202.0)
    assert not prefetch.look(100, 30_000, 1_061, 300.0)


def test_with_batches_it_is_one_more_than_are_handled() -> None:
    """However slow the handler is: else its batches would never be full."""
    prefetch = Prefetch(2, 500)
    assert (prefetch.count, prefetch.may_grow) == (1_500, False)
    prefetch.look(1_500, 450_000, 1_000, 200.0)
    assert not prefetch.look(1_500, 450_000, 1_001, 201.0)
    assert Prefetch(60, 1_000).count == 61_000
    assert Prefetch(6, 10_000).count == MAX_PREFETCH


def test_batches_of_large_events_are_few_until_they_are_small_again() -> None:
    """Though less than half of what may be held has come."""
    prefetch = Prefetch(1, 500)
    prefetch.look(30, 90 * MIB, 0, 200.0)
    assert prefetch.look(30, 90 * MIB, 10, 201.0)
    assert (prefetch.count, prefetch.may_grow) == (5, True)
    assert arrive(prefetch, 0.0005) >= 1
    assert prefetch.count == 1_000
