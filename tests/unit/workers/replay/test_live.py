from datetime import date
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from qt_events import HealthStatus, RiskMode
from workers.replay.live import BLOCKS, PlainDisplay, _words, chart, frame, line, show
from workers.replay.replay import Progress, Result, Summary


def progress(done: int = 200, failed: int = 0) -> Progress:
    return Progress(
        day=date(2007, 10, 17),
        done=done,
        total=1008,
        risk_mode=RiskMode.DEFENSIVE,
        health=HealthStatus.CRITICAL,
        equity=98_765.43,
        drawdown=-0.1234,
        trades=1234,
        events={"market.closed": {"published": 1200, "dispatched": 1199, "errors": failed}},
    )


def test_a_line_tells_the_day_in_words() -> None:
    """Everything that the live display shows, on one line."""
    assert line(progress(failed=3)) == (
        "2007-10-17  day 200/1008  events 1200  failed 3  risk DEFENSIVE  health CRITICAL  "
        "equity 98,765.43  drawdown -12.34%  trades 1234"
    )


@pytest.mark.parametrize(("done", "lines"), [(1, 0), (99, 0), (100, 1), (101, 0), (1008, 1)])
def test_plain_lines_come_each_hundred_days_and_at_the_end(done: int, lines: int) -> None:
    """A log of ten lines, not of a thousand."""
    out = StringIO()
    with PlainDisplay(Console(file=out, width=40)) as display:
        display(progress(done))
    assert len(out.getvalue().splitlines()) == lines


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_live_display_shows_it_all_on_any_terminal(width: int) -> None:
    """Eighty columns are enough; nothing is cut off."""
    console = Console(file=StringIO(), width=width, record=True)
    console.print(frame("bar", progress(failed=3), [1.0, 2.0, 3.0], "in memory"))
    text = console.export_text()
    for word in ("market.closed", "1,200", "1,199", " 3 ", "DEFENSIVE", "CRITICAL", "98,765.43", "-12.34%", "1,234"):
        assert word in text
    assert "…" not in text


def test_a_chart_goes_from_the_lowest_to_the_highest() -> None:
    """One column a value, eight steps a line."""
    assert chart([0, 7, 14, 15], width=4, height=2) == "  ▇█\n▁███"


def test_a_chart_is_never_wider_than_asked_and_ends_with_the_newest() -> None:
    """Older values are thinned out."""
    assert chart([*range(1000), 0], width=10, height=1).endswith(BLOCKS[1])
    assert len(chart(list(range(1001)), width=10, height=1)) == 10


def test_a_chart_of_equals_is_flat() -> None:
    """Nothing to divide by."""
    assert chart([5, 5, 5], height=1) == "▁▁▁"


FIGURES: dict[str, Any] = {
    "msc_ai": {"risk_mode": "NORMAL", "policies": 12},
    "executor": {"trades": 1234, "positions": {"A": 1500, "B": 2}},
    "analytics": {"profit_by_strategy": {"core": 1234.5, "momentum": -7.25}, "profit_by_model": {}},
}
RESULT = Result(days=1008, trades=1234, final_equity=98_765.43, largest_drawdown=-0.1766, components=FIGURES)
SUMMARY = Summary(
    **dict(RESULT),
    events={"market.closed": 1008},
    deliveries={"executor.on_orders": 2016},
    retries=3,
    dead_letters=1,
    unfinished=0,
)


def shown(result: Result, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The words of each line."""
    show(result, 12.34)
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_shows_what_a_fleet_came_to(capsys: pytest.CaptureFixture[str]) -> None:
    """The figures, each component's, and Analytics' answers in tables of their own."""
    lines = shown(RESULT, capsys)
    for line_of in (
        "1,008 days in 12.3 s",
        "trades 1,234",
        "final equity 98,765.43",
        "largest drawdown -17.66%",
        "msc_ai risk_mode NORMAL policies 12",
        "executor trades 1,234 positions A 1,500, B 2",
        "core 1,234.50",
        "momentum -7.25",
    ):
        assert line_of.split() in lines
    assert not [words for words in lines if words[:1] == ["retries"] or words[:2] == ["dead", "letters"]]


def test_shows_what_went_over_the_bus_where_there_was_only_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Events, deliveries, retries, dead letters: a fleet's are counted by others."""
    lines = shown(SUMMARY, capsys)
    assert ["retries", "3"] in lines
    assert ["dead", "letters", "1"] in lines
    assert ["market.closed", "1,008", "executor.on_orders", "2,016"] in lines


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1234567, "1,234,567"),
        (-1234.5, "-1,234.5"),
        ("LIVE", "LIVE"),
        (["A", "B"], "A B"),
        ([], "none"),
        ({"A": 1500, "B": "v2"}, "A 1,500, B v2"),
        ({}, "none"),
    ],
)
def test_a_figure_is_said_in_words(value: Any, words: str) -> None:
    """As people write it, whatever its type."""
    assert _words(value) == words


@pytest.mark.parametrize(("value", "words"), [(None, "none"), (True, "True"), ([], "none"), (1234.5, "1,234.5")])
def test_a_figure_in_words(value: object, words: str) -> None:
    """Nothing is none, whatever it is nothing of."""
    assert _words(value) == words
