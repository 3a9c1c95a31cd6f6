"""Workers with task events (`-E`) while the broker takes no publishes: their work goes on."""

from collections.abc import Mapping
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest

from qt_events.events.event import Event
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Kind, Load
from tests.faults.ledger_entries import LedgerEntries
from tests.faults.memory import Memory
from tests.faults.rig import Rig
from tests.faults.test_alarms import alarmed
from tests.support.waiting import until_told

APP = ("-m", "celery", "-A", "slow_app", "worker", "-l", "INFO", "-E")
QUICK, SLOW = {"quick": "load.#"}, {"slow": "#"}
# Events: what there is to tell of them fills every buffer on the way to the broker, and more.
WAITING = 8_000
# MiB that a worker may take for what it cannot tell
MEMORY = 64
# Seconds without an event handled, at most
PAUSE = 2.0
PATIENCE = 60.0  # seconds for all of them


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the two subscriptions of apps/slow_app.py."""
    return QUICK | SLOW


@pytest.mark.timeout(240)
async def test_what_cannot_be_told_during_an_alarm_holds_up_nothing(
    rig: Rig, harmed: PrivateBroker
) -> None:
    """Thousands of events are handled without a pause, and SIGTERM is obeyed."""
    worker = await rig.worker(program=APP)
    async with Load(rig.bus(), rig.ledger, in_flight=200, make=for_the_slow_one) as load:
        await load.reaches(WAITING)
    rig.ledger.fault("memory alarm")
    memory, entries = Memory(worker.pid), LedgerEntries(rig)
    async with alarmed(harmed, "memory"):
        began = monotonic()
        (rig.ledger.folder / "hurry").touch()
        await until_told(
            lambda: not rig.ledger.open(SLOW), PATIENCE, "what waited is handled during the alarm"
        )
        handled = sorted(each.at for each in entries.of(Kind.HANDLED) if each.at > began)
        grown, told = memory.grown(), monotonic()
        await rig.end(worker)
        rig.figures["ended after"] = f"{monotonic() - told:.1f} s"
    longest = max(after - before for before, after in pairwise([began, *handled]))
    rig.figures |= {"handled during the alarm": len(handled), "worker grew": f"{grown:.0f} MiB"}
    rig.figures["longest pause"] = f"{longest:.2f} s"
    rig.ledger.fault("no alarm any more")
    await rig.worker(program=APP)
    async with Load(load.bus, rig.ledger, rate=100) as load:
        await load.more(100)
    (await rig.account()).verify(duplicates=0)
    assert len(handled) > 0.9 * WAITING
    assert longest < PAUSE
    assert grown < MEMORY
    assert "onnection to broker lost" not in worker.output


def for_the_slow_one(number: int) -> Event[Any]:
    return Event("backlog.numbered", payload={"n": number})
