"""Connections that nobody used for a while: the next publish works, and its event is handled."""

import asyncio
from collections.abc import Iterator
from time import monotonic
from urllib.parse import urlsplit

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger.load import numbered
from qt_events.testing.proxy import Proxy
from tests.faults.rig import PREFORK, Rig

HEARTBEAT = 2  # seconds
IDLE = 2.5 * HEARTBEAT  # seconds: longer than two
POOLS = {"asyncio": (), "prefork": PREFORK}


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


@pytest.fixture
def proxy(rig: Rig) -> Iterator[Proxy]:
    place = urlsplit(rig.url)
    with Proxy(place.hostname or "", place.port or 0) as opened:
        yield opened


@pytest.fixture
def bus(rig: Rig, proxy: Proxy) -> CeleryEventBus:
    bus = rig.bus(proxy.url_for(rig.url), publish_timeout=15.0)
    bus.app.conf.broker_heartbeat = HEARTBEAT
    return bus


async def publish(rig: Rig, bus: CeleryEventBus) -> None:
    """Publish three events, one after the other, each confirmed and handled."""
    began = monotonic()
    for number in range(3):
        assert await rig.ledger.publish(bus, numbered(number + 1))
    rig.figures["published after"] = f"{monotonic() - began:.2f} s"
    await rig.settled()


@pytest.mark.parametrize("pool", POOLS)
async def test_publish_and_handlers_work_after_two_idle_heartbeats(
    pool: str, rig: Rig, proxy: Proxy, bus: CeleryEventBus
) -> None:
    """The broker cuts off clients without heartbeats: none had to reconnect."""
    await rig.worker(*POOLS[pool], url=proxy.url_for(rig.url), LOAD_HEARTBEAT=HEARTBEAT)
    await publish(rig, bus)
    before = proxy.traffic.accepted
    rig.ledger.fault("idle")
    await asyncio.sleep(IDLE)
    await publish(rig, bus)
    assert proxy.traffic.accepted == before
    (await rig.account()).verify(duplicates=0)


@pytest.mark.parametrize("pool", POOLS)
async def test_publish_and_handlers_work_over_connections_that_a_router_forgot(
    pool: str, rig: Rig, proxy: Proxy, bus: CeleryEventBus
) -> None:
    """The publish succeeds within publish_timeout, though everything sent is dropped in silence."""
    await rig.worker(*POOLS[pool], url=proxy.url_for(rig.url), LOAD_HEARTBEAT=HEARTBEAT)
    await publish(rig, bus)
    rig.ledger.fault("connections forgotten")
    assert proxy.forget() >= 2
    await publish(rig, bus)
    (await rig.account()).verify(duplicates=3 * len(rig.subscriptions))
