"""Subscription: names, handlers, options."""

import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import (
    MAX_CONCURRENCY,
    Subscription,
    is_async,
    pattern_of,
    validate_handler,
)
from qt_events.errors import (
    InvalidHandlerError,
    InvalidOptionError,
    InvalidPatternError,
    InvalidPolicyError,
)
from qt_events.events.event import Event
from qt_events.events.quantum_trader import PolicyUpdatedEvent


def sync_function(event: Event[Any]) -> None: ...


async def async_function(event: Event[Any]) -> None: ...


async def with_more(
    event: Event[Any], more: int = 1, *rest: Any, key: str = "", **others: Any
) -> None: ...


async def two_first(more: int, event: Event[Any]) -> None: ...


class HTTPRouter:
    async def on_event(self, event: Event[Any]) -> None: ...

    def on_event_sync(self, event: Event[Any]) -> None: ...

    @classmethod
    async def on_class(cls, event: Event[Any]) -> None: ...

    @staticmethod
    async def on_nothing(event: Event[Any]) -> None: ...


class AsyncObject:
    async def __call__(self, event: Event[Any]) -> None: ...


class SyncObject:
    def __call__(self, event: Event[Any]) -> None: ...


@functools.wraps(async_function)
async def decorated(*arguments: Any, **named: Any) -> None: ...


@functools.wraps(async_function)
def decorated_by_a_plain_function(*arguments: Any, **named: Any) -> Any: ...


# Whether it is async


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (sync_function, False),
        (async_function, True),
        (HTTPRouter().on_event, True),
        (HTTPRouter().on_event_sync, False),
        (HTTPRouter.on_class, True),
        (HTTPRouter.on_nothing, True),
        (AsyncObject(), True),
        (SyncObject(), False),
        (functools.partial(async_function), True),
        (functools.partial(sync_function), False),
        (functools.partial(functools.partial(two_first, 1)), True),
        (functools.partial(HTTPRouter().on_event), True),
        (functools.partial(AsyncObject()), True),
        (AsyncMock(), True),
        (MagicMock(), False),
        (functools.partial(AsyncMock()), True),
        (decorated, True),
        (decorated_by_a_plain_function, False),
        (lambda event: None, False),
        (lambda event: async_function(event), False),  # noqa: PLW0108  # a lambda is the subject
        (print, False),
        ([].append, False),
    ],
)
def test_async_is_found_by_what_a_handler_is(handler: Callable[..., Any], expected: bool) -> None:
    """Functions, methods, partials, objects, mocks: async means that a call gives a coroutine."""
    assert is_async(handler) is expected
    assert Subscription("s", handler).is_async is expected


# What can be a handler


@pytest.mark.parametrize(
    "handler",
    [
        sync_function,
        with_more,
        HTTPRouter().on_event,
        functools.partial(two_first, 1),
        AsyncMock(),
        print,
        json.dumps,
    ],
)
def test_whatever_can_be_called_with_one_event_is_a_handler(handler: Any) -> None:
    """Further parameters need defaults; without a signature a mistake shows in the call."""
    validate_handler(handler)


def no_parameters() -> None: ...


def keyword_only(*, event: Any) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [
        no_parameters,
        two_first,
        keyword_only,
        HTTPRouter.on_event,
        functools.partial(sync_function, 1),  # type: ignore[arg-type]
    ],
)
def test_a_handler_that_cannot_take_one_event_is_refused(handler: Any) -> None:
    """The error says why, and how a handler looks."""
    with pytest.raises(InvalidHandlerError, match="write def handler"):
        validate_handler(handler)


async def async_generator(event: Event[Any]) -> AsyncIterator[None]:
    yield


def generator(event: Event[Any]) -> Iterator[None]:
    yield


@contextlib.contextmanager
def context_manager(event: Event[Any]) -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def async_context_manager(event: Event[Any]) -> AsyncIterator[None]:
    yield


@functools.wraps(async_generator)
async def driven(event: Event[Any]) -> None:
    async for _ in async_generator(event):
        pass


class Streaming:
    """Handlers that are generators in every place that Python has for a callable."""

    def __init__(self, event: object = None) -> None: ...

    async def __call__(self, event: Event[Any]) -> AsyncIterator[None]:
        yield

    async def on_event(self, event: Event[Any]) -> AsyncIterator[None]:
        yield


class Managing:
    """Handler whose call makes a context manager."""

    @contextlib.contextmanager
    def __call__(self, event: Event[Any]) -> Iterator[None]:
        yield


LAZY = [
    async_generator,
    generator,
    context_manager,
    async_context_manager,
    functools.partial(generator),
    functools.partial(functools.partial(async_generator)),
    Streaming(),
    Streaming().on_event,
    Streaming,
    functools.partial(Streaming),
    Managing(),
]


@pytest.mark.parametrize("handler", LAZY)
def test_a_handler_whose_call_handles_nothing_is_refused(handler: Any) -> None:
    """Its events would be acknowledged, and no line of it run."""
    with pytest.raises(InvalidHandlerError, match=r"a generator, a context manager or a class"):
        validate_handler(handler)


def test_a_decorator_may_drive_a_generator() -> None:
    """What it returns says whether it did, when it is called."""
    validate_handler(driven)


@pytest.mark.parametrize("when", LAZY)
def test_a_predicate_whose_call_decides_nothing_is_refused(when: Any) -> None:
    """What it returns is true for every event."""
    with pytest.raises(InvalidHandlerError, match="when="):
        Subscription("s", sync_function, when=when)


@pytest.mark.parametrize("handler", [None, "handler", 5, Event("a.b")])
def test_what_is_not_callable_is_refused(handler: Any) -> None:
    """Only a callable is a handler; the error is a TypeError too."""
    with pytest.raises(TypeError, match="must be a callable"):
        validate_handler(handler)


async def a_coroutine_made_too_early(event: Event[Any]) -> None: ...


def test_a_coroutine_in_place_of_a_function_is_refused() -> None:
    """Calling the handler while subscribing is a mistake that is named."""
    coroutine = a_coroutine_made_too_early(Event("a.b"))
    with pytest.raises(InvalidHandlerError, match="callable"):
        validate_handler(coroutine)
    coroutine.close()


# Names


@pytest.mark.parametrize("name", ["a", "risk_guard", "A.b-c:d", "9", "x" * 200])
def test_names_that_fit_a_queue(name: str) -> None:
    """Letters, digits, `_ . : -`, up to 200 characters."""
    assert Subscription(name, sync_function).name == name


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a/b", "ä", ".a", "-a", "x" * 201, "a\n", None, 5]
)
def test_names_that_do_not_are_refused(name: Any) -> None:
    """Anything else is an error that says what a name may be."""
    with pytest.raises(InvalidHandlerError, match="no subscription name"):
        Subscription(name, sync_function)


# Options


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, "2", True, None, MAX_CONCURRENCY + 1])
def test_concurrency_is_a_positive_int(concurrency: Any) -> None:
    """A concurrency out of its range names the subscription and the range."""
    with pytest.raises(InvalidOptionError, match=r"'s': concurrency="):
        Subscription("s", sync_function, concurrency=concurrency)


def test_a_predicate_is_callable() -> None:
    """when= takes a callable, nothing else."""
    with pytest.raises(InvalidHandlerError, match="when="):
        Subscription("s", sync_function, when=True)  # type: ignore[arg-type]


def test_an_async_predicate_is_refused() -> None:
    """A coroutine is always true: an async predicate would let everything pass."""
    with pytest.raises(InvalidHandlerError, match="when="):
        Subscription("s", sync_function, when=async_function)


def test_a_predicate_takes_one_event() -> None:
    """A predicate that cannot be called with one event is refused where it is given."""
    with pytest.raises(InvalidHandlerError, match="when="):
        Subscription("s", sync_function, when=no_parameters)  # type: ignore[arg-type]


def test_a_retry_policy_is_a_retry_policy() -> None:
    """retry= takes a RetryPolicy, not a number."""
    with pytest.raises(InvalidPolicyError, match="RetryPolicy"):
        Subscription("s", sync_function, retry=5)  # type: ignore[arg-type]


def test_broadcast_is_a_bool() -> None:
    """broadcast= takes True or False; a name in its place is refused."""
    with pytest.raises(InvalidOptionError, match="broadcast="):
        Subscription("s", sync_function, broadcast="yes")  # type: ignore[arg-type]


def test_the_default_policy_is_five_attempts() -> None:
    """Without retry= it is RetryPolicy(): 5 attempts, first delay 1 s, doubling."""
    assert Subscription("s", sync_function).retry == RetryPolicy()


# Patterns


@pytest.mark.parametrize("pattern", ["a", "a.b", "*", "#", "a.*.c", "a.#", "#.c"])
def test_a_pattern_stands_for_itself(pattern: str) -> None:
    """A well-formed topic pattern is taken as it is."""
    assert pattern_of(pattern) == pattern


def test_an_event_class_stands_for_its_type() -> None:
    """Subscribing to a class is subscribing to its type; a class without a type is refused."""
    assert pattern_of(PolicyUpdatedEvent) == "policy.updated"
    with pytest.raises(InvalidPatternError, match="names no type"):
        pattern_of(Event)


@pytest.mark.parametrize("pattern", ["", "a..b", "a*", None, 5, dict, Event("a.b")])
def test_what_is_neither_is_refused(pattern: Any) -> None:
    """Anything else is an InvalidPatternError."""
    with pytest.raises(InvalidPatternError):
        pattern_of(pattern)
