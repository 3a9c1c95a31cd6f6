"""A queue or exchange that differs from its declaration is a named error, and no crash loop."""

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from amqp import Channel

from qt_events.errors import TopologyError
from qt_events.events.event import Event
from qt_events.testing.broker.management import Management
from qt_events.testing.ledger import Load
from qt_events.testing.ledger.load import numbered
from tests.faults.rig import WORKER, Rig
from tests.support.channels import channel_to
from tests.support.waiting import until, until_told

SHORT_FORM = ("-c", "from qt_events.cli import main; main()", "worker", "-A", "load_app")
LASTING = {"durable": True, "auto_delete": False}
LEVEL = "qt.retry.100"
# Of outcomes that need the level
TRIES = 20


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


def classic(channel: Channel, name: str) -> None:
    channel.queue_declare(name, **LASTING, arguments={"x-queue-type": "classic"})


def short(channel: Channel, name: str) -> None:
    channel.queue_declare(name, **LASTING, arguments={"x-queue-type": "quorum", "x-max-length": 5})


def quarantine(channel: Channel, name: str) -> None:
    """Declare it beside its exchange, as a release before the register does."""
    channel.exchange_declare("qt.quarantine", "topic", **LASTING)
    short(channel, name)


def fanout(channel: Channel, name: str) -> None:
    channel.exchange_declare(name, "fanout", **LASTING)


#: What was made otherwise, how, and what an error says of it.
CHANGES = {
    "qt.sub.on_loop": (classic, r"queue 'qt\.sub\.on_loop' .* x-[a-z-]+ is .* there and should be"),
    "qt.quarantine.on_loop": (
        quarantine,
        r"queue 'qt\.quarantine\.on_loop' .* x-[a-z-]+ is .* there",
    ),
    "qt.events": (fanout, r"exchange 'qt\.events' .* type is 'fanout' there and should be 'topic'"),
    LEVEL: (
        classic,
        (
            r"queue 'qt\.retry\.100' exists on the broker with other arguments: "
            r"x-[a-z-]+ is not set there"
        ),
    ),
}
AT_THE_START = [name for name in CHANGES if name != LEVEL]


async def nothing(_: Event[Any]) -> None:
    """Handle nothing."""


def make(url: str, name: str) -> None:
    """Declare it otherwise."""
    with channel_to(url) as channel:
        CHANGES[name][0](channel, name)


def remove(url: str, name: str) -> None:
    """Mend it, as an operator does."""
    with channel_to(url) as channel:
        channel.queue_delete(name)
        channel.exchange_delete(name)


@pytest.mark.parametrize("name", AT_THE_START)
async def test_a_process_that_starts_is_told_which_and_what(rig: Rig, name: str) -> None:
    """Workers end with one line and exit status 1, run_forever and publish raise the error.

    All go on once it is mended.
    """
    make(rig.url, name)
    workers = [await rig.worker(ready=False, program=program) for program in (WORKER, SHORT_FORM)]
    bus = rig.bus()
    bus.subscribe("load.#", nothing, name="on_loop")
    acts: tuple[Callable[[], Awaitable[object]], ...] = (
        bus.run_forever,
        lambda: bus.publish(numbered(0)),
        lambda: bus.publish(numbered(0)),
    )
    for act in acts:
        async with asyncio.timeout(30):
            with pytest.raises(TopologyError, match=CHANGES[name][1]):
                await act()
    for worker in workers:
        assert await worker.ended() == 1, worker.output
        assert len(re.findall(rf"TopologyError: .*{CHANGES[name][1]}", worker.output)) == 1, (
            worker.output
        )
        assert "Traceback" not in worker.output

    remove(rig.url, name)
    await rig.worker()
    async with Load(bus, rig.ledger, in_flight=5) as load:
        await load.reaches(20)
    (await rig.account()).verify(duplicates=0)


@pytest.mark.parametrize("program", [WORKER, SHORT_FORM], ids=["celery", "qt-events"])
async def test_a_worker_that_reconnects_is_told_too(
    rig: Rig, program: tuple[str, ...], management: Management, vhost: str
) -> None:
    """A worker that has served before ends as well, instead of trying for ever."""
    name = "qt.sub.on_loop"
    worker = await rig.worker(program=program)
    async with Load(rig.bus(), rig.ledger, in_flight=5) as load:
        await load.reaches(50)
    await rig.settled()
    worker.send(signal.SIGSTOP)
    remove(rig.url, name)
    make(rig.url, name)
    await asyncio.to_thread(management.close_connections, vhost)
    worker.send(signal.SIGCONT)
    assert await worker.ended() == 1, worker.output
    assert len(re.findall(rf"TopologyError: .*{CHANGES[name][1]}", worker.output)) == 1, (
        worker.output
    )
    rig.figures["lines of output"] = len(worker.output.splitlines())

    remove(rig.url, name)
    await rig.worker(program=program)
    async with Load(load.bus, rig.ledger, in_flight=5) as load:
        await load.reaches(50)
    (await rig.account()).verify()


async def test_a_changed_delay_level_holds_up_only_the_retries_that_need_it(rig: Rig) -> None:
    """The retries are tried until the level is mended; other subscriptions go on."""
    make(rig.url, LEVEL)
    worker = await rig.worker()
    others = {"on_loop": "load.#", "in_thread": "load.#"}
    async with Load(rig.bus(), rig.ledger, in_flight=10, rate=100) as load:
        await load.reaches(100)
        await until(
            lambda: len(re.findall(CHANGES[LEVEL][1], worker.output)) > TRIES,
            what="retries are tried again",
        )
        await load.more(50)
    await until_told(
        lambda: not rig.ledger.open(others), what="the other subscriptions have had all"
    )
    owed = rig.ledger.open(rig.subscriptions)
    assert owed > 0
    assert worker.process.poll() is None
    remove(rig.url, LEVEL)
    (await rig.account()).verify(duplicates=0)
    assert {each.reason for each in await load.bus.dead_letters.list("failing", limit=1000)} == {
        "exhausted"
    }
    rig.figures["waited for their delay level"] = owed
