from datetime import date
from io import StringIO

import pytest
from rich.console import Console

from qt_events import HealthStatus, RiskMode
from workers.replay.live import PlainDisplay, frame, line
from workers.replay.replay import Progress


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
    """The line has all figures of the live display."""
    assert line(progress(failed=3)) == (
        "2007-10-17  day 200/1008  events 1200  failed 3  risk DEFENSIVE  health CRITICAL  "
        "equity 98,765.43  drawdown -12.34%  trades 1234"
    )


@pytest.mark.parametrize(("done", "lines"), [(1, 0), (99, 0), (100, 1), (101, 0), (1008, 1)])
def test_plain_lines_come_each_hundred_days_and_at_the_end(done: int, lines: int) -> None:
    """A log gets ten lines, not a thousand."""
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
    for word in (
        "market.closed",
        "1,200",
        "1,199",
        " 3 ",
        "DEFENSIVE",
        "CRITICAL",
        "98,765.43",
        "-12.34%",
        "1,234",
    ):
        assert word in text
    assert "…" not in text
