"""A network that fails between broker, publisher and worker: nothing is lost.

Publisher and worker come back by themselves.
"""

import asyncio
import random
from collections.abc import Iterator
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest

from qt_events.errors import BrokerUnreachableError, PublishTimeoutError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Load
from qt_events.testing.proxy import Direction, Proxy
from tests.faults.rig import HELD, PREFORK, Rig
from tests.support.fleet.fleet import StartedWorker
from tests.support.waiting import until, until_told

HEARTBEAT = 2  # seconds
# Seconds: a busy machine is late with a short one, and here nobody is to reconnect
PATIENT = 20
IN_FLIGHT = 50  # publishes
POOLS = {"asyncio": (), "prefork": PREFORK}
# A worker's words
LOST = "Connection to broker lost"
SAID = "publisher: no connection"  # a publisher's


class Network:
    """A way to the broker for the publisher, another for the worker, and trouble on either."""

    def __init__(self, rig: Rig, publisher: Proxy, worker: Proxy) -> None:
        self._rig, self.publisher, self.worker = rig, publisher, worker
        self.heartbeat = HEARTBEAT

    def bus(self, **options: Any) -> CeleryEventBus:
        """Return a bus that only publishes."""
        bus = self._rig.bus(self.publisher.url_for(self._rig.url), **options)
        bus.app.conf.broker_heartbeat = self.heartbeat
        return bus

    async def start(self, pool: str = "asyncio", **environment: Any) -> StartedWorker:
        """Start a worker process, and return when it is ready."""
        url = self.worker.url_for(self._rig.url)
        return await self._rig.worker(
            *POOLS[pool], url=url, LOAD_HEARTBEAT=self.heartbeat, **environment
        )

    def of(self, whom: str) -> list[Proxy]:
        """Return the proxies of `publisher`, `worker` or `both`."""
        proxies = {"publisher": self.publisher, "worker": self.worker}
        return list(proxies.values()) if whom == "both" else [proxies[whom]]


@pytest.fixture
def network(rig: Rig) -> Iterator[Network]:
    place = urlsplit(rig.url)
    host, port = place.hostname or "", place.port or 0
    with Proxy(host, port) as publisher, Proxy(host, port) as worker:
        yield Network(rig, publisher, worker)


# Resets


@pytest.mark.parametrize(
    ("whom", "pool"),
    [("publisher", "asyncio"), ("worker", "asyncio"), ("both", "prefork")],
)
async def test_resets_at_random_lose_nothing(
    whom: str, pool: str, rig: Rig, network: Network
) -> None:
    """Publishes in flight are repeated, held events come again, and no publish fails."""
    worker = await network.start(pool)
    resets = in_flight = 0
    async with Load(network.bus(), rig.ledger, in_flight=IN_FLIGHT, rate=150) as load:
        for _ in range(4):
            await load.more(random.randint(20, 60))
            await asyncio.sleep(random.random() / 5)
            # On a busy machine the last reset is not over yet.
            await until(
                lambda: all(proxy.traffic.open for proxy in network.of(whom)),
                what="everybody is connected again",
            )
            rig.ledger.fault(f"reset, {whom}")
            in_flight += rig.in_flight(HELD[pool])
            resets += sum(proxy.reset() for proxy in network.of(whom))
        await load.more(50)
    account = await rig.account()
    assert resets >= 4
    rig.figures["in flight"] = in_flight
    account.verify(duplicates=in_flight)
    assert not load.failed
    assert worker.process.poll() is None


# Silence


@pytest.mark.parametrize("pool", POOLS)
async def test_publisher_and_worker_notice_a_black_hole_by_its_missing_heartbeats(
    pool: str, rig: Rig, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """Both reconnect in vain until it is healed. No publish fails that has time enough."""
    worker = await network.start(pool)
    async with Load(network.bus(), rig.ledger, in_flight=IN_FLIGHT, rate=150) as load:
        await load.more(50)
        rig.ledger.fault("black hole")
        began, in_flight = monotonic(), rig.in_flight(HELD[pool])
        network.publisher.black_hole()
        network.worker.black_hole()
        await until(lambda: SAID in caplog.text, what="the publisher has noticed")
        rig.figures["publisher noticed after"] = f"{monotonic() - began:.1f} s"
        await until(lambda: LOST in worker.output, what=f"the worker has noticed\n{worker.output}")
        rig.figures["both after"] = f"{monotonic() - began:.1f} s"
        assert "heartbeats missed" in caplog.text
        in_flight += rig.in_flight(
            HELD[pool]
            # What was published into the hole comes out of it, and is published again
        )
        network.publisher.heal()
        network.worker.heal()
        healed = monotonic()
        await load.more(100)
        rig.figures["publishing again after"] = f"{monotonic() - healed:.1f} s"
    account = await rig.account()
    rig.figures["in flight"] = in_flight
    account.verify(duplicates=in_flight)
    assert not load.failed


async def test_publishes_that_fail_in_a_black_hole_fail_by_name(rig: Rig, network: Network) -> None:
    """Publishes fail within publish_timeout and are not confirmed; the publisher comes back."""
    timeout = 1.0
    await network.start()
    async with Load(
        network.bus(publish_timeout=timeout), rig.ledger, in_flight=20, rate=100
    ) as load:
        await load.more(50)
        rig.ledger.fault("black hole, publisher")
        in_flight = rig.in_flight()
        network.publisher.black_hole()
        await until(lambda: load.failed > 100, what="publishes failed")
        in_flight += rig.in_flight()
        network.publisher.heal()
        await load.more(100)
    rig.figures["longest publish"] = f"{load.longest:.2f} s"
    account = await rig.account()
    rig.figures["in flight"] = in_flight
    account.verify(duplicates=in_flight)
    assert set(account.errors) <= {BrokerUnreachableError.__name__, PublishTimeoutError.__name__}


@pytest.mark.parametrize("pool", POOLS)
async def test_a_worker_notices_silence_in_the_middle_of_a_frame(
    pool: str, rig: Rig, network: Network
) -> None:
    """Heartbeats are missed though the rest of a frame never comes."""
    worker = await network.start(pool)
    async with Load(network.bus(), rig.ledger, in_flight=IN_FLIGHT, rate=50) as load:
        await load.more(20)
        rig.ledger.fault("silence after half a frame, worker")
        in_flight = rig.in_flight(HELD[pool])
        network.worker.stutter(600, "from_target")
        await until(lambda: LOST in worker.output, what=f"the worker has noticed\n{worker.output}")
        network.worker.heal()
        await load.more(20)
    account = await rig.account()
    rig.figures["in flight"] = in_flight
    account.verify(duplicates=in_flight)
    assert not load.failed


async def test_a_worker_notices_silence_while_it_sets_up(rig: Rig, network: Network) -> None:
    """An answer that does not come is noticed before heartbeats are; the worker begins anew."""
    network.worker.throttle(2000, "from_target")
    worker = await network.start(ready=False)
    await until(lambda: network.worker.traffic.from_target > 700, what="it has logged in")
    rig.ledger.fault("silence while a worker sets up")
    assert network.worker.forget() > 0
    network.worker.heal()
    await rig.until_ready(worker)
    async with Load(network.bus(), rig.ledger) as load:
        await load.more(20)
    (await rig.account()).verify(duplicates=0)


# A slow network


async def test_200_ms_more_each_way_break_nothing(
    rig: Rig, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """Publishing is hardly slower, nobody reconnects, and nothing comes twice."""
    network.heartbeat = PATIENT
    worker = await network.start()
    async with Load(network.bus(), rig.ledger, in_flight=IN_FLIGHT, rate=100) as load:
        await load.more(20)
        rig.ledger.fault("200 ms each way")
        for proxy in network.of("both"):
            proxy.delay(0.2)
        await load.more(100)
        await load.stop()
        account = await rig.account()
    assert LOST not in worker.output
    assert SAID not in caplog.text
    account.verify(duplicates=0)
    assert not load.failed


# Frames cut in half


@pytest.mark.parametrize("pool", POOLS)
async def test_a_connection_that_ends_in_the_middle_of_a_frame_loses_nothing(
    pool: str, rig: Rig, network: Network
) -> None:
    """Reader and writer survive it, wherever the frame is cut."""
    await network.start(pool)
    cuts: list[tuple[str, Direction]] = [
        (whom, way) for whom in ("publisher", "worker") for way in ("to_target", "from_target")
    ]
    in_flight = 0
    async with Load(network.bus(), rig.ledger, in_flight=IN_FLIGHT, rate=150) as load:
        await load.more(20)
        for keep, (whom, direction) in zip((1, 3, 5, 7), cuts, strict=True):
            (proxy,) = network.of(whom)
            rig.ledger.fault(
                f"half a frame, {whom} {'reads' if direction == 'from_target' else 'writes'}"
            )
            before = proxy.traffic.cuts
            proxy.cut(direction, keep=keep)
            await until(lambda proxy=proxy, before=before: proxy.traffic.cuts > before)  # type: ignore[misc]
            in_flight += rig.in_flight(HELD[pool])
            await load.more(30)
    account = await rig.account()
    rig.figures["in flight"] = in_flight
    account.verify(duplicates=in_flight)
    assert not load.failed


async def test_frames_that_come_in_two_parts_are_survived(
    rig: Rig, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """No client reconnects and no event comes twice, however often a frame's rest comes later."""
    network.heartbeat = PATIENT
    worker = await network.start()
    async with Load(network.bus(), rig.ledger, in_flight=IN_FLIGHT, rate=100) as load:
        await load.more(20)
        rig.ledger.fault("frames in two parts")
        for proxy in network.of("both"):
            proxy.stutter(0.03)
        await load.more(100)
        await load.stop()
        account = await rig.account()
    assert LOST not in worker.output
    assert SAID not in caplog.text
    account.verify(duplicates=0)
    assert not load.failed


# Delivery tags

UNKNOWN_TAG = "unknown delivery tag"


@pytest.mark.parametrize(("pool", "seconds"), [("asyncio", 0.6), ("prefork", 0.15)])
async def test_delivery_tags_of_a_lost_channel_are_never_used_on_the_next(
    pool: str, seconds: float, rig: Rig, network: Network, harmed: PrivateBroker
) -> None:
    """Handlers that outlive their connection acknowledge nothing that the broker knows."""
    worker = await network.start(pool, LOAD_SECONDS=seconds)
    in_flight, complaints = 0, log_of(harmed).count(UNKNOWN_TAG)
    async with Load(network.bus(), rig.ledger, in_flight=10, rate=30) as load:
        for round_ in range(1, 3):
            await load.more(12)
            rig.ledger.fault("reset while handlers run")
            in_flight += rig.in_flight(HELD[pool])
            network.worker.reset()
            await until(lambda round_=round_: worker.output.count(LOST) >= round_)  # type: ignore[misc]
    account = await rig.account()
    rig.figures["in flight"] = in_flight
    account.verify(duplicates=in_flight)
    await until_told(
        lambda: not unacknowledged(harmed, rig.url), what="nothing is left unacknowledged"
    )
    assert log_of(harmed).count(UNKNOWN_TAG) == complaints
    assert "PRECONDITION_FAILED" not in worker.output
    assert not load.failed


def unacknowledged(broker: PrivateBroker, url: str) -> int:
    queues = broker.management.queues(urlsplit(url).path[1:])
    return sum(queue.get("messages", 0) for queue in queues if queue["name"].startswith("qt.sub."))


def log_of(broker: PrivateBroker) -> str:
    return "".join(path.read_text(errors="replace") for path in broker.folder.glob("**/log/*.log"))
