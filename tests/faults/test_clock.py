"""The wall clock of worker and publisher jumps by a day: retries and timeouts do not notice."""

import asyncio
import json
import re
import signal
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import pytest

from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Kind
from tests.faults.ledger_entries import LedgerEntries
from tests.faults.rig import Rig
from tests.faults.wall_clock import WallClock
from tests.support.waiting import until

WORKER = (
    "-c",
    "import wall_clock; from celery.__main__ import main; main()",
    "-A",
    "clock_app",
    "worker",
    "-l",
    "INFO",
)
PUBLISHER = (
    "-c",
    "import wall_clock, runpy; runpy.run_module('clock_publisher', run_name='__main__')",
)
HEARS = {"retried": "load.#", "long": "load.#", "long_in_thread": "load.#"}
DAY = 86_400.0
# Seconds before the second attempt: a delay level of its own
DELAY = 0.4
TIMEOUT = 3.0  # seconds of publish_timeout
# Seconds that a busy machine may add; a day is more
SLACK = 30.0


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the subscriptions of apps/clock_app.py."""
    return HEARS


async def test_a_wall_clock_that_jumps_moves_nothing(
    rig: Rig, harmed: PrivateBroker, clock: WallClock
) -> None:
    """Retries and timeouts are on time, connections stay, and SIGTERM finishes everything."""
    # A second attempt in another process than the first fails too.
    rig.may_die = {"retried": {"exhausted"}}
    worker = await rig.worker(program=WORKER, CLOCK_DELAY=DELAY, **clock.environment)
    publisher = await rig.worker(
        program=PUBLISHER, ready=False, LOAD_PUBLISH_TIMEOUT=TIMEOUT, **clock.environment
    )
    entries = LedgerEntries(rig)
    await until(lambda: len(entries.of(Kind.CONFIRMED)) > 50, what="events are published")
    for jump in ("-1d", "+1d", "+0d", "+1d", "-1d"):
        rig.ledger.fault(f"clock {jump}")
        before = len(entries.of(Kind.CONFIRMED))
        clock.jump(jump)
        enough = lambda least=before + 60: len(entries.of(Kind.CONFIRMED)) > least  # noqa: E731
        await until(enough, what="publishing goes on")
    rig.ledger.fault("blocked")
    blocked = monotonic() - 2 * DELAY
    await asyncio.to_thread(harmed.block)
    # While publishes wait
    clock.jump("+1d")
    await until(lambda: entries.of(Kind.FAILED), what="publishes fail")
    clock.jump("-1d")
    # Those that waited meanwhile.
    await until(lambda: len(entries.of(Kind.FAILED)) > 20, what="more publishes fail")
    await asyncio.to_thread(harmed.unblock)
    (rig.ledger.folder / "stop").touch()
    assert await publisher.ended() == 0, publisher.output
    worker.send(signal.SIGTERM)
    clock.jump("+1d")
    assert await worker.ended() == 0, worker.output
    await rig.worker(program=WORKER, CLOCK_DELAY=DELAY, **clock.environment)
    (await rig.account()).verify(duplicates=0)

    attempts = Attempts(rig)
    assert attempts.wall_clock_moved() > 1.9 * DAY
    delays, failures = attempts.delays(until=blocked), entries.times_to_failure()
    assert min(delays) >= DELAY
    assert max(delays) < 2 * DELAY + SLACK
    assert min(failures) >= TIMEOUT
    assert max(failures) < TIMEOUT + SLACK
    assert max(map(int, re.findall(r"took (\d+) ms", worker.output)), default=0) < SLACK * 1000
    assert "onnection to broker lost" not in worker.output
    rig.figures["retries"] = (
        f"{len(delays)}, after {min(delays):.3f} to {max(delays):.3f} of {DELAY:g} s"
    )
    rig.figures["failed publishes"] = (
        f"{len(failures)}, after {min(failures):.2f} to {max(failures):.2f} of {TIMEOUT:g} s"
    )


class Attempts:
    """Notes of apps/clock_app.py: event, and seconds by the monotonic and by the wall clock."""

    def __init__(self, rig: Rig) -> None:
        lines = (rig.ledger.folder / "attempts.jsonl").read_text().splitlines()
        self._noted: list[tuple[str, float, float]] = [json.loads(line) for line in lines]

    def wall_clock_moved(self) -> float:
        """Return the seconds between its extremes."""
        offsets = [wall - at for _, at, wall in self._noted]
        return max(offsets) - min(offsets)

    def delays(self, *, until: float) -> list[float]:
        """Return the seconds between first and second attempt, of events that failed by then."""
        begun = defaultdict(list)
        for event, at, _ in self._noted:
            begun[event].append(at)
        return [times[1] - times[0] for times in begun.values() if times[0] < until]
