"""Pace: a spool gets empty, however much is published meanwhile."""

from functools import partial

from qt_events.rabbitmq.publishing.spooling.pace import LEAST, MOST, PAUSE, Pace


def test_everything_is_written_while_the_broker_is_away() -> None:
    """And when the rest is held up, so that there is nothing to wait for."""
    pace = Pace()
    assert pace.allowed(1, is_away=True, sent=0, all_on_their_way=False, held_up=False) == MOST
    assert pace.allowed(1, is_away=False, sent=0, all_on_their_way=True, held_up=True) == MOST


def test_nothing_is_written_once_the_last_ones_are_on_their_way() -> None:
    """What is published then goes to the broker right after them."""
    assert Pace().allowed(9, is_away=False, sent=99, all_on_their_way=True, held_up=False) == 0


def test_half_as_many_are_written_as_are_sent_and_a_few_when_few_are_sent() -> None:
    """Nobody waits for long, and the spool shrinks."""
    pace = Pace()
    allowed = partial(pace.allowed, is_away=False, all_on_their_way=False, held_up=False)
    pace.wrote(1, 10.0)
    assert [allowed(10.0, sent=1) for _ in range(4)] == [0, 1, 1, 2]
    pace.wrote(2, 10.0)
    assert allowed(10.0, sent=400) == 200
    pace.wrote(200, 10.0)
    assert allowed(10.0 + 2 * PAUSE, sent=0) == LEAST
    pace.wrote(LEAST, 10.0 + 2 * PAUSE)
    assert allowed(10.0 + 2 * PAUSE, sent=0) == 0
