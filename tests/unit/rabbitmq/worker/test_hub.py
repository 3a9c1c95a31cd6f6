"""HandedOverHub: kombu's hub on an asyncio loop, and the insides of Celery that it relies on."""

import asyncio
import inspect
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import loops
from kombu.asynchronous import Hub, set_event_loop

from qt_events.rabbitmq.worker import hub as hub_module
from qt_events.rabbitmq.worker.hub import HandedOverHub


@pytest.fixture
def hub() -> Iterator[Hub]:
    set_event_loop(None)
    made = Hub()
    yield made
    made.close()
    set_event_loop(None)


class Celery:
    """Steps a handed-over hub in a thread of its own, as Celery's `asynloop` does."""

    def __init__(self, hub: Hub, look: Callable[[], None] = lambda: None) -> None:
        self.calls: list[str] = []
        self.error: BaseException | None = None
        self.over = HandedOverHub(
            hub,
            asyncio.get_running_loop(),
            resume=lambda: self.calls.append("resume"),
            pause=self._pause,
            look=look,
        )
        self._thread = threading.Thread(target=self._run)

    def _pause(self, error: BaseException | None) -> None:
        self.calls.append("pause" if error is None else f"pause: {type(error).__name__}")

    def _run(self) -> None:
        try:
            for _ in self.over.create_loop():
                pass
        except BaseException as error:  # noqa: BLE001  # for the test to look at
            self.error = error
        finally:
            self.over.take_back()

    def start(self) -> None:
        self._thread.start()

    async def ended(self) -> BaseException | None:
        await asyncio.to_thread(self._thread.join, 10)
        assert not self._thread.is_alive()
        return self.error


def stop_when(over: threading.Event) -> Callable[[], None]:
    def look() -> None:
        if over.is_set():
            raise WorkerShutdown(0)

    return look


async def test_what_the_hub_reads_is_read_on_the_asyncio_loops_thread(hub: Hub) -> None:
    """A descriptor that gets readable wakes the asyncio loop, which runs the hub's callback."""
    ours, theirs = socket.socketpair()
    over, read = threading.Event(), asyncio.Event()
    seen: list[Any] = []

    def on_readable() -> None:
        seen.append((ours.recv(10), threading.get_ident()))
        read.set()

    hub.add_reader(ours, on_readable)
    celery = Celery(hub, stop_when(over))
    celery.start()
    theirs.send(b"hello")
    await asyncio.wait_for(read.wait(), 5)
    over.set()
    assert isinstance(await celery.ended(), WorkerShutdown)
    assert seen == [(b"hello", threading.get_ident())]
    assert celery.calls == ["resume", "pause"]
    hub.remove_reader(ours)
    ours.close()
    theirs.close()


async def test_a_hub_that_asyncio_cannot_watch_is_looked_at(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor can be watched without epoll, or in another version of kombu."""
    monkeypatch.setattr(hub_module, "descriptor_of", lambda _: None)
    monkeypatch.setattr(hub_module, "has_callbacks", lambda _: False)
    await test_what_the_hub_reads_is_read_on_the_asyncio_loops_thread(hub)


async def test_a_call_from_another_thread_runs_on_the_loops_thread(hub: Hub) -> None:
    """hub.call_soon wakes the loop, from whatever thread."""
    over, called = threading.Event(), asyncio.Event()
    seen: list[int] = []
    celery = Celery(hub, stop_when(over))
    celery.start()

    def call() -> None:
        seen.append(threading.get_ident())
        called.set()

    await asyncio.to_thread(hub.call_soon, call)
    await asyncio.wait_for(called.wait(), 5)
    over.set()
    await celery.ended()
    assert seen == [threading.get_ident()]


async def test_an_error_out_of_the_hub_ends_celerys_loop(hub: Hub) -> None:
    """A lost connection is raised where Celery waits, and the hub is stepped no more."""
    hub.propagate_errors = (ConnectionResetError,)

    def lose() -> None:
        raise ConnectionResetError("gone")

    celery = Celery(hub)
    hub.call_soon(lose)
    celery.start()
    assert isinstance(await celery.ended(), ConnectionResetError)
    assert celery.over._over.is_set()  # noqa: SLF001
    assert celery.calls == ["resume", "pause: ConnectionResetError"]


async def test_an_order_to_stop_leaves_the_connection_in_service(hub: Hub) -> None:
    """Celery's thread gets remote control's WorkerShutdown. The loop goes on stepping the hub."""

    def order() -> None:
        raise WorkerShutdown(0)

    class Draining(Celery):
        def _run(self) -> None:
            try:
                next(steps := self.over.create_loop())
                next(steps)
                next(steps)
            except WorkerShutdown as error:
                self.error = error
                stepped = threading.Event()
                hub.call_soon(stepped.set)
                self.calls.append("stepped" if stepped.wait(5) else "stands still")
            finally:
                self.over.take_back()

    celery = Draining(hub)
    hub.call_soon(order)
    celery.start()
    assert isinstance(await celery.ended(), WorkerShutdown)
    assert celery.calls == ["resume", "stepped", "pause"]


async def test_a_reset_takes_the_hub_back_first(hub: Hub) -> None:
    """Celery forgets the descriptors of a lost connection only when nobody steps them."""
    celery = Celery(hub)
    order: list[str] = []
    celery.over._pause = lambda _: order.append("pause")  # noqa: SLF001
    hub.on_close.add(lambda _: order.append("closed"))
    await asyncio.to_thread(celery.over.reset)
    assert order == ["pause", "closed"]


async def test_taking_back_ends_when_the_loop_has_ended(hub: Hub) -> None:
    """A loop that was closed meanwhile steps nothing: nobody waits for it."""
    loop = asyncio.new_event_loop()
    over = HandedOverHub(hub, loop, resume=lambda: None, pause=lambda _: None, look=lambda: None)
    loop.close()
    await asyncio.wait_for(asyncio.to_thread(over.take_back), 5)


async def test_the_first_read_does_not_wait(hub: Hub) -> None:
    """Celery's `_quick_drain` would hold up the loop for 0.1 s at each connection."""
    read: list[Any] = []
    raw: Any = object()
    connection = SimpleNamespace(
        connection=raw, transport=SimpleNamespace(on_readable=lambda *each: read.append(each))
    )
    over = HandedOverHub(
        hub,
        asyncio.get_running_loop(),
        resume=lambda: None,
        pause=lambda _: None,
        look=lambda: None,
    )
    over.call_soon(loops._quick_drain, connection)  # noqa: SLF001
    for callback in hub._pop_ready():  # noqa: SLF001
        callback()
    assert read == [(raw, over)]


# What a release of kombu or Celery could change


def test_celerys_loop_uses_the_hub_as_it_is_stood_in_for() -> None:
    """asynloop steps the hub, reads once by `_quick_drain`, and resets the hub on errors."""
    source = inspect.getsource(loops.asynloop)
    assert "hub.call_soon(_quick_drain, connection)" in source
    assert "loop = hub.create_loop()" in source
    assert "next(loop)" in source
    assert "hub.reset()" in source
    arguments = "obj connection consumer blueprint hub qos heartbeat clock hbrate"
    assert list(inspect.signature(loops.asynloop).parameters) == arguments.split()
