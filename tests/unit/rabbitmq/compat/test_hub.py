"""kombu's hub and Celery's loop, where they have no public name."""

import select
import socket
from collections.abc import Iterator

import pytest
from celery.worker import loops
from kombu.asynchronous import Hub, set_event_loop

from qt_events.rabbitmq.compat import hub as compat
from qt_events.rabbitmq.compat.hub import descriptor_of, has_callbacks, waits_for_first_messages


@pytest.fixture
def hub() -> Iterator[Hub]:
    set_event_loop(None)
    made = Hub()
    yield made
    made.close()
    set_event_loop(None)


def test_the_descriptor_is_readable_when_the_poller_has_something(hub: Hub) -> None:
    ours, theirs = socket.socketpair()
    descriptor = descriptor_of(hub.poller)
    assert descriptor is not None
    hub.add_reader(ours, print)
    assert select.select([descriptor], [], [], 0)[0] == []
    theirs.send(b"x")
    assert select.select([descriptor], [], [], 5)[0] == [descriptor]
    hub.remove_reader(ours)
    ours.close()
    theirs.close()


def test_callbacks_are_known_before_they_run(hub: Hub) -> None:
    assert not has_callbacks(hub)
    hub.call_soon(print)
    assert has_callbacks(hub)


def test_celerys_first_read_is_recognized() -> None:
    assert waits_for_first_messages(loops._quick_drain)  # noqa: SLF001
    assert not waits_for_first_messages(print)


def test_without_its_names_nothing_is_known(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker polls instead, and waits where Celery waits."""
    monkeypatch.setattr(compat, "_CAN_POLL", False)
    monkeypatch.setattr(compat, "_KNOWS_DRAIN", False)
    hub.call_soon(print)
    assert descriptor_of(hub.poller) is None
    assert not has_callbacks(hub)
    assert not waits_for_first_messages(loops._quick_drain)  # noqa: SLF001


def test_a_poller_without_epoll_has_no_descriptor() -> None:
    """kombu uses kqueue on macOS."""
    assert descriptor_of(object()) is None
