"""Celery's worker and kombu's hub, where they have no public name."""

import select
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.concurrency.prefork import TaskPool
from celery.worker import loops
from kombu.asynchronous import Hub, set_event_loop

from qt_events.rabbitmq.compat import celery_worker as compat
from qt_events.rabbitmq.compat.celery_worker import (
    descriptor_of,
    has_callbacks,
    remembering,
    waits_for_first_messages,
)


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


# Jobs of the prefork pool while Celery stops its consumer


def job(*, written: bool) -> Any:
    return SimpleNamespace(_write_to=object() if written else None)


def pool(jobs: dict[int, Any] | None) -> Any:
    made = TaskPool.__new__(TaskPool)
    made._pool = None if jobs is None else SimpleNamespace(_cache=jobs)  # noqa: SLF001
    return made


def test_what_was_sent_to_a_child_is_kept_and_the_rest_may_go() -> None:
    """Celery discards both: neither has been reported as begun."""
    jobs = {1: job(written=True), 2: job(written=False)}
    sent = jobs[1]
    with remembering(pool(jobs)):
        jobs.clear()
    assert jobs == {1: sent}


def test_pools_without_processes_are_left_alone() -> None:
    """Another kind of pool, and one that has not started."""
    for each in (SimpleNamespace(), pool(None)):
        with remembering(each):
            pass
