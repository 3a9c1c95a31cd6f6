"""The broker is killed, and started again, while events are published and handled.

A confirmed event is there afterwards. One that was not is confirmed later, or its publisher was
told.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Kind, Load
from qt_events.testing.ledger.entries import Reader
from tests.faults.ledger_entries import LedgerEntries
from tests.faults.rig import PREFORK, Rig
from tests.support.waiting import until, until_told

# Many processes share few cores
pytestmark = pytest.mark.timeout(300)
TIMES = 2
# Seconds: a publish timeout beyond any outage here, however busy the machine
PATIENCE = 90.0
IN_FLIGHT = 50


async def test_an_outage_shorter_than_the_timeout_fails_no_publish(
    harmed: PrivateBroker, rig: Rig
) -> None:
    """Publishers wait and workers come back by themselves, again and again, on two pools."""
    workers = [rig.worker(*options, LOAD_PUBLISH_TIMEOUT=PATIENCE) for options in ((), PREFORK)]
    await asyncio.gather(*workers)
    async with Load(
        rig.bus(publish_timeout=PATIENCE), rig.ledger, in_flight=IN_FLIGHT, rate=100
    ) as load:
        await until_all_is_declared(harmed, rig)
        outages = [await the_broker_is_killed(harmed, rig, load) for _ in range(TIMES)]
    account = await rig.account(120)
    rig.figures["longest publish"] = f"{load.longest:.1f} s"
    rig.figures["handled again after"] = ", ".join(
        f"{each.handled - each.listening:.1f} s" for each in outages
    )
    rig.figures["in flight"] = sum(each.in_flight for each in outages)
    account.verify(duplicates=rig.figures["in flight"])
    assert (load.failed, account.errors, account.unanswered) == (0, {}, 0)
    assert account.total.failed == account.total.recovered == 0


async def test_an_outage_longer_than_the_timeout_fails_publishes_by_name(
    harmed: PrivateBroker, rig: Rig
) -> None:
    """Each publisher is told, whether its event then arrives or not; none is told both."""
    await rig.worker(LOAD_PUBLISH_TIMEOUT=1)
    async with Load(rig.bus(publish_timeout=1), rig.ledger, in_flight=IN_FLIGHT, rate=100) as load:
        await until_all_is_declared(harmed, rig)
        outage = await the_broker_is_killed(harmed, rig, load)
    account = await rig.account(120)
    rig.figures["longest publish"] = f"{load.longest:.1f} s"
    rig.figures["failed"] = account.errors
    rig.figures["in flight"] = outage.in_flight
    account.verify(duplicates=outage.in_flight)
    assert load.failed >= IN_FLIGHT
    assert set(account.errors) <= {"BrokerUnreachableError", "PublishTimeoutError"}
    assert (sum(account.errors.values()), account.unanswered) == (load.failed, 0)
    # What a caller was told of failed is not published later.
    assert not given_up(rig, outage) & handled(rig)
    assert len(given_up(rig, outage)) >= IN_FLIGHT


async def until_all_is_declared(broker: PrivateBroker, rig: Rig) -> None:
    """Wait until everything that this load needs is declared and on the broker's disk.

    RabbitMQ 3.10 may forget a queue that was declared within a second of its end, with what it had
    confirmed for it.
    """
    vhost = urlsplit(rig.url).path[1:]
    needed = {"qt.retry.100", "qt.retry.200", "qt.dead.failing"}
    await until_told(
        lambda: needed <= set(queues(broker, vhost)),
        what="the failing handler's delay levels and dead letters stand",
    )
    await asyncio.to_thread(broker.settle)


def queues(broker: PrivateBroker, vhost: str) -> list[str]:
    return [queue["name"] for queue in broker.management.queues(vhost)]


@dataclass(frozen=True)
class Outage:
    """Times at which the broker was dead, connected again, and an event was handled, in seconds."""

    dead: float
    listening: float
    handled: float
    in_flight: (
        #: Deliveries as it was killed, and as it was there again: workers and publishers had held
        #: on to them
        int
    )


async def the_broker_is_killed(broker: PrivateBroker, rig: Rig, load: Load) -> Outage:
    """Kill the broker under load and start it again."""
    await load.more(100)
    rig.ledger.fault("broker killed")
    in_flight = rig.in_flight()
    await asyncio.to_thread(broker.kill)
    dead = monotonic()
    starting = asyncio.create_task(asyncio.to_thread(broker.restart))
    listening = await until_it_listens(broker)
    in_flight += rig.in_flight()
    await starting
    entries = LedgerEntries(rig)
    first = await until(lambda: handled_since(entries, listening), what="events are handled again")
    await load.more(100)
    return Outage(dead, listening, float(first), in_flight)


async def until_it_listens(broker: PrivateBroker) -> float:
    """Return the time at which a connection was first taken."""
    parts = urlsplit(broker.url)
    while True:
        try:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return monotonic()


def handled_since(entries: LedgerEntries, moment: float) -> float | None:
    """Return the time at which the first event was handled after that."""
    return min((each.at for each in entries.of(Kind.HANDLED) if each.at > moment), default=None)


def given_up(rig: Rig, outage: Outage) -> set[str]:
    """Return the events whose only publish began and failed within the outage."""
    entries = [
        each
        for each in Reader(rig.ledger.folder).read()
        if outage.dead < each.at < outage.listening
    ]
    return {each.id for each in entries if each.kind is Kind.ATTEMPTED} & {
        each.id for each in entries if each.kind is Kind.FAILED
    }


def handled(rig: Rig) -> set[str]:
    return {each.id for each in Reader(rig.ledger.folder).read() if each.kind is Kind.HANDLED}
