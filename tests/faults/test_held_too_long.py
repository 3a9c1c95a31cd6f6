"""Events that a worker holds longer than `consumer_timeout`.

RabbitMQ closes the channel, from 4.3 on it cancels the consumer.
"""

from collections.abc import Iterator

import pytest

from qt_events.rabbitmq.connection.broker_version import BrokerVersion
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
async def test_a_worker_outlives_what_the_broker_takes_from_it(
    pool: str, rig: Rig, harmed: PrivateBroker
) -> None:
    """The worker handles what comes again; nothing is quarantined or lost.

    It connects again, or takes up the cancelled consumer alone and says whose it was.
    """
    cancels = BrokerVersion.read(harmed.rabbitmqctl("version")) >= (4, 3)
    what = "the broker has cancelled its consumer of 'qt.sub." if cancels else "PRECONDITION_FAILED"
    options, seconds, events = POOLS[pool]
    worker = await rig.worker(*options, LOAD_SECONDS=seconds)
    bus = rig.bus()
    for number in range(1, events + 1):
        assert await rig.ledger.publish(bus, numbered(number))
    rig.ledger.fault("held too long")
    await until(lambda: what in worker.output, 60, what)
    account = await rig.account()
    assert "poison" not in worker.output
    assert "came back without an outcome" not in worker.output
    assert "Connection to broker lost" not in worker.output or not (cancels and pool == "asyncio")
    rig.figures["handled again"] = account.total.duplicated
    await rig.end(worker)
