"""`python -m workers fleet`: RabbitMQ, workers, a recorder, the feed and Flower on this machine."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from subprocess import TimeoutExpired
from time import monotonic
from typing import Annotated, NoReturn, Self
from urllib.parse import unquote, urlsplit

import typer
from rich.console import Console

import qt_events
from qt_events import BrokerError, QtEventsError
from qt_events.history import HistoryError
from qt_events.testing.broker import Broker, PrivateBroker
from qt_events.testing.ports import free_ports
from workers.fleet import commands
from workers.fleet.commands import Pool
from workers.fleet.display import FleetDisplay, LiveFleetDisplay
from workers.fleet.feed_output import FeedOutput
from workers.fleet.gauges import Gauges, Reading
from workers.fleet.history import RECORDED, FleetHistory, open_history
from workers.fleet.processes import Processes, status_text

#: Seconds between two readings; RabbitMQ updates its statistics as often.
INTERVAL = 1.0
#: Seconds in which all workers must be ready, and the recorder before them.
START_TIMEOUT = 120.0
#: Seconds in which the recorder must have recorded the last day.
RECORD_TIMEOUT = 30.0
#: Seconds that a worker may take to stop: more than the grace period of its bus.
GRACE = 45.0
#: Seconds for the feed and Flower, which hold no events.
SHORT_GRACE = 10.0
FEED, FLOWER, RECORDER = "feed", "flower", "recorder"


class FleetError(QtEventsError):
    """The fleet cannot go on."""


def fleet(
    workers: Annotated[
        int, typer.Option(min=1, max=50, help="Number of workers.", metavar="N")
    ] = 3,
    days: Annotated[
        int | None, typer.Option(min=1, help="Only the first N days.", metavar="N")
    ] = None,
    pool: Annotated[
        Pool | None, typer.Option(help="Pool of the workers. By default asyncio.")
    ] = None,
    flower: Annotated[  # noqa: FBT002
        bool, typer.Option(help="Start Flower, or not.", metavar="")
    ] = True,
    flower_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of Flower; 0 for any free one.")
    ] = 0,
    history: Annotated[
        str | None,
        typer.Option(
            envvar="QT_HISTORY",
            help="Record all events in this new database, sqlite:///… or postgresql://…. By "
            "default in a PostgreSQL that ends with the fleet.",
            metavar="URL",
        ),
    ] = None,
    until_done: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--until-done",
            help="End with exit code 0 when the feed has ended; by default wait for Ctrl-C.",
            metavar="",
        ),
    ] = False,
) -> None:
    """Start a private RabbitMQ, workers, a recorder, the feed and Flower, and show what they do.

    Quantum Trader's database is that of QT_DATABASE_URL, by default SQLite in a temporary folder.

    Ctrl-C (exit code 130) and SIGTERM stop everything in order; a second one stops at once.
    """
    # SIGTERM is handled as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    console.print("starting RabbitMQ, which takes some seconds", soft_wrap=True)
    with (
        open_history(history) as kept,
        PrivateBroker() as broker,
        _processes(broker, kept) as processes,
    ):
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        port = (flower_port or free_ports(1)[0]) if flower else None
        display = _display(console, len(names), port)
        with Launcher(broker, processes, names, port, kept, display) as launcher, display:
            launcher.run(pool, days, until_done=until_done)


def _display(console: Console, workers: int, port: int | None) -> FleetDisplay:
    where = f"Flower http://127.0.0.1:{port}" if port else "no Flower"
    title = f"[bold]Quantum Trader[/], {workers} workers, {where}"
    return LiveFleetDisplay(console, title) if console.is_terminal else FleetDisplay(console)


@contextmanager
def _processes(broker: Broker, history: FleetHistory) -> Iterator[Processes]:
    processes = Processes()
    sqlite = f"sqlite:///{processes.folder}/quantum_trader.db"
    database = os.environ.get("QT_DATABASE_URL") or sqlite
    processes.environment |= commands.environment(broker.url, database)
    processes.environment |= {
        "FLOWER_BROKER_API": f"{broker.management_url}/api/",
        "QT_HISTORY": history.url,
    }
    try:
        yield processes
    finally:
        processes.close()


class Launcher:
    """One fleet. Leaving its context stops the feed, the workers, the recorder, then Flower."""

    def __init__(
        self,
        broker: Broker,
        processes: Processes,
        workers: list[str],
        flower_port: int | None,
        history: FleetHistory,
        display: FleetDisplay,
    ) -> None:
        self._management, self._processes = broker.management, processes
        self._vhost = unquote(urlsplit(broker.url).path[1:])
        self._workers, self._port, self._history = workers, flower_port, history
        self._display, self._output = display, FeedOutput()
        self._gauges = Gauges(qt_events.CeleryEventBus(broker.url))
        #: Processes whose end has been reported.
        self._reported: set[str] = set()

    def __enter__(self) -> Self:
        self._gauges.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._display.print("stopping")
        self._processes.stop([FEED], SHORT_GRACE)
        self._processes.stop(self._workers, GRACE)
        if self._history.lasts and RECORDER in self._processes:
            # The broker may be why the fleet ends.
            with suppress(BrokerError):
                self._await_recorder()
        self._processes.stop([RECORDER], GRACE)
        self._gauges.stop()
        self._processes.stop([FLOWER], SHORT_GRACE)

    def run(self, pool: Pool | None, days: int | None, *, until_done: bool) -> None:
        """Start all processes, and return when the feed has ended, if `until_done`.

        Raises:
            FleetError: a worker or the recorder cannot start, the feed has failed, or no worker
                is left.
            BrokerError: RabbitMQ is gone.
        """
        self._start(RECORDER, commands.recorder())
        self._display.print(f"recorder: the history is {self._history.place}")
        self._await_recorders_queues()
        for name in self._workers:
            self._start(name, commands.worker(name, pool=pool))
        if self._port:
            self._start(FLOWER, commands.flower(self._port, "127.0.0.1"))
            self._display.print(f"Flower: http://127.0.0.1:{self._port}")
        self._await_workers()
        self._start(FEED, commands.feed(days))
        self._await_feed()
        self._display.print(self._output.report)
        if until_done and not self._history.lasts:
            self._display.print("the history ends with the fleet; --history URL keeps one")
        else:
            self._show_a_trade()
        if not until_done:
            self._display.print("the market has ended, the fleet goes on: Ctrl-C stops it")
            self._watch()

    def _start(self, name: str, command: list[str]) -> None:
        self._processes.start(name, command)
        self._display.print(f"{name}: {' '.join(command)} (pid {self._processes.pid(name)})")

    def _await_recorders_queues(self) -> None:
        """Wait for the recorder, before any worker starts.

        A worker learns when it connects whether somebody listens to fates, and then twice a minute.
        """
        self._await(lambda reading: [] if reading.consumed >= RECORDED else [RECORDER])

    def _await_workers(self) -> None:
        self._await(lambda reading: reading.starting)

    def _await(self, late: Callable[[Reading], list[str]]) -> None:
        """Wait until no process is late."""
        deadline = monotonic() + START_TIMEOUT
        while names := late(self._check()):
            if names[0] in self._reported:
                raise FleetError(f"{names[0]} has ended: see above")
            if monotonic() > deadline:
                self._display.print(self._processes.tail(names[0]))
                raise FleetError(f"{names[0]} is not ready after {START_TIMEOUT:g} s: see above")
            time.sleep(INTERVAL)

    def _await_feed(self) -> None:
        while self._processes.status(FEED) != 0:
            self._check()
            with suppress(TimeoutExpired):
                self._processes.wait(FEED, INTERVAL)
        # Its last lines may have come after the last reading.
        self._read_and_show()

    def _show_a_trade(self) -> None:
        """Say how to trace a trade, once the end of the last day is recorded."""
        deadline = monotonic() + RECORD_TIMEOUT
        try:
            while (
                self._history.count("health.checked") < self._output.days
                and self._processes.status(RECORDER) is None
                and monotonic() < deadline
            ):
                self._check()
                time.sleep(INTERVAL)
            self._display.print(f"to see a trade: {self._history.trace_of_a_trade()}")
        except HistoryError as error:
            self._display.print(f"no trade can be shown: {error}", "bold red")

    def _await_recorder(self) -> None:
        """Wait until nothing waits for the recorder: the queues end with the broker."""
        deadline = monotonic() + GRACE
        while waiting := self._waiting_for_the_recorder():
            if monotonic() > deadline or self._processes.status(RECORDER) is not None:
                text = f"{waiting:,} events and fates are not in the history: see the recorder"
                self._display.print(text, "bold red")
                return
            time.sleep(INTERVAL)

    def _waiting_for_the_recorder(self) -> int:
        queues = self._read().queues
        return sum(queue.waiting for queue in queues if queue.name in RECORDED)

    def _watch(self) -> NoReturn:
        while True:
            self._check()
            time.sleep(INTERVAL)

    # Every interval

    def _check(self) -> Reading:
        ended = self._processes.ended()
        if FEED not in self._processes:
            self._fail_if_one_cannot_start(ended)
        self._report_ended(ended)
        self._fail_if_over()
        return self._read_and_show()

    def _fail_if_one_cannot_start(self, ended: Mapping[str, int]) -> None:
        """Raise FleetError for a named error. All workers are started alike, so all would fail."""
        for name in ended.keys() & {RECORDER, *self._workers}:
            if error := self._processes.error_line(name):
                raise FleetError(f"{name} cannot start: {error}")

    def _report_ended(self, ended: Mapping[str, int]) -> None:
        for name, status in ended.items():
            if name not in self._reported and (name, status) != (FEED, 0):
                self._reported.add(name)
                error = self._processes.error_line(name)
                why = f": {error}" if error else f"; its last lines:\n{self._processes.tail(name)}"
                self._display.print(f"{name} {status_text(status)}{why}", "bold red")

    def _fail_if_over(self) -> None:
        if FEED in self._reported:
            raise FleetError("the feed has failed: see above")
        if self._reported.issuperset(self._workers):
            raise FleetError("no worker is left: see above")

    def _read_and_show(self) -> Reading:
        self._output.read(self._processes.new_lines(FEED))
        reading = self._read()
        self._display.show(reading)
        return reading

    def _read(self) -> Reading:
        queues = self._management.queues(self._vhost)
        return self._gauges.read(queues, self._worker_ends(), self._output.day)

    def _worker_ends(self) -> dict[str, str | None]:
        statuses = {name: self._processes.status(name) for name in self._workers}
        return {
            name: None if status is None else status_text(status)
            for name, status in statuses.items()
        }
