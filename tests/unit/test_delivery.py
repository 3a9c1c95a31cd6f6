"""deliver(): one attempt, and what follows."""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from qt_events.delivery import DeadLetter, Done, Failure, Retry, SlowHandlerLog, deliver
from qt_events.errors import InvalidPolicyError
from qt_events.events import Event, current_event
from qt_events.retry import Reject, RetryLater, RetryPolicy
from qt_events.stats import Stats
from qt_events.subscription import Subscription

EVENT: Event[Any] = Event("unit.delivered", None, {"n": 1})
POLICY = RetryPolicy(max_attempts=3, initial=2, factor=2, jitter=0, give_up_on=(KeyError,))

variable: ContextVar[str] = ContextVar("variable", default="outside")


def subscription(handler: Any, **options: Any) -> Subscription:
    return Subscription("unit", handler, **{"retry": POLICY, **options})


class Unheard(BaseException):
    """Not even an Exception."""


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Watching:
    """A Watch that remembers."""

    def __init__(self) -> None:
        self.slow_ones: list[float] = []
        self.blocked_ones: list[float] = []

    def slow(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        self.slow_ones.append(seconds)

    def blocked(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        self.blocked_ones.append(seconds)


# Outcomes


async def test_a_handler_that_returns_is_done() -> None:
    """Whatever a handler returns, the delivery is Done."""
    for handler in (AsyncMock(return_value=5), MagicMock(return_value=False)):
        assert await deliver(EVENT, subscription(handler)) == Done()
        handler.assert_called_once_with(EVENT)


async def test_a_handler_that_fails_is_tried_again_by_its_policy() -> None:
    """A failed attempt is a Retry with the policy's delay for this attempt, until there are no more."""
    failing = subscription(AsyncMock(side_effect=OSError("away")))
    outcomes = [await deliver(EVENT, failing, attempt) for attempt in (1, 2, 3)]
    first, second, third = outcomes
    assert isinstance(first, Retry)
    assert isinstance(second, Retry)
    assert isinstance(third, DeadLetter)
    assert (first.delay, second.delay, third.reason) == (2, 4, "exhausted")
    assert (third.failure.exception_type, third.failure.message) == ("OSError", "away")


async def test_errors_to_give_up_on_are_dead_letters_at_once() -> None:
    """give_up_on ends it at the first attempt."""
    outcome = await deliver(EVENT, subscription(AsyncMock(side_effect=KeyError("x"))))
    assert isinstance(outcome, DeadLetter)
    assert (outcome.reason, outcome.failure.exception_type) == ("gave_up", "KeyError")


async def test_a_handler_may_decide_itself() -> None:
    """Reject is a dead letter at once, RetryLater a retry after its own delay."""
    rejected = await deliver(EVENT, subscription(AsyncMock(side_effect=Reject("closed"))))
    assert isinstance(rejected, DeadLetter)
    assert (rejected.reason, rejected.failure.message) == ("rejected", "closed")
    later = await deliver(EVENT, subscription(AsyncMock(side_effect=RetryLater(77))))
    assert isinstance(later, Retry)
    assert later.delay == 77


async def test_an_impossible_delay_is_a_failure_like_any_other() -> None:
    """RetryLater(-1) raises in the handler: the attempt failed, with that error."""

    async def handler(event: Event[Any]) -> None:
        raise RetryLater(-1)

    outcome = await deliver(EVENT, subscription(handler))
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type.endswith(InvalidPolicyError.__name__)


@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize(
    "error",
    [SystemExit(1), asyncio.CancelledError(), BaseExceptionGroup("group", [SystemExit(1)]), Unheard()],
    ids=repr,
)
async def test_what_breaks_a_handler_is_an_outcome(
    error: BaseException, in_thread: bool, executor: ThreadPoolExecutor
) -> None:
    """SystemExit, CancelledError and their like, raised by a handler, are dead letters, not the end of the bus."""
    handler: Any = MagicMock(side_effect=error) if in_thread else AsyncMock(side_effect=error)
    outcome = await deliver(EVENT, subscription(handler), executor=executor)
    assert isinstance(outcome, DeadLetter)
    assert outcome.failure.exception_type.endswith(type(error).__name__)


async def test_an_interrupt_is_for_the_whole_program() -> None:
    """KeyboardInterrupt is nobody's outcome."""
    with pytest.raises(KeyboardInterrupt):
        await deliver(EVENT, subscription(MagicMock(side_effect=KeyboardInterrupt)))


async def test_stop_iteration_is_a_failure() -> None:
    """StopIteration from a handler, which coroutines and futures treat specially, is a failed attempt."""
    for handler in (AsyncMock(side_effect=StopIteration), MagicMock(side_effect=StopIteration)):
        outcome = await deliver(EVENT, subscription(handler))
        assert isinstance(outcome, Retry), handler


async def test_stop_iteration_in_a_thread_is_a_failure(executor: ThreadPoolExecutor) -> None:
    """StopIteration cannot travel in a future; from a sync handler in a thread it is a failed attempt all the same."""
    async with asyncio.timeout(5):
        outcome = await deliver(EVENT, subscription(MagicMock(side_effect=StopIteration)), executor=executor)
    assert isinstance(outcome, Retry)


class Unprintable(Exception):
    def __str__(self) -> str:
        message = "no text"
        raise RuntimeError(message)


async def test_an_error_without_text_is_an_outcome_too() -> None:
    """An exception whose __str__ raises does not break the delivery."""
    outcome = await deliver(EVENT, subscription(AsyncMock(side_effect=Unprintable())))
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type.endswith("Unprintable")


def test_a_failure_is_told_in_words() -> None:
    """Type with its module (builtins apart), message, traceback."""
    with pytest.raises(InvalidPolicyError) as caught:
        raise InvalidPolicyError("wrong")
    failure = Failure.of(caught.value)
    assert (failure.exception_type, failure.message) == ("qt_events.errors.InvalidPolicyError", "wrong")
    assert "test_a_failure_is_told_in_words" in failure.traceback
    assert Failure.of(KeyError("k")).exception_type == "KeyError"


async def test_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A retry is a warning that says when, a dead letter an error with its traceback; both name the subscription."""
    failing = subscription(AsyncMock(side_effect=OSError("away")))
    await deliver(EVENT, failing, 1)
    await deliver(EVENT, failing, 3)
    retry, dead = caplog.records
    assert (retry.levelno, dead.levelno) == (logging.WARNING, logging.ERROR)
    assert all(word in retry.getMessage() for word in ("unit", "attempt 1", "away", "2 s"))
    assert "attempt 3" in dead.getMessage()
    assert dead.exc_info


# Predicates


async def test_a_predicate_that_says_no_keeps_the_handler_from_the_event() -> None:
    """The delivery is done, and not handled; any false value says no."""
    for no in (False, None, 0, ""):
        handler = AsyncMock()
        assert await deliver(EVENT, subscription(handler, when=MagicMock(return_value=no))) == Done(handled=False)
        handler.assert_not_called()


async def test_a_predicate_that_raises_is_a_failed_attempt() -> None:
    """The policy decides about a predicate's error as about a handler's."""
    handler = AsyncMock()
    broken = subscription(handler, when=MagicMock(side_effect=OSError("no field")))
    assert isinstance(await deliver(EVENT, broken), Retry)
    assert isinstance(await deliver(EVENT, broken, 3), DeadLetter)
    handler.assert_not_called()


# Where it runs


async def test_sync_handlers_run_in_the_executor(executor: ThreadPoolExecutor) -> None:
    """With an executor a sync handler runs in its thread, an async one on the loop; without one both run here."""
    threads: list[int] = []

    def sync(event: Event[Any]) -> None:
        threads.append(threading.get_ident())

    async def asynchronous(event: Event[Any]) -> None:
        threads.append(threading.get_ident())

    await deliver(EVENT, subscription(sync), executor=executor)
    await deliver(EVENT, subscription(asynchronous), executor=executor)
    await deliver(EVENT, subscription(sync))
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, True, True]


async def test_what_a_plain_function_returns_is_awaited(executor: ThreadPoolExecutor) -> None:
    """A lambda that returns a coroutine, or a function that returns a future, is handled when that has ended."""
    ended: list[str] = []

    async def end(how: str) -> None:
        await asyncio.sleep(0)
        ended.append(how)

    loop = asyncio.get_running_loop()
    handlers = [
        lambda _: end("coroutine"),
        lambda _: loop.create_task(end("task")),
        functools.partial(lambda _, e: end("partial"), 0),
    ]
    for handler in handlers:
        assert await deliver(EVENT, subscription(handler)) == Done()
    assert await deliver(EVENT, subscription(lambda _: end("thread")), executor=executor) == Done()
    assert ended == ["coroutine", "task", "partial", "thread"]


async def test_an_error_of_what_is_returned_is_the_handlers() -> None:
    """A returned awaitable that fails is a failed attempt."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(OSError("later"))
    assert isinstance(await deliver(EVENT, subscription(lambda _: future)), Retry)


# Context


@pytest.mark.parametrize("kind", ["async", "sync", "thread", "when"])
async def test_a_handler_sees_its_event_and_keeps_its_variables_to_itself(
    kind: str, executor: ThreadPoolExecutor
) -> None:
    """Inside, current_event() is the event; what is set inside does not leak, what was set outside is seen."""
    variable.set("before")
    seen: list[Any] = []

    def look(event: Event[Any]) -> bool:
        seen.append((current_event(), variable.get()))
        variable.set("inside")
        return True

    async def look_and_wait(event: Event[Any]) -> None:
        look(event)
        await asyncio.sleep(0)
        seen.append((current_event(), variable.get()))

    handlers: dict[str, Any] = {"async": look_and_wait, "when": AsyncMock()}
    target = subscription(handlers.get(kind, look), when=look if kind == "when" else None)
    assert await deliver(EVENT, target, executor=executor if kind == "thread" else None) == Done()
    assert seen[0] == (EVENT, "before")
    assert seen[1:] in ([], [(EVENT, "inside")])
    assert (current_event(), variable.get()) == (None, "before")


async def test_tasks_that_a_handler_makes_know_its_event() -> None:
    """A task made inside inherits the event being handled."""
    seen: list[Event[Any] | None] = []

    async def inner() -> None:
        seen.append(current_event())

    async def handler(event: Event[Any]) -> None:
        await asyncio.create_task(inner())
        await asyncio.gather(inner())

    await deliver(EVENT, subscription(handler))
    assert seen == [EVENT, EVENT]


# asyncio's own tools


async def test_timeouts_work_inside_a_handler() -> None:
    """asyncio.timeout and wait_for end what they should; the TimeoutError is the handler's to catch or to fail with."""

    async def catches(event: Event[Any]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    async def lets_go(event: Event[Any]) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    assert await deliver(EVENT, subscription(catches)) == Done()
    outcome = await deliver(EVENT, subscription(lets_go))
    assert isinstance(outcome, Retry)
    assert outcome.failure.exception_type == "TimeoutError"


async def test_task_groups_work_inside_a_handler() -> None:
    """A TaskGroup waits for its tasks; when one fails the others are cancelled and the attempt has failed."""
    ended: list[int] = []

    async def end(n: int) -> None:
        await asyncio.sleep(0)
        ended.append(n)

    async def fail() -> None:
        message = "one of them"
        raise OSError(message)

    async def good(event: Event[Any]) -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(end(n))

    async def bad(event: Event[Any]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            group.create_task(fail())

    assert await deliver(EVENT, subscription(good)) == Done()
    assert ended == [0, 1, 2]
    outcome = await deliver(EVENT, subscription(bad))
    assert isinstance(outcome, Retry)
    assert "ExceptionGroup" in outcome.failure.exception_type


async def test_cancelling_the_delivery_cancels_the_handler() -> None:
    """A cancelled delivery has no outcome: CancelledError reaches the handler, which may clean up, and the caller."""
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def handler(event: Event[Any]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_a_handler_that_swallows_the_cancellation_has_handled_the_event() -> None:
    """A handler that ends in spite of a cancellation has an outcome: giving the event back would repeat it."""
    began = asyncio.Event()

    async def handler(event: Event[Any]) -> None:
        began.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    assert await task == Done()


async def test_a_child_that_was_cancelled_fails_the_attempt() -> None:
    """CancelledError from a task that a handler awaits is the handler's failure, not the delivery's cancellation."""

    async def handler(event: Event[Any]) -> None:
        child = asyncio.create_task(asyncio.Event().wait())
        child.cancel()
        await child

    outcome = await deliver(EVENT, subscription(handler))
    assert isinstance(outcome, DeadLetter)
    assert outcome.failure.exception_type == "asyncio.exceptions.CancelledError"


async def test_only_a_cancellation_of_the_delivery_gives_it_back() -> None:
    """Who cancelled is told by what was thrown in, not by a count: CPython 3.11's TaskGroup leaves that too high."""
    tries = 0

    async def fail() -> None:
        message = "a child"
        raise ValueError(message)

    async def handler(event: Event[Any]) -> None:
        nonlocal tries
        tries += 1
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        child = asyncio.create_task(asyncio.Event().wait())
        child.cancel()
        await child

    assert isinstance(await deliver(EVENT, subscription(handler)), DeadLetter)
    assert tries == 1


async def test_a_delivery_that_is_cancelled_while_the_handler_cleans_up_is_given_back() -> None:
    """What a handler raises in its `except` or `finally` in place of the cancellation is that cancellation still."""
    began, cleaned = asyncio.Event(), asyncio.Event()

    async def handler(event: Event[Any]) -> None:
        began.set()
        try:
            async with asyncio.timeout(10):
                await asyncio.gather(asyncio.Event().wait(), asyncio.sleep(10))
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cleaned.set()
            raise asyncio.CancelledError("another") from None

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_a_cancellation_that_was_taken_back_gives_nothing_back() -> None:
    """asyncio.timeout cancels its task and takes that back: what fails while the handler sees to it is a failure."""

    async def handler(event: Event[Any]) -> None:
        child = asyncio.create_task(asyncio.Event().wait())
        try:
            async with asyncio.timeout(0.01):
                await asyncio.shield(child)
        except TimeoutError:
            child.cancel()
            await child

    assert isinstance(await deliver(EVENT, subscription(handler)), DeadLetter)


async def test_a_cancelled_delivery_whose_handler_cleans_up_with_a_timeout_is_given_back() -> None:
    """The cancellation of a timeout inside the clean-up does not hide the first one."""
    began = asyncio.Event()

    async def cancel_inside() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(10)
        task.uncancel()

    async def handler(event: Event[Any]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await cancel_inside()  # as asyncio.timeout does from Python 3.12 on
            raise

    task = asyncio.create_task(deliver(EVENT, subscription(handler)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_sync_handler_s_delivery_is_given_back_when_it_is_cancelled(executor: ThreadPoolExecutor) -> None:
    """The thread goes on; a CancelledError of the handler's own is its failure all the same."""
    may_end = threading.Event()
    task = asyncio.create_task(deliver(EVENT, subscription(lambda _: may_end.wait(5)), executor=executor))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
    raises = subscription(MagicMock(side_effect=asyncio.CancelledError))
    assert isinstance(await deliver(EVENT, raises, executor=executor), DeadLetter)


async def test_what_is_left_behind_is_closed_in_the_handler_s_context() -> None:
    """`finally` of a handler whose delivery is thrown away still sees the event that it is about."""
    seen: list[object] = []

    async def handler(event: Event[Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(current_event())

    coroutine = deliver(EVENT, subscription(handler))
    coroutine.send(None)
    coroutine.close()
    assert seen == [EVENT]


async def test_any_awaitable_is_awaited_in_the_handler_s_context() -> None:
    """Also one that is no coroutine: what it publishes has its cause."""
    seen: list[object] = []

    class Later:
        def __await__(self) -> Iterator[None]:
            yield
            seen.append(current_event())

    assert await deliver(EVENT, subscription(lambda _: Later())) == Done()
    assert seen == [EVENT]


async def test_async_generators_and_context_managers_close_inside() -> None:
    """`finally` of what a handler uses runs within the delivery, also when the handler fails."""
    closed: list[str] = []

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("generator")

    async def handler(event: Event[Any]) -> None:
        generator = numbers()
        try:
            async for _ in generator:
                message = "in the loop"
                raise OSError(message)
        finally:
            await generator.aclose()

    assert isinstance(await deliver(EVENT, subscription(handler)), Retry)
    assert closed == ["generator"]


# Slow ones


async def test_a_slow_handler_is_reported() -> None:
    """The watch is told about a handler over `slow_after`, from start to end, waiting included."""
    watch = Watching()

    async def waits(event: Event[Any]) -> None:
        await asyncio.sleep(0.03)

    await deliver(EVENT, subscription(waits), watch=watch, slow_after=0.02)
    await deliver(EVENT, subscription(AsyncMock()), watch=watch, slow_after=0.02)
    assert len(watch.slow_ones) == 1
    assert watch.slow_ones[0] >= 0.02
    assert watch.blocked_ones == []  # it let the loop run


async def test_a_failing_slow_handler_is_reported_too() -> None:
    """Slowness is reported whatever the outcome."""
    watch = Watching()

    def slow_and_bad(event: Event[Any]) -> None:
        time.sleep(0.03)
        message = "slow and bad"
        raise OSError(message)

    await deliver(EVENT, subscription(slow_and_bad), watch=watch, slow_after=0.02)
    assert len(watch.slow_ones) == 1


async def test_a_handler_that_blocks_the_loop_is_reported() -> None:
    """The watch is told about each step of an async handler that kept the loop for longer than `slow_after`."""
    watch = Watching()

    async def blocks(event: Event[Any]) -> None:
        await asyncio.sleep(0)
        time.sleep(0.03)  # noqa: ASYNC251  # the subject of the test
        await asyncio.sleep(0)

    await deliver(EVENT, subscription(blocks), watch=watch, slow_after=0.02)
    assert len(watch.blocked_ones) == 1
    assert len(watch.slow_ones) == 1


async def test_a_handler_in_a_thread_blocks_nobody(executor: ThreadPoolExecutor) -> None:
    """A slow sync handler in the executor is slow, not blocking."""
    watch = Watching()
    await deliver(EVENT, subscription(lambda _: time.sleep(0.03)), executor=executor, watch=watch, slow_after=0.02)
    assert (len(watch.slow_ones), watch.blocked_ones) == (1, [])


async def test_slow_handlers_are_counted_each_and_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """SlowHandlerLog counts all and logs the first of a subscription in ten seconds, by name."""
    stats = Stats()
    log = SlowHandlerLog(stats)
    for name in ("a", "a", "b"):
        log.slow(Subscription(name, AsyncMock()), EVENT, 0.25)
    log.blocked(Subscription("a", AsyncMock()), EVENT, 0.5)
    assert (stats.slow, stats.blocked) == ({"a": 2, "b": 1}, {"a": 1})
    assert [record.getMessage() for record in caplog.records] == [
        "handler a is slow: it took 250 ms with unit.delivered",
        "handler b is slow: it took 250 ms with unit.delivered",
        "handler a blocked the event loop for 500 ms with unit.delivered",
    ]
