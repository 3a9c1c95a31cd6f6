"""Workers that are asked to go while they are loaded: a rolling update, and an end that comes too early."""

import asyncio
import signal
from time import monotonic

import pytest

from qt_events.testing.ledger import Load
from tests.faults.rig import PREFETCH, PREFORK, PREFORK_HOLDS, Rig
from tests.integration.conftest import until

pytestmark = pytest.mark.timeout(300)  # many processes share few cores
GRACE = 20.0  # seconds that workers have to finish what they hold
pools = pytest.mark.parametrize("options", [(), PREFORK], ids=["asyncio", "prefork"])


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """The broker that all tests share: it comes to no harm here."""
    return amqp_url


@pools
async def test_a_rolling_update_under_load_loses_and_repeats_nothing(rig: Rig, options: tuple[str, ...]) -> None:
    """A new worker, then SIGTERM to an old one, three times: each finishes what it holds and exits with 0."""
    old = await asyncio.gather(*(rig.worker(*options, LOAD_GRACE=GRACE) for _ in range(3)))
    longest = 0.0
    async with Load(rig.bus(), rig.ledger, rate=60) as load:
        for each in old:
            await rig.worker(*options, LOAD_GRACE=GRACE)
            await load.more(50)
            rig.ledger.fault("SIGTERM")
            began = monotonic()
            await rig.end(each)
            longest = max(longest, monotonic() - began)
        await load.more(50)
    account = await rig.account()
    rig.figures["longest end"] = f"{longest:.1f} s"
    account.verify(duplicates=0)
    assert longest < GRACE
    assert not load.failed


@pools
async def test_a_worker_killed_before_it_has_finished_loses_nothing(rig: Rig, options: tuple[str, ...]) -> None:
    """SIGTERM, and SIGKILL while it is still at what it holds: another one handles that."""
    slow = await rig.worker(*options, LOAD_SECONDS=0.3)
    async with Load(rig.bus(), rig.ledger) as load:
        await load.more(200)
    await until(lambda: rig.ledger.open(rig.subscriptions) < 3 * load.published, what="it is at work")
    slow.send(signal.SIGTERM)
    await until(lambda: "Warm shutdown" in slow.output, what="it stops")
    assert slow.process.poll() is None
    rig.ledger.fault("killed after SIGTERM")
    rig.kill(slow)
    rig.figures["owed when killed"] = rig.ledger.open(rig.subscriptions)
    await rig.worker(*options)
    account = await rig.account()
    account.verify(duplicates=PREFORK_HOLDS if options else 3 * PREFETCH)
    assert rig.figures["owed when killed"] > 0
