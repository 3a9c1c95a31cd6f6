"""Progress of a replay: a live display on a terminal, plain lines elsewhere."""

from time import monotonic
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from workers.replay.equity import sparkline
from workers.replay.replay import Progress
from workers.system.portfolio import START_CENTS

#: Seconds between two frames.
FRAME = 0.1
#: Characters.
CHART_WIDTH, CHART_HEIGHT = 20, 5
STYLES = {
    "AGGRESSIVE": "bold yellow",
    "NORMAL": "bold green",
    "DEFENSIVE": "bold magenta",
    "HEALTHY": "bold green",
    "DEGRADED": "bold yellow",
    "CRITICAL": "bold white on red",
}


class Display:
    """Progress that is not shown. Used as a context, and called after each day."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the terminal as it is."""

    def __call__(self, progress: Progress) -> None:
        """Take the progress of one more day."""


class PlainDisplay(Display):
    """Plain progress: one line every few days, for logs and pipes."""

    def __init__(self, console: Console, every: int = 100) -> None:
        self._console, self._every = console, every

    def __call__(self, progress: Progress) -> None:
        if progress.done % self._every == 0 or progress.done == progress.total:
            self._console.print(line(progress), soft_wrap=True, highlight=False)


def line(progress: Progress) -> str:
    """Return a day as one line."""
    published, failed = (
        sum(row[name] for row in progress.events.values()) for name in ("published", "errors")
    )
    return (
        f"{progress.day}  day {progress.done}/{progress.total}  events {published}  "
        f"failed {failed}  risk {progress.risk_mode or '-'}  health {progress.health}  "
        f"equity {progress.equity:,.2f}  drawdown {progress.drawdown:.2%}  trades {progress.trades}"
    )


class LiveDisplay(Display):
    """Live progress: events and the state of the trading system, ten times a second."""

    def __init__(self, console: Console, over: str) -> None:
        self._over = over
        self._curve: list[float] = []
        self._drawn = 0.0
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("days"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._live = Live(self._bar, console=console, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        self._curve.append(progress.equity)
        if monotonic() - self._drawn >= FRAME:
            self._bar.update(
                self._task,
                description=str(progress.day),
                completed=progress.done,
                total=progress.total,
            )
            self._live.update(frame(self._bar, progress, self._curve, self._over))
            self._drawn = monotonic()


def frame(bar: RenderableType, progress: Progress, curve: list[float], over: str) -> RenderableType:
    """Return the live display at one moment."""
    sides = Table.grid(expand=True, padding=(0, 1, 0, 0))
    sides.add_column(ratio=1)
    sides.add_column(width=CHART_WIDTH)
    sides.add_row(_events(progress.events), _state(progress, curve))
    title = f"[bold]Quantum Trader[/] on the event bus, {over}"
    panel = Panel(Group(bar, "", sides), title=title, box=box.ROUNDED, border_style="blue")
    # The cursor rests on a line of its own, where the echo of Ctrl-C overwrites nothing.
    return Group(panel, "")


def _events(events: dict[str, dict[str, int]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, expand=True, padding=(0, 1, 0, 0))
    table.add_column("event", no_wrap=True, ratio=1)
    for name in ("published", "dispatched", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    for event_type, row in sorted(events.items()):
        failed = Text(str(row["errors"]), style="bold red" if row["errors"] else "dim")
        table.add_row(event_type, f"{row['published']:,}", f"{row['dispatched']:,}", failed)
    return table


def _state(progress: Progress, curve: list[float]) -> RenderableType:
    gain = progress.equity * 100 / START_CENTS - 1
    table = Table.grid(padding=(0, 1))
    table.add_row("risk mode", _coloured(progress.risk_mode))
    table.add_row("health", _coloured(progress.health))
    table.add_row("equity", Text(f"{progress.equity:,.2f}", style="bold"))
    table.add_row("gain", Text(f"{gain:+.2%}", style="green" if gain >= 0 else "red"))
    table.add_row("drawdown", f"{progress.drawdown:.2%}")
    table.add_row("trades", f"{progress.trades:,}")
    return Group(
        table,
        "",
        Text("equity so far", style="dim"),
        Text(sparkline(curve, CHART_WIDTH, CHART_HEIGHT), style="cyan"),
    )


def _coloured(word: str | None) -> Text:
    return Text(word, style=STYLES[word]) if word else Text("none yet", style="dim")
