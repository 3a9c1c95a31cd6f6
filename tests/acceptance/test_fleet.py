"""Fleet command: RabbitMQ, workers, the feed and Flower, started and stopped together."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FLEET = [sys.executable, "-m", "workers", "fleet"]
ROOT = Path(__file__).parents[2]
#: Seconds for each thing that a fleet is to do.
PATIENCE = 100.0
PID = re.compile(r"^(\S+): .*\(pid (\d+)\)$", re.MULTILINE)

pytestmark = pytest.mark.timeout(300)


class Fleet:
    """One run of the command; its output goes to a file, which is no terminal."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._output = folder, folder / "fleet.out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("QT_DATABASE_URL", "QT_SUBSCRIPTIONS")
        }
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*FLEET, *options],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Files that it leaves behind are found there.
                env={**environment, "TMPDIR": str(self._folder)},
                start_new_session=True,
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

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            # The processes that it has started end with it.
            self._process.kill()
            self._process.wait()

    def left(self) -> list[str]:
        """Return folders and processes that are still there."""
        running = [name for name, pid in self.pids.items() if Path(f"/proc/{pid}").exists()]
        return [*running, *self.folders]

    @property
    def folders(self) -> list[str]:
        """Folders that the fleet has not removed."""
        return [path.name for path in self._folder.glob("qt-events-*")]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    opened = Fleet(tmp_path)
    yield opened
    opened.close()


def test_a_fleet_runs_the_market_to_its_end_and_leaves_nothing(fleet: Fleet) -> None:
    """The exit code is 0 and the report is printed once; no process and no folder is left."""
    fleet.start("--days", "21", "--until-done")
    assert fleet.ended() == 0, fleet.output
    assert set(fleet.pids) == {"worker-1", "worker-2", "worker-3", "feed", "flower"}
    assert re.search(r"^feed: .*  day 21/21  ", fleet.output, re.MULTILINE)
    assert fleet.output.partition("stopping")[0].count("final equity") == 1
    assert fleet.output.rstrip().endswith("stopping")
    assert "Traceback" not in fleet.output
    assert fleet.left() == []


def test_a_killed_worker_is_named_and_the_others_go_on(fleet: Fleet) -> None:
    """The others get its events, and the market comes to its end."""
    fleet.start("--workers", "2", "--days", "30", "--no-flower", "--until-done")
    fleet.until(lambda: "feed" in fleet.pids, "fed")
    os.kill(fleet.pids["worker-2"], signal.SIGKILL)
    assert fleet.ended() == 0, fleet.output
    assert "worker-2 was killed by SIGKILL; its last lines:" in fleet.output
    assert "final equity" in fleet.output
    assert fleet.left() == []


def test_after_the_market_the_fleet_goes_on_until_ctrl_c(fleet: Fleet) -> None:
    """The report is printed at once, and once."""
    fleet.start("--workers", "1", "--days", "21", "--no-flower")
    fleet.until(lambda: "the fleet goes on" in fleet.output, "done")
    assert fleet.output.count("final equity") == 1
    fleet.send(signal.SIGINT)
    assert fleet.ended() == 130, fleet.output
    assert fleet.output.count("final equity") == 1
    assert fleet.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_all_in_good_order(fleet: Fleet, number: signal.Signals) -> None:
    """SIGTERM does the same: exit code 130, no traceback, nothing left."""
    fleet.start("--workers", "1")
    fleet.until(lambda: "feed" in fleet.pids, "fed")
    fleet.send(number)
    assert fleet.ended() == 130, fleet.output
    assert fleet.output.rstrip().endswith("stopping")
    assert "Traceback" not in fleet.output
    assert fleet.left() == []


def test_ctrl_c_while_it_starts_leaves_nothing(fleet: Fleet) -> None:
    """RabbitMQ takes seconds to start."""
    fleet.start()
    fleet.until(lambda: "starting RabbitMQ" in fleet.output and fleet.folders, "starting")
    fleet.send(signal.SIGINT)
    assert fleet.ended() == 130, fleet.output
    assert "Traceback" not in fleet.output
    assert fleet.left() == []


def test_a_fleet_that_cannot_start_says_why(fleet: Fleet) -> None:
    """The worker's own error is the last line; the exit code is 1, and nothing is left."""
    fleet.start("--workers", "2", "--pool", "prefork", "--no-flower")
    assert fleet.ended() == 1
    last = fleet.output.splitlines()[-1]
    assert re.fullmatch(
        r"workers: worker-\d cannot start: subscription '.+' is a broadcast: .+", last
    ), fleet.output
    assert "Traceback" not in fleet.output
    assert fleet.left() == []


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
    """Even SIGKILL, which it cannot hear, leaves no worker and no broker behind."""
    fleet.start("--workers", "1", "--no-flower")
    fleet.until(lambda: "feed" in fleet.pids, "fed")
    fleet.close()
    deadline = time.monotonic() + PATIENCE
    while fleet.left():
        assert time.monotonic() < deadline, fleet.left()
        time.sleep(0.05)
