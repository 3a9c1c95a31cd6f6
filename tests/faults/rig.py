"""Rig: worker processes on a test's own broker, a load, and the ledger's verdict."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from amqp.exceptions import NotFound

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import FOLDER, Account, Ledger
from tests.support.channels import depth
from tests.support.fleet.fleet import StartedWorker
from tests.support.fleet.forks import ForkingKeeper
from tests.support.fleet.readiness import ready_note
from tests.support.waiting import until

_APPS = Path(__file__).parent / "apps"
WORKER = ("-m", "celery", "-A", "load_app", "worker", "-l", "INFO")

#: Those of apps/load_app.py, with what they hear.
SUBSCRIPTIONS = {"on_loop": "load.#", "in_thread": "load.#", "failing": "load.#"}
# Events that a worker holds of each, at most
PREFETCH = 100
PREFORK = ("-P", "processes", "-c", "2")
# Events of all three: four a child, or the subscription's own concurrency.
PREFORK_HOLDS = 10 + 8 + 10
HELD = {"asyncio": PREFETCH, "prefork": 10}  # events of each, at most


class Rig:
    """Workers of apps/load_app.py (or another app), buses that publish, and their common ledger."""

    def __init__(
        self, url: str, folder: Path, subscriptions: Mapping[str, str] = SUBSCRIPTIONS
    ) -> None:
        self.url, self.subscriptions = url, dict(subscriptions)
        self.ledger = Ledger(folder / "ledger")
        #: Subscriptions, with reasons for dead letters
        self.may_die: dict[str, set[str]] = {"failing": {"exhausted"}}
        self.figures: dict[str, Any] = {}  #: of the test, for the summary
        self.workers: list[StartedWorker] = []  #: all that were started
        self._keeper, self._numbers = ForkingKeeper("qt-events-rig-"), count(1)
        self._buses: list[CeleryEventBus] = []

    def bus(self, url: str | None = None, **options: Any) -> CeleryEventBus:
        """Return a bus that only publishes; it is closed at the end."""
        self._buses.append(CeleryEventBus(url or self.url, **options))
        return self._buses[-1]

    async def worker(
        self, *options: str, url: str | None = None, ready: bool = True,
        program: tuple[str, ...] = WORKER,
        **environment: object,
    ) -> StartedWorker:  # fmt: skip
        """Start one more worker, and return when it consumes, or at once if not `ready`."""
        name = f"worker-{next(self._numbers)}"
        path = os.pathsep.join([str(_APPS), *(entry for entry in sys.path if entry)])
        given = {key: str(value) for key, value in environment.items()}
        env = {
            **os.environ,
            "PYTHONPATH": path,
            "LOAD_URL": url or self.url,
            FOLDER: str(self.ledger.folder),
            **given,
        }
        process = self._keeper.spawn(name, [sys.executable, *program, *options], env)
        worker = StartedWorker(process, self._keeper.folder / f"{name}.out")
        self.workers.append(worker)
        if ready:
            await self.until_ready(worker)
        return worker

    async def until_ready(self, worker: StartedWorker) -> None:
        """Wait until it consumes; fail with its output if it ends instead."""
        note = ready_note(self.ledger, worker.pid)
        await until(
            lambda: note.exists() or worker.process.poll() is not None, 60, "a worker is ready"
        )
        assert worker.process.poll() is None, worker.output

    async def end(self, *workers: StartedWorker) -> None:
        """Send SIGTERM, and expect exit status 0."""
        for worker in workers:
            worker.send(signal.SIGTERM)
        for worker in workers:
            assert await worker.ended() == 0, worker.output

    def kill(self, worker: StartedWorker) -> None:
        """SIGKILL the worker and its children at once, as the OOM killer may."""
        if worker.process.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.process.wait()

    def in_flight(self, held: float = PREFETCH) -> int:
        """Return how many deliveries a fault that strikes now may double.

        `held` is the number that workers hold of each subscription. A delivery that fails may come
        back, and as its next attempt, and as the copy of that: it counts twice.
        """
        twice = [name for name in self.subscriptions if name == "failing"]
        return sum(
            self.ledger.in_flight({name: self.subscriptions[name]}, held=held)
            for name in [*self.subscriptions, *twice]
        )

    async def settled(self, timeout: float = 90.0) -> None:
        """Wait until every confirmed delivery was handled or is a dead letter, and note these."""
        bus = self.bus()
        async with asyncio.timeout(timeout):
            while owed := await asyncio.to_thread(self._owed):
                for name in owed:
                    self.ledger.dead(await bus.dead_letters.list(name, limit=1_000_000))
                await asyncio.sleep(0.2)
            for name in self.subscriptions:
                self.ledger.dead(await bus.dead_letters.list(name, limit=1_000_000))

    def _owed(self) -> list[str]:
        """Return the subscriptions that have not had everything."""
        return [
            name
            for name, pattern in self.subscriptions.items()
            if self.ledger.open({name: pattern})
        ]

    async def account(self, timeout: float = 90.0) -> Account:
        """Wait for all outcomes, add up, and judge what every test demands."""
        # Then some are lost, and the account says so
        with suppress(TimeoutError):
            await self.settled(timeout)
        account = await asyncio.to_thread(self.ledger.account, self.subscriptions)
        account.verify(dead=self.may_die)
        return account

    def close(self) -> None:
        self._keeper.close()
        for bus in self._buses:
            bus.close()


def delayed(url: str, level: str) -> int:
    """Return the messages that wait in a delay level; none before its first one makes it."""
    try:
        return depth(url, level)
    except NotFound:
        return 0


@asynccontextmanager
async def running(bus: CeleryEventBus) -> AsyncIterator[None]:
    """Run the bus inside of the block; stop it as SIGTERM stops a worker, and close it."""
    serving = asyncio.create_task(bus.run_forever())
    try:
        await asyncio.sleep(0)
        await bus.serving.ready()
        yield
    finally:
        bus.stop()
        await serving
    await asyncio.to_thread(bus.close)
