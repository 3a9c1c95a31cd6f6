"""Events that wait, while workers come and go, dead letters are listed, and queues removed."""

import asyncio
from collections import Counter, defaultdict
from time import monotonic
from typing import Any

import pytest

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Load
from tests.faults.rig import PREFETCH, Rig, delayed, running
from tests.support.channels import channel_to, depth
from tests.support.waiting import until, until_told

# Many processes share few cores
pytestmark = pytest.mark.timeout(300)
# More than the twenty deliveries after which RabbitMQ 4 buries an event unless it is told otherwise
RESTARTS, LOOKS = 25, 100
WAITING = 20
AT_A_TIME = 10  # events that a worker handles
# Seconds until a retry, and where it waits
DELAY, LEVEL = 3.0, "qt.retry.3200"


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


async def test_rolling_restarts_bury_nothing_that_waits(rig: Rig) -> None:
    """The broker counts what each worker gives back; none of it becomes a dead letter."""
    rig.subscriptions = {"gated": "load.#"}
    gate = asyncio.Event()

    async def wait(_: Event[Any]) -> None:
        await gate.wait()

    def fresh() -> CeleryEventBus:
        bus = rig.bus(grace=0.05)
        bus.subscribe(
            "load.#", rig.ledger.keeping("gated", wait), name="gated", concurrency=AT_A_TIME
        )
        return bus

    async with running(fresh()), Load(rig.bus(), rig.ledger, in_flight=20) as load:
        await load.more(PREFETCH)
    for _ in range(RESTARTS):
        rig.ledger.fault("restart")
        async with running(bus := fresh()):
            await until(lambda: bus.get_stats()["queue_size"], what="it holds some")
    gate.set()
    async with running(fresh()):
        account = await rig.account()
    # What was being moved when its worker stopped may come as a copy.
    account.verify(duplicates=AT_A_TIME * RESTARTS)
    assert account.total.dead == 0
    assert not await rig.bus().dead_letters.list("gated")


async def test_looking_at_dead_letters_takes_none(rig: Rig) -> None:
    """Listing takes them off their queue and gives them back, and the broker counts that."""
    rig.subscriptions, rig.may_die = {"buried": "load.#"}, {"buried": {"exhausted"}}

    async def fail(_: Event[Any]) -> None:
        raise OSError

    serving, bus = rig.bus(), rig.bus()
    serving.subscribe("load.#", fail, name="buried", retry=RetryPolicy(max_attempts=1))
    async with running(serving):
        async with Load(bus, rig.ledger, in_flight=1, rate=100) as load:
            await load.more(3)
        account = await rig.account()
    began = monotonic()
    looks = Counter([len(await bus.dead_letters.list("buried")) for _ in range(LOOKS)])
    rig.figures["looks"] = LOOKS
    rig.figures["a look"] = f"{(monotonic() - began) / LOOKS * 1000:.0f} ms"
    account.verify(duplicates=0)
    assert looks == {account.total.dead: LOOKS}
    assert account.total.dead == load.published


async def test_retries_of_a_removed_subscription_end_in_lost(rig: Rig) -> None:
    """The retries wait there to be seen and counted; those of other subscriptions come on time."""
    goes, stays = rig.bus(), rig.bus()
    calls = {"goes": failing_once(goes, "goes"), "stays": failing_once(stays, "stays")}
    async with running(stays):
        async with running(goes):
            await asyncio.gather(
                *(stays.publish(Event("load.numbered", payload={"n": n})) for n in range(WAITING))
            )
            await until(
                lambda: all(len(each) == WAITING for each in calls.values()),
                what="all have failed once",
            )
            await until_told(
                lambda: delayed(rig.url, LEVEL) == 2 * WAITING, what="all wait for their retries"
            )
        with channel_to(rig.url) as channel:
            channel.queue_delete("qt.sub.goes")
        await until_told(lambda: depth(rig.url, "qt.lost") == WAITING, what="they are in qt.lost")
        await until(
            lambda: all(len(times) == 2 for times in calls["stays"].values()),
            what="the others are retried",
        )
    with channel_to(rig.url) as channel:
        assert channel.basic_get("qt.lost").delivery_info["routing_key"] == "goes"
    late = [again - first - DELAY for first, again in calls["stays"].values()]
    rig.figures["late"] = f"{min(late):.2f} to {max(late):.2f} s"
    assert min(late) >= 0
    assert max(late) < DELAY
    assert all(len(times) == 1 for times in calls["goes"].values())
    await until_told(
        lambda: depth(rig.url, "qt.lost") == WAITING, what="that one is back in its place"
    )


def failing_once(bus: CeleryEventBus, name: str) -> dict[str, list[float]]:
    """Subscribe a handler that fails at first; return the times of its calls, by event."""
    calls: dict[str, list[float]] = defaultdict(list)

    async def handler(event: Event[Any]) -> None:
        calls[event.id].append(monotonic())
        if len(calls[event.id]) == 1:
            raise OSError

    once_more = RetryPolicy(max_attempts=2, initial=DELAY, jitter=0)
    bus.subscribe("load.#", handler, name=name, concurrency=WAITING, retry=once_more)
    return calls
