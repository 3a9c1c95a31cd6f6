"""Poison under load: an event that ends its process every time."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from qt_events.events.event import Event
from qt_events.rabbitmq.handling.quarantine import SUSPECT_AFTER, TRIALS
from qt_events.testing.ledger import Load
from tests.faults.rig import Rig
from tests.support.waiting import until

PROGRAM = ("-m", "again", "poison_app", "-l", "INFO")
HEARS = {"killing": "load.#", "bystander": "load.#"}
POISON = 100  # its number
#: Processes that it may end: in its queue, in quarantine, and each trial; twice where its death
#: took along an acknowledgement that stood in the socket, so that there are two of it.
LIVES = 2 * (SUSPECT_AFTER + 1 + TRIALS)
PATIENCE = 200.0  # seconds for so many starts


@pytest.fixture
def node_url(amqp_url: str) -> str:
    """Return a vhost of the broker that all tests share: it comes to no harm here."""
    return amqp_url


@pytest.fixture
def hears() -> Mapping[str, str]:
    """Return the subscriptions of apps/poison_app.py."""
    return HEARS


@pytest.mark.timeout(300)
async def test_poison_ends_as_a_dead_letter_and_nothing_else_does(rig: Rig) -> None:
    """Events prefetched with it, before and after it, are handled by both subscriptions."""
    rig.may_die = {"killing": {"poison"}}
    await rig.worker(program=PROGRAM, ready=False)
    await until(lambda: notes(rig, "ready"), what="a worker is ready")
    async with Load(rig.bus(), rig.ledger, rate=50, make=numbered) as load:
        await load.reaches(POISON)
        in_flight = await until_it_is_dead(rig)
        await load.more(50)
    account = await rig.account()
    deaths = notes(rig, "died")
    rig.figures |= {"deaths": deaths, "starts": notes(rig, "ready"), "in flight": in_flight}
    account.verify(duplicates=in_flight)
    assert account.dead == {("killing", "poison"): 1}
    assert SUSPECT_AFTER < deaths <= LIVES
    assert not load.failed


def numbered(number: int) -> Event[Any]:
    return Event("load.numbered", payload={"n": number, "kills": number == POISON})


def notes(rig: Rig, what: str) -> int:
    """Return the processes that have left a note."""
    return len(list(rig.ledger.folder.glob(f"{what}-*")))


async def until_it_is_dead(rig: Rig) -> int:
    """Note each strike, and return the deliveries that were in flight at them."""
    bus, deaths, in_flight = rig.bus(), 0, 0
    async with asyncio.timeout(PATIENCE):
        while not await bus.dead_letters.list("killing"):
            if notes(rig, "died") > deaths:
                rig.ledger.fault("poison handled")
                deaths, in_flight = deaths + 1, in_flight + rig.in_flight()
            await asyncio.sleep(0.02)
    return in_flight
