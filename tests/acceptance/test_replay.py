"""`python -m workers run` as a user runs it: a process of its own, in memory and over RabbitMQ."""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qt_events import CeleryEventBus, Event, EventBus, InMemoryEventBus
from qt_events.testing.broker.management import Management
from workers.market.price_file import Close, read_market
from workers.replay.replay import Replay, summary
from workers.store import Store
from workers.system.assembly import build

# Over RabbitMQ a run waits for the disk: for a hundred queues, and for each event.
pytestmark = pytest.mark.timeout(240)

RUN = [sys.executable, "-m", "workers", "run"]
ROOT = Path(__file__).parents[2]
#: Days of a replay over RabbitMQ; trading begins on the 21st.
DAYS = 25
#: First day of a crash, when positions are held, and what it leaves of the prices.
CRASH, LEFT = 23, 0.85
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
        [*RUN, *args], check=False, capture_output=True, text=True, timeout=200, cwd=ROOT
    )


def run(*args: str) -> dict[str, Any]:
    process = finished("--json", *args)
    assert process.returncode == 0, process.stderr
    # Nothing is slow in a replay that runs as fast as its database.
    assert " is slow" not in process.stderr
    assert " blocked " not in process.stderr
    result: dict[str, Any] = json.loads(process.stdout)
    return result


class Run(NamedTuple):
    """One replay: its summary as `--json` has it, and the events as a subscriber heard them."""

    summary: dict[str, Any]
    #: Type -> id -> the payload of each copy. Analysts report in any order.
    events: dict[str, dict[str, list[str]]]


async def replayed(bus: EventBus, store: Store, market: list[Close]) -> Run:
    events: dict[str, dict[str, list[str]]] = {}

    async def record(event: Event[Any]) -> None:
        copies = events.setdefault(event.type, {}).setdefault(event.id, [])
        copies.append(repr(event.payload))

    bus.subscribe("#", record, name="record")
    build(bus, store)
    result = await Replay(bus, store, market).run()
    store.dispose()
    whole = summary(result, bus.get_stats()).model_dump(mode="json")
    del whole["deliveries"]["record"]
    return Run(whole, events)


@pytest.fixture(scope="module")
def market() -> list[Close]:
    """Real prices that end in a crash, so that the system's health changes too."""
    days = read_market()[:DAYS]
    for day in days[CRASH:]:
        day.closes.update({symbol: round(price * LEFT, 2) for symbol, price in day.closes.items()})
    return days


@pytest.fixture(scope="module")
def in_memory(market: list[Close], tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('memory')}/store.db")
    return asyncio.run(replayed(InMemoryEventBus(), store, market))


@pytest.fixture
def left_on_broker(management: Management, vhost: str) -> Callable[[], list[str]]:
    """Names that a vhost holds beside RabbitMQ's own exchanges."""

    def names() -> list[str]:
        queues = [queue["name"] for queue in management.queues(vhost)]
        exchanges = [exchange["name"] for exchange in management.exchanges(vhost)]
        return queues + [name for name in exchanges if name and not name.startswith("amq.")]

    return names


def waited(pid: int) -> float:
    """Return the seconds in which a process's main thread was ready to run and had to wait."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def timed(command: list[str]) -> tuple[float, float, str]:
    """Return the seconds that a command takes, those that its main thread waited, and its output.

    A main thread waits while other processes use the processors.
    """
    started, wait = time.monotonic(), 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    wait = waited(process.pid)
        finally:
            process.kill()
    assert process.returncode == 0
    return time.monotonic() - started, wait, output


def test_four_years_in_memory_under_a_minute() -> None:
    """All days, all six event types, nothing lost, in the time that was asked for.

    Other processes' use of the processors does not count, up to a minute.
    """
    seconds, wait, output = timed([*RUN, "--json"])
    assert seconds < 120
    assert seconds - wait < 60
    summary = json.loads(output)
    assert summary["days"] == 1008
    assert summary["events"].keys() >= SIX
    assert (summary["retries"], summary["dead_letters"], summary["unfinished"]) == (0, 0, 0)
    # Another result is another system: a change of its rules changes it, and nothing else does.
    assert (summary["trades"], summary["final_equity"]) == (811, 100_497.02)


def test_rabbitmq_ends_where_memory_ends(
    amqp_url: str,
    left_on_broker: Callable[[], list[str]],
    market: list[Close],
    in_memory: Run,
    tmp_path: Path,
) -> None:
    """Events, deliveries, trades and equity are equal, and nothing is left on the broker."""
    path = tmp_path / "market.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Date", *market[0].closes])
        writer.writerows([day, *closes.values()] for day, closes in market)
    assert run("--market", str(path), "--broker", amqp_url) == in_memory.summary
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
            assert "day 20/" in process.stdout.readline()
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


async def test_rabbitmq_carries_the_very_events_of_memory(
    amqp_url: str, market: list[Close], in_memory: Run, tmp_path: Path
) -> None:
    """Ids and payloads are equal to the last digit, and each event comes once; times differ."""
    # Strategies are first reviewed after four months.
    assert in_memory.events.keys() >= SIX - {"strategy.promoted"}
    bus = CeleryEventBus(amqp_url)
    try:
        over_rabbitmq = await replayed(bus, Store(f"sqlite:///{tmp_path}/store.db"), market)
    finally:
        await bus.delete_topology()
        bus.close()
    assert over_rabbitmq.events == in_memory.events
    copies = [each for ids in in_memory.events.values() for each in ids.values()]
    assert [len(each) for each in copies] == [1] * len(copies)
