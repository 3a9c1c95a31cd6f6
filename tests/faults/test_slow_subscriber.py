"""A slow subscriber with many events behind it: the others do not notice, and nobody's memory does."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest

from qt_events.events import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Kind, Load
from qt_events.testing.ledger.entries import Reader
from tests.faults.memory import Memory
from tests.faults.rig import Rig
from tests.integration.conftest import until_told

BACKLOG = int(os.environ.get("QT_EVENTS_BACKLOG", "20000"))  #: events behind the slow one
QUICK, SLOW = {"quick": "load.#"}, {"slow": "load.#"}
SAMPLE = 600  #: events whose latency is taken
RATE = 150  #: of them a second
MEMORY = 64  #: MiB that a process may take for the backlog, whatever its length
APP = ("-m", "celery", "-A", "slow_app", "worker", "-l", "INFO")


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """The broker that all tests share: it comes to no harm here."""
    return amqp_url


@pytest.fixture
def rig(node_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Of the two subscriptions of apps/slow_app.py."""
    opened = Rig(node_url, tmp_path, QUICK | SLOW)
    yield opened
    opened.close()
    account = opened.ledger.account(opened.subscriptions)
    request.node.user_properties.append(("ledger", {**account.as_dict(), "figures": opened.figures}))


@pytest.mark.timeout(120 + BACKLOG // 100)
async def test_a_backlog_slows_nobody_else_and_takes_no_memory(rig: Rig) -> None:
    """The quick subscription's latency stays as it was, and the backlog lies on the broker alone."""
    worker, bus = await rig.worker(program=APP), rig.bus()
    before = await latencies(rig, bus, "load.before")
    memory = {"worker": Memory(worker.pid), "publisher": Memory(os.getpid())}
    rig.ledger.fault("backlog")
    async with Load(bus, rig.ledger, in_flight=200, make=event_of("load.backlog")) as load:
        await load.reaches(BACKLOG, timeout=600)
    grown = {name: each.grown() for name, each in memory.items()}
    await caught_up(rig)
    after = await latencies(rig, bus, "load.after")
    behind = rig.ledger.open(SLOW)
    (rig.ledger.folder / "hurry").touch()
    (await rig.account(600)).verify(duplicates=0)

    rig.figures["behind"] = behind
    rig.figures.update({f"{name} grew": f"{size:.0f} MiB" for name, size in grown.items()})
    for name in ("p50", "p99"):
        rig.figures[name] = f"{1000 * before[name]:.1f} -> {1000 * after[name]:.1f} ms"
    assert behind > 0.9 * BACKLOG
    assert max(grown.values()) < MEMORY
    assert after["p50"] < 3 * before["p50"] + 0.01
    assert after["p99"] < 5 * before["p99"] + 0.2


def event_of(type: str) -> Callable[[int], Event[Any]]:
    return lambda number: Event(type, payload={"n": number})


async def latencies(rig: Rig, bus: CeleryEventBus, type: str) -> Mapping[str, float]:
    """Seconds from a publish to the end of the quick handler, of events of this type that come at a calm rate."""
    async with Load(bus, rig.ledger, in_flight=10, rate=RATE, make=event_of(type)) as load:
        await load.reaches(SAMPLE)
    await caught_up(rig)
    found = await asyncio.to_thread(taken, rig, type)
    return {"p50": median(found), "p99": quantiles(found, n=100)[98]}


async def caught_up(rig: Rig) -> None:
    """The quick subscription has had all there is."""
    await until_told(lambda: not rig.ledger.open(QUICK), 120, "the quick subscription has had all")


def taken(rig: Rig, type: str) -> list[float]:
    """The seconds that each took."""
    entries = list(Reader(rig.ledger.folder).read())
    begun = {each.id: each.at for each in entries if each.kind is Kind.ATTEMPTED and each.about == type}
    quick = (each for each in entries if each.kind is Kind.HANDLED and each.about == "quick")
    return [each.at - begun[each.id] for each in quick if each.id in begun]
