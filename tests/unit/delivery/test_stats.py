"""Stats: the counters behind get_stats()."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Done, Failure, Outcome, Retry
from qt_events.delivery.stats import MOST_ROWS, OTHERS, SlowHandlerLog, Stats
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus

FAILURE = Failure("OSError", "away")


def counted(*outcomes: Outcome) -> Stats:
    stats = Stats()
    for outcome in outcomes:
        stats.count_outcome("sub", "a.b", outcome)
    return stats


def test_each_outcome_is_counted_once_under_its_name() -> None:
    """Each has a counter of its own; retried and dead-lettered attempts are errors too."""
    stats = counted(
        Done(),
        Done(),
        Done(handled=False),
        Retry(1.0, FAILURE),
        DeadLetter(DeadLetterReason.EXHAUSTED, FAILURE),
    )
    assert stats.delivered == {"sub": 2}
    assert stats.filtered == {"sub": 1}
    assert stats.retried == {"sub": 1}
    assert stats.dead_lettered == {"sub": 1}
    assert stats.errors == {"sub": 2}
    assert stats.failed == {"a.b": 2}


def test_a_snapshot_has_the_six_keys_of_the_specification_first() -> None:
    """The reference names six keys; all are ints."""
    snapshot = Stats().snapshot(queue_size=3, handler_types=6, total_handlers=12)
    six = ["published", "dispatched", "errors", "queue_size", "handler_types", "total_handlers"]
    assert list(snapshot)[:6] == six
    assert [snapshot[key] for key in six] == [0, 0, 0, 3, 6, 12]


def test_totals_are_the_sums_of_the_tables() -> None:
    """Every total is the sum of its column by type or by subscription."""
    stats = counted(Done(), Retry(1.0, FAILURE), DeadLetter(DeadLetterReason.GAVE_UP, FAILURE))
    stats.count_outcome("other", "c", Done(handled=False))
    stats.published.update({"a.b": 3, "c": 1})
    stats.dispatched.update({"a.b": 2})
    stats.unroutable.update({"d": 5})
    stats.slow["sub"] += 2
    stats.blocked["other"] += 1
    snapshot = stats.snapshot(queue_size=0, handler_types=1, total_handlers=2)
    for key in ("published", "dispatched", "errors", "unroutable"):
        assert snapshot[key] == sum(row[key] for row in snapshot["by_type"].values()), key
    for key in ("delivered", "filtered", "errors", "retries", "dead_letters", "slow", "blocked"):
        assert snapshot[key] == sum(row[key] for row in snapshot["by_subscription"].values()), key
    assert list(snapshot["by_type"]) == ["a.b", "c", "d"]
    assert list(snapshot["by_subscription"]) == ["other", "sub"]


class Slowly(Counter[str]):
    """A counter that lets another thread run between reading and writing."""

    def __getitem__(self, key: str) -> int:
        value = super().__getitem__(key)
        time.sleep(0.0001)
        return value


def test_threads_lose_no_count() -> None:
    """What several threads count at the same time is counted in full."""
    stats = Stats()
    for name in ("published", "unroutable", "dispatched", "delivered", "slow", "blocked"):
        setattr(stats, name, Slowly())

    def count(_: int) -> None:
        stats.count_published("a.b", routed=False)
        stats.count_dispatched("a.b")
        stats.count_outcome("sub", "a.b", Done())
        stats.count_slow("sub")
        stats.count_blocked("sub")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(100)))
    snapshot = stats.snapshot(queue_size=0, handler_types=0, total_handlers=0)
    assert snapshot["by_type"]["a.b"] == {
        "published": 100,
        "dispatched": 100,
        "errors": 0,
        "unroutable": 100,
    }
    assert [snapshot[key] for key in ("delivered", "slow", "blocked")] == [100, 100, 100]


def test_a_snapshot_is_a_copy() -> None:
    """Changing a snapshot changes no counter, and asking for what was never counted adds no row."""
    stats = counted(Done())
    snapshot = stats.snapshot(queue_size=0, handler_types=0, total_handlers=0)
    snapshot["by_subscription"]["sub"]["delivered"] = 99
    assert stats.delivered["sub"] == 1
    assert list(stats.snapshot(queue_size=0, handler_types=0, total_handlers=0)["by_type"]) == []


def test_what_one_thread_tallies_is_a_part_of_the_snapshot() -> None:
    """The counts that need no lock are added to those that do."""
    stats = counted(Done())
    stats.count_published("a.b", routed=True)
    stats.tally.published["a.b"] += 2
    stats.tally.dispatched["c"] += 1
    stats.tally.delivered["sub"] += 4
    snapshot = stats.snapshot(queue_size=0, handler_types=0, total_handlers=0)
    assert [snapshot[key] for key in ("published", "dispatched", "delivered")] == [3, 1, 5]
    assert snapshot["by_type"]["a.b"]["published"] == 3
    assert snapshot["by_type"]["c"]["dispatched"] == 1
    assert snapshot["by_subscription"]["sub"]["delivered"] == 5


def test_types_without_end_take_bounded_memory_and_sums_stay_right() -> None:
    """Some programs put an id into a type. What is common keeps its row, and its whole count."""
    stats = Stats()
    for number in range(20_000):
        for _ in range(1 + (number % 1_000 == 0)):
            stats.count_published("common", routed=True)
            stats.tally.dispatched["common"] += 1
        stats.count_published(f"order.{number}", routed=number % 2 == 0)
        stats.tally.dispatched[f"order.{number}"] += 1
        stats.count_outcome(f"sub {number}", f"order.{number}", Retry(1.0, FAILURE))
        stats.tally.delivered[f"sub {number}"] += 1
    snapshot = stats.snapshot(queue_size=0, handler_types=0, total_handlers=0)
    assert snapshot["published"] == snapshot["dispatched"] == 40_020
    assert [snapshot[key] for key in ("unroutable", "errors", "delivered", "retries")] == [
        10_000,
        20_000,
        20_000,
        20_000,
    ]
    assert len(snapshot["by_type"]) <= 4 * MOST_ROWS
    assert len(snapshot["by_subscription"]) <= 7 * MOST_ROWS
    assert snapshot["by_type"]["common"]["published"] == 20_020
    assert snapshot["by_type"]["common"]["dispatched"] == 20_020
    assert snapshot["by_type"][OTHERS]["published"] > 18_000
    for key in ("published", "dispatched", "errors", "unroutable"):
        assert snapshot[key] == sum(row[key] for row in snapshot["by_type"].values()), key


def test_a_snapshot_taken_while_rows_are_counted_together_is_right() -> None:
    """The loop's thread counts without a lock; another one asks at any time."""
    stats, seen = Stats(), [0]

    def ask() -> None:
        while seen[-1] < 30_000:
            snapshot = stats.snapshot(queue_size=0, handler_types=0, total_handlers=0)
            seen.append(snapshot["dispatched"])

    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        for number in range(30_000):
            stats.tally.dispatched[f"order.{number}"] += 1
        asked.result(60)
    assert seen == sorted(seen)
    assert seen[-1] == 30_000


async def test_a_bus_forgets_types_that_it_saw_once() -> None:
    """The same holds for what a bus counts on its shortest way."""
    bus = InMemoryEventBus()
    bus.subscribe("order.#", lambda _: None, name="orders")
    async with bus:
        for number in range(3 * MOST_ROWS):
            await bus.publish(Event(f"order.{number}"))
            await bus.publish(Event(f"other.{number}"))
    stats = bus.get_stats()
    assert (stats["published"], stats["dispatched"]) == (6 * MOST_ROWS, 3 * MOST_ROWS)
    assert stats["unroutable"] == 3 * MOST_ROWS
    assert len(stats["by_type"]) <= 4 * MOST_ROWS


def test_the_log_of_slow_handlers_forgets_subscriptions() -> None:
    """Anonymous handlers come and go in a bus in memory."""
    log = SlowHandlerLog(Stats())
    log._silent_until = {("x", f"old {number}"): 0.0 for number in range(MOST_ROWS)}  # noqa: SLF001
    log.slow(Subscription("new", lambda _: None), Event("a"), 1.0)
    assert len(log._silent_until) == 1  # noqa: SLF001
