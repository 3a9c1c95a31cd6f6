"""What the broker could not store waits longer each time, yet never long, and is tried until its caller gives up."""

import math
from itertools import pairwise

import pytest

from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.publishing.nacks import ANSWER, LONGEST, PAUSE, Nacks
from qt_events.rabbitmq.publishing.requests import PublishRequest


def request(key: str = "load.numbered", deadline: float = math.inf) -> PublishRequest:
    made = PublishRequest("qt.events", key, Content(b"{}", {}))
    made.deadline = deadline
    return made


def tries(timeout: float, answer: float = 0.0) -> list[float]:
    """When an order is tried that is nacked each time, `answer` seconds after the try."""
    nacks, hopeless, made = Nacks(), request(deadline=timeout), [0.0]
    while nacks.add(hopeless, made[-1] + answer):
        made.append(nacks.next)
        assert nacks.take(nacks.next) == [hopeless]
    assert nacks.take() == []
    assert hopeless.nacks == len(made)
    return made


def test_each_pause_is_twice_the_one_before_and_none_is_long() -> None:
    """A try may reach other queues again: there must not be many; yet the end of an outage is noticed soon."""
    pauses = [later - earlier for earlier, later in pairwise(tries(30.0)[:-1])]
    expected = [PAUSE * 2**number for number in range(5)]
    assert pauses == pytest.approx([*expected, *[LONGEST] * (len(pauses) - len(expected))])
    assert expected[-1] < LONGEST <= 2 * expected[-1]


@pytest.mark.parametrize("timeout", [2.0, 3.1, 5.0, 25.4, 25.6, 30.0, 300.0])
@pytest.mark.parametrize("answer", [0.0, 0.01, 0.3])
def test_an_outage_is_outlived_until_a_moment_before_the_caller_gives_up(
    timeout: float, answer: float
) -> None:
    """The last try leaves time for its answer, and no more; none is made after that."""
    last = timeout - ANSWER
    *_, before, final = tries(timeout, answer)
    assert last - answer <= final <= last
    assert final - before <= LONGEST + answer + 1e-9


def test_who_gives_up_before_an_answer_can_come_is_told_at_once() -> None:
    """A try whose end nobody hears is none."""
    assert tries(ANSWER / 2) == [0.0]


def test_those_that_are_due_are_taken_and_the_others_wait_on() -> None:
    """Each goes once."""
    nacks, early, late = Nacks(), request("early"), request("late")
    nacks.add(early, 0.0)
    nacks.add(late, 10.0)
    assert nacks.take(5.0) == [early]
    assert nacks.take(5.0) == []
    assert nacks.next == pytest.approx(10.0 + PAUSE)
    assert nacks.take() == [late]
    assert nacks.next == math.inf
