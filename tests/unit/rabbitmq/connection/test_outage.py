"""Outage: a broker that is away is told at once, then ever more seldom, and when it is back."""

from qt_events.rabbitmq.connection.outage import Outage


def test_it_is_told_at_once_and_then_at_doubling_intervals() -> None:
    """A worker tries every two seconds: in an hour that would be 1,800 lines."""
    outage = Outage()
    told = [now for now in range(0, 3600, 2) if outage.note("refused", float(now))]
    assert told == [0, 2, 6, 14, 30, 62, 126, 254, 510, 1022, 1622, 2222, 2822, 3422]


def test_each_new_reason_is_told_but_not_without_end() -> None:
    """Some reasons have a number in them that is never the same."""
    outage = Outage()
    assert outage.note("refused", 0.0)
    assert outage.note("no such host", 0.1)
    assert not outage.note("refused", 0.2)
    told = sum(outage.note(f"port {number}", 0.3) for number in range(1_000))
    assert told < 10


def test_its_end_tells_how_long_it_lasted() -> None:
    """The next one begins anew."""
    outage = Outage()
    assert outage.end(1.0) is None
    outage.note("refused", 5.0)
    assert outage.lasts(7.5) == 2.5
    assert outage.end(8.0) == 3.0
    assert outage.end(9.0) is None
    assert outage.note("refused", 9.5)
