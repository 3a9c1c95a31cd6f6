"""The queue keeps the order of requests, holds the window and ends each request once."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from qt_events.errors import BusStateError
from qt_events.rabbitmq.publishing.request_queue import RequestQueue
from qt_events.rabbitmq.publishing.requests import Request

LATE = 0.05


@pytest.fixture
def queue() -> Iterator[RequestQueue]:
    made = RequestQueue(window=2, late=LATE)
    made.open()
    yield made
    made.hang_up()


def put(queue: RequestQueue, *, wait_for_room: bool = True, timeout: float = 30.0) -> Request:
    request = Request()
    request.await_on(None, timeout)
    queue.put(request, wait_for_room=wait_for_room)
    return request


def taken(queue: RequestQueue) -> list[Request]:
    requests = []
    while (request := queue.take()) is not None:
        requests.append(request)
    return requests


def test_requests_beyond_the_window_wait_in_line_until_others_end(queue: RequestQueue) -> None:
    """The line keeps its order."""
    requests = [put(queue) for _ in range(4)]
    assert (queue.in_flight, queue.in_line) == (2, 2)
    assert taken(queue) == requests[:2]
    queue.end(requests[:1])
    assert taken(queue) == requests[2:3]
    assert [each.admitted for each in requests] == [True, True, True, False]


def test_a_request_that_needs_no_room_is_admitted_over_the_window(queue: RequestQueue) -> None:
    """A handler's own publish must not wait for other handlers."""
    for _ in range(2):
        put(queue)
    over = put(queue, wait_for_room=False)
    assert over.admitted
    assert (queue.in_flight, queue.in_line) == (3, 0)


def test_a_request_whose_time_is_nearly_over_is_not_admitted_any_more(queue: RequestQueue) -> None:
    """The waiter hears that there was no room, which is true only if it was not tried."""
    first, _ = put(queue), put(queue)
    late, patient = put(queue, timeout=LATE / 2), put(queue)
    queue.end([first])
    assert (late.admitted, patient.admitted) == (False, True)


def test_what_is_given_back_goes_first_and_in_order(queue: RequestQueue) -> None:
    """Publishes keep their order after a lost connection. Ended ones are not repeated."""
    first, second = put(queue, wait_for_room=False), put(queue, wait_for_room=False)
    ended, third = put(queue, wait_for_room=False), put(queue, wait_for_room=False)
    requests = [queue.take() for _ in range(3)]
    assert requests == [first, second, ended]
    queue.end([ended])
    queue.give_back([first, second, ended])
    assert taken(queue) == [first, second, third]


def test_ending_a_request_twice_is_ending_it_once(queue: RequestQueue) -> None:
    """A waiter may give up while the broker confirms."""
    request = put(queue)
    queue.end([request])
    queue.end([request])
    assert queue.in_flight == 0
    assert request.future.result(0)


def test_a_closed_queue_takes_nothing_and_is_finished_when_nothing_is_in_flight(
    queue: RequestQueue,
) -> None:
    request = put(queue)
    queue.close()
    assert not queue.finished
    with pytest.raises(BusStateError, match="closed"):
        put(queue)
    queue.end([request])
    assert queue.finished


def test_refusing_all_ends_what_is_in_flight_and_in_line(queue: RequestQueue) -> None:
    requests = [put(queue) for _ in range(3)]
    queue.close()
    queue.refuse_all("closed before it was confirmed")
    for request in requests:
        with pytest.raises(BusStateError, match="before it was confirmed"):
            request.future.result(0)
    assert queue.finished


def test_those_asked_before_a_time_are_found_in_flight_and_in_line(queue: RequestQueue) -> None:
    requests = [put(queue) for _ in range(3)]
    assert queue.asked_before(requests[-1].asked + 1) == requests
    assert queue.asked_before(requests[0].asked) == []
    assert queue.heads() == [requests[0], requests[2]]


def test_waking_the_thread_twice_is_one_byte(queue: RequestQueue) -> None:
    """Thousands of publishes must not fill the line."""
    for _ in range(3):
        put(queue)
    queue.woken()
    queue.reader.setblocking(False)
    with pytest.raises(BlockingIOError):
        queue.reader.recv(1)
    queue.wake()
    assert queue.reader.recv(64) == b"\0"


async def test_many_threads_put_and_end_and_nothing_is_left() -> None:
    """The window holds all the time."""
    queue, over = RequestQueue(window=5, late=LATE), threading.Event()
    queue.open()

    def work() -> None:
        while (request := queue.take()) is not None or not over.is_set():
            if request is not None:
                assert queue.in_flight <= queue.window
                queue.end([request])

    worker = threading.Thread(target=work)
    worker.start()

    def caller() -> None:
        for _ in range(50):
            put(queue).future.result(20)

    await asyncio.gather(*(asyncio.to_thread(caller) for _ in range(8)))
    over.set()
    worker.join()
    queue.hang_up()
    assert (queue.in_flight, queue.in_line, queue.take()) == (0, 0, None)
