"""What the tests on a real RabbitMQ share: buses, channels, waiting, worker processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import amqp
import pytest

from qt_events.events import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import RECORDS, Call, Recorder
from qt_events.testing.keeper import Keeper
from tests.support.fleet.remote_control import Remote

_APPS = Path(__file__).parent / "apps"
PATIENCE = 40.0  # seconds for whatever a process is to do

CELERY_WORKER = ("-m", "celery", "-A", "fleet", "worker")

Make = Callable[..., CeleryEventBus]


async def until(condition: Callable[[], Any], timeout: float = PATIENCE, what: str = "") -> Any:
    """Poll; what it gave as soon as that is true."""
    deadline = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what or condition}"
        await asyncio.sleep(0.01)
    return result


async def until_told(question: Callable[[], Any], timeout: float = PATIENCE, what: str = "") -> Any:
    """`until`, for what only asking the broker tells: in a thread, for that blocks."""
    deadline = time.monotonic() + timeout
    while not (result := await asyncio.to_thread(question)):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what or question}"
        await asyncio.sleep(0.02)
    return result


@contextmanager
def channel_to(url: str) -> Iterator[amqp.Channel]:
    """A channel on a connection of its own."""
    parts = urlsplit(url)
    with amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        virtual_host=unquote(parts.path[1:]),
    ) as connection:
        yield connection.channel()


def depth(url: str, queue: str) -> int:
    """Messages that wait in it, those that a consumer holds not counted."""
    with channel_to(url) as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


@pytest.fixture
def make_bus(amqp_url: str) -> Iterator[Make]:
    """Makes buses, on this test's own vhost unless told otherwise; closed afterwards."""
    made: list[CeleryEventBus] = []

    def make(url: str | None = None, **options: Any) -> CeleryEventBus:
        made.append(CeleryEventBus(None if "app" in options else url or amqp_url, **options))
        return made[-1]

    yield make
    for bus in made:
        bus.close()


class WorkerProcess:
    """One `celery -A fleet worker`."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self._output = process, output

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self, timeout: float = PATIENCE) -> int:
        """Its exit status."""
        await until(lambda: self.process.poll() is not None, timeout, f"the end of the worker\n{self.output}")
        return int(self.process.returncode)

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")


class Fleet:
    """Starts worker processes that serve the apps in apps/, and sees what their handlers record."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.recorder = url, Recorder(folder / "records.jsonl")
        self._keeper, self._number = Keeper("qt-events-fleet-"), count(1)

    async def start(
        self, *options: str, ready: bool = True, program: Sequence[str] = CELERY_WORKER, **environment: str
    ) -> WorkerProcess:
        """One more worker; `ready`: return when it consumes."""
        name, before = f"worker-{next(self._number)}", len(self.ready)
        command = [sys.executable, *program, "--loglevel", "INFO", *options]
        process = self._keeper.spawn(name, command, {**self._environment(), **environment})
        worker = WorkerProcess(process, self._keeper.folder / f"{name}.out")
        if ready:
            done = lambda: len(self.ready) > before or process.poll() is not None  # noqa: E731
            await until(done, what=f"{name} is ready")
            assert process.poll() is None, worker.output
        return worker

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(_APPS), *(entry for entry in sys.path if entry)])
        return {**os.environ, "PYTHONPATH": path, "FLEET_URL": self.url, RECORDS: str(self.recorder.path)}

    @property
    def ready(self) -> list[str]:
        """Node names of the workers that got ready."""
        return [call.name for call in self.recorder.read("ready")]

    def calls(self, name: str, event: Event[Any] | None = None) -> list[Call]:
        return self.recorder.read("call", name, event.id if event else None)

    def open(self, gate: str = "go") -> None:
        self.recorder.write(Call("gate", gate))

    async def until_called(self, name: str, times: int = 1, event: Event[Any] | None = None) -> list[Call]:
        return list(
            await until(lambda: len(c := self.calls(name, event)) >= times and c, what=f"{times} calls of {name}")
        )

    def close(self) -> None:
        self._keeper.close()


@pytest.fixture
def fleet(amqp_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """Worker processes on this test's own vhost; killed at the end."""
    opened = Fleet(amqp_url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
async def client(amqp_url: str) -> AsyncIterator[CeleryEventBus]:
    """A bus that only publishes, to the workers' subscriptions."""
    bus = CeleryEventBus(amqp_url)
    yield bus
    bus.close()


@pytest.fixture
async def remote(client: CeleryEventBus) -> Remote:
    """Celery's remote control of the one worker that the test has started."""
    return Remote(client)
