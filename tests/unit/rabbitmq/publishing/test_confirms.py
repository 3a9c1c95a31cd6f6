"""Publishes without a confirm: acks and nacks settle them, and nacks are tried again."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.publishing.confirms import (
    ANSWER,
    LONGEST,
    PAUSE,
    NackedPublishes,
    UnconfirmedPublishes,
)
from qt_events.rabbitmq.publishing.requests import PublishRequest

ADD, SETTLE = "add", "settle"
STEPS = st.lists(
    st.one_of(
        st.just((ADD,)),
        st.tuples(st.just(SETTLE), st.integers(min_value=0, max_value=30), st.booleans()),
    ),
    max_size=60,
)


@given(STEPS)
def test_ledger_agrees_with_a_plain_list_of_tags(steps: list[tuple[Any, ...]]) -> None:
    """The order of publishes and answers does not matter."""
    ledger: UnconfirmedPublishes[int] = UnconfirmedPublishes()
    model: list[tuple[int, int]] = []
    tag = 0
    for number, (step, *arguments) in enumerate(steps):
        if step == ADD:
            tag += 1
            model.append((tag, number))
            assert ledger.add(number) == tag
        elif step == SETTLE:
            about, multiple = arguments
            settled = [pair for pair in model if pair[0] == about or (multiple and pair[0] < about)]
            model = [pair for pair in model if pair not in settled]
            assert ledger.settle(about, multiple=multiple) == [item for _, item in settled]
        assert list(ledger) == [item for _, item in model]
        assert len(ledger) == len(model)


def test_publishes_may_be_counted_without_an_item() -> None:
    """An answer about one is about one, whatever was recorded of it."""
    ledger: UnconfirmedPublishes[None] = UnconfirmedPublishes()
    for _ in range(3):
        ledger.add(None)
    assert ledger.settle(2) == [None]
    assert ledger.settle(2) == []
    assert ledger.settle(3, multiple=True) == [None, None]


@pytest.mark.parametrize("multiple", [False, True])
def test_a_tag_is_settled_once(multiple: bool) -> None:
    """A second ack of a tag is about nothing: it may be stale."""
    ledger: UnconfirmedPublishes[str] = UnconfirmedPublishes()
    ledger.add("event")
    assert ledger.settle(1, multiple=multiple) == ["event"]
    assert ledger.settle(1, multiple=multiple) == []


def test_iterating_bears_settling_meanwhile() -> None:
    """The caller may settle publishes while it iterates over them."""
    ledger: UnconfirmedPublishes[int] = UnconfirmedPublishes()
    for number in range(3):
        ledger.add(number)
    for number in ledger:
        ledger.settle(number + 1)
    assert len(ledger) == 0


# Nacks


def request(key: str = "load.numbered", deadline: float = math.inf) -> PublishRequest:
    made = PublishRequest("qt.events", key, Content(b"{}", {}))
    made.deadline = deadline
    return made


def tries(timeout: float, answer: float = 0.0) -> list[float]:
    """Times of the tries of a request that is nacked each time, `answer` seconds after the try."""
    nacks, hopeless, made = NackedPublishes(), request(deadline=timeout), [0.0]
    while nacks.add(hopeless, made[-1] + answer):
        made.append(nacks.next)
        assert nacks.take(nacks.next) == [hopeless]
    assert nacks.take() == []
    assert hopeless.nacks == len(made)
    return made


def test_each_pause_is_twice_the_one_before_and_none_is_long() -> None:
    """A try may reach other queues again, so there are few.

    The end of an outage is noticed soon.
    """
    pauses = [later - earlier for earlier, later in pairwise(tries(30.0)[:-1])]
    expected = [PAUSE * 2**number for number in range(5)]
    assert pauses == pytest.approx([*expected, *[LONGEST] * (len(pauses) - len(expected))])
    assert expected[-1] < LONGEST <= 2 * expected[-1]


@pytest.mark.parametrize("timeout", [2.0, 3.1, 5.0, 25.4, 25.6, 30.0, 300.0])
@pytest.mark.parametrize("answer", [0.0, 0.01, 0.3])
def test_an_outage_is_outlived_until_a_moment_before_the_caller_gives_up(
    timeout: float, answer: float
) -> None:
    """The last try leaves time for its answer, and no try is made after that."""
    last = timeout - ANSWER
    *_, before, final = tries(timeout, answer)
    assert last - answer <= final <= last
    assert final - before <= LONGEST + answer + 1e-9


def test_who_gives_up_before_an_answer_can_come_is_told_at_once() -> None:
    """A try makes no sense if nobody hears of its end."""
    assert tries(ANSWER / 2) == [0.0]


def test_those_that_are_due_are_taken_and_the_others_wait_on() -> None:
    """No publish is taken twice."""
    nacks, early, late = NackedPublishes(), request("early"), request("late")
    nacks.add(early, 0.0)
    nacks.add(late, 10.0)
    assert nacks.take(5.0) == [early]
    assert nacks.take(5.0) == []
    assert nacks.next == pytest.approx(10.0 + PAUSE)
    assert nacks.take() == [late]
    assert nacks.next == math.inf
