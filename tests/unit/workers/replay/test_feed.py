import asyncio
from collections.abc import Iterable
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from qt_events import Event, HealthStatus, PublishTimeoutError
from tests.unit.workers.harness import MONDAY, Harness
from workers.events import (
    ANALYZED,
    AnalyzedEvent,
    HealthCheckedEvent,
    MarketClosedEvent,
    ModelAnalyzedEvent,
    OpportunitiesAnalyzedEvent,
    PolicyAnalyzedEvent,
    StrategyAnalyzedEvent,
    TradingOpenedEvent,
)
from workers.market.price_file import Close
from workers.replay import feed as module
from workers.replay.feed import ForeignAnnouncementError, MarketFeed, NoAnswerError, merged

TUESDAY = MONDAY + timedelta(1)
ALL = (PolicyAnalyzedEvent, StrategyAnalyzedEvent, ModelAnalyzedEvent, OpportunitiesAnalyzedEvent)
HEALTH = "health.status_changed/DrawdownGuard"
Word = type[AnalyzedEvent]


def close(day: date = MONDAY) -> Close:
    return Close(day, {"A": 10.0})


def analyzed(word: Word, day: date = MONDAY, **rests_on: str) -> AnalyzedEvent:
    return word.create(day=day, rests_on=rests_on)


def own_announcement(word: Word) -> str:
    """Return the name of an announcement of the report's producer."""
    return f"{word.announces.event_type}/"


def checked(day: date = MONDAY, **rests_on: str) -> HealthCheckedEvent:
    figures = {"equity": 99.0, "drawdown": 0.0, "largest_drawdown": 0.0, "trades": 3}
    return HealthCheckedEvent.create(
        day=day, status=HealthStatus.HEALTHY, rests_on=rests_on, **figures
    )


class System:
    """Components as the feed sees them: they answer, or not."""

    def __init__(
        self, harness: Harness, analysts: Iterable[Word] = ALL, *, ends: bool = True
    ) -> None:
        self.bus, self.analysts, self.ends = harness.bus, analysts, ends
        #: Number of events that it will ignore.
        self.ignores = 0
        harness.bus.subscribe(MarketClosedEvent, self.on_market_closed, name="analysts")
        harness.bus.subscribe(TradingOpenedEvent, self.on_trading_opened, name="traders")

    async def on_market_closed(self, event: MarketClosedEvent) -> None:
        if self.hears():
            for word in self.analysts:
                await self.bus.publish(
                    analyzed(
                        word, event.payload.day, **{own_announcement(word): str(event.payload.day)}
                    )
                )

    async def on_trading_opened(self, event: TradingOpenedEvent) -> None:
        if self.ends and self.hears():
            await self.bus.publish(checked(event.payload.day, **{HEALTH: str(event.payload.day)}))

    def hears(self) -> bool:
        self.ignores -= 1
        return self.ignores < 0


def steps(harness: Harness) -> list[tuple[str, date]]:
    return [(event.type, event.payload.day) for event in harness.events]


@pytest.fixture
def asks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPUBLISH_AFTER", 0.02)


def new_feed(harness: Harness, timeout: float = 60.0) -> MarketFeed:
    return MarketFeed(harness.bus, harness.store.prices, timeout=timeout)


async def test_a_day_is_two_halves_and_the_next_comes_after_it(harness: Harness) -> None:
    """The order is closes, all analysts, trading, result; then the next closes."""
    System(harness)
    feed = new_feed(harness)
    over = await feed.trade(close())
    await feed.trade(close(TUESDAY))
    await harness.bus.join()
    day = ["market.closed", *[word.event_type for word in ALL], "trading.opened", "health.checked"]
    assert steps(harness) == [(step, MONDAY) for step in day] + [(step, TUESDAY) for step in day]
    assert (over.day, over.equity, over.trades) == (MONDAY, 99.0, 3)


async def test_trading_opens_when_the_last_analyst_is_done(harness: Harness) -> None:
    """An analyst that reports twice counts once."""
    feed = new_feed(harness)
    day = asyncio.create_task(feed.trade(close()))
    first, *others = ALL
    for word in (*others, *others):
        await harness.publish(analyzed(word))
    assert harness.published(TradingOpenedEvent) == []
    await harness.publish(analyzed(first))
    await harness.wait_for(TradingOpenedEvent)
    assert not day.done()
    await harness.publish(checked())
    assert (await day).day == MONDAY


async def test_what_is_said_of_another_day_is_no_answer(harness: Harness) -> None:
    """A report may be redelivered, or be one of an earlier run."""
    feed = new_feed(harness)
    day = asyncio.create_task(feed.trade(close(TUESDAY)))
    await harness.publish(*[analyzed(word, MONDAY) for word in ALL])
    assert harness.published(TradingOpenedEvent) == []
    await harness.publish(*[analyzed(word, TUESDAY) for word in ALL])
    await harness.wait_for(TradingOpenedEvent)
    await harness.publish(checked(MONDAY))
    assert not day.done()
    await harness.publish(checked(TUESDAY))
    assert (await day).day == TUESDAY


async def test_trading_rests_on_what_all_analysts_said_and_on_yesterdays_health(
    harness: Harness,
) -> None:
    """The newest announcements of all are merged."""
    System(harness)
    feed = new_feed(harness)
    await feed.trade(close())
    await feed.trade(close(TUESDAY))
    await harness.bus.join()
    first, second = (event.payload.rests_on for event in harness.published(TradingOpenedEvent))
    assert first == dict.fromkeys(map(own_announcement, ALL), "2024-01-01")
    assert second == dict.fromkeys(map(own_announcement, ALL), "2024-01-02") | {
        HEALTH: "2024-01-01"
    }


async def test_closes_are_kept_before_anybody_hears_of_them(harness: Harness) -> None:
    """A handler of `market.closed` can read the day's prices."""
    kept: list[Any] = []

    async def look(event: MarketClosedEvent) -> None:
        kept.extend(await harness.store.prices.between(None, event.payload.day))

    harness.bus.subscribe(MarketClosedEvent, look, name="look")
    System(harness)
    await new_feed(harness).trade(close())
    await harness.bus.join()
    assert [(each.day, each.closes) for each in kept] == [(MONDAY, {"A": 10.0})]


@pytest.mark.usefixtures("asks_often")
@pytest.mark.parametrize("half", [MarketClosedEvent, TradingOpenedEvent])
async def test_asks_again_until_there_is_an_answer(
    harness: Harness, half: type[Event[Any]]
) -> None:
    """Workers may have started after the first publish; the event is the same each time."""
    system = System(harness)
    if half is MarketClosedEvent:
        system.ignores = 2
    else:

        async def deafen(_: PolicyAnalyzedEvent) -> None:
            system.ignores = 2

        harness.bus.subscribe(PolicyAnalyzedEvent, deafen)
    over = await new_feed(harness).trade(close())
    await harness.bus.join()
    asked = harness.published(half)
    assert len(asked) >= 3
    assert len({event.id for event in asked}) == 1
    assert over.day == MONDAY


async def test_a_feed_that_begins_again_asks_for_the_same(harness: Harness, other: Harness) -> None:
    """Closes and opening of a day are one event each, even from another process."""
    for process in (harness, other):
        System(process)
        await new_feed(process).trade(close())
        await process.bus.join()
    for kind in (MarketClosedEvent, TradingOpenedEvent):
        assert harness.published(kind)[0].id == other.published(kind)[0].id


@pytest.mark.usefixtures("asks_often")
async def test_silence_ends_in_an_error_that_names_who_is_silent(harness: Harness) -> None:
    """The error names the day and what to check."""
    System(harness, analysts=[PolicyAnalyzedEvent, StrategyAnalyzedEvent])
    with pytest.raises(NoAnswerError) as silence:
        await new_feed(harness, timeout=0.5).trade(close())
    assert str(silence.value).startswith(
        "2024-01-01: clm, opprank did not report within 0.5 s; is every subscription"
    )
    assert silence.value.__cause__ is None


async def test_silence_after_the_opening_is_nobodys_in_particular(harness: Harness) -> None:
    """One report ends the day, so no component can be named."""
    System(harness, ends=False)
    with pytest.raises(NoAnswerError, match="2024-01-01: nobody reported the end of trading"):
        await new_feed(harness, timeout=0.5).trade(close())


async def test_a_broker_that_is_away_is_not_called_silence(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PublishTimeoutError is a TimeoutError too; its text must reach the operator."""
    feed = new_feed(harness, timeout=0.1)
    monkeypatch.setattr(module, "PAUSE", 0.01)

    async def away(event: Event[Any]) -> None:
        raise PublishTimeoutError("no confirm within 30 s: the broker is away")

    monkeypatch.setattr(harness.bus, "publish", away)
    with pytest.raises(PublishTimeoutError, match="the broker is away"):
        await feed.trade(close())


async def test_a_broker_that_comes_back_gets_the_same_event(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id stays, because the first publish may have succeeded."""
    System(harness)
    monkeypatch.setattr(module, "PAUSE", 0.01)
    published, publish = [], harness.bus.publish

    async def away_at_first(event: Event[Any]) -> None:
        published.append(event.id)
        if len(published) == 1:
            raise PublishTimeoutError("no confirm within 30 s")
        await publish(event)

    monkeypatch.setattr(harness.bus, "publish", away_at_first)
    assert (await new_feed(harness).trade(close())).day == MONDAY
    assert published[0] == published[1]


def test_an_analysts_word_is_named_for_what_it_announces() -> None:
    """One pattern such as `policy.*` is then the producer's permission on the broker."""
    assert set(ALL) == set(ANALYZED.values())
    for announces, word in ANALYZED.items():
        assert word.event_type == f"{announces.event_type.partition('.')[0]}.analyzed"
        assert word.event_source == announces.event_source


@pytest.mark.parametrize("who", [*ALL, HealthCheckedEvent])
async def test_a_word_that_names_what_others_announce_is_refused(
    harness: Harness, who: Any
) -> None:
    """OppRank cannot bring an older policy back.

    The dead letter names the attempt, and trading does not open.
    """
    word = checked if who is HealthCheckedEvent else partial(analyzed, who)
    others = [own_announcement(each) for each in ALL if each is not who]
    feed = new_feed(harness)
    day = asyncio.create_task(feed.trade(close()))
    await harness.wait_for(MarketClosedEvent)
    await harness.publish(*[analyzed(each) for each in ALL if each is not who])
    mine = f"{who.announces.event_type}/"
    for name in [*others, mine.removesuffix("/"), f"x{mine}", ""]:
        await harness.publish(word(MONDAY, **{mine: "new", name: "old"}))
        (letter,) = await harness.bus.dead_letters.list()
        assert (letter.reason, letter.exception_type) == (
            "rejected",
            f"{ForeignAnnouncementError.__module__}.ForeignAnnouncementError",
        )
        assert (
            letter.message
            == f"{who.event_type} of 2024-01-01 may name what is {mine}..., and names {name!r}"
        )
        await harness.bus.dead_letters.discard(letter.id)
    assert "new" not in [
        name
        for event in harness.published(TradingOpenedEvent)
        for name in event.payload.rests_on.values()
    ]
    assert not day.done()
    day.cancel()


async def test_what_was_refused_is_named_within_bounds(harness: Harness) -> None:
    """The error text stays short for any payload."""
    new_feed(harness)
    names = {f"{each:02}{'x' * 1_000}": "1" for each in range(50)}
    await harness.publish(analyzed(OpportunitiesAnalyzedEvent, MONDAY, **names))
    (letter,) = await harness.bus.dead_letters.list()
    await harness.bus.dead_letters.discard(letter.id)
    assert letter.message.count("xxx'") == 0
    assert letter.message.endswith(", ...")
    assert len(letter.message) < 400


@pytest.mark.parametrize(("known", "told"), [("a", "b"), ("b", "a")])
def test_what_was_told_last_takes_the_place_of_what_was_known(known: str, told: str) -> None:
    """Order counts, not the ids."""
    assert merged({"policy.updated/": known, "x/": "1"}, {"policy.updated/": told}) == {
        "policy.updated/": told,
        "x/": "1",
    }
