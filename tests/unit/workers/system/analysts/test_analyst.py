"""Behaviour that the four analysts share."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.harness import Harness
from workers.events import ANALYZED, AnalyzedEvent, MarketClosedEvent
from workers.market.price_file import Close, read_market
from workers.store import Store
from workers.system.analysts.analyst import Analyst
from workers.system.analysts.clm import ContinuousLearningManager
from workers.system.analysts.msc_ai import MetaStrategyController
from workers.system.analysts.opprank import OppRank
from workers.system.analysts.sg_ai import StrategyGenerator

FOUR = (MetaStrategyController, StrategyGenerator, ContinuousLearningManager, OppRank)
# In the summer of 2008 each analyst has announcements to make.
KNOWN, DAYS = read_market()[260:325], read_market()[325:365]

Make = type[Analyst]
each_analyst = pytest.mark.parametrize(
    "make", FOUR, ids=[analyst.announces.event_source for analyst in FOUR]
)


def said(*harnesses: Harness) -> dict[str, Any]:
    """Return the events of these processes by id, without market.closed."""
    told = [
        event
        for harness in harnesses
        for event in harness.events
        if not isinstance(event, MarketClosedEvent)
    ]
    return {event.id: event.payload for event in told}


async def begin(*harnesses: Harness) -> None:
    """Publish the first day; the days after it are in the database."""
    await harnesses[0].close_day(KNOWN[0].day, **KNOWN[0].closes)
    for close in KNOWN[1:]:
        await harnesses[0].store.prices.add(close.day, close.closes)


async def replay(days: list[Close], *harnesses: Harness) -> None:
    """Close days in turn in these processes."""
    await begin(*harnesses)
    for index, close in enumerate(days):
        await harnesses[index % len(harnesses)].close_day(close.day, **close.closes)


@each_analyst
async def test_two_processes_decide_as_one_alone_would(
    make: Make, harness: Harness, other: Harness, tmp_path: Path
) -> None:
    """An analyst keeps nothing in its process, so two can take days in turn."""
    make(harness.bus, harness.store)
    make(other.bus, other.store)
    await replay(DAYS, harness, other)
    alone = Harness(Store(f"sqlite:///{tmp_path}/alone.db"))
    make(alone.bus, alone.store)
    async with alone.bus:
        await replay(DAYS, alone)
    alone.store.dispose()
    assert said(harness, other) == said(alone)
    assert len({event.id for event in alone.published(make.announces)}) > 1


@each_analyst
async def test_says_each_day_that_it_is_done(make: Make, harness: Harness) -> None:
    """The report has a type of its own and names all announcements in force."""
    analyst = make(harness.bus, harness.store)
    await replay(DAYS, harness)
    done = [event.payload for event in harness.published(ANALYZED[make.announces])]
    assert [payload.day for payload in done] == [close.day for close in (KNOWN[0], *DAYS)]
    assert len(harness.published(AnalyzedEvent)) == len(done)
    assert done[-1].rests_on == await analyst.announcements.ids() != {}
    told = {event.id for event in harness.published(analyst.announces)}
    assert all(set(payload.rests_on.values()) <= told for payload in done)


@each_analyst
async def test_tells_the_announcement_before_it_says_that_it_is_done(
    make: Make, harness: Harness
) -> None:
    """A step may rest on it as soon as it is published."""
    analyst = make(harness.bus, harness.store)
    await replay(DAYS, harness)
    told: set[str] = set()
    for event in harness.events:
        if isinstance(event, AnalyzedEvent):
            assert set(event.payload.rests_on.values()) <= told
        told.add(event.id)
    assert analyst.announces in {type(event) for event in harness.events}


@each_analyst
async def test_the_same_day_twice_changes_nothing(make: Make, harness: Harness) -> None:
    """A redelivery gives the same events with the same ids, and the same state."""
    analyst = make(harness.bus, harness.store)
    await begin(harness)
    for close in DAYS:
        await harness.close_day(close.day, **close.closes)
        before, kept = said(harness), await analyst.announcements.all()
        await harness.close_day(close.day, **close.closes)
        assert (said(harness), await analyst.announcements.all()) == (before, kept)


@each_analyst
async def test_of_a_day_long_past_nothing_is_announced(
    make: Make, harness: Harness, other: Harness
) -> None:
    """A redelivery after the market has moved on changes nothing, in any process."""
    analyst = make(harness.bus, harness.store)
    make(other.bus, other.store)
    await replay(DAYS, harness)
    kept, policies = await analyst.announcements.all(), await harness.store.policies.history()
    told = len(harness.published(make.announces))
    for close in DAYS[5:30:6]:
        for process in (harness, other):
            await process.publish(MarketClosedEvent.create(day=close.day, closes=close.closes))
    assert (other.published(make.announces), len(harness.published(make.announces))) == ([], told)
    assert (await analyst.announcements.all(), await harness.store.policies.history()) == (
        kept,
        policies,
    )
    assert len(harness.published(AnalyzedEvent)) == len(DAYS) + 1


@each_analyst
async def test_a_process_that_ends_before_it_kept_what_it_told_tells_the_same_again(
    make: Make, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between publish and write leads to the same id again."""
    analyst = make(harness.bus, harness.store)
    await begin(harness)
    before, put, crashed = (
        len(harness.published(make.announces)),
        harness.store.documents.put,
        set(),
    )

    async def crash_at_first(kind: str, key: str, value: Any) -> None:
        if value["id"] not in crashed:
            crashed.add(value["id"])
            raise OSError
        await put(kind, key, value)

    monkeypatch.setattr(harness.store.documents, "put", crash_at_first)
    for close in DAYS:
        await harness.store.prices.add(close.day, close.closes)
        await persist(analyst, MarketClosedEvent.create(day=close.day, closes=close.closes))
    await harness.bus.join()
    told = [event.id for event in harness.published(make.announces)[before:]]
    assert set(told) == crashed != set()
    assert len(told) == 2 * len(crashed)
    assert {each.id for each in (await analyst.announcements.all()).values()} & crashed


async def persist(analyst: Analyst, event: MarketClosedEvent) -> None:
    """Call a handler until it succeeds, as a bus does."""
    while True:
        with suppress(OSError):
            return await analyst.on_market_closed(event)
