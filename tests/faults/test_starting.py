"""Newcomers that start with the first event, while their workers and the recorder are killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qt_events.testing.ledger import Load
from tests.faults.rig import Rig
from tests.support.starts import Recorders, stands
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

WORKER = ("-m", "celery", "-A", "start_app", "worker", "-l", "INFO")
POOLS = {
    "asyncio": (),
    "prefork": ("-P", "processes", "-c", "1"),
    "threads": ("-P", "threads", "-c", "1"),
    "solo": ("-P", "solo"),
}
OLD = 300  # events before the newcomer


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


@pytest.fixture
def rig(node_url: str, tmp_path: Path) -> Iterator[Rig]:
    opened = Rig(node_url, tmp_path, {"newcomer": "load.#"})
    yield opened
    opened.close()


@pytest.fixture
def recorders(node_url: str, tmp_path: Path) -> Iterator[Recorders]:
    opened = Recorders(node_url, tmp_path)
    yield opened
    opened.close()


def order(rig: Rig) -> list[int]:
    """Return the numbers of the events that each process handled, one process after the other."""
    files = sorted(rig.ledger.folder.glob("order-*"), key=lambda each: each.stat().st_ctime)
    return [int(line) for each in files for line in each.read_text().split()]


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
        await until(lambda: not stands(rig.url, "qt.start.newcomer"), 60, "the past is over")
        await load.more(20)
    account = await rig.account()
    account.verify(duplicates=0)
    assert order(rig) == list(range(load.published))
