"""`python -m workers run` as a user runs it: a process of its own, in memory and over RabbitMQ."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qt_events import CeleryEventBus, Event, EventBus, InMemoryEventBus
from qt_events.testing.broker.management import Management
from workers.market.price_file import read_market
from workers.replay.replay import Replay
from workers.store import Store
from workers.system.assembly import build

RUN = [sys.executable, "-m", "workers", "run"]
ROOT = Path(__file__).parents[2]
SIX = {
    "policy.updated",
    "strategy.promoted",
    "model.promoted",
    "health.status_changed",
    "opportunities.updated",
    "trade.executed",
}


def finished(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *args], check=False, capture_output=True, text=True, timeout=100, cwd=ROOT
    )


def run(*args: str) -> dict[str, Any]:
    process = finished("--json", *args)
    assert process.returncode == 0, process.stderr
    summary: dict[str, Any] = json.loads(process.stdout)
    return summary


@pytest.fixture
def left_on_broker(management: Management, vhost: str) -> Callable[[], list[str]]:
    """Names that a vhost holds beside RabbitMQ's own exchanges."""

    def names() -> list[str]:
        queues = [queue["name"] for queue in management.queues(vhost)]
        exchanges = [exchange["name"] for exchange in management.exchanges(vhost)]
        return queues + [name for name in exchanges if name and not name.startswith("amq.")]

    return names


def test_four_years_in_memory_under_a_minute() -> None:
    """All days, all six event types, nothing lost, in the time that was asked for."""
    started = time.monotonic()
    summary = run()
    assert time.monotonic() - started < 60
    assert summary["days"] == 1008
    assert summary["events"].keys() >= SIX
    assert (summary["retries"], summary["dead_letters"], summary["unfinished"]) == (0, 0, 0)
    # Another result is another system: a change of its rules changes it, and nothing else does.
    assert (summary["trades"], summary["final_equity"]) == (811, 100_497.02)


def test_rabbitmq_ends_where_memory_ends(
    amqp_url: str, left_on_broker: Callable[[], list[str]]
) -> None:
    """Events, deliveries, trades and equity are equal, and nothing is left on the broker."""
    assert run("--days", "60", "--broker", amqp_url) == run("--days", "60")
    assert left_on_broker() == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_on_the_broker(
    amqp_url: str, left_on_broker: Callable[[], list[str]], ending: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM end the run with 130 and delete its queues and exchanges."""
    command = [*RUN, "--broker", amqp_url]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
        cwd=ROOT,
    ) as process:
        try:
            assert process.stdout is not None
            assert "day 100/" in process.stdout.readline()
            process.send_signal(ending)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in errors) == (130, False)
    assert left_on_broker() == []


def test_a_broker_that_is_not_there_is_named() -> None:
    """One line has the address and says what to do."""
    process = finished("--days", "1", "--broker", "amqp://guest:guest@127.0.0.1:1//")
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.startswith("workers: no answer from amqp://guest:**@127.0.0.1:1//")
    assert process.stderr.endswith("Without --broker (QT_BROKER_URL) it runs in memory.\n")
    assert process.stderr.count("\n") == 1


async def test_rabbitmq_carries_the_very_events_of_memory(amqp_url: str, tmp_path: Path) -> None:
    """Ids and payloads are equal to the last digit; times differ."""
    in_memory = await published(InMemoryEventBus(), Store(f"sqlite:///{tmp_path}/memory.db"))
    rabbitmq = CeleryEventBus(amqp_url)
    try:
        assert await published(rabbitmq, Store(f"sqlite:///{tmp_path}/rabbitmq.db")) == in_memory
    finally:
        await rabbitmq.delete_topology()
        rabbitmq.close()


async def published(bus: EventBus, store: Store) -> dict[str, list[tuple[str, str]]]:
    """Return ids and payloads by type, sorted: analysts report in any order."""
    events: dict[str, list[tuple[str, str]]] = {}

    async def record(event: Event[Any]) -> None:
        events.setdefault(event.type, []).append((event.id, repr(event.payload)))

    bus.subscribe("#", record, name="record")
    build(bus, store)
    await Replay(bus, store, read_market()[:60]).run()
    store.dispose()
    return {name: sorted(each) for name, each in events.items()}
