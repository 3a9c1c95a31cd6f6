"""SoakFleet: a broker behind a bad network, workers that are kept alive, a load, and a ledger."""

import asyncio
import random
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from qt_events.events.event import Event
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.cluster import PrivateCluster
from qt_events.testing.ledger import Load
from qt_events.testing.proxy import Proxy
from tests.faults.rig import HELD, PREFORK, Rig
from tests.faults.wall_clock import WallClock
from tests.support.faketime import installed_faketime
from tests.support.fleet.fleet import StartedWorker, children
from tests.support.fleet.readiness import ready_note

# Seconds: short, so that silence is noticed within the run
HEARTBEAT = 3
IN_FLIGHT = 50  # publishes
# Seconds: longer than the broker takes to start, and no longer than an outage may be made.
PUBLISH_TIMEOUT = 15
OPTIONS = ("-A", "soak_app", "worker", "-l", "WARNING")
PROGRAM = ("-m", "celery", *OPTIONS)
DECLARE = ("-m", "qt_events", "topology", "declare", "--app", "soak_app")
#: The one whose clock jumps
CLOCKED = ("-c", "import wall_clock; from celery.__main__ import main; main()", *OPTIONS)
#: Those of faults/apps/soak_app.py, with what they hear.
SUBSCRIPTIONS = {
    "on_loop": "load.#",
    "in_thread": "load.#",
    "failing": "load.#",
    "lethal": "lethal",
}
#: For what reasons they may have dead letters: only the guilty one is poison.
MAY_DIE = {"failing": {"exhausted"}, "lethal": {"poison"}}
# Options of each worker: two on asyncio, one on prefork.
FLEET: tuple[tuple[str, ...], ...] = ((), (), PREFORK)
# Events of each subscription that they hold
HOLDS = 2 * HELD["asyncio"] + HELD["prefork"]
# Seconds between two looks at whether all live
_LOOK = 0.1
# Seconds for a fleet to be ready
_PATIENCE = 120.0


class SoakFleet:
    """Target of faults that strike one at a time and leave everything whole."""

    def __init__(
        self, broker: PrivateBroker | PrivateCluster, folder: Path, rate: float, first: int
    ) -> None:
        self.broker = broker
        self.rig = Rig(broker.url, folder, SUBSCRIPTIONS)
        self.proxies = (
            [] if isinstance(broker, PrivateCluster) else [_proxy(broker), _proxy(broker)]
        )
        urls = [proxy.url_for(broker.url) for proxy in self.proxies] or [broker.url, broker.url]
        publisher, self._workers_url = urls
        bus = self.rig.bus(publisher, publish_timeout=PUBLISH_TIMEOUT)
        bus.app.conf.broker_heartbeat = HEARTBEAT
        make = lambda number: Event("load.numbered", payload={"n": first + number})  # noqa: E731
        self.load = Load(bus, self.rig.ledger, in_flight=IN_FLIGHT, rate=rate, make=make)
        self.clock = WallClock(folder) if installed_faketime() else None  #: of the first worker
        self.workers: list[StartedWorker] = []
        self.in_flight = 0  #: deliveries, at all strikes together: what may be handled twice
        self._counting = asyncio.Lock()
        self._opened = ExitStack()

    async def __aenter__(self) -> Self:
        self._opened.callback(self.rig.close)
        for proxy in self.proxies:
            self._opened.enter_context(proxy)
        for place in range(len(FLEET)):
            self.workers.append(await self._start(place))
        await self.all_ready()
        await self._declare_all()
        self._keeping = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        await asyncio.to_thread(self._opened.close)

    async def _declare_all(self) -> None:
        """Declare what a first dead letter would: RabbitMQ 3.10 forgets it if it is killed then."""
        done = await self.rig.worker(program=DECLARE, ready=False)
        assert await done.ended() == 0, done.output

    def some_worker(self) -> StartedWorker:
        return random.choice(self.workers)

    def some_child(self) -> int | None:
        """Return a process of the prefork worker's pool."""
        found = [child for worker in self.workers for child in children(worker.process)]
        return random.choice(found) if found else None

    def some_proxies(self) -> list[Proxy]:
        """Return the publisher's proxy, the workers', or both."""
        return random.sample(self.proxies, random.randint(1, len(self.proxies)))

    async def publish_poison(self) -> None:
        """Publish an event that ends every process it is handled in."""
        await self.rig.ledger.publish(self.load.bus, Event("lethal"))

    async def all_ready(self) -> None:
        """Wait until every worker consumes, also one that is being started again."""
        async with asyncio.timeout(_PATIENCE):
            while not all(self._is_ready(worker) for worker in self.workers):  # noqa: ASYNC110  # processes
                await asyncio.sleep(_LOOK)

    def _is_ready(self, worker: StartedWorker) -> bool:
        return worker.process.poll() is None and ready_note(self.rig.ledger, worker.pid).exists()

    async def _keep_alive(self) -> None:
        """Start a worker wherever one has ended, as an init system does."""
        while True:
            for place, worker in enumerate(self.workers):
                if worker.process.poll() is not None:
                    await self.count_in_flight()
                    self.workers[place] = await self._start(place)
            await asyncio.sleep(_LOOK)

    async def _start(self, place: int) -> StartedWorker:
        clocked = self.clock is not None and place == 0
        environment = self.clock.environment if self.clock is not None and clocked else {}
        return await self.rig.worker(
            *FLEET[place],
            url=self._workers_url,
            ready=False,
            program=CLOCKED if clocked else PROGRAM,
            LOAD_HEARTBEAT=HEARTBEAT,
            **environment,
        )

    async def count_in_flight(self) -> None:
        """Count what may come twice: at a strike, when it is over, and when a worker has ended."""
        async with self._counting:
            self.in_flight += await asyncio.to_thread(self.rig.in_flight, HOLDS)


def _proxy(broker: PrivateBroker) -> Proxy:
    place = urlsplit(broker.url)
    return Proxy(place.hostname or "", place.port or 0)
