"""Acknowledgements of several messages at once cover settled messages, and no others."""

import struct
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.rabbitmq.pools.acks import MOST, Acks


class Broker:
    """Channel that knows which tags are unacknowledged, as RabbitMQ does."""

    channel_id = 7

    def __init__(self) -> None:
        self.connection = self.frames = self
        self.unacknowledged: list[int] = []
        self.acknowledged: set[int] = set()
        self.requeued: set[int] = set()
        self.told = 0

    def is_hung_up(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        assert len(data) % 21 == 0
        for at in range(0, len(data), 21):
            kind, channel, size, cls, method, tag, multiple, end = struct.unpack_from(
                ">BHIHHQ?B", data, at
            )
            assert (kind, channel, size, cls, method, end) == (1, 7, 13, 60, 80, 0xCE)
            self._settle(tag, multiple=multiple)

    def _settle(self, tag: int, *, multiple: bool) -> None:
        assert tag in self.unacknowledged, "PRECONDITION_FAILED - unknown delivery tag"
        self.told += 1
        these = [each for each in self.unacknowledged if each == tag or (multiple and each < tag)]
        self.acknowledged.update(these)
        self.unacknowledged = [each for each in self.unacknowledged if each not in these]

    def basic_reject(self, tag: int, *, requeue: bool) -> None:
        assert requeue
        self.unacknowledged.remove(tag)
        self.requeued.add(tag)


@pytest.fixture
def broker() -> Broker:
    return Broker()


def taken(broker: Broker, *tags: int, soon: Callable[[Any], Any] = lambda _flush: None) -> Acks:
    acks = Acks(broker, soon)
    for tag in tags:
        broker.unacknowledged.append(tag)
        acks.take(tag, ANY)
    return acks


def test_one_frame_tells_of_all_that_are_done_with_up_to_a_tag(broker: Broker) -> None:
    acks = taken(broker, 1, 2, 3, 4)
    for tag in (2, 1, 3):
        acks.ack(tag)
    acks.flush()
    assert (broker.acknowledged, broker.unacknowledged, broker.told) == ({1, 2, 3}, [4], 1)


def test_what_is_not_done_with_is_never_told_of(broker: Broker) -> None:
    """Tags behind a held message are acknowledged one by one."""
    acks = taken(broker, 1, 2, 3, 4, 5)
    for tag in (5, 1, 4):
        acks.ack(tag)
    acks.flush()
    assert (broker.acknowledged, broker.unacknowledged) == ({1, 4, 5}, [2, 3])


def test_what_somebody_else_took_is_never_told_of(broker: Broker) -> None:
    """A missing tag belongs to a plain Celery task: from then on there is one frame a message."""
    acks = taken(broker, 1, 2)
    broker.unacknowledged.append(3)
    for tag in (4, 5):
        broker.unacknowledged.append(tag)
        acks.take(tag, ANY)
    for tag in (1, 2, 4, 5):
        acks.ack(tag)
    acks.flush()
    assert broker.unacknowledged == [3]


def test_they_go_at_the_end_of_the_turn_and_when_there_are_many(broker: Broker) -> None:
    flushes: list[Callable[[], None]] = []
    acks = taken(broker, *range(1, MOST + 3), soon=flushes.append)
    for tag in range(1, MOST):
        acks.ack(tag)
    assert (broker.acknowledged, len(flushes)) == (set(), 1)
    acks.ack(MOST)
    assert (len(broker.acknowledged), broker.told) == (MOST, 1)
    acks.ack(MOST + 1)
    flushes[-1]()
    assert (len(broker.acknowledged), broker.told, broker.unacknowledged) == (
        MOST + 1,
        2,
        [MOST + 2],
    )


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "skip", "ack", "requeue", "flush"]), st.integers(0, 30))
)


@given(STEPS)
def test_whatever_happens_the_broker_hears_of_what_is_done_with_and_of_nothing_else(
    steps: list[Any],
) -> None:
    broker, tag = Broker(), 0
    acks = taken(broker)
    held: list[int] = []
    done: set[int] = set()
    others: set[int] = set()
    for step, which in steps:
        if step in {"take", "skip"}:
            tag += 1
            broker.unacknowledged.append(tag)
            if step == "skip":
                others.add(tag)
            else:
                acks.take(tag, ANY)
                held.append(tag)
        elif step == "flush":
            acks.flush()
        elif held:
            one = held.pop(which % len(held))
            if step == "ack":
                acks.ack(one)
                done.add(one)
            else:
                acks.requeue(one)
        assert broker.acknowledged <= done
    acks.flush()
    assert broker.acknowledged == done
    assert set(broker.unacknowledged) == {*held, *others}


def test_what_a_broker_that_has_hung_up_does_not_hear_is_told(broker: Broker) -> None:
    """Nothing is written: the kernel would take it, and nobody would read it."""
    unheard: list[Any] = []
    acks = Acks(broker, lambda _: None, unheard.append)
    for tag in (1, 2, 3):
        broker.unacknowledged.append(tag)
        acks.take(tag, f"envelope {tag}")  # type: ignore[arg-type]
    acks.ack(1)
    acks.flush()
    broker.is_hung_up = lambda: True  # type: ignore[method-assign]
    acks.ack(2)
    acks.flush()
    acks.ack(3)
    acks.end()
    assert unheard == ["envelope 2", "envelope 3"]
    assert broker.acknowledged == {1}
