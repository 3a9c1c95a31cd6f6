"""The replay through a fleet of worker processes ends where it ends in memory."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qt_events.testing.keeper import Keeper

HERE = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DAYS = 150  # policies, promotions, trades, and health that changes
STARTUP = 60.0  # seconds


class Workers:
    """`celery -A workers worker`, so many times, on one broker and one database."""

    def __init__(self, broker: str, database: str) -> None:
        self._environment = os.environ | {"CELERY_BROKER_URL": broker, "QT_DATABASE_URL": database}
        self._keeper = Keeper("qt-events-fleet-replay-")
        self._names: list[str] = []

    def start(self, number: int) -> None:
        """Return when all of them consume."""
        command = [str(BIN / "celery"), "--workdir", str(HERE), "-A", "workers", "worker", "--loglevel", "INFO"]
        for _ in range(number):
            self._names.append(f"worker-{len(self._names) + 1}")
            self._keeper.spawn(self._names[-1], command, self._environment)
        deadline = time.monotonic() + STARTUP
        while not all(re.search(r" ready\.$", self.log(name), re.MULTILINE) for name in self._names):
            assert time.monotonic() < deadline, "\n".join(self.log(name)[-2000:] for name in self._names)
            time.sleep(0.1)

    def log(self, name: str) -> str:
        return (self._keeper.folder / f"{name}.out").read_text(errors="replace")

    def feed(self, days: int = DAYS) -> dict[str, Any]:
        """The market's way through the fleet, and what it came to."""
        done = subprocess.run(
            [str(BIN / "qt-events"), "feed", "--json", "--days", str(days)],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def close(self) -> None:
        self._keeper.close()


@pytest.fixture(scope="module")
def in_memory() -> dict[str, Any]:
    """What the same days come to in one process, without a broker."""
    done = subprocess.run(
        [str(BIN / "qt-events"), "run", "--json", "--days", str(DAYS)], capture_output=True, text=True, check=True
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
    """The same trades, the same equity to the cent, and the same figures of every component."""
    workers.start(number)
    result = workers.feed()
    assert result == {name: in_memory[name] for name in result}
    assert result["trades"] > 0
