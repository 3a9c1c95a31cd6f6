"""Display of `python -m workers fleet`: a live table on a terminal, plain lines elsewhere."""

from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from workers.fleet.gauges import ONLINE, STARTING, Reading

#: Readings from one plain line to the next.
LINE_EVERY = 10
#: Lines of the live table beside those of workers and queues.
OTHER_LINES = 16
#: Queues that are shown however low the terminal is.
MIN_QUEUES = 5


class FleetDisplay:
    """Plain lines: news at once, and every tenth reading."""

    def __init__(self, console: Console) -> None:
        self._console, self._readings, self._fed = console, 0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it is."""

    def print(self, news: str, style: str = "") -> None:
        """Print news."""
        self._console.print(Text(news, style), soft_wrap=True)

    def show(self, reading: Reading) -> None:
        """Take a reading."""
        self._readings += 1
        if reading.feed not in ("", self._fed):
            self._fed = reading.feed
            self.print(f"feed: {reading.feed}")
        if self._readings % LINE_EVERY == 0:
            self.print(line(reading))


class LiveFleetDisplay(FleetDisplay):
    """One table that is drawn again for each reading, with the news above it."""

    def __init__(self, console: Console, title: str) -> None:
        super().__init__(console)
        self._title, self._live = title, Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, reading: Reading) -> None:
        room = max(MIN_QUEUES, self._console.height - OTHER_LINES - len(reading.workers))
        self._live.update(frame(reading, self._title, room), refresh=True)


def line(reading: Reading) -> str:
    """Return a reading as one line."""
    online = sum(state == ONLINE for state in reading.workers.values())
    rate = sum(
        gauge.rate for name, gauge in reading.gauges.items() if reading.workers.get(name) == ONLINE
    )
    waiting, unacked = (
        sum(getattr(queue, name) for queue in reading.queues) for name in ("waiting", "unacked")
    )
    return (
        f"workers {online}/{len(reading.workers)}  handled {rate:.0f}/s  waiting {waiting}  "
        f"unacked {unacked}  dead letters {reading.dead_letters}"
    )


def frame(reading: Reading, title: str, room: int) -> RenderableType:
    """Return the live table, with at most `room` queues."""
    dead = Text(
        f"dead letters {reading.dead_letters:,}",
        style="bold red" if reading.dead_letters else "dim",
    )
    feed = Text(f"feed: {reading.feed or 'waits'}", overflow="ellipsis", no_wrap=True)
    body = Group(_workers(reading), "", _queues(reading, room), "", feed, dead)
    return Group(Panel(body, title=title, box=box.ROUNDED, border_style="blue"), "")


def _workers(reading: Reading) -> Table:
    table = _table("worker", "pid", "state", "handled", "a second", "active")
    for name, state in reading.workers.items():
        style = {ONLINE: "green", STARTING: "yellow"}.get(state, "bold red")
        gauge = reading.gauges.get(name)
        figures = ("", Text(state, style), "", "", "")
        if gauge is not None:
            rate = f"{gauge.rate:,.0f}" if state == ONLINE else ""
            figures = (
                str(gauge.pid),
                Text(state, style),
                f"{gauge.handled:,}",
                rate,
                str(gauge.active),
            )
        table.add_row(name, *figures)
    return table


def _queues(reading: Reading, room: int) -> Table:
    table = _table("queue of", "waiting", "unacked", "consumers", "come/s", "done/s")
    for queue in reading.queues[:room]:
        consumers = Text(str(queue.consumers), style="" if queue.consumers else "bold red")
        rates = f"{queue.come:.1f}", f"{queue.done:.1f}"
        table.add_row(queue.name, f"{queue.waiting:,}", f"{queue.unacked:,}", consumers, *rates)
    if len(reading.queues) > room:
        table.add_row(Text(f"and {len(reading.queues) - room} that are less busy", style="dim"))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, expand=True, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True, ratio=1)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
