"""Deliveries of the asyncio pool: what Celery sees of them, and when they answer the broker."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import InvalidTaskError
from celery.worker import state

from qt_events.delivery import DeadLetter, Done, Failure, Retry
from qt_events.rabbitmq.envelope import Envelope
from qt_events.rabbitmq.quarantine import Pardons
from qt_events.rabbitmq.strategy import Delivery, EventRequest, strategy

FAILURE = Failure("OSError", "no", "Traceback")


class Message:
    """Notes what it is answered with."""

    def __init__(self, error: Exception | None = None) -> None:
        self.headers = {"id": "e1:audit"}
        self.acknowledged = False
        self.answers: list[str] = []
        self._error = error

    def ack(self) -> None:
        self._answer("ack")

    def requeue(self) -> None:
        self._answer("requeue")

    def _answer(self, word: str) -> None:
        if self._error is not None:
            raise self._error
        self.acknowledged = True
        self.answers.append(word)


class Events(list[dict[str, Any]]):
    def send(self, type: str, **fields: Any) -> None:
        self.append({"type": type, **fields})


@pytest.fixture(autouse=True)
def celerys_state() -> Iterator[None]:
    """celery.worker.state is the process's: each test begins and ends with none."""
    state.reset_state()
    yield
    state.reset_state()


def delivery(message: Message, events: Events | None = None) -> Delivery:
    task: Any = SimpleNamespace(name="audit")
    envelope = Envelope("audit", "audit", b"{}", {"message_id": "e1"}, {}, "trade.executed")
    send = events.send if events is not None else None
    return Delivery(task, message, envelope, "node@host", send, (ConnectionError,))


def test_an_outcome_is_acknowledged_and_told() -> None:
    """started, succeeded; and Celery's state forgets it."""
    message, events = Message(), Events()
    one = delivery(message, events)
    state.task_reserved(one)
    one.started()
    assert one in state.active_requests
    one.settle(Done(), 0.5)
    assert message.answers == ["ack"]
    assert [event["type"] for event in events] == ["task-started", "task-succeeded"]
    assert (len(state.active_requests), len(state.reserved_requests), state.requests) == (0, 0, {})


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Done(), "task-succeeded"),
        (Done(handled=False), "task-succeeded"),
        (Retry(1.0, FAILURE), "task-retried"),
        (DeadLetter("exhausted", FAILURE), "task-failed"),
        (DeadLetter("revoked", FAILURE), "task-revoked"),
    ],
)
def test_celerys_event_is_true_to_the_outcome(outcome: Any, told: str) -> None:
    """A retry is no success, a dead letter a failure."""
    events = Events()
    delivery(Message(), events).settle(outcome, 0.1)
    assert [event["type"] for event in events] == [told]


def test_an_event_without_an_outcome_goes_back() -> None:
    """The broker delivers it again."""
    message = Message()
    delivery(message).give_back()
    assert message.answers == ["requeue"]


def test_a_lost_channel_is_answered_nothing() -> None:
    """Neither forgetting nor an ack that fails raises: the broker delivers it again."""
    lost = Message(ConnectionError("gone"))
    delivery(lost).settle(Done(), 0.1)
    other = Message()
    delivery(other).forget()
    assert (lost.answers, other.answers) == ([], [])


def test_what_is_held_while_celery_reconnects_is_told_over_the_new_connection() -> None:
    """Celery gives each reserved request its new event dispatcher; one that takes none would end the worker."""
    before, after = Events(), Events()
    watched, unwatched = delivery(Message(), before), delivery(Message())
    for held in (watched, unwatched):
        held.eventer = after
        held.settle(Done(), 0.1)
    assert before == []
    assert [told["type"] for told in after] == ["task-succeeded"]


def test_a_revocation_is_taken_once() -> None:
    """The dead letter it becomes can be sent back and is handled then."""
    state.revoked.add("e1:audit")
    one = delivery(Message())
    assert (one.revoked(), one.revoked()) == (True, False)


def test_celery_itself_revokes_and_terminates_nothing() -> None:
    """It would acknowledge the event without an outcome."""
    assert EventRequest.revoked is not EventRequest.__mro__[1].revoked
    assert EventRequest.terminate is not EventRequest.__mro__[1].terminate


def test_a_plain_task_message_for_a_subscription_is_refused() -> None:
    """What did not come from a subscription's queue is no event: Celery logs and rejects it, and the worker goes on."""
    consumer = SimpleNamespace(
        pool=SimpleNamespace(), event_dispatcher=None, on_task_request=print, hostname="h", app=None,
        connection_errors=(), channel_errors=(),
    )  # fmt: skip
    bus = SimpleNamespace(serving=SimpleNamespace(pardons=Pardons()))
    task: Any = SimpleNamespace(name="audit", acks_late=True, bus=bus)
    from qt_events.rabbitmq.pool import AsyncioPool  # noqa: PLC0415

    consumer.pool = AsyncioPool.__new__(AsyncioPool)
    handle = strategy(task, None, consumer)
    message: Any = SimpleNamespace(headers={"task": "audit", "id": "x"})
    with pytest.raises(InvalidTaskError, match="publish an event"):
        handle(message, None, None, None, [])


def test_inspect_shows_event_id_and_type() -> None:
    """`inspect active`: plain values that JSON can carry."""
    info = delivery(Message()).info()
    assert (info["id"], info["name"], info["args"]) == ("e1:audit", "audit", ["e1", "trade.executed"])
