"""Outstanding knows which events that this process published or took still lack an outcome here."""

import threading

from qt_events.rabbitmq import outstanding
from qt_events.rabbitmq.outstanding import Outstanding

LIMIT = outstanding._REMEMBERED  # noqa: SLF001


def test_an_event_is_settled_with_its_last_subscription() -> None:
    """Not before, and in whatever order they come."""
    book = Outstanding()
    book.published("e", ["a", "b"])
    assert not book.settled("e", "b", ["a", "b"])
    assert len(book) == 1
    assert book.settled("e", "a", ["a", "b"])
    assert len(book) == 0


def test_an_event_without_subscriptions_here_is_not_waited_for() -> None:
    """Others may serve it."""
    book = Outstanding()
    book.published("e", [])
    assert len(book) == 0


def test_events_of_other_publishers_are_settled_but_not_waited_for() -> None:
    """They are counted as dispatched when the last subscription here has settled them."""
    book = Outstanding()
    assert not book.settled("foreign", "a", ["a", "b"])
    assert len(book) == 0
    assert book.settled("foreign", "b", ["a", "b"])


def test_a_repeated_outcome_is_no_new_event() -> None:
    """At least once: the second delivery to the only subscription settles it again, and leaves nothing behind."""
    book = Outstanding()
    book.published("e", ["a"])
    assert book.settled("e", "a", ["a"])
    assert book.settled("e", "a", ["a"])
    assert len(book) == 0


def test_idle_is_told_at_once_when_nothing_is_outstanding() -> None:
    """Nobody waits for nothing."""
    told: list[str] = []
    Outstanding().when_idle(lambda: told.append("idle"))
    assert told == ["idle"]


def test_idle_is_told_once_with_the_last_outcome() -> None:
    """Every waiter is told, and only once."""
    book, told = Outstanding(), []
    book.published("e", ["a"])
    book.published("f", ["a"])
    book.when_idle(lambda: told.append(1))
    book.when_idle(lambda: told.append(2))
    book.settled("e", "a", ["a"])
    assert told == []
    book.settled("f", "a", ["a"])
    assert sorted(told) == [1, 2]
    book.published("g", ["a"])
    book.settled("g", "a", ["a"])
    assert sorted(told) == [1, 2]


def test_an_event_of_unknown_fate_is_not_waited_for() -> None:
    """Its publish failed: nobody knows whether there will be an outcome."""
    book, told = Outstanding(), []
    book.published("e", ["a"])
    book.when_idle(lambda: told.append("idle"))
    book.forget("e")
    assert told == ["idle"]


def test_memory_is_bounded_where_nobody_settles() -> None:
    """A process that only publishes what it also subscribes to, and others' events that never get complete here."""
    book = Outstanding()
    for number in range(LIMIT + 10):
        book.published(f"own {number}", ["a"])
        book.settled(f"foreign {number}", "a", ["a", "b"])
    assert len(book) == LIMIT
    assert not book.settled("foreign 0", "b", ["a", "b"])  # forgotten: as new
    assert book.settled(f"foreign {LIMIT + 9}", "b", ["a", "b"])


def test_own_events_are_kept_while_somebody_here_settles_them() -> None:
    """join() must not return early because there are many."""
    book = Outstanding()
    book.serving = True
    for number in range(LIMIT + 10):
        book.published(str(number), ["a"])
    assert len(book) == LIMIT + 10


def test_threads_that_publish_and_settle_at_once_lose_nothing() -> None:
    """Publishing happens on callers' threads, settling on the worker's."""
    book = Outstanding()
    book.serving = True

    def work(name: str) -> None:
        for number in range(2_000):
            book.published(f"{name}{number}", ["a"])
            assert book.settled(f"{name}{number}", "a", ["a"])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(book) == 0


def test_a_forked_child_starts_with_nothing_outstanding() -> None:
    """What the parent published is the parent's to wait for; and nobody in the child holds the lock."""
    book = Outstanding()
    book.published("e", ["a"])
    book._lock.acquire()  # noqa: SLF001  # as if a thread of the parent's were in it
    book.after_fork()
    assert len(book) == 0
