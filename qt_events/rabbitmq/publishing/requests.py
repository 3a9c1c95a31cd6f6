"""Requests: publishes and declarations, each with the waiter for its result."""

import asyncio
import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from amqp import Channel

from qt_events.rabbitmq.messages.properties import Content

_TURN = 100  # waiters resolved before the rest of their event loop has its turn


class Preparation(Protocol):
    """Declarations that a request needs. They run in the publisher's thread.

    `epoch` is the publisher's: what was declared in an earlier epoch must be declared again.
    """

    @property
    def about(self) -> str:
        """Name of what is declared, for error texts."""

    def needed(self, epoch: int) -> bool:
        """Return True if there is something to declare."""

    def make(self, channel: Channel, epoch: int) -> None:
        """Declare it, on a channel of its own: a refusal closes no other channel."""


class Request:
    """Work for the publisher that ends once, for one waiter: a coroutine or a plain thread."""

    __slots__ = (
        "admitted",
        "asked",
        "deadline",
        "diverted",
        "ended",
        "error",
        "first",
        "future",
        "loop",
        "nacks",
        "routed",
        "spooled",
    )

    #: It may go to a spool in place of the broker.
    spools = False

    def __init__(self, first: Preparation | None = None) -> None:
        self.first = first
        self.loop: asyncio.AbstractEventLoop | None = None  #: the waiter's; None for a plain thread
        self.future: Any = None
        self.asked = 0.0  #: start of the waiting, by time.monotonic()
        self.deadline = math.inf  #: end of the waiting, by time.monotonic()
        self.admitted = False  #: it is or was in flight: there was room for it in the window
        self.ended = False  #: its waiter has been told, or is about to be
        self.error: BaseException | None = None
        self.nacks = 0  #: number of times that the broker could not store it
        self.routed = True  #: at least one queue took it
        self.diverted = False  #: it has gone to a spool, and waits for the disk or is on it
        self.spooled = False  #: it is on the disk

    def await_on(self, loop: asyncio.AbstractEventLoop | None, timeout: float) -> None:
        """Create the future, on this loop or for a plain thread."""
        self.asked = asked = monotonic()
        self.deadline = asked + timeout
        self.loop, self.future = loop, Future() if loop is None else loop.create_future()

    def resolve(self) -> None:
        """Tell the waiter the result. Runs on the waiter's event loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.routed)
        else:
            self.future.set_exception(self.error)

    def drop(self) -> None:
        """Note that the waiter has left: asyncio would log an error that nobody asks for."""
        if not self.future.cancel() and not self.future.cancelled():
            self.future.exception()


class PublishRequest(Request):
    """Message for an exchange. With `must_route` it is an error if no queue takes it."""

    __slots__ = ("content", "exchange", "must_route", "routing_key")

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        content: Content,
        *,
        first: Preparation | None = None,
        must_route: bool = True,
    ) -> None:
        super().__init__(first)
        self.exchange, self.routing_key, self.content = exchange, routing_key, content
        self.must_route = must_route


class SpoolablePublish(PublishRequest):
    """Publish of an event that may wait on the local disk: where it goes does not matter to it."""

    __slots__ = ()

    spools = True


class DeclareRequest(Request):
    """Function to be called with a channel of its own; nothing is published."""

    __slots__ = ("about", "action")

    def __init__(self, about: str, action: Callable[[Channel], object]) -> None:
        super().__init__(first=self)
        self.about, self.action = about, action

    def needed(self, _epoch: int) -> bool:
        return True

    def make(self, channel: Channel, _epoch: int) -> None:
        self.action(channel)


def resolve(requests: Iterable[Request]) -> None:
    """Tell the waiters their results, with one call to each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[Request]] = {}
    for request in requests:
        # A waiter that has left needs no result, and a call would wake its loop for nothing.
        if not request.future.done():
            by_loop.setdefault(request.loop, []).append(request)
    for loop, waiting in by_loop.items():
        if loop is None:
            _resolve_all(waiting)
        else:
            # The loop may be closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve_in_turns, loop, waiting)


def _resolve_in_turns(loop: asyncio.AbstractEventLoop, requests: list[Request]) -> None:
    """Resolve some at a time: one confirm may be for thousands, and other tasks need the loop."""
    _resolve_all(requests[:_TURN])
    if requests[_TURN:]:
        loop.call_soon(_resolve_in_turns, loop, requests[_TURN:])


def _resolve_all(requests: Iterable[Request]) -> None:
    for request in requests:
        request.resolve()
