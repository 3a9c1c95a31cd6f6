"""What `qt-events run` shows: a live display on a terminal, plain lines elsewhere, the summary at the end."""

from time import monotonic
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from workers.replay.figures import Figures
from workers.replay.replay import Progress, Result, Summary
from workers.system.portfolio import START_CENTS

FRAME = 0.1  # seconds
CHART_WIDTH, CHART_HEIGHT = 20, 5  # characters
BLOCKS = " ▁▂▃▄▅▆▇█"  # eighths of a line
STYLES = {
    "AGGRESSIVE": "bold yellow",
    "NORMAL": "bold green",
    "DEFENSIVE": "bold magenta",
    "HEALTHY": "bold green",
    "DEGRADED": "bold yellow",
    "CRITICAL": "bold white on red",
}


class Display:
    """A context to run in, called after each day."""

    def __enter__(self) -> Self:
        self._started = monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing to put back."""

    def __call__(self, progress: Progress) -> None:
        """Show it."""

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return monotonic() - self._started


class NoDisplay(Display):
    """For a program that reads the JSON."""


class PlainDisplay(Display):
    """One line for every so many days, for logs and pipes."""

    def __init__(self, console: Console, every: int = 100) -> None:
        self._console, self._every = console, every

    def __call__(self, progress: Progress) -> None:
        if progress.done % self._every == 0 or progress.done == progress.total:
            self._console.print(line(progress), soft_wrap=True, highlight=False)


def line(progress: Progress) -> str:
    """A day in one line."""
    published, failed = (sum(row[name] for row in progress.events.values()) for name in ("published", "errors"))
    return (
        f"{progress.day}  day {progress.done}/{progress.total}  events {published}  failed {failed}  "
        f"risk {progress.risk_mode or '-'}  health {progress.health}  "
        f"equity {progress.equity:,.2f}  drawdown {progress.drawdown:.2%}  trades {progress.trades}"
    )


class LiveDisplay(Display):
    """Progress, events and the state of the trading system, some ten times a second."""

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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        self._curve.append(progress.equity)
        if monotonic() - self._drawn >= FRAME:
            self._bar.update(self._task, description=str(progress.day), completed=progress.done, total=progress.total)
            self._live.update(frame(self._bar, progress, self._curve, self._over))
            self._drawn = monotonic()


def frame(bar: RenderableType, progress: Progress, curve: list[float], over: str) -> RenderableType:
    """The live display at one moment."""
    sides = Table.grid(expand=True, padding=(0, 1, 0, 0))
    sides.add_column(ratio=1)
    sides.add_column(width=CHART_WIDTH)
    sides.add_row(_events(progress.events), _state(progress, curve))
    title = f"[bold]Quantum Trader[/] on the event bus, {over}"
    panel = Panel(Group(bar, "", sides), title=title, box=box.ROUNDED, border_style="blue")
    return Group(panel, "")  # the cursor rests on a line of its own, where the echo of Ctrl-C harms nothing


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
    return Group(table, "", Text("equity so far", style="dim"), Text(chart(curve), style="cyan"))


def _coloured(word: str | None) -> Text:
    return Text(word, style=STYLES[word]) if word else Text("none yet", style="dim")


def chart(values: list[float], width: int = CHART_WIDTH, height: int = CHART_HEIGHT) -> str:
    """The values as columns of blocks between their lowest and their highest, at most `width` of them."""
    count = min(width, len(values))
    sample = [values[(index + 1) * len(values) // count - 1] for index in range(count)]
    low, high = min(sample), max(sample)
    eighths = [1 + round((value - low) / ((high - low) or 1) * (height * 8 - 1)) for value in sample]
    return "\n".join(_chart_line(eighths, floor) for floor in range(8 * (height - 1), -1, -8))


def _chart_line(eighths: list[int], floor: int) -> str:
    return "".join(BLOCKS[min(max(level - floor, 0), 8)] for level in eighths)


def show(result: Result, seconds: float) -> None:
    """Print what a replay came to."""
    console = Console()
    console.print(_figures(result, seconds))
    if isinstance(result, Summary):
        tables = [_counts("event", result.events), _counts("subscription", result.deliveries)]
        console.print(Columns(tables, padding=(0, 4)))
    console.print(_components(result.components), _profits(result.components["analytics"]))


def _figures(result: Result, seconds: float) -> Table:
    title = f"{result.days:,} days in {seconds:.1f} s"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("trades", f"{result.trades:,}")
    table.add_row("final equity", f"{result.final_equity:,.2f}")
    table.add_row("largest drawdown", f"{result.largest_drawdown:.2%}")
    if isinstance(result, Summary):
        table.add_row("retries", f"{result.retries:,}")
        table.add_row("dead letters", Text(f"{result.dead_letters:,}", style="bold red" if result.dead_letters else ""))
        if result.unfinished:
            table.add_row("unfinished", Text(f"{result.unfinished:,}", style="bold red"))
    return table


def _counts(name: str, counts: dict[str, int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(name, no_wrap=True)
    table.add_column("published" if name == "event" else "delivered", justify="right")
    for row, count in counts.items():
        table.add_row(row, f"{count:,}")
    return table


def _components(figures: Figures) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("component", no_wrap=True)
    table.add_column("figures")
    for component, each in figures.items():
        if component != "analytics":  # they have tables of their own
            table.add_row(component, "  ".join(f"[dim]{name}[/] {_words(value)}" for name, value in each.items()))
    return table


def _words(value: Any) -> str:
    match value:
        case dict():
            return ", ".join(f"{name} {_words(each)}" for name, each in value.items()) or "none"
        case list():
            return " ".join(map(str, value)) or "none"
        case None:
            return "none"
        case bool():
            return str(value)
        case int() | float():
            return f"{value:,}"
    return str(value)


def _profits(analytics: dict[str, dict[str, float]]) -> Columns:
    return Columns([_profit(name.removeprefix("profit_by_"), each) for name, each in analytics.items()], padding=(0, 4))


def _profit(by: str, earned: dict[str, float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(by, no_wrap=True)
    table.add_column("profit", justify="right")
    for name, profit in earned.items():
        table.add_row(name, Text(f"{profit:,.2f}", style="" if profit >= 0 else "red"))
    return table
