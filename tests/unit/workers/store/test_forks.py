"""Forks: a child of a process that has used the store loses no writes and does not hang."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


def put(store: Store, key: str) -> None:
    asyncio.run(store.documents.put("kind", key, {}))


def forked(work: Callable[[], None]) -> int:
    """Fork a child that runs `work`; one that hangs ends after a minute."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_child_loses_nothing_when_its_parent_closes_the_file(url: str) -> None:
    """SQLite removes the log when the last process closes the file, so a fork must not hide that
    the child has it open."""
    store = Store(url)
    put(store, "parent")
    told, tell = os.pipe()
    may_go_on, go_on = os.pipe()

    def work() -> None:
        put(store, "before")
        os.write(tell, b".")
        os.read(may_go_on, 1)
        put(store, "after")

    child = forked(work)
    os.read(told, 1)
    store.dispose()
    os.write(go_on, b".")
    assert status_of(child) == 0
    for end in (told, tell, may_go_on, go_on):
        os.close(end)
    assert list(asyncio.run(store.documents.all("kind"))) == ["after", "before", "parent"]
    store.dispose()


def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have(url: str) -> None:
    """A thread of the parent was opening the database at the fork."""
    store = Store(url)
    opening, done = threading.Event(), threading.Event()

    def open_slowly() -> None:
        with store._database._opening:  # noqa: SLF001
            opening.set()
            done.wait()

    thread = threading.Thread(target=open_slowly)
    thread.start()
    opening.wait()
    child = forked(lambda: put(store, "child"))
    assert status_of(child) == 0
    done.set()
    thread.join()
    assert asyncio.run(store.documents.count("kind")) == 1
    store.dispose()
