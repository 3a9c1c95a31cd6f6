"""A publish that waits says why: one decision for errors, log and statistics."""

import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.errors import (
    BackpressureError,
    BrokerBlockedError,
    BrokerUnreachableError,
    PublishTimeoutError,
)
from qt_events.rabbitmq.publishing.request_queue import RequestQueue
from qt_events.rabbitmq.publishing.requests import DeclareRequest, Request
from qt_events.rabbitmq.publishing.state import PublisherState
from qt_events.rabbitmq.publishing.waiting import AFTER, Cause, WaitingPublishes, cause_of
from qt_events.rabbitmq.publishing.waiting_log import CALM, WaitingLog

ASKED = 100.0
WHERE = "amqp://guest:**@rabbit//"


def request(*, admitted: bool = True, nacks: int = 0) -> Request:
    made = Request()
    made.await_on(None, 30.0)
    made.asked, made.admitted, made.nacks = ASKED, admitted, nacks
    return made


def connected(**facts: object) -> PublisherState:
    state = PublisherState()
    state.where = WHERE
    state.connection_made()
    for name, value in facts.items():
        setattr(state, name, value)
    return state


@pytest.mark.parametrize(
    ("expected", "state", "asked"),
    [
        (Cause.WINDOW, connected(), request(admitted=False)),
        (Cause.WINDOW, PublisherState(), request(admitted=False)),
        (Cause.CONNECTING, PublisherState(), request()),
        (Cause.CONNECTING, PublisherState(), request(nacks=2)),
        (
            Cause.ALARM,
            connected(alarmed=True, preparation=DeclareRequest("queue 'a'", print)),
            request(nacks=1),
        ),
        (Cause.ALARM, connected(alarm_ended=ASKED + 1), request()),
        (Cause.CONFIRM, connected(alarm_ended=ASKED - 1), request()),
        (
            Cause.DECLARING,
            connected(preparation=DeclareRequest("queue 'a'", print)),
            request(nacks=1),
        ),
        (Cause.NACK, connected(), request(nacks=1)),
        (Cause.CONFIRM, connected(), request()),
    ],
)
def test_the_cause_is_the_first_obstacle_on_the_way(
    expected: Cause, state: PublisherState, asked: Request
) -> None:
    assert cause_of(asked, state) is expected


@given(
    late=st.builds(lambda a, n: request(admitted=a, nacks=n), st.booleans(), st.integers(0, 3)),
    is_connected=st.booleans(),
    alarmed=st.booleans(),
    ended=st.sampled_from([-math.inf, ASKED - 1, ASKED + 1]),
    preparation=st.sampled_from([None, DeclareRequest("queue 'a'", print)]),
)
def test_the_error_tells_of_the_same_cause_as_the_statistics(
    late: Request, is_connected: bool, alarmed: bool, ended: float, preparation: Any
) -> None:
    """The words of the cause are in the error's text, and its class fits, in any state."""
    state = connected(
        connected=is_connected, alarmed=alarmed, alarm_ended=ended, preparation=preparation
    )
    queue = RequestQueue(1, 0.05)
    queue._in_flight[late] = None  # noqa: SLF001  # without a thread to be woken
    waiting = WaitingPublishes(queue, state, slowest=str)
    (cause,) = waiting.counts()
    error = waiting.error(late, 30.0)
    assert waiting.why(cause) in str(error)
    assert type(error) is {
        Cause.WINDOW: BackpressureError,
        Cause.CONNECTING: BrokerUnreachableError,
        Cause.ALARM: BrokerBlockedError,
    }.get(cause, PublishTimeoutError)


def describe_error(
    state: PublisherState, *, window: int = 3, slowest: Callable[[], str] = str
) -> str:
    queue, late = RequestQueue(window, 0.05), request()
    queue._in_flight[late] = None  # noqa: SLF001
    return str(WaitingPublishes(queue, state, slowest=slowest).error(late, 30.0))


def test_the_words_name_what_it_is_about() -> None:
    away = PublisherState()
    away.where = WHERE
    away.connection_lost(ConnectionRefusedError("refused"))
    assert f"no connection to {WHERE} (refused): is RabbitMQ running there" in describe_error(away)
    assert f"{WHERE} takes no publishes (an alarm" in describe_error(connected(alarmed=True))
    assert "about queue 'a', which comes first" in describe_error(
        connected(preparation=DeclareRequest("queue 'a'", print))
    )
    assert f"within 30 s: {WHERE} has not confirmed yet" in describe_error(connected())


def test_a_full_window_names_what_fills_it() -> None:
    """The text has the number in flight, their cause, and the slowest subscription."""
    queue = RequestQueue(1, 0.05)
    queue.open()
    queue.put(request(), wait_for_room=True)
    in_line = request(admitted=False)
    queue.put(in_line, wait_for_room=True)
    waiting = WaitingPublishes(queue, connected(alarmed=True), slowest=lambda: "the slowest is 'a'")
    text = str(waiting.error(in_line, 30.0))
    queue.hang_up()
    assert "no room within 30 s: 1 publishes are in flight (max_queue_size=1)" in text
    assert "(an alarm for memory or disk is on)" in text
    assert text.endswith("the slowest is 'a'")


def test_a_publish_counts_as_waiting_after_a_second() -> None:
    queue, state = RequestQueue(9, 0.05), connected()
    queue.open()
    young, old = request(), request()
    young.await_on(None, 30.0)
    old.asked = young.asked - AFTER
    for each in (old, young):
        queue.put(each, wait_for_room=False)
    waiting = WaitingPublishes(queue, state, slowest=str)
    queue.hang_up()
    assert waiting.counts() == {Cause.CONFIRM: 1}


# The state


def test_a_confirm_ends_an_alarm_unless_this_connection_is_blocked() -> None:
    """A blocked connection still hears confirms of what the broker took before."""
    state = connected()
    state.alarm_began()
    state.confirmed()
    assert state.alarmed
    state.connection_lost(OSError("gone"))
    assert state.alarmed
    state.connection_made()
    state.confirmed()
    assert not state.alarmed


def test_each_connection_is_an_epoch() -> None:
    state = PublisherState()
    state.connection_made()
    state.connection_lost(OSError("gone"))
    assert (state.connected, state.epoch, str(state.last_error)) == (False, 1, "gone")
    state.connection_made()
    assert (state.connected, state.epoch) == (True, 2)


# The log


class RecordedLog:
    """WaitingLog with its lines."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._log, self._caplog = WaitingLog(lambda cause: f"because of {cause}"), caplog

    def note(self, now: float, *, moving: bool = False, ready: bool = True, **counts: int) -> None:
        by_cause = {Cause(name): count for name, count in counts.items()}
        self._log.note(by_cause, now, moving=moving, ready=ready)

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(each.levelname, each.getMessage()) for each in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> RecordedLog:
    caplog.set_level(logging.INFO, "qt_events")
    return RecordedLog(caplog)


def line(count: int, cause: str) -> str:
    return f"publisher: {count} publishes have waited for more than 1 s: because of {cause}"


def test_each_cause_is_logged_once_however_many_wait(log: RecordedLog) -> None:
    for second in range(5):
        log.note(second, alarm=1_000 + second, ready=False)
    log.note(5, alarm=3, window=2, ready=False)
    assert log.lines == [("WARNING", line(1000, "alarm")), ("WARNING", line(2, "window"))]


def test_a_burst_is_no_warning_until_nothing_moves_any_more(log: RecordedLog) -> None:
    """Many publishes take more than a second; of these some are confirmed all the time."""
    for second in range(3):
        log.note(second, moving=True, confirm=500, window=2_000)
    log.note(3, moving=False, confirm=400)
    log.note(4, moving=True, confirm=400)
    assert log.lines == [
        ("INFO", line(500, "confirm")),
        ("INFO", line(2000, "window")),
        ("WARNING", line(400, "confirm")),
    ]


def test_a_lost_connection_is_a_warning_at_once(log: RecordedLog) -> None:
    log.note(1, moving=True, connecting=1)
    assert log.lines == [("WARNING", line(1, "connecting"))]


def test_the_end_of_an_outage_is_logged_once_and_then_the_cause_again(log: RecordedLog) -> None:
    log.note(10.0, connecting=1, ready=False)
    for later in (0.5, CALM, CALM + 1):
        log.note(10.0 + later)
    log.note(20.0, connecting=1, ready=False)
    assert log.lines == [
        ("WARNING", line(1, "connecting")),
        ("INFO", "publisher: publishing is back to normal after 3 s"),
        ("WARNING", line(1, "connecting")),
    ]


def test_an_outage_lasts_until_the_broker_is_ready(log: RecordedLog) -> None:
    """No publish waits either when all have failed."""
    log.note(0.0, alarm=1, ready=False)
    log.note(10.0, ready=False)
    assert len(log.lines) == 1
    log.note(11.0)
    assert log.lines[1:] == [("INFO", "publisher: publishing is back to normal after 12 s")]


def test_a_short_calm_is_no_end(log: RecordedLog) -> None:
    """Lines would alternate under a load at the edge."""
    for second in range(0, 20, 2):
        log.note(second, confirm=1)
        log.note(second + CALM / 2)
    assert len(log.lines) == 1


def test_nothing_is_logged_while_nothing_waits(log: RecordedLog) -> None:
    for second in range(10):
        log.note(second)
    assert log.lines == []
