"""Outstanding: events that this process published or took and that lack an outcome here."""

import asyncio
import threading

import pytest

from qt_events.rabbitmq.publishing import outstanding
from qt_events.rabbitmq.publishing.outstanding import Outstanding

LIMIT = outstanding._REMEMBERED  # noqa: SLF001
FOLLOWED = outstanding._FOLLOWED  # noqa: SLF001


def test_an_event_is_settled_with_its_last_subscription() -> None:
    """The order of outcomes does not matter."""
    book = Outstanding()
    book.published("e", ("a", "b"))
    assert not book.settled("e", "b", ("a", "b"))
    assert len(book) == 1
    assert book.settled("e", "a", ("a", "b"))
    assert len(book) == 0


def test_an_event_without_subscriptions_here_is_not_waited_for() -> None:
    """Other processes may serve it."""
    book = Outstanding()
    book.published("e", ())
    assert len(book) == 0


def test_events_of_other_publishers_are_settled_but_not_waited_for() -> None:
    """Such an event counts as dispatched when the last subscription here has settled it."""
    book = Outstanding()
    assert not book.settled("foreign", "a", ("a", "b"))
    assert len(book) == 0
    assert book.settled("foreign", "b", ("a", "b"))


def test_a_repeated_outcome_is_no_new_event() -> None:
    """Delivery is at least once.

    A second delivery settles the event again, and leaves nothing behind.
    """
    book = Outstanding()
    book.published("e", ("a",))
    assert book.settled("e", "a", ("a",))
    assert book.settled("e", "a", ("a",))
    assert len(book) == 0


async def test_nobody_waits_for_nothing() -> None:
    async with asyncio.timeout(5):
        await Outstanding().idle()


async def test_everybody_waits_for_the_last_outcome() -> None:
    """Every waiter is woken on its own loop."""
    book = Outstanding()
    book.published("e", ("a",))
    book.published("f", ("a",))
    waiting = [asyncio.create_task(book.idle()) for _ in range(2)]
    await asyncio.sleep(0)
    book.settled("e", "a", ("a",))
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    await asyncio.to_thread(book.settled, "f", "a", ("a",))
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)


async def test_an_event_whose_publish_failed_is_not_waited_for() -> None:
    """The outcome is unknown: there may be none."""
    book = Outstanding()

    def lose() -> None:
        with book.expecting("e", ("a",)):
            assert len(book) == 1
            message = "lost"
            raise OSError(message)

    with pytest.raises(OSError, match="lost"):
        lose()
    async with asyncio.timeout(5):
        await book.idle()


def test_what_is_served_here_no_more_is_not_waited_for() -> None:
    """The outcome of a pending retry is not known here after unsubscribing."""
    book = Outstanding()
    book.published("e", ("a", "b"))
    book.drop("a")
    assert len(book) == 1
    book.drop("b")
    assert len(book) == 0


def test_who_waits_no_longer_disturbs_nobody() -> None:
    """A wait was given up, and its loop is closed. A later outcome must not fail."""
    book = Outstanding()
    book.published("e", ("a",))

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await book.idle()

    asyncio.run(give_up())
    assert book.settled("e", "a", ("a",))


def test_memory_is_bounded_where_nobody_settles() -> None:
    """Own events of a process that only publishes, and others' events that never complete here."""
    book = Outstanding()
    for number in range(LIMIT + 10):
        book.published(f"own {number}", ("a",))
        book.settled(f"foreign {number}", "a", ("a", "b"))
    assert len(book) == LIMIT
    assert not book.settled("foreign 0", "b", ("a", "b"))  # forgotten: as new
    assert book.settled(f"foreign {LIMIT + 9}", "b", ("a", "b"))


def test_own_events_are_kept_while_somebody_here_settles_them() -> None:
    """join() must not return early, however many events there are."""
    book = Outstanding()
    book.serve()
    for number in range(LIMIT + 10):
        book.published(str(number), ("a",))
    assert len(book) == LIMIT + 10


def test_memory_is_bounded_while_somebody_here_settles() -> None:
    """The oldest are dropped, and the book says so: join() asks the broker then."""
    book = Outstanding()
    book.serve()
    for number in range(FOLLOWED):
        book.published(str(number), ("a",))
    assert (len(book), book.overflowed) == (FOLLOWED, False)
    book.published("one more", ("a",))
    assert (len(book), book.overflowed, book.oldest) == (FOLLOWED, True, "1")


def test_an_event_that_fell_out_and_is_retried_is_followed_again() -> None:
    """The broker's queues do not tell of events that wait for their retry."""
    book = Outstanding()
    book.serve()
    book.goes_again("foreign", "a")
    assert len(book) == 0
    book.overflowed = True
    book.goes_again("own", "a")
    assert len(book) == 1
    assert book.settled("own", "a", ("a",))
    assert len(book) == 0


async def test_nothing_is_followed_while_other_processes_settle_too() -> None:
    """They do not say which events they took."""
    book = Outstanding()
    book.serve()
    book.published("e", ("a",))
    waiting = asyncio.create_task(book.idle())
    await asyncio.sleep(0)
    book.share()
    book.published("f", ("a",))
    assert len(book) == 0
    async with asyncio.timeout(5):
        await waiting
    book.end()
    book.serve()
    book.published("g", ("a",))
    assert (len(book), book.shared) == (1, False)


def test_threads_that_publish_and_settle_at_once_lose_nothing() -> None:
    """Publishing happens on callers' threads, settling on the worker's."""
    book = Outstanding()
    book.serve()

    def work(name: str) -> None:
        for number in range(2_000):
            book.published(f"{name}{number}", ("a",))
            assert book.settled(f"{name}{number}", "a", ("a",))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(book) == 0


def test_a_forked_child_starts_with_nothing_outstanding() -> None:
    """The parent waits for the parent's events, and nobody in the child holds the lock."""
    book = Outstanding()
    book.published("e", ("a",))
    book._lock.acquire()  # noqa: SLF001  # as if a thread of the parent's were in it
    book.after_fork()
    assert len(book) == 0
