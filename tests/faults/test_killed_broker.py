"""The broker is killed, and started again, while events are published and handled.

An event that was confirmed is there afterwards. One that was not is confirmed later, or its publisher was told.
"""

import asyncio
from time import monotonic
from urllib.parse import urlsplit

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Kind, Load
from qt_events.testing.ledger.entries import Reader
from tests.faults.rig import PREFETCH, PREFORK, PREFORK_HOLDS, Rig
from tests.integration.conftest import until, until_told

pytestmark = pytest.mark.timeout(300)  # many processes share few cores
TIMES = 3
PATIENCE = 90.0  # seconds: a publish timeout beyond any outage here, however busy the machine
IN_FLIGHT = 50


async def test_an_outage_shorter_than_the_timeout_fails_no_publish(harmed: PrivateBroker, rig: Rig) -> None:
    """Three times in one run: publishers wait and workers come back, on asyncio and on prefork, by themselves."""
    workers = [rig.worker(*options, LOAD_PUBLISH_TIMEOUT=PATIENCE) for options in ((), PREFORK)]
    await asyncio.gather(*workers)
    async with Load(rig.bus(publish_timeout=PATIENCE), rig.ledger, in_flight=IN_FLIGHT, rate=100) as load:
        await until_all_is_declared(harmed, rig)
        back = [await the_broker_is_killed(harmed, rig, load) for _ in range(TIMES)]
    account = await rig.account(120)
    rig.figures["longest publish"] = f"{load.longest:.1f} s"
    rig.figures["handled again after"] = ", ".join(f"{seconds:.1f} s" for seconds in back)
    # A delivery that is struck while its next attempt is confirmed may come back, and as that attempt, and as its copy.
    account.verify(duplicates=TIMES * (2 * (3 * PREFETCH + PREFORK_HOLDS) + 3 * IN_FLIGHT))
    assert (load.failed, account.errors, account.unanswered) == (0, {}, 0)
    assert account.total.failed == account.total.recovered == 0


async def test_an_outage_longer_than_the_timeout_fails_publishes_by_name(harmed: PrivateBroker, rig: Rig) -> None:
    """Each publisher is told, whether its event then arrives or not; nobody is told both."""
    await rig.worker(LOAD_PUBLISH_TIMEOUT=1)
    async with Load(rig.bus(publish_timeout=1), rig.ledger, in_flight=IN_FLIGHT, rate=100) as load:
        await until_all_is_declared(harmed, rig)
        await the_broker_is_killed(harmed, rig, load)
    account = await rig.account(120)
    rig.figures["longest publish"] = f"{load.longest:.1f} s"
    rig.figures["failed"] = account.errors
    account.verify(duplicates=2 * 3 * PREFETCH + 3 * IN_FLIGHT)
    assert load.failed >= IN_FLIGHT
    assert set(account.errors) <= {"BrokerUnreachableError", "PublishTimeoutError"}
    assert (sum(account.errors.values()), account.unanswered) == (load.failed, 0)


async def until_all_is_declared(broker: PrivateBroker, rig: Rig) -> None:
    """Return when everything that this load needs stands on the broker and is on its disk."""
    vhost = urlsplit(rig.url).path[1:]
    levels = {"qt.retry.100", "qt.retry.200"}
    await until_told(lambda: levels <= set(queues(broker, vhost)), what="the failing handler's delay levels stand")
    await asyncio.to_thread(broker.settle)


def queues(broker: PrivateBroker, vhost: str) -> list[str]:
    return broker.rabbitmqctl("list_queues", "--vhost", vhost, "--silent", "name").split()


async def the_broker_is_killed(broker: PrivateBroker, rig: Rig, load: Load) -> float:
    """And started again, under load; seconds from when it listened to the first event that was handled."""
    await load.more(100)
    rig.ledger.fault("broker killed")
    await asyncio.to_thread(broker.kill)
    starting = asyncio.create_task(asyncio.to_thread(broker.restart))
    listening = await until_it_listens(broker)
    await starting
    first = await until(lambda: handled_since(rig, listening), what="events are handled again")
    await load.more(100)
    return float(first) - listening


async def until_it_listens(broker: PrivateBroker) -> float:
    """When a connection was first taken."""
    parts = urlsplit(broker.url)
    while True:
        try:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return monotonic()


def handled_since(rig: Rig, moment: float) -> float | None:
    """When the first event was handled after that."""
    entries = Reader(rig.ledger.folder).read()
    return min((each.at for each in entries if each.kind is Kind.HANDLED and each.at > moment), default=None)
