"""Report: the bus, a journey, the equity; and details on request."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from rich.console import Console

from workers.replay.equity import DayEquity
from workers.replay.journey import Journey, Step
from workers.replay.replay import Result, Summary
from workers.replay.report import Report, _words

FIGURES: dict[str, Any] = {
    "msc_ai": {"risk_mode": "NORMAL", "policies": 12},
    "executor": {"trades": 1234, "positions": {"A": 1500, "B": 2}},
    "analytics": {
        "profit_by_strategy": {"core": 1234.5, "momentum": -7.25},
        "profit_by_model": {},
    },
}
RESULT = Result(
    days=1008,
    trades=1234,
    final_equity=98_765.43,
    largest_drawdown=-0.1766,
    components=FIGURES,
)
SUMMARY = Summary(
    **dict(RESULT),
    events={"market.closed": 1008, "trade.executed": 1234},
    deliveries={"executor.on_orders": 2016},
    retries=3,
    dead_letters=1,
    unfinished=0,
)
JOURNEY = Journey(
    root=Step(
        "market.closed",
        events=1,
        handlers={"msc_ai.on_closed": 1, "sg_ai.on_closed": 2},
        consequences=(Step("trade.executed", events=3, handlers={}, consequences=()),),
    ),
    deliveries=2,
    seconds=0.0123,
)


def lines_of(
    result: Result,
    *,
    details: bool = False,
    journey: Journey | None = None,
    over: str = "in memory",
    options: Sequence[str] = (),
) -> list[str]:
    """Return a printed report, with blanks made single."""
    curve = [DayEquity(date(2024, 1, 1), 100_000.0), DayEquity(date(2024, 1, 2), 98_765.43)]
    report = Report(result, seconds=2.0, curve=curve, journey=journey, over=over, options=options)
    console = Console(width=100, record=True)
    with console.capture() as capture:
        report.print(console, details=details)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_the_bus_comes_first_as_one_row() -> None:
    """2,242 events in two seconds are 1,121 a second."""
    lines = lines_of(SUMMARY)
    assert lines[0].endswith("in memory: 1,008 trading days in 2.0 s")
    row = lines.index("events events/s deliveries subscriptions retries dead letters") + 2
    assert lines[row] == "2,242 1,121 2,016 1 3 1"
    assert not [line for line in lines if "unfinished" in line]


def test_events_without_an_outcome_are_named() -> None:
    lines = lines_of(SUMMARY.model_copy(update={"unfinished": 7}))
    row = lines.index("events events/s deliveries subscriptions retries dead letters unfinished")
    assert lines[row + 2].endswith(" 1 7")


def test_the_figures_follow() -> None:
    lines = lines_of(SUMMARY)
    row = lines.index("trades final equity largest drawdown") + 2
    assert lines[row] == "1,234 98,765.43 -17.66%"


def test_the_journey_is_a_tree_of_events_and_the_components_that_handled_them() -> None:
    lines = lines_of(SUMMARY, journey=JOURNEY)
    heading = (
        "Journey of one market.closed, the last day with a trade: 4 events, 2 deliveries, 0.012 s"
    )
    start = lines.index(heading)
    assert lines[start + 1 : start + 3] == [
        "market.closed -> msc_ai, sg_ai (2 attempts)",
        "└── trade.executed x3",
    ]


def test_details_name_whole_subscriptions_in_the_journey() -> None:
    lines = lines_of(SUMMARY, journey=JOURNEY, details=True)
    assert "market.closed -> msc_ai.on_closed, sg_ai.on_closed (2 attempts)" in lines


@pytest.mark.parametrize(
    "line",
    [
        "market.closed 1,008 executor.on_orders 2,016",
        "msc_ai risk_mode NORMAL policies 12",
        "executor trades 1,234 positions A 1,500, B 2",
        "core 1,234.50",
        "momentum -7.25",
    ],
)
def test_tables_of_every_figure_are_details(line: str) -> None:
    assert line in lines_of(SUMMARY, details=True)
    assert line not in lines_of(SUMMARY)


def test_a_fleet_has_no_row_of_the_bus() -> None:
    """Deliveries happen in other processes."""
    lines = lines_of(RESULT, over="through the fleet", details=True)
    assert "executor trades 1,234 positions A 1,500, B 2" in lines
    assert not [line for line in lines if "events/s" in line or "retries" in line]


def test_in_memory_it_says_how_to_see_the_same_over_rabbitmq() -> None:
    """The commands repeat the same days."""
    lines = lines_of(SUMMARY, options=["--days", "60"])
    command = "python -m workers run --days 60 --broker amqp://guest:guest@localhost:5672//"
    start = lines.index("The figures are the same in memory and over RabbitMQ. To see it:")
    assert lines[start + 1] == command
    assert lines[start + 2].startswith("make fleet ARGS='--days 60' (")
    assert lines_of(SUMMARY)[-2].startswith("make fleet (")


def test_another_market_is_not_for_the_fleet() -> None:
    lines = lines_of(SUMMARY, options=["--market", "my prices.csv"])
    assert any("run --market 'my prices.csv' --broker" in line for line in lines)
    assert not any("make fleet" in line for line in lines)


@pytest.mark.parametrize("over", ["over RabbitMQ", "through the fleet"])
def test_elsewhere_it_says_how_to_see_the_same_in_memory(over: str) -> None:
    lines = lines_of(SUMMARY, over=over, options=["--days", "60"])
    assert "python -m workers run --days 60" in lines
    assert not any("--broker" in line for line in lines)


def test_more_options_are_named_where_they_exist() -> None:
    """A fleet prints the report of its feed and has no such options itself."""
    more = "More: --details for every figure, --chart FILE for the equity as PNG or SVG."
    assert lines_of(SUMMARY)[-1] == more
    assert more not in lines_of(SUMMARY, details=True)
    assert more not in lines_of(RESULT, over="through the fleet")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1234567, "1,234,567"),
        (-1234.5, "-1,234.5"),
        ("LIVE", "LIVE"),
        (True, "True"),
        (None, "none"),
        (["A", "B"], "A B"),
        ([], "none"),
        ({"A": 1500, "B": "v2"}, "A 1,500, B v2"),
        ({}, "none"),
    ],
)
def test_a_figure_is_written_for_people(value: object, words: str) -> None:
    assert _words(value) == words
