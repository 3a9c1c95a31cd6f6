"""Orders: what a publisher is asked to do, and who waits for the end of it."""

import asyncio
import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from amqp import Channel

from qt_events.rabbitmq.compat.basic_publish import frames
from qt_events.rabbitmq.messages.properties import Content

_TURN = 100  # waiters that are told before the rest of their loop has its turn


class Preparation(Protocol):
    """What must stand on the broker before an order is carried out. Runs in the publisher's thread.

    `epoch` is the publisher's: what was declared in an earlier one may be gone.
    """

    @property
    def about(self) -> str:
        """What is declared, for the text of an error."""

    def needed(self, epoch: int) -> bool:
        """Whether there is anything to declare."""

    def make(self, channel: Channel, epoch: int) -> None:
        """Declare it, on a channel of its own, where a refusal closes nobody else's."""


class Request:
    """Something that ends once, with a result or an error, for one waiter: a coroutine or a plain thread."""

    __slots__ = ("admitted", "deadline", "ended", "error", "first", "future", "loop", "routed")

    def __init__(self, first: Preparation | None = None) -> None:
        self.first = first
        self.loop: asyncio.AbstractEventLoop | None = None  #: the waiter's; None for a plain thread
        self.future: Any = None
        self.deadline = math.inf  #: by time.monotonic(); its waiter waits no longer
        self.admitted = False  #: it was in flight at some time: there was room for it
        self.ended = False  #: its waiter has been told, or is about to be
        self.error: BaseException | None = None
        self.routed = True  #: a publish: at least one queue took it

    def await_on(self, loop: asyncio.AbstractEventLoop | None, timeout: float) -> None:
        """Make the future: on this loop, or for a plain thread."""
        self.deadline = monotonic() + timeout
        self.loop, self.future = loop, Future() if loop is None else loop.create_future()

    def resolve(self) -> None:
        """Tell the waiter, on its own loop's thread."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.routed)
        else:
            self.future.set_exception(self.error)


class PublishRequest(Request):
    """A message for an exchange. Unless `must_route`, it may reach no queue at all."""

    __slots__ = ("content", "exchange", "must_route", "nacks", "routing_key")

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
        self.nacks = 0  #: times that the broker could not store it

    def frames(self, channel: int, frame_max: int) -> list[bytes]:
        """As it is written. See basic_publish.frames for what it raises."""
        return frames(self.exchange, self.routing_key, self.content, channel, frame_max)


class DeclareRequest(Request):
    """Nothing but something for a channel of its own."""

    __slots__ = ("about", "action")

    def __init__(self, about: str, action: Callable[[Channel], object]) -> None:
        super().__init__(first=self)
        self.about, self.action = about, action

    def needed(self, _epoch: int) -> bool:
        """Always."""
        return True

    def make(self, channel: Channel, _epoch: int) -> None:
        """Do it."""
        self.action(channel)


def resolve(requests: Iterable[Request]) -> None:
    """Tell each order's waiter; one call over to each event loop, however many wait there."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[Request]] = {}
    for request in requests:
        if (
            not request.future.done()
        ):  # else its waiter has left, and calling over wakes the loop for nothing
            by_loop.setdefault(request.loop, []).append(request)
    for loop, waiting in by_loop.items():
        if loop is None:
            _resolve_all(waiting)
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_resolve_in_turns, loop, waiting)


def _resolve_in_turns(loop: asyncio.AbstractEventLoop, requests: list[Request]) -> None:
    """Some at a time: one confirm may be for thousands, and their waiters would have the loop to themselves."""
    _resolve_all(requests[:_TURN])
    if requests[_TURN:]:
        loop.call_soon(_resolve_in_turns, loop, requests[_TURN:])


def _resolve_all(requests: Iterable[Request]) -> None:
    for request in requests:
        request.resolve()
