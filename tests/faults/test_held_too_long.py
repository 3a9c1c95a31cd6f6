"""Events that a worker holds longer than `consumer_timeout`: the broker closes the channel."""

from collections.abc import Iterator

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger.load import numbered
from tests.faults.rig import PREFORK, Rig
from tests.support.waiting import until

# Milliseconds; thirty minutes unless it is set
TIMEOUT = 1_000
EVENTS = 16
# Read by each channel as it begins
_SET = """\
ok = application:set_env(rabbit, consumer_timeout, {timeout}),
ok = application:set_env(rabbit, channel_tick_interval, {tick})."""
POOLS = {"asyncio": (), "prefork": PREFORK}


@pytest.fixture
def harmed(harmed: PrivateBroker) -> Iterator[PrivateBroker]:
    """Lend a broker whose new channels lose patience after a second, and check all the time."""
    usual = harmed.evaluate("application:get_env(rabbit, consumer_timeout, undefined).")
    harmed.evaluate(_SET.format(timeout=TIMEOUT, tick=200))
    yield harmed
    harmed.evaluate(_SET.format(timeout=usual, tick=60_000))


@pytest.mark.parametrize("pool", POOLS)
async def test_a_worker_outlives_a_channel_that_the_broker_closes(pool: str, rig: Rig) -> None:
    """The worker reconnects and handles what comes again; nothing is quarantined or lost."""
    worker = await rig.worker(*POOLS[pool], LOAD_SECONDS=0.5)
    bus = rig.bus()
    for number in range(1, EVENTS + 1):
        assert await rig.ledger.publish(bus, numbered(number))
    rig.ledger.fault("held too long")
    await until(lambda: "PRECONDITION_FAILED" in worker.output, 60, "the broker closes the channel")
    account = await rig.account()
    assert "poison" not in worker.output
    assert "came back without an outcome" not in worker.output
    rig.figures["handled again"] = account.total.duplicated
    await rig.end(worker)
