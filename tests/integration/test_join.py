"""join() over RabbitMQ ends with the last outcome, with its timeout, or with the bus."""

import asyncio
import contextlib
import socket

import pytest

from qt_events import (
    BrokerUnreachableError,
    BusStateError,
    CeleryEventBus,
    Event,
    ForeignConsumersError,
    RetryPolicy,
)
from qt_events.rabbitmq.publishing import outstanding
from qt_events.rabbitmq.worker import sharing
from tests.support.waiting import until


async def hang(_: Event) -> None:
    await asyncio.Event().wait()


async def test_join_ends_with_the_bus(amqp_url: str) -> None:
    """A bus that stops with work unfinished says so to whoever joined it."""
    bus = CeleryEventBus(amqp_url, grace=0.2)
    bus.subscribe("happened", hang, name="hang")
    running = asyncio.create_task(bus.run_forever())
    await bus.publish(Event("happened"))
    joining = asyncio.create_task(bus.join(30))
    await until(lambda: bus.serving.held, what="the handler to have it")
    bus.stop()
    with pytest.raises(BusStateError, match="stopped while"):
        await joining
    await running
    bus.close()


async def test_join_ends_where_the_bus_never_began() -> None:
    """run_forever() fails without a broker, and join() does not wait for what cannot come."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        bus = CeleryEventBus(f"amqp://127.0.0.1:{taken.getsockname()[1]}//", publish_timeout=0.5)
        bus.subscribe("happened", hang, name="hang")
        running = asyncio.create_task(bus.run_forever())
        async with asyncio.timeout(20):
            await bus.join()
        with pytest.raises(BrokerUnreachableError):
            await running
    bus.close()


async def test_a_join_that_timed_out_leaves_nothing_behind(amqp_url: str) -> None:
    """The next join is answered all the same, and the outcome is counted once."""
    bus, go = CeleryEventBus(amqp_url), asyncio.Event()

    async def wait(_: Event) -> None:
        await go.wait()

    bus.subscribe("happened", wait, name="wait")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(bus.close)
        await stack.enter_async_context(bus)
        await bus.publish(Event("happened"))
        with pytest.raises(TimeoutError, match="1 events have no outcome"):
            await bus.join(0.3)
        go.set()
        await bus.join(20)
        assert bus.get_stats()["by_subscription"]["wait"]["delivered"] == 1


async def test_events_that_another_process_settles_are_not_kept(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody here hears of their outcomes. Neither memory nor queue_size grows with them.

    When the other process is gone, join() still says that it cannot know.
    """
    monkeypatch.setattr(sharing, "_FIRST_LOOK", 0.1)
    monkeypatch.setattr(sharing, "_GHOST", 0.5)
    ours, theirs, taken = CeleryEventBus(amqp_url), CeleryEventBus(amqp_url), [0, 0]

    def counts(who: int) -> object:
        async def take(_: Event) -> None:
            taken[who] += 1

        return take

    ours.subscribe("happened", counts(0), name="take")  # type: ignore[arg-type]
    theirs.subscribe("happened", counts(1), name="take")  # type: ignore[arg-type]
    async with contextlib.AsyncExitStack() as stack:
        for bus in (ours, theirs):
            stack.callback(bus.close)
        await stack.enter_async_context(ours)
        async with theirs:
            await asyncio.gather(*(ours.publish(Event("happened")) for _ in range(300)))
            await until(lambda: sum(taken) == 300, what="all to be handled")
            assert taken[1], "the other one has taken some"
            await until(lambda: not ours.get_stats()["queue_size"], what="an honest queue_size")
            await until(lambda: not len(ours.outstanding), what="nothing to be followed")
            await ours.publish(Event("happened"))
            await until(lambda: sum(taken) == 301, what="one more")
            assert len(ours.outstanding) == 0
        with pytest.raises(ForeignConsumersError, match="served these subscriptions too"):
            await ours.join(20)


async def test_join_keeps_its_word_with_more_events_than_are_followed(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks the broker then, and waits for those that go again."""
    monkeypatch.setattr(outstanding, "_FOLLOWED", 20)
    bus, done, failed, go = CeleryEventBus(amqp_url), list[str](), set[str](), asyncio.Event()

    async def fail_once(event: Event) -> None:
        await go.wait()
        if event.payload["number"] % 40 == 0 and event.id not in failed:
            failed.add(event.id)
            raise OSError
        done.append(event.id)

    retry = RetryPolicy(max_attempts=2, initial=0.2, jitter=0)
    bus.subscribe("happened", fail_once, name="fail_once", retry=retry)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(bus.close)
        await stack.enter_async_context(bus)
        events = [Event("happened", payload={"number": number}) for number in range(400)]
        await asyncio.gather(*map(bus.publish, events))
        assert len(bus.outstanding) == 20
        go.set()
        await bus.join(60)
        assert sorted(done) == sorted(event.id for event in events)
        assert len(bus.outstanding) == 0
