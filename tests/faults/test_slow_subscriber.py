"""A slow subscriber with a backlog: no other subscriber and no memory notices."""

import asyncio
import os
from collections.abc import Callable, Mapping
from statistics import median, quantiles
from typing import Any

import pytest

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Kind, Load
from qt_events.testing.ledger.entries import Reader
from tests.faults.memory import Memory
from tests.faults.rig import Rig
from tests.support.channels import channel_to, depth
from tests.support.waiting import until_told

BACKLOG = int(os.environ.get("QT_EVENTS_BACKLOG", "10000"))  #: events behind the slow one
PADDING = 4_000  #: bytes of each
QUICK, SLOW = {"quick": "load.#"}, {"slow": "#"}
SAMPLE, WARM_UP = 400, 100  #: events whose latency is taken, after so many
TAKES = 4  #: samples in which it may be seen to be as before: a busy machine is late as well
RATE = 150  #: of them a second
MEMORY = 20  #: MiB that a process may take for the backlog: a leak of it would take far more
APP = ("-m", "celery", "-A", "slow_app", "worker", "-l", "INFO")


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the two subscriptions of apps/slow_app.py."""
    return QUICK | SLOW


@pytest.mark.timeout(180 + BACKLOG // 500)
async def test_a_backlog_slows_nobody_else_and_takes_no_memory(rig: Rig) -> None:
    """The quick subscription's latency stays as it was; the backlog lies on the broker alone."""
    worker, bus = await rig.worker(program=APP), rig.bus()
    before = await latencies(rig, bus, "load.before")
    memory = {"worker": Memory(worker.pid), "publisher": Memory(os.getpid())}
    rig.ledger.fault("backlog")
    async with Load(bus, rig.ledger, in_flight=500, make=padded) as load:
        await load.reaches(BACKLOG, timeout=600)
    grown = {name: each.grown() for name, each in memory.items()}
    after = [await latencies(rig, bus, "load.after")]
    while not (unchanged := is_as(before, after[-1])) and len(after) < TAKES:
        after.append(await latencies(rig, bus, f"load.after.{len(after)}"))
    behind = rig.ledger.open(SLOW)
    (rig.ledger.folder / "hurry").touch()
    await rig.end(worker)
    await asyncio.to_thread(take_what_is_left, rig)
    (await rig.account()).verify(duplicates=0)

    rig.figures["behind"] = behind
    rig.figures.update({f"{name} grew": f"{size:.0f} MiB" for name, size in grown.items()})
    for name in ("p50", "p99"):
        rig.figures[name] = (
            " -> ".join(f"{1000 * each[name]:.1f}" for each in (before, *after)) + " ms"
        )
    assert behind > 0.9 * BACKLOG
    assert max(grown.values()) < MEMORY
    assert unchanged, rig.figures


def is_as(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    """Compare latencies, as far as a machine is even."""
    return after["p50"] <= 2 * before["p50"] + 0.002 and after["p99"] <= 3 * before["p99"] + 0.02


def event_of(type: str) -> Callable[[int], Event[Any]]:
    return lambda number: Event(type, payload={"n": number})


def padded(number: int) -> Event[Any]:
    return Event("backlog.numbered", payload={"n": number, "padding": PADDING * "x"})


async def latencies(rig: Rig, bus: CeleryEventBus, type: str) -> Mapping[str, float]:
    """Return seconds from publish to the end of the quick handler, at a calm rate."""
    async with Load(bus, rig.ledger, in_flight=10, rate=RATE, make=event_of(type)) as load:
        await load.reaches(WARM_UP + SAMPLE)
    await caught_up(rig)
    found = await asyncio.to_thread(taken, rig, type)
    return {"p50": median(found), "p99": quantiles(found, n=100)[98]}


def take_what_is_left(rig: Rig) -> None:
    """Take the backlog out of its queue: a worker would need a minute for it."""
    left = depth(rig.url, "qt.sub.slow")

    def take(message: Any) -> None:
        nonlocal left
        left -= 1
        rig.ledger.note(Kind.HANDLED, message.message_id, "slow")

    with channel_to(rig.url) as channel:
        channel.basic_consume("qt.sub.slow", no_ack=True, callback=take)
        while left:
            channel.connection.drain_events(timeout=60)


async def caught_up(rig: Rig) -> None:
    """Return True when the quick subscription has had everything."""
    await until_told(lambda: not rig.ledger.open(QUICK), 120, "the quick subscription has had all")


def taken(rig: Rig, type: str) -> list[float]:
    """Return the seconds that each took, once warm."""
    entries = list(Reader(rig.ledger.folder).read())
    begun = {
        each.id: each.at for each in entries if each.kind is Kind.ATTEMPTED and each.about == type
    }
    quick = (each for each in entries if each.kind is Kind.HANDLED and each.about == "quick")
    return [each.at - begun[each.id] for each in quick if each.id in begun][WARM_UP:]
