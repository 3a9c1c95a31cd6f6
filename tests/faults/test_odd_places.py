"""Publishing from handlers, threads, event loops, forked children and a program's end.

Connections and the broker break meanwhile.
"""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from time import monotonic

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Kind
from tests.faults.ledger_entries import LedgerEntries
from tests.faults.rig import PREFETCH, PREFORK, PREFORK_HOLDS, Rig
from tests.support.fleet.fleet import StartedWorker
from tests.support.waiting import until

WORKER = ("-m", "celery", "-A", "odd_app", "worker", "-l", "INFO")
PUBLISHER = ("-m", "odd_publisher")
HEARS = {"on_loop": "odd.begun", "in_thread": "odd.begun", "tail": "odd.followed"}
STRIKES = 3
TIMEOUT = 60.0  # seconds of publish_timeout


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the subscriptions of apps/odd_app.py."""
    return HEARS


async def test_nothing_hangs_and_nothing_is_lost_wherever_it_is_published(
    rig: Rig, harmed: PrivateBroker
) -> None:
    """Connections are closed and the broker is killed; two pools share the queues."""
    await asyncio.gather(rig.worker(program=WORKER), rig.worker(*PREFORK, program=WORKER))
    entries = LedgerEntries(rig)
    publishers = [await publisher(rig) for _ in range(2)]
    await more(entries, 100)
    rig.ledger.fault("connections closed")
    await asyncio.to_thread(harmed.management.close_connections)
    await more(entries, 100)
    rig.ledger.fault("broker killed")
    await asyncio.to_thread(harmed.settle)
    await asyncio.to_thread(harmed.kill)
    await asyncio.to_thread(harmed.restart)
    await more(entries, 100)
    rig.ledger.fault("exit, connections closed")
    began = monotonic()
    (rig.ledger.folder / "stop").touch()
    await asyncio.to_thread(harmed.management.close_connections)
    # Sooner than any publish fails: what comes too late for the bus is refused at once.
    for each in publishers:
        assert await each.ended(TIMEOUT) == 0, each.output
        assert (rig.ledger.folder / f"exits-{each.pid}").exists(), each.output
        assert "Traceback" not in each.output, each.output
    rig.figures["publishers exited after"] = f"{monotonic() - began:.1f} s"
    (await rig.account()).verify(duplicates=STRIKES * (PREFETCH * len(HEARS) + PREFORK_HOLDS))


def test_publishing_imports_nothing(amqp_url: str) -> None:
    """A child forked while its parent's publisher imports a module would wait for ever."""
    body = (
        "import sys\n"
        "from qt_events import Event\n"
        "from qt_events.rabbitmq.bus import CeleryEventBus\n"
        "bus, before = CeleryEventBus(sys.argv[1]), set(sys.modules)\n"
        "bus.publish_sync(Event('odd.begun'))\n"
        "print(set(sys.modules) - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", body, amqp_url], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


async def publisher(rig: Rig) -> StartedWorker:
    """Start a program that publishes until it is told to stop, and exits then."""
    return await rig.worker(program=PUBLISHER, ready=False, LOAD_PUBLISH_TIMEOUT=TIMEOUT)


async def more(entries: LedgerEntries, number: int) -> None:
    """Wait until so many more of the events that followed were handled."""

    def handled() -> int:
        return sum(entry.about == "tail" for entry in entries.of(Kind.HANDLED))

    enough = handled() + number
    await until(lambda: handled() >= enough, 90, f"{number} more are handled")
