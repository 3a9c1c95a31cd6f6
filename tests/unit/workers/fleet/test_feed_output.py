"""Output of the feed, read by the launcher."""

from datetime import date

from qt_events import HealthStatus
from workers.fleet.feed_output import FeedOutput
from workers.replay.live import line
from workers.replay.replay import Progress

SUMMARY = [" 40 days in 3.0 s", "", "  trades  7"]


def day(done: int) -> str:
    """Return a line as the feed writes it."""
    return line(
        Progress(
            day=date(2007, 5, done),
            done=done,
            total=30,
            risk_mode=None,
            health=HealthStatus.HEALTHY,
            equity=1.0,
            drawdown=0.0,
            trades=0,
            events={},
        )
    )


def test_the_last_line_on_a_day_is_kept() -> None:
    """Log lines in between are ignored."""
    output = FeedOutput()
    output.read([day(10), "WARNING: day 99/100 is no day"])
    output.read([])
    assert output.day == day(10)
    output.read([day(20), day(21)])
    assert (output.day, output.days) == (day(21), 21)


def test_what_comes_after_the_last_day_is_the_result() -> None:
    """Lines before it are ignored, in whatever portions they come."""
    output = FeedOutput()
    output.read(["WARNING: slow", day(20), "WARNING: slow again"])
    assert output.report == ""
    output.read([day(30), SUMMARY[0]])
    output.read(SUMMARY[1:])
    assert (output.day, output.report.splitlines()) == (day(30), SUMMARY)
