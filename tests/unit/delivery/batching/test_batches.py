"""deliver_batch(): an outcome for each event of a batch."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from qt_events import BatchFailed, InvalidBatchError, Reject, RetryLater, current_event
from qt_events.delivery.batching.batches import asked, deliver_alone, deliver_batch
from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import HANDLED, SKIPPED, DeadLetter, Outcome, Retry
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event
from tests.unit.delivery.samples import subscription

EVENTS: list[Event[Any]] = [Event("unit.delivered", None, {"n": n}) for n in range(4)]
FIRST = [1, 1, 1, 1]


def batch_of(handler: Any, **options: Any) -> Subscription:
    return subscription(handler, batch=4, **options)


def failing(error: BaseException) -> Callable[[list[Event[Any]]], Awaitable[None]]:
    async def handler(_: list[Event[Any]]) -> None:
        raise error

    return handler


async def outcomes_of(error: BaseException, attempts: list[int] = FIRST) -> list[Outcome]:
    return await deliver_batch(EVENTS, batch_of(failing(error)), attempts)


async def test_an_event_may_be_named_by_its_source_and_id() -> None:
    """An id is one source's own, and a list may have events of several."""
    twins = [Event("unit.delivered", None, {}, id="1", source=each) for each in ("a", "b")]
    failed = BatchFailed({("b", "1"): Reject("no")})
    assert str(failed) == "1 events failed, the first is 1 from b: no"
    outcomes = await deliver_batch(twins, batch_of(failing(failed)), [1, 1])
    assert outcomes[0] is HANDLED
    assert isinstance(outcomes[1], DeadLetter)
    with pytest.raises(InvalidBatchError):
        BatchFailed({("b",): Reject("no")})


async def test_each_event_is_handled_if_the_handler_returns() -> None:
    """It gets a list of its own, sync or async."""
    got: list[list[Event[Any]]] = []

    async def on_loop(events: list[Event[Any]]) -> None:
        got.append(list(events))
        await asyncio.sleep(0)
        events.clear()

    def in_thread(events: list[Event[Any]]) -> None:
        got.append(events)

    with ThreadPoolExecutor(1) as executor:
        for handler in (on_loop, in_thread):
            for threads in (executor, None):
                given = tuple(EVENTS)
                outcomes = await deliver_batch(given, batch_of(handler), FIRST, executor=threads)
                assert outcomes == [HANDLED] * 4
    assert got == [EVENTS] * 4


async def test_an_error_fails_each_event_by_its_own_attempt() -> None:
    """The policy has three attempts, of two and four seconds."""
    outcomes = await outcomes_of(OSError("no"), [1, 2, 3, 1])
    kinds = [getattr(each, "delay", getattr(each, "reason", None)) for each in outcomes]
    assert kinds == [2, 4, "exhausted", 2]


async def test_batch_failed_fails_those_that_it_names() -> None:
    """Each by an error of its own, as if a handler of one event had raised it."""
    zero, one, two, _ = EVENTS
    error = BatchFailed({zero.id: RetryLater(7), one.id: Reject("no"), two.id: KeyError("gave up")})
    later, rejected, gave_up, handled = await outcomes_of(error)
    assert isinstance(later, Retry)
    assert isinstance(rejected, DeadLetter)
    assert isinstance(gave_up, DeadLetter)
    assert (later.delay, rejected.reason, gave_up.reason) == (7, "rejected", "gave_up")
    assert handled is HANDLED
    assert await outcomes_of(BatchFailed({})) == [HANDLED] * 4


async def test_an_id_of_another_batch_fails_the_whole_one() -> None:
    """The text names it, and says what to give."""
    outcomes = await outcomes_of(BatchFailed({EVENTS[0].id: OSError(), "another": OSError()}))
    for each in outcomes:
        assert isinstance(each, Retry)
        assert each.failure.exception_type.endswith("InvalidBatchError")
        assert "'another'" in each.failure.message
        assert EVENTS[0].id not in each.failure.message


@pytest.mark.parametrize("failures", [["id"], None, {"id": "no"}, {EVENTS[0]: OSError()}, {1: 2}])
def test_batch_failed_takes_errors_by_id(failures: Any) -> None:
    """Where it is raised, so that the traceback leads there."""
    with pytest.raises(InvalidBatchError, match=r"raise BatchFailed\(\{event\.id: error\}\)"):
        BatchFailed(failures)


async def test_one_line_tells_of_a_batch_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """A line an event would be 500; an error where there are dead letters."""
    with caplog.at_level(logging.DEBUG, "qt_events"):
        await outcomes_of(OSError("no"))
        await outcomes_of(BatchFailed({EVENTS[1].id: Reject("bad")}))
    texts = [(each.levelname, each.getMessage()) for each in caplog.records]
    first = "unit: 4 of a batch of 4 events failed, 0 of them are dead letters: OSError: no"
    second = "unit: 1 of a batch of 4 events failed, 1 of them are dead letters: qt_events.Reject:"
    assert texts == [("WARNING", first), ("ERROR", f"{second} bad")]


async def test_no_event_is_the_current_one() -> None:
    """Nor is what a handler publishes caused by any."""
    seen = []

    async def handler(events: list[Event[Any]]) -> None:
        seen.append(current_event())

    await deliver_batch(EVENTS, batch_of(handler), FIRST)
    assert seen == [None]


async def test_a_cancellation_leaves_no_outcome() -> None:
    """Whoever cancelled it gets it back."""
    begun = asyncio.Event()

    async def handler(_: list[Event[Any]]) -> None:
        begun.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(deliver_batch(EVENTS, batch_of(handler), FIRST))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_a_handler_leaves_to_be_run_is_its_failure() -> None:
    """As for one event; the text has no list of 500 events in it."""

    def handler(events: list[Event[Any]]) -> object:
        return (event for event in events)

    [outcome, *_] = await deliver_batch(EVENTS, batch_of(handler), FIRST)
    assert isinstance(outcome, Retry)
    assert "generator" in outcome.failure.message
    assert EVENTS[0].id not in outcome.failure.message


class Watching:
    """Watch that notes what it is told of."""

    def __init__(self) -> None:
        self.slow_ones: list[tuple[str, object]] = []

    def slow(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        assert seconds > 0
        self.slow_ones.append((subscription.name, event))

    def blocked(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        raise AssertionError


async def test_a_slow_handler_is_told_of_once_a_batch() -> None:
    """There is no event to name."""
    watch = Watching()

    async def handler(_: list[Event[Any]]) -> None:
        await asyncio.sleep(0.03)

    await deliver_batch(EVENTS, batch_of(handler), FIRST, watch=watch, slow_after=0.02)
    assert watch.slow_ones == [("unit", None)]


def test_a_predicate_is_asked_for_each_event() -> None:
    """One that breaks fails the attempt of that event."""
    chosen = batch_of(print, when=lambda event: 6 / event.payload["n"] > 2)
    zero, *others = [asked(event, chosen, 3) for event in EVENTS]
    assert others == [None, None, SKIPPED]
    assert isinstance(zero, DeadLetter)
    assert asked(EVENTS[0], batch_of(print), 1) is None


async def test_alone_an_event_is_a_batch_of_one() -> None:
    """BatchFailed is its own error then."""
    got = []

    async def handler(events: list[Event[Any]]) -> None:
        got.append(len(events))
        raise BatchFailed({events[0].id: Reject("no")})

    chosen = batch_of(handler, when=lambda event: event.payload["n"])
    outcome = await deliver_alone(EVENTS[1], chosen, 1)
    assert isinstance(outcome, DeadLetter)
    assert (outcome.reason, got) == ("rejected", [1])
    assert await deliver_alone(EVENTS[0], chosen, 1) is SKIPPED


class Around:
    """Middleware of both kinds."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.seen: list[object] = []
        self.error = error

    async def around_handle(self, event: object, *_: object) -> None:
        raise AssertionError

    async def around_batch(self, events: Any, of: Subscription, call_next: Any) -> None:
        self.seen.append((list(events), of.name, current_event()))
        await call_next()
        if self.error is not None:
            raise self.error


async def test_around_batch_is_called_once_a_batch() -> None:
    """And around_handle is not. What it raises fails the batch, or what it names."""
    fine, bad = Around(), Around(BatchFailed({EVENTS[2].id: Reject("no")}))
    stack = MiddlewareStack()
    stack.add(fine)
    assert await deliver_batch(EVENTS, batch_of(print), FIRST, middleware=stack) == [HANDLED] * 4
    assert fine.seen == [(EVENTS, "unit", None)]
    stack.add(bad)
    outcomes = await deliver_batch(EVENTS, batch_of(print), FIRST, middleware=stack)
    assert [each is HANDLED for each in outcomes] == [True, True, False, True]


class ForgetsToCall:
    async def around_batch(self, *_: object) -> None: ...


async def test_middleware_that_calls_nothing_fails_the_batch() -> None:
    """No event is dropped in silence."""
    stack = MiddlewareStack()
    stack.add(ForgetsToCall())
    outcomes = await deliver_batch(EVENTS, batch_of(print), FIRST, middleware=stack)
    for each in outcomes:
        assert isinstance(each, Retry)
        assert "ForgetsToCall.around_batch" in each.failure.message
