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

from qt_events.testing.keeper import Keeper
from tests.support.postgres import PrivatePostgres
from workers.store import Store

HERE = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORKERS = [sys.executable, "-m", "workers"]
#: Days with policies, promotions, trades, and changes of health.
DAYS = 80
#: Seconds.
STARTUP = 60.0


class Workers:
    """Processes of `celery -A workers worker` on one broker and one database."""

    def __init__(self, broker: str, database: str) -> None:
        self._environment = os.environ | {"CELERY_BROKER_URL": broker, "QT_DATABASE_URL": database}
        self._keeper = Keeper("qt-events-fleet-replay-")
        self._names: list[str] = []

    def start(self, number: int) -> None:
        """Return when all of them consume."""
        command = [
            str(BIN / "celery"),
            "--workdir",
            str(HERE),
            "-A",
            "workers",
            "worker",
            "--loglevel",
            "INFO",
        ]
        for _ in range(number):
            self._names.append(f"worker-{len(self._names) + 1}")
            self._keeper.spawn(self._names[-1], command, self._environment)
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

    def begin(self) -> "subprocess.Popen[str]":
        """Start the feed."""
        command = [*WORKERS, "feed", "--json", "--days", str(DAYS)]
        return subprocess.Popen(
            command,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )

    def close(self) -> None:
        self._keeper.close()


def came_to(feed: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the result of a feed that ends."""
    with feed:
        try:
            output, errors = feed.communicate(timeout=100)
        finally:
            feed.kill()
    assert feed.returncode == 0, errors
    result: dict[str, Any] = json.loads(output)
    return result


def until_day(number: int, database: str) -> None:
    """Wait until the feed has published `number` days."""
    store, deadline = Store(database), time.monotonic() + STARTUP
    while len(asyncio.run(store.prices.between(None, date.max))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)
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


@pytest.mark.parametrize(
    ("number", "database"), [(1, "sqlite"), (3, "sqlite"), (3, "postgresql")], indirect=["database"]
)
def test_as_many_workers_as_one_likes_end_where_memory_ends(
    workers: Workers, in_memory: dict[str, Any], number: int
) -> None:
    """Trades, equity to the cent, and the figures of every component are the same."""
    workers.start(number)
    result = came_to(workers.begin())
    assert result == {name: in_memory[name] for name in result}
    assert result["trades"] > 0


def test_workers_that_are_killed_change_nothing(
    workers: Workers, in_memory: dict[str, Any], database: str
) -> None:
    """Two of three end in the middle of a day, one after the other.

    Their events are handled again, without effect.
    """
    workers.start(3)
    feed = workers.begin()
    for number, day in enumerate((25, 50), 1):
        until_day(day, database)
        workers.kill(number)
    result = came_to(feed)
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
            until_day(30, server.url)
            server.kill()
            # The test decides how long the server is away.
            time.sleep(2)
            server.restart()
            result = came_to(feed)
        finally:
            workers.close()
    assert result == {name: in_memory[name] for name in result}
