"""An alarm of the broker, for memory or disk, under load: it takes no publishes, but delivers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Load
from tests.faults.rig import Rig
from tests.support.waiting import until_told

#: Erlang that raises the alarm, and that clears it.
ALARMS = {
    "memory": (
        "ok = vm_memory_monitor:set_vm_memory_high_watermark(0.0).",
        "ok = vm_memory_monitor:set_vm_memory_high_watermark(0.4).",
    ),
    "disk": (
        "ok = rabbit_disk_monitor:set_disk_free_limit(1000000000000000).",
        "ok = rabbit_disk_monitor:set_disk_free_limit(10000000).",
    ),
}
# Events a second, a little more than the slowest of them handles
RATE = 100
# Seconds of publish_timeout, of what is to fail
SHORT = 2.0
# Seconds that a busy machine may add
SLACK = 3.0
# Of a worker: the concurrency of what fails. They are written, and not read before the end.
RETRIES_IN_FLIGHT = 10
#: Those whose outcomes need no publish.
UNHARMED = {"on_loop": "load.#", "in_thread": "load.#"}


@asynccontextmanager
async def alarmed(broker: PrivateBroker, alarm: str) -> AsyncIterator[None]:
    """Keep the alarm on inside of the block."""
    on, off = ALARMS[alarm]
    await asyncio.to_thread(broker.evaluate, on)
    try:
        await until_told(broker.management.is_alarmed, what=f"the alarm for {alarm}")
        yield
    finally:
        await asyncio.to_thread(broker.evaluate, off)
        await until_told(
            lambda: not broker.management.is_alarmed(), what=f"the end of the alarm for {alarm}"
        )


@pytest.mark.parametrize("alarm", ALARMS)
async def test_publishing_fails_by_name_in_time_and_what_waits_is_handled(
    rig: Rig, harmed: PrivateBroker, alarm: str
) -> None:
    """Outcomes that are a publish wait for the end of the alarm, and hold up no others."""
    worker = await rig.worker(LOAD_PUBLISH_TIMEOUT=SHORT, LOAD_SECONDS=0.05)
    async with Load(rig.bus(publish_timeout=SHORT), rig.ledger, rate=RATE) as load:
        await load.more(200)
        rig.ledger.fault(f"{alarm} alarm")
        async with alarmed(harmed, alarm):
            confirmed, owed = load.published, rig.ledger.open(UNHARMED)
            assert owed > 0
            await until_told(lambda: load.failed >= load.in_flight, what="publishes fail")
            await until_told(
                lambda: not rig.ledger.open(UNHARMED),
                what="what waited is handled during the alarm",
            )
            assert rig.ledger.open(rig.subscriptions) > 0  # retries wait
            assert load.published <= confirmed + load.in_flight
        rig.ledger.fault("no alarm any more")
        await load.more(100)
    account = await rig.account()
    account.verify(duplicates=RETRIES_IN_FLIGHT)
    assert set(account.errors) == {"BrokerBlockedError"}
    assert load.longest < SHORT + SLACK
    assert worker.process.poll() is None
    rig.figures.update(
        {"handled during the alarm": owed, "longest publish": f"{load.longest:.2f} of {SHORT:g} s"}
    )


async def test_an_alarm_shorter_than_the_timeout_fails_no_publish(
    rig: Rig, harmed: PrivateBroker
) -> None:
    """Publishes wait, and go on when the alarm is over. A client is not told which one it is."""
    await rig.worker()
    async with Load(rig.bus(), rig.ledger, rate=RATE) as load:
        await load.more(200)
        rig.ledger.fault("disk alarm")
        async with alarmed(harmed, "disk"):
            await until_told(
                lambda: load.bus.get_stats()["queue_size"] == load.in_flight,
                what="all publishes wait",
            )
            waiting = load.published
        await load.reaches(waiting + 100)
    account = await rig.account()
    account.verify(duplicates=0)
    assert not load.failed
    rig.figures["longest publish"] = f"{load.longest:.2f} s"
