"""A replay through a fleet of worker processes ends as in memory."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet.forks import ForkingKeeper
from workers.fleet.postgres import PrivatePostgres
from workers.store import Store

HERE = Path(__file__).parents[2]
WORKERS = [sys.executable, "-m", "workers"]
#: Days with policies, promotions, trades from day 20 on, and a change of health.
DAYS = 50
#: Seconds.
STARTUP, REPLAY = 60.0, 100.0


class Workers:
    """Processes of `celery -A workers worker` on one broker and one database."""

    def __init__(self, broker: str, database: str) -> None:
        self._environment = os.environ | {
            "CELERY_BROKER_URL": broker,
            "QT_DATABASE_URL": database,
            "PYTHONPATH": str(HERE),
        }
        self._keeper = ForkingKeeper("qt-events-fleet-replay-")
        self._names: list[str] = []

    def start(self, number: int) -> None:
        """Return when all of them consume."""
        program = [sys.executable, "-m", "celery", "--workdir", str(HERE), "-A", "workers"]
        for _ in range(number):
            self._names.append(f"worker-{len(self._names) + 1}")
            self._keeper.spawn(
                self._names[-1],
                [*program, "worker", "--loglevel", "INFO"],
                self._environment,
            )
        deadline = time.monotonic() + STARTUP
        while not all(
            re.search(r" ready\.$", self.log(name), re.MULTILINE) for name in self._names
        ):
            assert time.monotonic() < deadline, "\n".join(
                self.log(name)[-2000:] for name in self._names
            )
            time.sleep(0.1)

    def log(self, name: str) -> str:
        return (self._keeper.folder / f"{name}.out").read_text(errors="replace")

    def kill(self, number: int) -> None:
        """Send SIGKILL to one worker."""
        self._keeper.kill(f"worker-{number}")

    def begin(self, *options: str) -> "Feed":
        """Start the feed."""
        command = [*WORKERS, "feed", "--json", "--days", str(DAYS), *options]
        process = self._keeper.spawn("feed", command, self._environment)
        return Feed(process, self._keeper.folder / "feed.out")

    def close(self) -> None:
        self._keeper.close()


class Feed:
    """The market feed, which prints its result, behind what it says while a server is away."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self._process, self._output = process, output

    @property
    def printed(self) -> str:
        return self._output.read_text(errors="replace")

    def result(self) -> dict[str, Any]:
        """Return the result when it ends."""
        assert self.status() == 0, self.printed
        result: dict[str, Any] = json.loads(self.printed[self.printed.index("{") :])
        return result

    def status(self) -> int:
        """Return its exit status when it ends."""
        return self._process.wait(REPLAY)

    def until_told(self, words: str) -> None:
        deadline = time.monotonic() + STARTUP
        while words not in self.printed:
            assert self._process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def until_day(number: int, database: str) -> None:
    """Wait until the feed has published `number` days."""
    deadline = time.monotonic() + STARTUP
    while days_fed(database) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def days_fed(database: str) -> int:
    store = Store(database)
    try:
        return len(asyncio.run(store.prices.between(None, date.max)))
    finally:
        store.dispose()


@pytest.fixture(scope="module")
def in_memory() -> dict[str, Any]:
    """Result of the same days in one process without a broker."""
    done = subprocess.run(
        [*WORKERS, "run", "--json", "--days", str(DAYS)],
        capture_output=True,
        text=True,
        check=True,
        cwd=HERE,
    )
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@pytest.fixture
def workers(amqp_url: str, database: str) -> Iterator[Workers]:
    opened = Workers(amqp_url, database)
    yield opened
    opened.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite, unless a test asks for PostgreSQL."""
    if getattr(request, "param", "sqlite") == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/fleet.db"


# Three on SQLite: in the next test, which kills two of them.
@pytest.mark.parametrize(
    ("number", "database"), [(1, "sqlite"), (3, "postgresql")], indirect=["database"]
)
def test_as_many_workers_as_one_likes_end_where_memory_ends(
    workers: Workers, in_memory: dict[str, Any], number: int
) -> None:
    """Trades, equity to the cent, and the figures of every component are the same."""
    workers.start(number)
    result = workers.begin().result()
    assert result == {name: in_memory[name] for name in result}
    assert result["trades"] > 0


def test_the_feed_begins_when_workers_have_declared_all_subscriptions(
    workers: Workers, in_memory: dict[str, Any], database: str
) -> None:
    """Started first, it says what it waits for, and publishes nothing until then."""
    feed = workers.begin()
    feed.until_told(
        "waiting for a worker that declares meta_strategy_controller.on_market_closed, "
    )
    assert days_fed(database) == 0
    workers.start(1)
    feed.until_told("all subscriptions are declared: the feed begins")
    result = feed.result()
    assert result == {name: in_memory[name] for name in result}


def test_a_feed_that_nobody_hears_ends_with_3_and_names_whom_it_waited_for(
    workers: Workers, database: str
) -> None:
    """The database is left to the next feed."""
    feed = workers.begin("--wait", "1")
    assert feed.status() == 3
    last = feed.printed.splitlines()[-1]
    assert re.search(
        r"no worker has declared meta_strategy_controller\.on_market_closed, .+ and \d+ more", last
    )
    store = Store(database)
    assert asyncio.run(store.is_empty())
    store.dispose()


def test_workers_that_are_killed_change_nothing(
    workers: Workers, in_memory: dict[str, Any], database: str
) -> None:
    """Two of three end in the middle of a day, one after the other.

    Their events are handled again, without effect.
    """
    workers.start(3)
    feed = workers.begin()
    for number, day in enumerate((22, 36), 1):
        until_day(day, database)
        workers.kill(number)
    result = feed.result()
    assert result == {name: in_memory[name] for name in result}


def test_a_feed_that_is_killed_and_resumed_changes_nothing(
    workers: Workers, in_memory: dict[str, Any], database: str
) -> None:
    """The next one begins with the day that was not over."""
    workers.start(1)
    for day in (1, 24):
        feed = workers.begin("--resume")
        until_day(day, database)
        feed.kill()
    result = workers.begin("--resume").result()
    assert result == {name: in_memory[name] for name in result}


def test_a_database_that_is_away_for_a_while_changes_nothing(
    amqp_url: str, in_memory: dict[str, Any]
) -> None:
    """Handlers fail and are retried; no trade is lost, and none is made twice."""
    with PrivatePostgres() as server:
        workers = Workers(amqp_url, server.url)
        try:
            workers.start(2)
            feed = workers.begin()
            until_day(25, server.url)
            server.kill()
            # The test decides how long the server is away.
            time.sleep(2)
            server.restart()
            result = feed.result()
        finally:
            workers.close()
    assert result == {name: in_memory[name] for name in result}
