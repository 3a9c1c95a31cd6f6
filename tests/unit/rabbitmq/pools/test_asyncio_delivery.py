"""Deliveries of the asyncio pool answer the broker, and show Celery what it asks for."""

import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
from celery.worker import state

from qt_events.delivery.outcome import (
    DeadLetter,
    DeadLetterReason,
    Done,
    Failure,
    Retry,
    consequences,
)
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.acks import Acks
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery

FAILURE = Failure("OSError", "no", "Traceback")


class Channel:
    """Channel that records what the broker is told."""

    channel_id = 3

    def __init__(self, error: Exception | None = None) -> None:
        self.connection = self.frames = self
        self.told: list[str] = []
        self._error = error

    def is_hung_up(self) -> bool:
        return False

    def write(self, _frames: bytes) -> None:
        self._tell("ack")

    def basic_reject(self, tag: int, *, requeue: bool) -> None:
        assert (tag, requeue) == (1, True)
        self._tell("requeue")

    def _tell(self, word: str) -> None:
        if self._error is not None:
            raise self._error
        self.told.append(word)


# Calls that are due at the end of this turn of the loop.
turns: list[Callable[[], None]] = []


class Events(list[dict[str, Any]]):
    #: Number of events at the last flush.
    flushed = 0

    def send(self, type: str, **fields: Any) -> None:
        self.append({"type": type, **fields})

    def flush(self) -> None:
        self.flushed = len(self)


@pytest.fixture(autouse=True)
def celerys_state() -> Iterator[None]:
    """Empty celery.worker.state, which belongs to the process, before and after each test."""
    state.reset_state()
    yield
    state.reset_state()


def delivery(channel: Channel, events: Any = None) -> Delivery:
    task: Any = SimpleNamespace(name="audit")
    envelope = Envelope("audit", "audit", b"{}", {"message_id": "e1"}, {}, "trade.executed")
    acks = Acks(channel, turns.append)
    acks.take(1, envelope)
    return Delivery("e1:audit", task, envelope, 1, acks, "node@host", events)


def end_of_turn() -> None:
    while turns:
        turns.pop()()


def test_an_outcome_is_acknowledged_and_told() -> None:
    """Monitors hear of the start and the success, and Celery's state forgets it."""
    channel, events = Channel(), Events()
    one = delivery(channel, events)
    one.reserve()
    one.started()
    assert (one in state.active_requests, one.info()["worker_pid"]) == (False, os.getpid())
    one.goes_on()
    assert one in state.active_requests
    one.settle(Done())
    end_of_turn()
    assert channel.told == ["ack"]
    assert [event["type"] for event in events] == ["task-started", "task-succeeded"]
    assert (len(state.active_requests), len(state.reserved_requests), state.requests) == (0, 0, {})


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Done(), "task-succeeded"),
        (Done(handled=False), "task-succeeded"),
        (DeadLetter(DeadLetterReason.EXHAUSTED, FAILURE), "task-failed"),
        (DeadLetter(DeadLetterReason.REVOKED, FAILURE), "task-revoked"),
    ],
)
def test_celerys_event_is_true_to_the_outcome(outcome: Any, told: str) -> None:
    """A dead letter is a failure."""
    events = Events()
    delivery(Channel(), events).settle(outcome)
    assert [event["type"] for event in events] == [told]


def test_a_retry_is_told_of_once() -> None:
    """Monitors hear of it before it is published, and not again once it is safe."""
    events = Events()
    retried = delivery(Channel(), events)
    retried.tell_retry(consequences(Retry(1.0, FAILURE)))
    assert events.flushed == 1
    retried.settle(Retry(1.0, FAILURE))
    assert [event["type"] for event in events] == ["task-retried"]


def test_an_event_without_an_outcome_goes_back() -> None:
    """The broker delivers it again."""
    channel = Channel()
    delivery(channel).give_back()
    assert channel.told == ["requeue"]


def test_a_lost_channel_is_answered_nothing() -> None:
    """Forgetting does not raise, nor does an answer that fails: the broker delivers it again."""
    lost = Channel(ConnectionError("gone"))
    delivery(lost).settle(Done())
    delivery(lost).give_back()
    other = Channel()
    delivery(other).forget()
    end_of_turn()
    assert (lost.told, other.told) == ([], [])


def test_a_channel_that_is_gone_is_told_nothing_more() -> None:
    """An ack that was due is left out too: the channel may be open again, with other tags."""
    channel = Channel()
    acks = Acks(channel, turns.append)
    for tag in (1, 2, 3):
        acks.take(tag, ANY)
    acks.ack(1)
    acks.end()
    acks.ack(2)
    acks.requeue(3)
    end_of_turn()
    assert (channel.told, acks.ended) == ([], True)


def test_what_is_held_while_celery_reconnects_is_told_over_the_new_connection() -> None:
    """Celery sets its new dispatcher on each reserved request; an error would end the worker."""
    before, after = Events(), Events()
    watched, unwatched = delivery(Channel(), before), delivery(Channel())
    for held in (watched, unwatched):
        held.eventer = after
        held.settle(Done())
    assert before == []
    assert [told["type"] for told in after] == ["task-succeeded"]


def test_a_revocation_is_taken_once() -> None:
    """The dead letter it becomes can be sent back and is handled then."""
    state.revoked.add("e1:audit")
    one = delivery(Channel())
    assert (one.revoked(), one.revoked()) == (True, False)


def test_inspect_shows_event_id_and_type() -> None:
    """`inspect active`: plain values that JSON can carry."""
    info = delivery(Channel()).info()
    assert (info["id"], info["name"], info["args"]) == (
        "e1:audit",
        "audit",
        ["e1", "trade.executed"],
    )
