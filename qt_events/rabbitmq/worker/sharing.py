"""Sharing: other processes that serve the same subscriptions, and what join() can know then."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from amqp import Channel
from amqp.exceptions import ChannelError

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import BrokerError, ForeignConsumersError
from qt_events.rabbitmq.connection.connections import LOST, for_errands, visiting
from qt_events.rabbitmq.runtime import Runtime

logger = logging.getLogger("qt_events")

_FIRST_LOOK, _LONGEST = 5.0, 60.0  # seconds between two looks, the second one at most
_POLL = 0.2  # seconds between two looks at the depth of queues
_LOOKS = 4  # in a row
# Seconds after which a consumer is no ghost: the broker keeps one whose connection fell silent for
# two heartbeats.
_GHOST = 30.0


async def look_for_others(runtime: Runtime) -> None:
    """Stop following own events once other processes serve the same subscriptions.

    Nobody tells this process of outcomes elsewhere: they would be waited for without end. The
    broker is asked only while the oldest own event has no outcome for a while.
    """
    over = threading.Event()
    try:
        await _look_for_others(runtime, over)
    finally:
        # asyncio.run() waits for the thread that asks.
        over.set()


async def _look_for_others(runtime: Runtime, over: threading.Event) -> None:
    pause, before, since = _FIRST_LOOK, None, None
    while not runtime.outstanding.shared:
        await asyncio.sleep(pause)
        oldest = runtime.outstanding.oldest
        if oldest is None or oldest != before:
            pause, before, since = _FIRST_LOOK, oldest, None
            continue
        pause = min(2 * pause, _LONGEST)
        try:
            others = await asyncio.to_thread(_others, runtime, over)
        # This task goes on in any case: join() relies on it.
        except Exception as error:
            known = isinstance(error, (BrokerError, ChannelError, *LOST))
            level = logging.DEBUG if known else logging.ERROR
            logger.log(level, "who else serves is not known: %s", error, exc_info=not known)
            continue
        since = (since or monotonic()) if others else None
        if since is not None and monotonic() - since > _GHOST:
            runtime.outstanding.share()


def must_serve_alone(runtime: Runtime) -> None:
    """Raise ForeignConsumersError if other processes serve a subscription of this one, or did."""
    if others := _others(runtime):
        message = f"join() cannot know: other processes serve {', '.join(others)} too"
        raise ForeignConsumersError(message)
    if runtime.outstanding.shared:
        message = "join() cannot know: other processes served these subscriptions too, a while ago"
        raise ForeignConsumersError(message)


def _others(runtime: Runtime, over: threading.Event | None = None) -> list[str]:
    """Return the subscriptions that are served elsewhere too, at several looks in a row.

    None, once it is `over`.

    While this process consumes anew, for another prefetch, the broker may count it twice.
    """
    others: list[str] = []
    for _ in range(_LOOKS):
        with _channel(runtime) as channel:
            others = [
                each.name
                for each in _shareable(runtime)
                if not (over and over.is_set()) and _depth(runtime, channel, each)[1] > 1
            ]
        if not others:
            break
        sleep(_POLL)
    return others


async def all_taken(runtime: Runtime, held: Callable[[], int]) -> None:
    """Return when the broker has no event left to deliver here, and none is held or retried."""
    quiet_looks = 0
    # Twice, for events may be on their way when the broker answers first.
    while quiet_looks < 2:  # noqa: PLR2004
        await asyncio.sleep(_POLL)
        waiting = await asyncio.to_thread(_waiting, runtime)
        # One that waits for its retry is in no queue of a subscription's, but it is followed again.
        quiet = not (waiting or held() or len(runtime.outstanding))
        quiet_looks = quiet_looks + 1 if quiet else 0


def _waiting(runtime: Runtime) -> int:
    with _channel(runtime) as channel:
        return sum(_depth(runtime, channel, each)[0] for each in _shareable(runtime))


def _shareable(runtime: Runtime) -> list[Subscription]:
    return [each for each in runtime.subscriptions if not each.broadcast]


def _depth(runtime: Runtime, channel: Channel, subscription: Subscription) -> tuple[int, int]:
    return runtime.topology.depth(channel, runtime.topology.queue(subscription.name))


@contextmanager
def _channel(runtime: Runtime) -> Iterator[Channel]:
    with visiting(for_errands(runtime.app)) as connection, connection.channel() as channel:
        yield channel
