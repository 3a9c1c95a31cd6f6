"""The outbox keeps the order of requests, holds the window and ends each request once."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from qt_events.errors import BusStateError
from qt_events.rabbitmq.publishing.outbox import Outbox
from qt_events.rabbitmq.publishing.requests import Request

LATE = 0.05


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    made = Outbox(window=2, late=LATE)
    made.open()
    yield made
    made.hang_up()


def put(outbox: Outbox, *, wait_for_room: bool = True, timeout: float = 30.0) -> Request:
    request = Request()
    request.await_on(None, timeout)
    outbox.put(request, wait_for_room=wait_for_room)
    return request


def taken(outbox: Outbox) -> list[Request]:
    requests = []
    while (request := outbox.take()) is not None:
        requests.append(request)
    return requests


def test_requests_beyond_the_window_wait_in_line_until_others_end(outbox: Outbox) -> None:
    """The line keeps its order."""
    requests = [put(outbox) for _ in range(4)]
    assert (outbox.in_flight, outbox.in_line) == (2, 2)
    assert taken(outbox) == requests[:2]
    outbox.end(requests[:1])
    assert taken(outbox) == requests[2:3]
    assert [each.admitted for each in requests] == [True, True, True, False]


def test_a_request_that_needs_no_room_is_admitted_over_the_window(outbox: Outbox) -> None:
    """A handler's own publish must not wait for other handlers."""
    for _ in range(2):
        put(outbox)
    over = put(outbox, wait_for_room=False)
    assert over.admitted
    assert (outbox.in_flight, outbox.in_line) == (3, 0)


def test_a_request_whose_time_is_nearly_over_is_not_admitted_any_more(outbox: Outbox) -> None:
    """The waiter hears that there was no room, which is true only if it was not tried."""
    first, _ = put(outbox), put(outbox)
    late, patient = put(outbox, timeout=LATE / 2), put(outbox)
    outbox.end([first])
    assert (late.admitted, patient.admitted) == (False, True)


def test_what_is_given_back_goes_first_and_in_order(outbox: Outbox) -> None:
    """Publishes keep their order after a lost connection. Ended ones are not repeated."""
    first, second = put(outbox, wait_for_room=False), put(outbox, wait_for_room=False)
    ended, third = put(outbox, wait_for_room=False), put(outbox, wait_for_room=False)
    requests = [outbox.take() for _ in range(3)]
    assert requests == [first, second, ended]
    outbox.end([ended])
    outbox.give_back([first, second, ended])
    assert taken(outbox) == [first, second, third]


def test_ending_a_request_twice_is_ending_it_once(outbox: Outbox) -> None:
    """A waiter may give up while the broker confirms."""
    request = put(outbox)
    outbox.end([request])
    outbox.end([request])
    assert outbox.in_flight == 0
    assert request.future.result(0)


def test_a_closed_outbox_takes_nothing_and_is_finished_when_nothing_is_in_flight(
    outbox: Outbox,
) -> None:
    request = put(outbox)
    outbox.close()
    assert not outbox.finished
    with pytest.raises(BusStateError, match="closed"):
        put(outbox)
    outbox.end([request])
    assert outbox.finished


def test_refusing_all_ends_what_is_in_flight_and_in_line(outbox: Outbox) -> None:
    requests = [put(outbox) for _ in range(3)]
    outbox.close()
    outbox.refuse_all("closed before it was confirmed")
    for request in requests:
        with pytest.raises(BusStateError, match="before it was confirmed"):
            request.future.result(0)
    assert outbox.finished


def test_those_asked_before_a_time_are_found_in_flight_and_in_line(outbox: Outbox) -> None:
    requests = [put(outbox) for _ in range(3)]
    assert outbox.asked_before(requests[-1].asked + 1) == requests
    assert outbox.asked_before(requests[0].asked) == []
    assert outbox.heads() == [requests[0], requests[2]]


def test_waking_the_thread_twice_is_one_byte(outbox: Outbox) -> None:
    """Thousands of publishes must not fill the line."""
    for _ in range(3):
        put(outbox)
    outbox.woken()
    outbox.reader.setblocking(False)
    with pytest.raises(BlockingIOError):
        outbox.reader.recv(1)
    outbox.wake()
    assert outbox.reader.recv(64) == b"\0"


async def test_many_threads_put_and_end_and_nothing_is_left() -> None:
    """The window holds all the time."""
    outbox, over = Outbox(window=5, late=LATE), threading.Event()
    outbox.open()

    def work() -> None:
        while (request := outbox.take()) is not None or not over.is_set():
            if request is not None:
                assert outbox.in_flight <= outbox.window
                outbox.end([request])

    worker = threading.Thread(target=work)
    worker.start()

    def caller() -> None:
        for _ in range(200):
            put(outbox).future.result(20)

    await asyncio.gather(*(asyncio.to_thread(caller) for _ in range(8)))
    over.set()
    worker.join()
    outbox.hang_up()
    assert (outbox.in_flight, outbox.in_line, outbox.take()) == (0, 0, None)
