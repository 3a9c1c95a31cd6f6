"""`qt-events fleet`: Quantum Trader as a fleet on this machine, with a RabbitMQ of its own."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

import qt_events
from qt_events import QtEventsError
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ports import free_ports
from workers import fleet_commands
from workers.crew import Crew, told
from workers.fleet_display import FleetDisplay, LiveFleetDisplay
from workers.gauges import ONLINE, STARTING, Heartbeats, Reading, dead_letters, queue_gauges

FRAME = 1.0  # seconds between two readings: RabbitMQ takes its own as often
START = 120.0  # seconds that the workers may take to be ready
GRACE = 45.0  # seconds for what workers hold, more than the grace of their bus
SHORT_GRACE = 10.0  # seconds for those that hold nothing
FEED, FLOWER = "feed", "flower"
DAY = "  day "  # in each line that the feed prints on its way
PIDBOX = ".qt.pidbox"  # how a worker's own queue for remote control ends; it is there once the worker consumes


class FleetError(QtEventsError):
    """The fleet cannot go on."""


def fleet(
    workers: Annotated[int, typer.Option(min=1, max=50, help="How many workers.", metavar="N")] = 3,
    days: Annotated[int | None, typer.Option(min=1, help="Only the first N days.", metavar="N")] = None,
    pool: Annotated[
        str | None, typer.Option(help="The workers' pool, as `celery worker -P` spells it. Default: asyncio.")
    ] = None,
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
        port = (flower_port or free_ports(1)[0]) if flower else None
        launcher = Launcher(broker, crew, [f"worker-{number}" for number in range(1, workers + 1)], port)
        with launcher.opened(console) as display:
            launcher.run(display, pool, days, until_done=until_done)
        console.print(Text(launcher.result()), soft_wrap=True)


@contextmanager
def _crew(broker: PrivateBroker) -> Iterator[Crew]:
    crew = Crew()
    database = os.environ.get("QT_DATABASE_URL") or f"sqlite:///{crew.folder}/quantum_trader.db"
    crew.environment |= fleet_commands.environment(broker.url, database)
    crew.environment |= {"FLOWER_BROKER_API": f"{broker.management_url}/api/", "QT_APP": "workers"}
    try:
        yield crew
    finally:
        crew.close()


class Launcher:
    """One fleet, from its start to its end."""

    def __init__(self, broker: PrivateBroker, crew: Crew, workers: list[str], flower_port: int | None) -> None:
        self._broker, self._crew, self._workers, self._port = broker, crew, workers, flower_port
        self._heartbeats = Heartbeats(qt_events.CeleryEventBus(broker.url).app)
        self._named: set[str] = set()  # of those that have ended

    @contextmanager
    def opened(self, console: Console) -> Iterator[FleetDisplay]:
        """The display, and at its end a fleet that is stopped in good order: first the feed, at last the broker."""
        where = f"Flower http://127.0.0.1:{self._port}" if self._port else "no Flower"
        title = f"[bold]Quantum Trader[/], {len(self._workers)} workers, {where}"
        display = LiveFleetDisplay(console, title) if console.is_terminal else FleetDisplay(console)
        self._heartbeats.start()
        try:
            with display:
                yield display
        finally:
            console.print("stopping", soft_wrap=True)
            self._stop()

    def _stop(self) -> None:
        self._crew.stop([FEED], SHORT_GRACE)
        self._crew.stop(self._workers, GRACE)
        self._heartbeats.stop()
        self._crew.stop([FLOWER], SHORT_GRACE)

    def run(self, display: FleetDisplay, pool: str | None, days: int | None, *, until_done: bool) -> None:
        """Start all; return when the feed is done, if that is what is waited for.

        Raises:
            FleetError: the feed, the broker, or the last worker is gone.
        """
        self._start_workers(display, pool)
        self._start(FEED, fleet_commands.feed(days), display)
        while not (until_done and self._crew.status(FEED) == 0):
            self._look_after(display)
            time.sleep(FRAME)

    def _start_workers(self, display: FleetDisplay, pool: str | None) -> None:
        for name in self._workers:
            self._start(name, fleet_commands.worker(name, pool=pool), display)
        if self._port:
            self._start(FLOWER, fleet_commands.flower(self._port, "127.0.0.1"), display)
            display.tell(f"Flower: http://127.0.0.1:{self._port}")
        deadline = monotonic() + START
        while late := [name for name, state in self._look_after(display).workers.items() if state == STARTING]:
            if monotonic() > deadline:
                raise FleetError(f"{late[0]} is not ready after {START:g} s: {self._crew.tail(late[0])}")
            time.sleep(FRAME)

    def _start(self, name: str, command: list[str], display: FleetDisplay) -> None:
        self._crew.start(name, command)
        display.tell(f"{name}: {' '.join(command)} (pid {self._crew.pid(name)})")

    # Looking after it

    def _look_after(self, display: FleetDisplay) -> Reading:
        for name, status in self._crew.ended().items():
            if name not in self._named and (name, status) != (FEED, 0):
                self._named.add(name)
                display.tell(f"{name} {told(status)}; its last words:\n{self._crew.tail(name)}", "bold red")
        if FEED in self._named:
            raise FleetError("the feed has failed: see above")
        if self._named.issuperset(self._workers):
            raise FleetError("no worker is left: see above")
        reading = self._reading()
        display.show(reading)
        return reading

    def _reading(self) -> Reading:
        rows = self._broker.management.queues("/")
        ready = {row["name"].partition("@")[0] for row in rows if row["name"].endswith(PIDBOX)}
        return Reading(
            workers={name: self._state(name, ready) for name in self._workers},
            gauges=dict(self._heartbeats.gauges),
            queues=queue_gauges(rows),
            dead_letters=dead_letters(rows),
            feed=next(reversed(self._feed_lines()[0]), ""),
        )

    def _state(self, name: str, ready: set[str]) -> str:
        status = self._crew.status(name)
        if status is not None:
            return told(status)
        return ONLINE if name in ready else STARTING

    def _feed_lines(self) -> tuple[list[str], list[str]]:
        """What it has printed: a line for a day, now and then; and what came after the last of them."""
        lines = self._crew.output(FEED).splitlines()
        days = [number for number, text in enumerate(lines) if DAY in text]
        return [lines[number] for number in days], lines[days[-1] + 1 if days else 0 :]

    def result(self) -> str:
        """What the feed came to; nothing if it has not ended by itself."""
        return "\n".join(self._feed_lines()[1]) if self._crew.status(FEED) == 0 else ""
