"""Publishers with a spool are killed at random, while their broker comes and goes."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qt_events.outbox.spool.looking import stats
from qt_events.testing.ledger import Kind
from qt_events.testing.proxy import Proxy
from tests.faults.ledger_entries import LedgerEntries
from tests.faults.rig import Rig

# Many processes share few cores
pytestmark = pytest.mark.timeout(300)
PUBLISHER = ("-m", "spool_publisher")
ROUNDS = 5
AWAY = (0.2, 0.8)  # seconds of an outage
THERE = (0.1, 0.5)  # seconds between two
ALIVE = (0.3, 1.5)  # seconds of a publisher


@pytest.fixture
def way(node_url: str) -> Iterator[Proxy]:
    """Open the publishers' way to the broker."""
    place = urlsplit(node_url)
    with Proxy(place.hostname or "", place.port or 0) as opened:
        yield opened


@asynccontextmanager
async def coming_and_going(way: Proxy, chance: random.Random) -> AsyncIterator[None]:
    """Break the way again and again inside of the block; it is whole afterwards."""

    async def strike() -> None:
        while True:
            way.refuse()
            way.reset()
            await asyncio.sleep(chance.uniform(*AWAY))
            way.heal()
            await asyncio.sleep(chance.uniform(*THERE))

    striking = asyncio.create_task(strike())
    try:
        yield
    finally:
        striking.cancel()
        way.heal()


async def test_every_publish_that_returned_is_delivered(
    rig: Rig, way: Proxy, tmp_path: Path
) -> None:
    """Confirmed or spooled: SIGKILL in the middle of a write or a relay loses nothing."""
    path, chance = tmp_path / "spool.db", random.Random()
    await rig.worker()
    url = way.url_for(rig.url)
    async with coming_and_going(way, chance):
        for _ in range(ROUNDS):
            # Two at once: each has a file of its own.
            publishers = [
                await rig.worker(program=PUBLISHER, url=url, LOAD_SPOOL=path) for _ in range(2)
            ]
            await asyncio.sleep(chance.uniform(*ALIVE))
            rig.ledger.fault("publishers killed")
            for publisher in publishers:
                rig.kill(publisher)
    rig.ledger.fault("the last publisher")
    last = await rig.worker(program=PUBLISHER, url=url, LOAD_SPOOL=path)
    (rig.ledger.folder / "stop").touch()
    assert await last.ended() == 0, last.output
    account = await rig.account(120)
    assert [each.waiting + each.aside for each in stats(path)] == [0, 0]
    spooled = sum("events go to the spool" in each.output for each in rig.workers)
    confirmed = len(LedgerEntries(rig).of(Kind.CONFIRMED))
    rig.figures.update({"publishers that spooled": spooled, "publishes that returned": confirmed})
    assert spooled > ROUNDS
    assert account.errors == {}
