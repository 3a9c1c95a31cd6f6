"""Workers that are stopped while they are loaded: a rolling update, and an end too early."""

import asyncio
import signal
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from time import monotonic

import pytest

from qt_events.testing.ledger import Kind, Load
from qt_events.testing.ledger.entries import Reader
from tests.faults.rig import PREFETCH, PREFORK, PREFORK_HOLDS, Rig
from tests.support.fleet.fleet import StartedWorker, children
from tests.support.waiting import until

# Many processes share few cores
pytestmark = pytest.mark.timeout(300)
# Seconds that workers have to finish what they hold
GRACE = 20.0
# That a handler of the rolling update takes
SECONDS = 0.05


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


@dataclass(frozen=True)
class Fleet:
    """Two workers of one kind, and a little more load than they can handle."""

    options: tuple[str, ...]
    #: Events a second; asyncio: two times four threads do 160, prefork: two times two children do
    #: 40
    rate: int


@pytest.mark.parametrize("fleet", [Fleet((), 170), Fleet(PREFORK, 47)], ids=["asyncio", "prefork"])
async def test_a_rolling_update_under_load_loses_and_repeats_nothing(
    rig: Rig, fleet: Fleet
) -> None:
    """A new worker starts, an old one gets SIGTERM, finishes and exits with 0; twice."""

    async def start() -> StartedWorker:
        return await rig.worker(*fleet.options, LOAD_GRACE=GRACE, LOAD_SECONDS=SECONDS)

    old = await asyncio.gather(*(start() for _ in range(2)))
    finished, longest = [], 0.0
    async with Load(rig.bus(), rig.ledger, rate=fleet.rate) as load:
        for each in old:
            await load.more(fleet.rate)
            await start()
            processes = {each.pid, *children(each.process)}
            rig.ledger.fault("SIGTERM")
            began = monotonic()
            await rig.end(each)
            longest = max(longest, monotonic() - began)
            finished.append(handled_since(rig, began, processes))
        await load.more(50)
    account = await rig.account()
    rig.figures["longest end"] = f"{longest:.1f} s"
    rig.figures["finished after SIGTERM"] = ", ".join(map(str, finished))
    account.verify(duplicates=0)
    # There was something to lose. One of them may have nothing in hand just then.
    assert sum(finished) > 0
    assert longest < GRACE
    assert not load.failed


def handled_since(rig: Rig, moment: float, processes: Collection[int]) -> int:
    """Return the events that these processes have handled after that."""
    entries = chain.from_iterable(
        Reader(rig.ledger.folder, f"{each}.entries").read() for each in processes
    )
    return sum(each.kind is Kind.HANDLED and each.at > moment for each in entries)


@pytest.mark.parametrize("options", [(), PREFORK], ids=["asyncio", "prefork"])
async def test_a_worker_killed_before_it_has_finished_loses_nothing(
    rig: Rig, options: tuple[str, ...]
) -> None:
    """Another worker handles what it held between SIGTERM and SIGKILL."""
    slow = await rig.worker(*options, LOAD_SECONDS=0.3)
    async with Load(rig.bus(), rig.ledger) as load:
        await load.more(200)
    await until(
        lambda: rig.ledger.open(rig.subscriptions) < 3 * load.published, what="it is at work"
    )
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
