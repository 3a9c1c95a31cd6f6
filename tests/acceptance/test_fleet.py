"""Fleet command: RabbitMQ, PostgreSQL, workers, a recorder, the feed and Flower, all together."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
        self,
        folder: Path,
        keeper: Keeper,
        program: Sequence[str] = ("workers", "fleet"),
        **environment: str,
    ) -> None:
        self._folder, self._keeper, self._program = folder, keeper, program
        self._environment = environment
        self._output = self._keeper.folder / "fleet.out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("QT_DATABASE_URL", "QT_HISTORY", "QT_SUBSCRIPTIONS")
        }
        # Files that it leaves behind are found in TMPDIR.
        own = {"TMPDIR": str(self._folder), "PYTHONPATH": str(ROOT), **self._environment}
        self._process = self._keeper.spawn(
            "fleet",
            [sys.executable, "-m", *self._program, *options],
            environment | own,
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
def started_fleet() -> Iterator[Fleet]:
    """A fleet whose command is started as a user starts it; in other tests it is forked."""
    with TemporaryDirectory(prefix="qt-tested-fleet-") as folder:
        # The user that runs a PostgreSQL of root's has to get there.
        Path(folder).chmod(0o711)
        opened = Fleet(Path(folder), Keeper("qt-tested-fleet-"))
        yield opened
        opened.close()


@pytest.fixture
def history(tmp_path: Path) -> str:
    """A history in SQLite: a PostgreSQL of its own takes two seconds to start."""
    return f"sqlite:///{tmp_path}/history.db"


@pytest.fixture
def fleet(tmp_path: Path, history: str) -> Iterator[Fleet]:
    opened = Fleet(tmp_path, ForkingKeeper("qt-tested-fleet-"), QT_HISTORY=history)
    yield opened
    opened.close()


@pytest.fixture
def lent_fleet(tmp_path: Path, broker: Broker, amqp_url: str, history: str) -> Iterator[Fleet]:
    """A fleet on a broker that is lent: one of its own takes long to start."""
    program = ("tests.support.fleet.lent_broker", amqp_url, broker.management_url, "fleet")
    opened = Fleet(tmp_path, ForkingKeeper("qt-tested-fleet-"), program, QT_HISTORY=history)
    yield opened
    opened.close()


def asked(command: str) -> list[Any]:
    """Return the objects of JSON that `qt-events history ...` writes."""
    program, *words = shlex.split(command)
    assert program == "qt-events"
    done = subprocess.run(
        [sys.executable, "-m", "qt_events", *words, "--json"],
        capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if "trace" in words:
        return [json.loads(done.stdout)]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_fleet_runs_the_market_to_its_end_and_leaves_nothing(started_fleet: Fleet) -> None:
    """The report is printed at once and once, and Ctrl-C ends it; no process, no folder is left.

    A worker that is killed is named. The others get its events, and the market comes to its end.
    The history, in a PostgreSQL of its own, has trades that went through all of the others.
    """
    started_fleet.start("--workers", "4", "--days", "30")
    started_fleet.until(lambda: "feed" in started_fleet.pids, "fed")
    os.kill(started_fleet.pids["worker-2"], signal.SIGKILL)
    started_fleet.until(lambda: "the fleet goes on" in started_fleet.output, "done")
    output, pids = started_fleet.output, started_fleet.pids
    workers = {f"worker-{number}" for number in range(1, 5)}
    assert set(pids) == workers | {"recorder", "feed", "flower"}
    assert "worker-2 was killed by SIGKILL; its last lines:" in output
    assert output.count("; its last lines:") == 1
    assert re.search(r"^feed: .*  day 30/30  ", output, re.MULTILINE)
    assert output.count("final equity") == 1
    (command,) = re.findall(r"^to see a trade: (.*)$", output, re.MULTILINE)
    assert "--store 'postgresql://" in command
    (found,) = asked(command)
    crossed_the_workers(found, {pids[name] for name in workers - {"worker-2"}})
    started_fleet.send(signal.SIGINT)
    stopped_in_good_order(started_fleet)


def crossed_the_workers(found: Any, pids: set[int]) -> None:
    """The conversation leads from a market's close to trades, through all of these processes."""
    root, *others = found["steps"]
    assert (root["event"]["type"], root["depth"]) == ("market.closed", 0)
    assert all(step["event"] and step["depth"] > 0 for step in others)
    trades = [step for step in others if step["event"]["type"] == "trade.executed"]
    assert trades
    assert all(step["depth"] > 3 for step in trades)
    fates = [fate for step in found["steps"] for fate in step["fates"]]
    done = {fate["worker"] for fate in fates if fate["outcome"] == "done"}
    assert pids <= {int(worker.rpartition(":")[2]) for worker in done}


def test_until_done_it_ends_with_the_market_and_its_history_is_whole(
    lent_fleet: Fleet, history: str
) -> None:
    """The exit code is 0. A history that one has named has all events and fates of the run."""
    lent_fleet.start("--workers", "1", "--days", "1", "--no-flower", "--until-done")
    assert lent_fleet.ended() == 0, lent_fleet.output
    output = lent_fleet.output
    assert output.partition("stopping")[0].count("final equity") == 1
    assert output.rstrip().endswith("stopping")
    assert "Traceback" not in output
    assert lent_fleet.left() == []
    (command,) = re.findall(r"^to see a trade: (.*)$", output, re.MULTILINE)
    assert command == f"qt-events history list --store {history}"
    (closed,) = asked(f"qt-events history list --type market.closed --store {history}")
    (found,) = asked(f"qt-events history trace {closed['id']} --store {history}")
    assert found["steps"][-1]["event"]["type"] == "health.checked"
    assert all(step["event"] and step["fates"] for step in found["steps"])
    # Another run's events have the same ids.
    lent_fleet.start("--days", "1")
    assert lent_fleet.ended() == 1
    assert lent_fleet.output.splitlines()[-1].startswith("workers: the history has another run: ")


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
