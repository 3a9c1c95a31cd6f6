"""Newcomers that start with the first event, while their workers and the recorder are killed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from qt_events.rabbitmq.worker.old_events import PREFETCH
from qt_events.testing.ledger import Load
from tests.faults.newcomer import NEWCOMER, QUEUE, WORKER, bring_up, order
from tests.faults.rig import Rig
from tests.support.starts import Recorders, stands
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

POOLS = {
    "asyncio": (),
    "prefork": ("-P", "processes", "-c", "1"),
    "threads": ("-P", "threads", "-c", "1"),
    "solo": ("-P", "solo"),
}
OLD = 100  # events before the newcomer


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the subscription of apps/start_app.py."""
    return NEWCOMER


@pytest.fixture
def recorders(node_url: str, tmp_path: Path) -> Iterator[Recorders]:
    opened = Recorders(node_url, tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize("pool", POOLS)
async def test_old_events_come_first_and_in_order(
    rig: Rig, recorders: Recorders, pool: str
) -> None:
    """On each pool, while publishing goes on; each event once."""
    await recorders.start()
    async with Load(rig.bus(), rig.ledger, in_flight=1, rate=300) as load:
        await load.more(OLD)
        await rig.worker(*POOLS[pool], program=WORKER)
        await load.more(OLD)
        await until(lambda: not stands(rig.url, QUEUE), 60, "the past is over")
        await load.more(20)
    account = await rig.account()
    account.verify(duplicates=0)
    assert order(rig) == list(range(load.published))


@pytest.mark.parametrize("step", ["at the end", "asked", "deleted", "going on"])
async def test_a_worker_killed_at_the_end_of_the_past(
    rig: Rig, recorders: Recorders, step: str
) -> None:
    """Before its queue of old events is deleted, after that, and before it goes on."""
    await recorders.start()
    async with Load(rig.bus(), rig.ledger, in_flight=1, rate=200) as load:
        await load.more(50)
        killed = await rig.worker(program=WORKER, START_KILLED=step)
        await until(lambda: killed.process.poll() is not None, 60, f"it is killed {step}")
        await rig.worker(program=WORKER)
        await load.more(50)
    account = await rig.account()
    account.verify(duplicates=PREFETCH)
    assert not stands(rig.url, QUEUE)


async def test_a_newcomer_whose_worker_is_killed_twice_loses_nothing(
    rig: Rig, recorders: Recorders
) -> None:
    """Two recorders and two workers; doubles only of what the killed workers held."""
    account, held = await bring_up(rig, recorders, 1000, rate=200)
    account.verify(duplicates=held)
    rig.figures["handled twice"] = account.total.duplicated
