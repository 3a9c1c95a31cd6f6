"""What `qt-events fleet` shows: a live table on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from workers.fleet.gauges import ONLINE, STARTING, Reading

LINE_EVERY = 10  # readings
AROUND = 16  # lines of the live table that are no worker's and no queue's
FEWEST = 5  # queues that are shown on however low a terminal


class FleetDisplay:
    """A context: news as lines, readings as they come. Without a terminal every tenth reading is a line too."""

    def __init__(self, console: Console) -> None:
        self._console, self._readings, self._fed = console, 0, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing to put back."""

    def tell(self, news: str, style: str = "") -> None:
        """Something that happened."""
        self._console.print(Text(news, style), soft_wrap=True)

    def show(self, reading: Reading) -> None:
        """How things stand."""
        self._readings += 1
        if reading.feed not in ("", self._fed):
            self._fed = reading.feed
            self.tell(f"feed: {reading.feed}")
        if self._readings % LINE_EVERY == 0:
            self.tell(line(reading))


class LiveFleetDisplay(FleetDisplay):
    """For a terminal: one table that is drawn again and again, the news above it."""

    def __init__(self, console: Console, title: str) -> None:
        super().__init__(console)
        self._title, self._live = title, Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()

    def show(self, reading: Reading) -> None:
        room = max(FEWEST, self._console.height - AROUND - len(reading.workers))
        self._live.update(frame(reading, self._title, room), refresh=True)


def line(reading: Reading) -> str:
    """A reading in one line."""
    online = sum(state == ONLINE for state in reading.workers.values())
    rate = sum(gauge.rate for name, gauge in reading.gauges.items() if reading.workers.get(name) == ONLINE)
    waiting, unacked = (sum(getattr(queue, name) for queue in reading.queues) for name in ("waiting", "unacked"))
    return (
        f"workers {online}/{len(reading.workers)}  handled {rate:.0f}/s  waiting {waiting}  unacked {unacked}  "
        f"dead letters {reading.dead_letters}"
    )


def frame(reading: Reading, title: str, room: int) -> RenderableType:
    """The live table at one moment, with at most `room` queues."""
    dead = Text(f"dead letters {reading.dead_letters:,}", style="bold red" if reading.dead_letters else "dim")
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
            figures = (str(gauge.pid), Text(state, style), f"{gauge.handled:,}", rate, str(gauge.active))
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
