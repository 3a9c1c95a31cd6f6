"""Report: printed at the end of a replay; first what the bus did, then what came of it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from workers.replay.equity import DayEquity, terminal_chart
from workers.replay.figures import Figures
from workers.replay.journey import Journey, Step
from workers.replay.replay import Result, Summary

#: Characters.
WIDEST, CHART_HEIGHT = 100, 9
BROKER = "amqp://guest:guest@localhost:5672//"


@dataclass(frozen=True)
class Report:
    """Result of one replay, and what was recorded on the way."""

    result: Result
    seconds: float  #: that the days took
    curve: Sequence[DayEquity]
    journey: Journey | None = None
    over: str = "in memory"  #: or "over RabbitMQ", "through the fleet"
    options: Sequence[str] = ()  #: of the command, to repeat the same days elsewhere

    def print(self, console: Console, *, details: bool) -> None:
        """Print it, with a table of everything for `details`."""
        for section in self._sections(console.width, details=details):
            console.print(section)

    def _sections(self, width: int, *, details: bool) -> list[RenderableType]:
        result, width = self.result, min(width, WIDEST)
        sections: list[RenderableType] = [self._title()]
        if isinstance(result, Summary):
            sections += [_bus(result, self.seconds)]
        if self.journey is not None:
            sections += [_heading(self.journey), _tree(self.journey, details=details), ""]
        chart = terminal_chart(self.curve, width, CHART_HEIGHT)
        sections += [_figures(result), Text(chart, style="cyan", no_wrap=True), ""]
        if details:
            sections += _details(result)
        return [*sections, self._advice(details=details)]

    def _title(self) -> Text:
        days = f"{self.result.days:,} trading days in {self.seconds:.1f} s"
        return Text.assemble(("Quantum Trader on the event bus", "bold"), f", {self.over}: {days}")

    def _advice(self, *, details: bool) -> RenderableType:
        """Say how to see the same figures elsewhere, and more of this replay."""
        days = shlex.join(self.options)
        here = f"python -m workers run {days}".rstrip()
        fleet = f"make fleet ARGS={shlex.quote(days)}" if days else "make fleet"
        lines = ["The figures are the same in memory and over RabbitMQ. To see it:"]
        if self.over == "in memory":
            lines.append(f"  {here} --broker {BROKER}")
            if "--market" not in self.options:
                lines.append(
                    f"  {fleet}    (with a RabbitMQ and three worker processes of its own)"
                )
        else:
            lines.append(f"  {here}")
        if not details and isinstance(self.result, Summary):
            lines.append(
                "More: --details for every figure, --chart FILE for the equity as PNG or SVG."
            )
        return Text("\n".join(lines))


def _bus(summary: Summary, seconds: float) -> Table:
    """Return what the bus did, as one row."""
    events = sum(summary.events.values())
    cells: dict[str, str | Text] = {
        "events": f"{events:,}",
        "events/s": f"{events / seconds:,.0f}",
        "deliveries": f"{sum(summary.deliveries.values()):,}",
        "subscriptions": f"{len(summary.deliveries):,}",
        "retries": f"{summary.retries:,}",
        "dead letters": _alarming(summary.dead_letters),
    }
    if summary.unfinished:
        cells["unfinished"] = _alarming(summary.unfinished)
    return _row(cells)


def _figures(result: Result) -> Table:
    return _row(
        {
            "trades": f"{result.trades:,}",
            "final equity": f"{result.final_equity:,.2f}",
            "largest drawdown": f"{result.largest_drawdown:.2%}",
        }
    )


def _row(cells: dict[str, str | Text]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in cells:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*cells.values())
    return table


def _alarming(count: int) -> Text:
    return Text(f"{count:,}", style="bold red" if count else "")


# Journey


def _heading(journey: Journey) -> Text:
    text = f": {journey.events} events, {journey.deliveries} deliveries, {journey.seconds:.3f} s"
    which = "the last day with a trade" if journey.traded else "the last day"
    return Text.assemble(("Journey of one market.closed", "bold"), f", {which}{text}")


def _tree(journey: Journey, *, details: bool) -> Tree:
    tree = Tree(_step(journey.root, details=details), guide_style="dim", highlight=False)
    _grow(tree, journey.root, details=details)
    return tree


def _grow(tree: Tree, step: Step, *, details: bool) -> None:
    for consequence in step.consequences:
        _grow(tree.add(_step(consequence, details=details)), consequence, details=details)


def _step(step: Step, *, details: bool) -> Text:
    times = f" x{step.events}" if step.events > 1 else ""
    names = [_handler(name, attempts, details=details) for name, attempts in step.handlers.items()]
    handlers = (" -> ", "dim"), ", ".join(names)
    return Text.assemble((step.event_type, "bold"), times, *(handlers if names else ()))


def _handler(subscription: str, attempts: int, *, details: bool) -> str:
    """Return a subscription's name; its component alone, where there is little room."""
    name = subscription if details else subscription.partition(".")[0]
    return name if attempts == 1 else f"{name} ({attempts} attempts)"


# Details


def _details(result: Result) -> list[RenderableType]:
    tables: list[RenderableType] = []
    if isinstance(result, Summary):
        counts = [
            _counts("event", "published", result.events),
            _counts("subscription", "delivered", result.deliveries),
        ]
        tables.append(Columns(counts, padding=(0, 4)))
    return [*tables, _components(result.components), _profits(result.components["analytics"])]


def _counts(name: str, counted: str, counts: dict[str, int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(name, no_wrap=True)
    table.add_column(counted, justify="right")
    for row, count in counts.items():
        table.add_row(row, f"{count:,}")
    return table


def _components(figures: Figures) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("component", no_wrap=True)
    table.add_column("figures")
    for component, each in figures.items():
        if component != "analytics":
            words = (f"[dim]{name}[/] {_words(value)}" for name, value in each.items())
            table.add_row(component, "  ".join(words))
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
    return Columns(
        [_profit(name.removeprefix("profit_by_"), each) for name, each in analytics.items()],
        padding=(0, 4),
    )


def _profit(by: str, earned: dict[str, float]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(by, no_wrap=True)
    table.add_column("profit", justify="right")
    for name, profit in earned.items():
        table.add_row(name, Text(f"{profit:,.2f}", style="" if profit >= 0 else "red"))
    return table
