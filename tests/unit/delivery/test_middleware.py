"""Middleware: its order, its rights, and that a mistake in it is never a lost event."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest

from qt_events.delivery.middleware import Attempt, CallHandler, CallPublish, MiddlewareStack
from qt_events.delivery.outcome import HANDLED
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import InvalidEventError, InvalidMiddlewareError
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription

ATTEMPT = Attempt(EVENT.id, EVENT.type, "unit", 1, HANDLED)


class Layer:
    """Both kinds of middleware, noting what begins and what ends."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    async def around_publish(self, event: Event[Any], call_next: CallPublish) -> None:
        self.notes.append(f"{self.name} begins")
        await call_next(event)
        self.notes.append(f"{self.name} ends")

    async def around_handle(
        self, _event: Event[Any], _subscription: Subscription, attempt: int, call_next: CallHandler
    ) -> None:
        self.notes.append(f"{self.name} begins {attempt}")
        result = await call_next()
        self.notes.append(f"{self.name} ends with {result}")


class Publishing:
    """Publish middleware of one function."""

    def __init__(self, around: Callable[[Event[Any], CallPublish], Awaitable[object]]) -> None:
        self._around = around

    async def around_publish(self, event: Event[Any], call_next: CallPublish) -> None:
        await self._around(event, call_next)


class Handling:
    """Handler middleware of one function."""

    def __init__(self, around: Callable[[CallHandler], Awaitable[object]]) -> None:
        self._around = around

    async def around_handle(
        self, _event: Event[Any], _subscription: Subscription, _attempt: int, call_next: CallHandler
    ) -> object:
        return await self._around(call_next)


def stack(*middleware: object) -> MiddlewareStack:
    made = MiddlewareStack()
    for each in middleware:
        made.add(each)
    return made


async def handle(used: MiddlewareStack, handler: CallHandler) -> None:
    await used.handle(EVENT, subscription(print), 1, handler)


# Adding


class NotAsync:
    def around_publish(self, *_: object) -> None: ...


class AsyncObserver:
    async def concluded(self, _: Attempt) -> None: ...


class NoMethod:
    around_handle = "later"


@pytest.mark.parametrize(
    ("middleware", "problem"),
    [
        (
            object(),
            "at least one of the methods around_publish, around_handle, around_batch, published",
        ),
        (Layer, "at least one of"),
        (NotAsync(), "around_publish must be a method made by async def"),
        (AsyncObserver(), "concluded must be a method made by plain def"),
        (NoMethod(), "around_handle must be a method made by async def"),
    ],
)
def test_an_object_that_is_no_middleware_is_refused_by_name(
    middleware: object, problem: str
) -> None:
    """The error says what the object must have, and nothing of it is added."""
    used = MiddlewareStack()
    with pytest.raises(InvalidMiddlewareError, match=problem):
        used.add(middleware)
    assert (used.around_publish, used.around_handle) == ([], [])
    assert (used.published, used.concluded) == ([], [])


def test_a_middleware_may_have_one_method_or_all_four() -> None:
    """Missing methods are not called."""

    class Everything(Layer):
        def published(self, *_: object) -> None: ...

        def concluded(self, *_: object) -> None: ...

    used = stack(Everything("all", []), Handling(AsyncMock()))
    methods = (used.around_publish, used.around_handle, used.published, used.concluded)
    assert [len(each) for each in methods] == [1, 2, 1, 1]


def test_removed_middleware_is_called_no_more() -> None:
    one, other = Layer("one", []), Layer("other", [])
    used = stack(one, other)
    used.remove(one)
    assert used.around_publish == [other.around_publish]
    assert used.around_handle == [other.around_handle]


# Publish


async def test_publishes_go_through_middleware_in_the_order_of_use() -> None:
    """The first one used is the outermost."""
    notes: list[str] = []
    used, last = stack(Layer("outer", notes), Layer("inner", notes)), AsyncMock()
    await used.publish(EVENT, last)
    assert notes == ["outer begins", "inner begins", "inner ends", "outer ends"]
    last.assert_awaited_once_with(EVENT)


async def test_without_middleware_the_bus_publishes() -> None:
    last = AsyncMock()
    await MiddlewareStack().publish(EVENT, last)
    last.assert_awaited_once_with(EVENT)


async def test_middleware_may_publish_another_event() -> None:
    """A copy with a trace, for example; something else than an event is refused."""
    other, last = EVENT.replace(source="elsewhere"), AsyncMock()
    await stack(Publishing(lambda _, call_next: call_next(other))).publish(EVENT, last)
    last.assert_awaited_once_with(other)
    wrong: Any = "no event"
    with pytest.raises(InvalidEventError):
        await stack(Publishing(lambda _, call_next: call_next(wrong))).publish(EVENT, last)


async def test_middleware_that_forgets_to_publish_is_an_error() -> None:
    """An event is never dropped in silence."""
    last = AsyncMock()
    with pytest.raises(InvalidMiddlewareError, match=r"around_publish.*not published"):
        await stack(Publishing(AsyncMock())).publish(EVENT, last)
    last.assert_not_awaited()


async def test_an_error_of_the_publish_cannot_be_hidden() -> None:
    """The caller must hear of it, though middleware has caught it."""

    async def hide(event: Event[Any], call_next: CallPublish) -> None:
        with pytest.raises(OSError, match="away"):
            await call_next(event)

    with pytest.raises(OSError, match="away"):
        await stack(Publishing(hide)).publish(EVENT, AsyncMock(side_effect=OSError("away")))


async def test_middleware_may_publish_again_after_an_error() -> None:
    """Publishing the same event again is safe: its id stays."""

    async def again(event: Event[Any], call_next: CallPublish) -> None:
        with pytest.raises(OSError, match="away"):
            await call_next(event)
        await call_next(event)

    last = AsyncMock(side_effect=[OSError("away"), None])
    await stack(Publishing(again)).publish(EVENT, last)
    assert last.await_count == 2


def test_publish_sync_runs_middleware_on_a_loop_of_its_own() -> None:
    """It may await there, and the bus's own part may block."""
    notes: list[str] = []

    async def wait(event: Event[Any], call_next: CallPublish) -> None:
        await asyncio.sleep(0)
        await call_next(event)

    used = stack(Layer("outer", notes), Publishing(wait))
    used.publish_sync(EVENT, lambda event: notes.append(event.id))
    assert notes == ["outer begins", EVENT.id, "outer ends"]


# Handle


async def test_every_layer_gets_the_handlers_result() -> None:
    """Return values of the layers between do not matter."""
    notes: list[str] = []
    used = stack(Layer("outer", notes), Handling(lambda call_next: call_next()), Layer("in", notes))
    await handle(used, AsyncMock(return_value=5))
    assert notes == ["outer begins 1", "in begins 1", "in ends with 5", "outer ends with 5"]


async def test_the_handlers_error_passes_every_layer() -> None:
    notes: list[str] = []
    used = stack(Layer("outer", notes), Layer("inner", notes))
    with pytest.raises(OSError, match="away"):
        await handle(used, AsyncMock(side_effect=OSError("away")))
    assert notes == ["outer begins 1", "inner begins 1"]


async def test_an_error_of_the_handler_cannot_be_hidden() -> None:
    """It counts though middleware has caught it; the layers outside see it too."""
    seen: list[str] = []

    async def hide(call_next: CallHandler) -> None:
        with pytest.raises(OSError, match="away"):
            await call_next()

    async def look(call_next: CallHandler) -> None:
        try:
            await call_next()
        except OSError as error:
            seen.append(str(error))

    with pytest.raises(OSError, match="away"):
        await handle(stack(Handling(look), Handling(hide)), AsyncMock(side_effect=OSError("away")))
    assert seen == ["away"]


async def test_an_error_of_the_middleware_takes_the_place_of_the_handlers() -> None:
    """As with any exception raised while another one is handled."""

    async def translate(call_next: CallHandler) -> None:
        try:
            await call_next()
        except OSError as error:
            raise ConnectionError("the database") from error

    with pytest.raises(ConnectionError, match="database"):
        await handle(stack(Handling(translate)), AsyncMock(side_effect=OSError("away")))


async def test_middleware_that_forgets_the_handler_is_an_error() -> None:
    """Else the event would be acknowledged and lost."""
    handler = AsyncMock()
    with pytest.raises(InvalidMiddlewareError, match=r"around_handle.*call_next\(\)"):
        await handle(stack(Handling(AsyncMock())), handler)
    handler.assert_not_awaited()


async def test_middleware_that_does_not_wait_for_the_handler_is_an_error() -> None:
    """A handler in a task of its own may fail after its event was acknowledged."""
    going, tasks = asyncio.Event(), []

    async def leave(call_next: CallHandler) -> None:
        tasks.append(asyncio.ensure_future(call_next()))
        await going.wait()

    async def handler() -> None:
        going.set()
        await asyncio.sleep(0)

    with pytest.raises(InvalidMiddlewareError, match="end"):
        await handle(stack(Handling(leave)), handler)
    await tasks[0]


async def test_the_handler_is_called_once() -> None:
    """Attempts are repeated by the retry policy, counted and with delays, not by middleware."""
    handler = AsyncMock()

    async def twice(call_next: CallHandler) -> None:
        await call_next()
        await call_next()

    with pytest.raises(InvalidMiddlewareError, match="once"):
        await handle(stack(Handling(twice)), handler)
    assert handler.await_count == 1


async def test_middleware_may_put_a_time_limit_on_the_handler() -> None:
    """asyncio.timeout and wait_for work around call_next()."""

    async def limit(call_next: CallHandler) -> None:
        async with asyncio.timeout(0.001):
            await call_next()

    for around in (limit, lambda call_next: asyncio.wait_for(call_next(), 0.001)):
        with pytest.raises(TimeoutError):
            await handle(stack(Handling(around)), lambda: asyncio.sleep(60))


# Observers


def test_observers_are_told_in_order_and_one_that_fails_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its error is logged with its name."""
    notes: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        def published(self, event: Event[Any], _: object) -> None:
            notes.append(f"{self.name} {event.type}")

        def concluded(self, attempt: Attempt) -> None:
            notes.append(f"{self.name} {attempt.number}")

    class Failing:
        def published(self, *_: object) -> None:
            raise LookupError("no such metric")

        concluded = published

    used = stack(Noting("first"), Failing(), Noting("second"))
    with caplog.at_level(logging.ERROR, "qt_events"):
        used.tell_published(EVENT, ())
        used.tell_concluded(ATTEMPT)
    assert notes == [f"first {EVENT.type}", f"second {EVENT.type}", "first 1", "second 1"]
    assert caplog.text.count("LookupError: no such metric") == 2
    assert "Failing.published failed" in caplog.text
