"""What the broker could not store waits twice as long each time, and never past the moment its caller gives up."""

import math
from itertools import pairwise

import pytest

from qt_events.codec import Message
from qt_events.rabbitmq.nacks import PAUSE, Nacks
from qt_events.rabbitmq.orders import Publish


def order(key: str = "load.numbered", deadline: float = math.inf) -> Publish:
    made = Publish("qt.events", key, Message(b"{}", {}))
    made.deadline = deadline
    return made


def test_each_pause_is_twice_the_one_before() -> None:
    """A try may reach other queues again: there must not be many."""
    nacks, again, now, due = Nacks(), order(), 100.0, []
    for _ in range(5):
        assert nacks.add(again, now)
        due.append(nacks.next - now)
        now = nacks.next
        assert nacks.take(now) == [again]
    assert due[0] == pytest.approx(PAUSE)
    assert all(longer == pytest.approx(2 * shorter) for shorter, longer in pairwise(due))


def test_no_try_is_made_after_its_caller_has_given_up() -> None:
    """In 30 seconds there are nine tries: the first one, and eight after a nack."""
    nacks, hopeless, now = Nacks(), order(deadline=30.0), 0.0
    while nacks.add(hopeless, now):
        now = nacks.next
        nacks.take(now)
    assert now < 30
    assert hopeless.nacks == 9
    assert nacks.take() == []


def test_those_that_are_due_are_taken_and_the_others_wait_on() -> None:
    """Each goes once."""
    nacks, early, late = Nacks(), order("early"), order("late")
    nacks.add(early, 0.0)
    nacks.add(late, 10.0)
    assert nacks.take(5.0) == [early]
    assert nacks.take(5.0) == []
    assert nacks.next == pytest.approx(10.0 + PAUSE)
    assert nacks.take() == [late]
    assert nacks.next == math.inf
