"""A handler that blocks the event loop until the broker has hung up is not repeated for ever."""

import select
from collections import Counter
from typing import Any

import pytest

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.integration.run_forever.hosting import Handler, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.waiting import until, until_told

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)


def block_until_the_broker_hangs_up(bus: CeleryEventBus) -> None:
    """Block as a handler does that waits in this thread, for longer than two heartbeats."""
    consumer: Any = bus.serving.consumer
    poll = select.poll()
    poll.register(consumer.connection.connection.sock, select.POLLRDHUP)
    assert poll.poll(20_000), "the broker has not hung up"


class Blocking:
    """Handler that blocks the loop at each call, and may await, or fail, afterwards.

    `ends`: "at once", "while it is away" (the connection), or "when it is back".
    """

    def __init__(self, bus: CeleryEventBus, ends: str, *, fails: bool = False) -> None:
        self.bus, self.ends, self.fails = bus, ends, fails
        self.calls: list[str] = []

    async def __call__(self, event: Event[Any]) -> None:
        self.calls.append(event.id)
        consumer: Any = self.bus.serving.consumer
        before = consumer.restart_count
        block_until_the_broker_hangs_up(self.bus)
        if self.ends != "at once":
            # It may be back before anybody sees that it was away.
            await until(lambda: not consumer.pool.serving or consumer.restart_count > before)
        if self.ends == "when it is back":
            await until(lambda: consumer.pool.serving)
        if self.fails:
            message = "it failed, after all"
            raise OSError(message)


ENDS = pytest.mark.parametrize("ends", ["at once", "while it is away", "when it is back"])


async def settled(bus: CeleryEventBus, url: str, *names: str) -> None:
    """Return when these queues hold nothing, and the bus neither."""
    await until_told(
        lambda: not bus.serving.held and not any(depth(url, name) for name in names),
        what=f"{names} are settled",
    )


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
@ENDS
async def test_what_it_did_counts_when_the_loop_comes_back(
    make_bus: MakeBus, amqp_url: str, ends: str, queue_type: str
) -> None:
    """It has an outcome, and so have the handlers that ran or had ended beside it."""
    bus = make_bus(f"{amqp_url}?heartbeat=1", queue_type=queue_type)
    blocking, beside, waiting = Blocking(bus, ends=ends), Handler(), Handler(wait=True)
    bus.subscribe("happened", beside, name="beside")
    bus.subscribe("happened", waiting, name="waiting", concurrency=3)
    bus.subscribe("block", blocking, name="blocking")
    async with running(bus):
        others = [await publish(bus) for _ in range(3)]
        await until(lambda: len(waiting.begun) == 3)
        blocked = await publish(bus, "block")
        await until(lambda: blocking.calls)
        await until(lambda: bus.serving.consumer.restart_count == 1)  # type: ignore[union-attr]
        waiting.open.set()
        await settled(bus, amqp_url, "qt.sub.blocking", "qt.sub.waiting", "qt.sub.beside")
        stats = bus.get_stats()
    assert blocking.calls == [blocked.id]
    for handler in (beside, waiting):
        assert Counter(event.id for event in handler.begun) == Counter(each.id for each in others)
    assert stats["errors"] == 0


@ENDS
async def test_its_failures_are_counted(make_bus: MakeBus, amqp_url: str, ends: str) -> None:
    """After its attempts it is one dead letter."""
    bus = make_bus(f"{amqp_url}?heartbeat=1")
    blocking = Blocking(bus, ends=ends, fails=True)
    bus.subscribe("block", blocking, name="blocking", retry=TWICE)
    async with running(bus):
        blocked = await publish(bus, "block")
        await until(lambda: bus.get_stats()["errors"] >= 2)
        await settled(bus, amqp_url, "qt.sub.blocking")
        dead = await bus.dead_letters.list("blocking")
    assert blocking.calls == [blocked.id, blocked.id]
    assert [(each.event_id, each.attempts) for each in dead] == [(blocked.id, 2)]


async def test_a_busy_lane_is_not_repeated_either(make_bus: MakeBus, amqp_url: str) -> None:
    """What was handled in the same turn, before and after it, is acknowledged or known."""
    bus, calls = make_bus(f"{amqp_url}?heartbeat=1"), []

    async def handle(event: Event[Any]) -> None:
        calls.append(event.id)
        if event.payload["n"] == 60:
            block_until_the_broker_hangs_up(bus)

    bus.subscribe("happened", handle, name="handle")
    # They wait in the queue until the worker comes.
    events = [await publish(bus, n=n) for n in range(120)]
    async with running(bus):
        await until(lambda: len(set(calls)) == len(events))
        await settled(bus, amqp_url, "qt.sub.handle")
    assert Counter(calls) == Counter(event.id for event in events)
