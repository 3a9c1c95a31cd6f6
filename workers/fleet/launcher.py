"""`qt-events fleet`: Quantum Trader as a fleet on this machine, with a RabbitMQ of its own."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Annotated, NoReturn, Self

import typer
from rich.console import Console

import qt_events
from qt_events import QtEventsError
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ports import free_ports
from workers.fleet import commands
from workers.fleet.commands import Pool
from workers.fleet.display import FleetDisplay, LiveFleetDisplay
from workers.fleet.feed_output import FeedReport
from workers.fleet.gauges import Gauges, Reading
from workers.fleet.processes import Crew, told

FRAME = 1.0  # seconds between two readings: RabbitMQ takes its own as often
START = 120.0  # seconds that the workers may take to be ready
GRACE = 45.0  # seconds for what workers hold, more than the grace of their bus
SHORT_GRACE = 10.0  # seconds for those that hold nothing
FEED, FLOWER = "feed", "flower"


class FleetError(QtEventsError):
    """The fleet cannot go on."""


def fleet(
    workers: Annotated[int, typer.Option(min=1, max=50, help="How many workers.", metavar="N")] = 3,
    days: Annotated[int | None, typer.Option(min=1, help="Only the first N days.", metavar="N")] = None,
    pool: Annotated[Pool | None, typer.Option(help="Where the workers' handlers run. Default: asyncio.")] = None,
    flower: Annotated[bool, typer.Option(help="Start Flower too.")] = True,  # noqa: FBT002
    flower_port: Annotated[int, typer.Option(min=0, max=65535, help="Where; 0: any that is free.")] = 0,
    until_done: Annotated[  # noqa: FBT002
        bool, typer.Option("--until-done", help="End, with 0, when the feed has ended; else it waits for Ctrl-C.")
    ] = False,
) -> None:
    """Start a private RabbitMQ, several workers, the market feed and Flower; show what they do; stop them all.

    Its database is QT_DATABASE_URL, or else SQLite in a folder that goes when the fleet does. Ctrl-C (exit code 130)
    and SIGTERM stop all in good order, a second one at once.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as by Ctrl-C
    console = Console()
    console.print("starting RabbitMQ, which takes some seconds", soft_wrap=True)
    with PrivateBroker() as broker, _crew(broker) as crew:
        names = [f"worker-{number}" for number in range(1, workers + 1)]
        port = (flower_port or free_ports(1)[0]) if flower else None
        display = _display(console, len(names), port)
        with Launcher(broker, crew, names, port, display) as launcher, display:
            launcher.run(pool, days, until_done=until_done)


def _display(console: Console, workers: int, port: int | None) -> FleetDisplay:
    where = f"Flower http://127.0.0.1:{port}" if port else "no Flower"
    title = f"[bold]Quantum Trader[/], {workers} workers, {where}"
    return LiveFleetDisplay(console, title) if console.is_terminal else FleetDisplay(console)


@contextmanager
def _crew(broker: PrivateBroker) -> Iterator[Crew]:
    crew = Crew()
    database = os.environ.get("QT_DATABASE_URL") or f"sqlite:///{crew.folder}/quantum_trader.db"
    crew.environment |= commands.environment(broker.url, database)
    crew.environment |= {"FLOWER_BROKER_API": f"{broker.management_url}/api/", "QT_APP": "workers"}
    try:
        yield crew
    finally:
        crew.close()


class Launcher:
    """One fleet: a context that ends with all of it stopped in good order, first the feed."""

    def __init__(
        self, broker: PrivateBroker, crew: Crew, workers: list[str], flower_port: int | None, display: FleetDisplay
    ) -> None:
        self._broker, self._crew, self._workers, self._port = broker, crew, workers, flower_port
        self._display, self._report = display, FeedReport()
        self._gauges = Gauges(qt_events.CeleryEventBus(broker.url))
        self._told: set[str] = set()  # of those that have ended

    def __enter__(self) -> Self:
        self._gauges.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._display.tell("stopping")
        self._crew.stop([FEED], SHORT_GRACE)
        self._crew.stop(self._workers, GRACE)
        self._gauges.stop()
        self._crew.stop([FLOWER], SHORT_GRACE)

    def run(self, pool: Pool | None, days: int | None, *, until_done: bool) -> None:
        """Start all; return when the feed is done, if that is what is waited for.

        Raises:
            FleetError: a worker cannot start; the feed has failed; the last worker is gone.
            BrokerError: the broker is gone.
        """
        for name in self._workers:
            self._start(name, commands.worker(name, pool=pool))
        if self._port:
            self._start(FLOWER, commands.flower(self._port, "127.0.0.1"))
            self._display.tell(f"Flower: http://127.0.0.1:{self._port}")
        self._await_workers()
        self._start(FEED, commands.feed(days))
        self._await_feed()
        self._display.tell(self._report.result)
        if not until_done:
            self._display.tell("the market has ended, the fleet goes on: Ctrl-C stops it")
            self._go_on()

    def _start(self, name: str, command: list[str]) -> None:
        self._crew.start(name, command)
        self._display.tell(f"{name}: {' '.join(command)} (pid {self._crew.pid(name)})")

    def _await_workers(self) -> None:
        deadline = monotonic() + START
        reading = self._look()
        while reading.starting:
            if monotonic() > deadline:
                late = reading.starting[0]
                self._display.tell(self._crew.tail(late))
                raise FleetError(f"{late} is not ready after {START:g} s: see above")
            time.sleep(FRAME)
            reading = self._look()

    def _await_feed(self) -> None:
        while self._crew.status(FEED) != 0:
            self._look()
            time.sleep(FRAME)
        self._read_and_show()  # what it printed last

    def _go_on(self) -> NoReturn:
        while True:
            self._look()
            time.sleep(FRAME)

    # One look

    def _look(self) -> Reading:
        ended = self._crew.ended()
        if FEED not in self._crew:
            self._must_start(ended)
        self._tell(ended)
        self._must_go_on()
        return self._read_and_show()

    def _must_start(self, ended: Mapping[str, int]) -> None:
        """What one worker cannot do, by the words of its own error, no other can: they are started alike."""
        for name in ended.keys() & self._workers:
            if complaint := self._crew.complaint(name):
                raise FleetError(f"{name} cannot start: {complaint}")

    def _tell(self, ended: Mapping[str, int]) -> None:
        for name, status in ended.items():
            if name not in self._told and (name, status) != (FEED, 0):
                self._told.add(name)
                complaint = self._crew.complaint(name)
                why = f": {complaint}" if complaint else f"; its last words:\n{self._crew.tail(name)}"
                self._display.tell(f"{name} {told(status)}{why}", "bold red")

    def _must_go_on(self) -> None:
        if FEED in self._told:
            raise FleetError("the feed has failed: see above")
        if self._told.issuperset(self._workers):
            raise FleetError("no worker is left: see above")

    def _read_and_show(self) -> Reading:
        self._report.hear(self._crew.new_lines(FEED))
        reading = self._gauges.read(self._broker.management.queues("/"), self._ended(), self._report.day)
        self._display.show(reading)
        return reading

    def _ended(self) -> dict[str, str | None]:
        statuses = {name: self._crew.status(name) for name in self._workers}
        return {name: None if status is None else told(status) for name, status in statuses.items()}
