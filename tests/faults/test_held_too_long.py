"""Events that a worker holds longer than `consumer_timeout`: the broker closes the channel."""

from collections.abc import Iterator

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger.load import numbered
from tests.faults.rig import PREFORK, Rig
from tests.support.waiting import until

# Milliseconds; thirty minutes unless it is set
TIMEOUT = 1_000
# Read by each channel as it begins
_SET = """\
ok = application:set_env(rabbit, consumer_timeout, {timeout}),
ok = application:set_env(rabbit, channel_tick_interval, {tick})."""
# Options of a pool, seconds that a handler takes, and events. On asyncio a worker holds no more
# than a second of work: there a handler has to take longer than the broker waits.
POOLS = {"asyncio": ((), 1.5, 4), "prefork": (PREFORK, 0.5, 16)}


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
    options, seconds, events = POOLS[pool]
    worker = await rig.worker(*options, LOAD_SECONDS=seconds)
    bus = rig.bus()
    for number in range(1, events + 1):
        assert await rig.ledger.publish(bus, numbered(number))
    rig.ledger.fault("held too long")
    await until(lambda: "PRECONDITION_FAILED" in worker.output, 60, "the broker closes the channel")
    account = await rig.account()
    assert "poison" not in worker.output
    assert "came back without an outcome" not in worker.output
    rig.figures["handled again"] = account.total.duplicated
    await rig.end(worker)
