"""Fleet command: RabbitMQ, workers, the feed and Flower, started and stopped together."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from qt_events.testing.broker import Broker
from qt_events.testing.keeper import Keeper
from tests.support.fleet.forks import ForkingKeeper

ROOT = Path(__file__).parents[2]
#: Seconds for each thing that a fleet is to do.
PATIENCE = 100.0
PID = re.compile(r"^(\S+): .*\(pid (\d+)\)$", re.MULTILINE)

pytestmark = pytest.mark.timeout(300)


class Fleet:
    """One run of the command; its output goes to a file, which is no terminal."""

    def __init__(
        self, folder: Path, keeper: Keeper, program: Sequence[str] = ("workers", "fleet")
    ) -> None:
        self._folder, self._keeper, self._program = folder, keeper, program
        self._output = self._keeper.folder / "fleet.out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("QT_DATABASE_URL", "QT_SUBSCRIPTIONS")
        }
        self._process = self._keeper.spawn(
            "fleet",
            [sys.executable, "-m", *self._program, *options],
            # Files that it leaves behind are found in TMPDIR.
            {**environment, "TMPDIR": str(self._folder), "PYTHONPATH": str(ROOT)},
        )

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, as the fleet has printed them."""
        return {name: int(pid) for name, pid in PID.findall(self.output)}

    @property
    def broker(self) -> int:
        """Process id of its RabbitMQ, read from its folder."""
        (note,) = self._folder.glob("qt-events-broker-*/pids/node")
        return int(note.read_text())

    def until(self, condition: Callable[[], object], what: str) -> None:
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self._process.poll() is None, f"ended before {what}:\n{self.output}"
            assert time.monotonic() < deadline, f"not {what}:\n{self.output}"
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def ended(self) -> int:
        """Return the exit status."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        """Send SIGKILL to the command alone. The processes that it has started end with it."""
        self.send(signal.SIGKILL)
        self.ended()

    def close(self) -> None:
        self._keeper.close()

    def left(self) -> list[str]:
        """Return folders and processes that are still there."""
        running = [name for name, pid in self.pids.items() if Path(f"/proc/{pid}").exists()]
        return [*running, *self.folders]

    @property
    def folders(self) -> list[str]:
        """Folders that the fleet has not removed."""
        return [path.name for path in self._folder.glob("qt-events-*")]


@pytest.fixture
def started_fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet whose command is started as a user starts it; in other tests it is forked."""
    opened = Fleet(tmp_path, Keeper("qt-tested-fleet-"))
    yield opened
    opened.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path, ForkingKeeper("qt-tested-fleet-"))
    yield opened
    opened.close()


@pytest.fixture
def lent_fleet(tmp_path: Path, broker: Broker, amqp_url: str) -> Iterator[Fleet]:
    """A fleet on a broker that is lent: one of its own takes long to start."""
    program = ("tests.support.fleet.lent_broker", amqp_url, broker.management_url, "fleet")
    opened = Fleet(tmp_path, ForkingKeeper("qt-tested-fleet-"), program)
    yield opened
    opened.close()


def test_a_fleet_runs_the_market_to_its_end_and_leaves_nothing(started_fleet: Fleet) -> None:
    """The exit code is 0 and the report is printed once; no process and no folder is left.

    A worker that is killed is named. The others get its events, and the market comes to its end.
    """
    started_fleet.start("--workers", "2", "--days", "30", "--until-done")
    started_fleet.until(lambda: "feed" in started_fleet.pids, "fed")
    os.kill(started_fleet.pids["worker-2"], signal.SIGKILL)
    assert started_fleet.ended() == 0, started_fleet.output
    assert set(started_fleet.pids) == {"worker-1", "worker-2", "feed", "flower"}
    assert "worker-2 was killed by SIGKILL; its last lines:" in started_fleet.output
    assert started_fleet.output.count("; its last lines:") == 1
    assert re.search(r"^feed: .*  day 30/30  ", started_fleet.output, re.MULTILINE)
    assert started_fleet.output.partition("stopping")[0].count("final equity") == 1
    assert started_fleet.output.rstrip().endswith("stopping")
    assert "Traceback" not in started_fleet.output
    assert started_fleet.left() == []


def test_after_the_market_the_fleet_goes_on_until_ctrl_c(lent_fleet: Fleet) -> None:
    """The report is printed at once, and once; the end is in good order."""
    lent_fleet.start("--workers", "1", "--days", "1", "--no-flower")
    lent_fleet.until(lambda: "the fleet goes on" in lent_fleet.output, "done")
    assert lent_fleet.output.count("final equity") == 1
    lent_fleet.send(signal.SIGINT)
    stopped_in_good_order(lent_fleet)
    assert lent_fleet.output.count("final equity") == 1


def test_sigterm_stops_all_in_good_order(lent_fleet: Fleet) -> None:
    """SIGTERM does the same as Ctrl-C, in the middle of the market too."""
    stopped_in_the_market(lent_fleet, signal.SIGTERM)


def test_ctrl_c_stops_its_own_broker_too(started_fleet: Fleet) -> None:
    """As a user has it: with a RabbitMQ of its own, three workers and Flower."""
    stopped_in_the_market(started_fleet, signal.SIGINT, workers=3)


def stopped_in_the_market(fleet: Fleet, number: signal.Signals, workers: int = 1) -> None:
    fleet.start("--workers", str(workers))
    fleet.until(lambda: "feed" in fleet.pids, "fed")
    fleet.send(number)
    stopped_in_good_order(fleet)


def stopped_in_good_order(fleet: Fleet) -> None:
    """Exit code 130, no traceback, nothing left."""
    assert fleet.ended() == 130, fleet.output
    assert fleet.output.rstrip().endswith("stopping")
    assert "Traceback" not in fleet.output
    assert fleet.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_it_starts_leaves_nothing(fleet: Fleet, number: signal.Signals) -> None:
    """RabbitMQ takes seconds to start."""
    fleet.start()
    fleet.until(lambda: "starting RabbitMQ" in fleet.output and fleet.folders, "starting")
    fleet.send(number)
    assert fleet.ended() == 130, fleet.output
    assert "Traceback" not in fleet.output
    assert fleet.left() == []


def test_a_fleet_that_cannot_start_says_why(lent_fleet: Fleet) -> None:
    """The worker's own error is the last line; the exit code is 1, and nothing is left."""
    lent_fleet.start("--workers", "1", "--pool", "prefork", "--no-flower")
    assert lent_fleet.ended() == 1
    last = lent_fleet.output.splitlines()[-1]
    assert re.fullmatch(
        r"workers: worker-1 cannot start: subscription '.+' is a broadcast: .+", last
    ), lent_fleet.output
    assert "Traceback" not in lent_fleet.output
    assert lent_fleet.left() == []


def test_a_pool_that_there_is_not_is_wrong_usage(fleet: Fleet) -> None:
    """No process is started."""
    fleet.start("--pool", "processes")
    assert fleet.ended() == 2
    assert "prefork" in fleet.output
    assert fleet.folders == []


def test_a_broker_that_is_gone_ends_the_fleet(fleet: Fleet) -> None:
    """The exit code is 1; the workers do not wait for it."""
    fleet.start("--workers", "1", "--no-flower")
    fleet.until(lambda: "feed" in fleet.pids, "fed")
    os.kill(fleet.broker, signal.SIGKILL)
    assert fleet.ended() == 1, fleet.output
    assert fleet.output.splitlines()[-1].startswith("workers: "), fleet.output
    assert "Traceback" not in fleet.output
    assert fleet.left() == []


def test_a_killed_fleet_takes_its_processes_along(fleet: Fleet) -> None:
    """Even SIGKILL, which it cannot hear, leaves no worker and no broker behind.

    By default it has three workers and Flower.
    """
    started = {"worker-1", "worker-2", "worker-3", "flower"}
    fleet.start()
    fleet.until(lambda: started <= set(fleet.pids), "started")
    broker = Path(f"/proc/{fleet.broker}")
    assert broker.exists()
    fleet.kill()
    deadline = time.monotonic() + PATIENCE
    while fleet.left() or broker.exists():
        assert time.monotonic() < deadline, (fleet.left(), broker.exists())
        time.sleep(0.05)
