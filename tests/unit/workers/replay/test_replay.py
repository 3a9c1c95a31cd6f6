import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from qt_events import Event, HealthStatus, InMemoryEventBus, Published, RetryPolicy
from tests.unit.workers.harness import Harness
from workers.events import ANALYZED, HealthChecked, TradingOpenedEvent
from workers.market.price_file import Close, read_market
from workers.replay import feed
from workers.replay.done_days import BEGUN, UsedStoreError, done_days, keep
from workers.replay.feed import NoAnswerError
from workers.replay.replay import Progress, Replay, Result, Summary, summary
from workers.store import Store
from workers.system.assembly import build
from workers.system.books import Books

#: Days with some trades, sales among them.
DAYS = 36


class Run(NamedTuple):
    """A finished replay and its events."""

    summary: Summary
    progress: list[Progress]
    events: dict[str, Any]  #: payloads by id


async def replayed(
    url: str, market: list[Close], prepare: Callable[[InMemoryEventBus], None] = lambda _: None
) -> Run:
    store, bus = Store(url), InMemoryEventBus(retry=RetryPolicy(initial=0.01))
    events: list[Event[Any]] = []
    bus.subscribe("#", events.append, name="record")
    prepare(bus)
    build(bus, store)
    progress: list[Progress] = []
    result = await Replay(bus, store, market).run(progress.append)
    store.dispose()
    payloads = {event.id: event.payload for event in events}
    return Run(summary(result, bus.get_stats()), progress, payloads)


@pytest.fixture(scope="module")
def market() -> list[Close]:
    return read_market()[:DAYS]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('replay')}/store.db"


@pytest.fixture(scope="module")
def run(url: str, market: list[Close]) -> Run:
    """One replay, shared by several tests."""
    return asyncio.run(replayed(url, market))


def test_the_summary_adds_up(run: Run) -> None:
    """Events published, events heard and the components' own figures agree."""
    told, components = run.summary, run.summary.components
    assert (told.days, told.retries, told.dead_letters) == (DAYS, 0, 0)
    steps = (
        "market.closed",
        "trading.opened",
        "trading.cleared",
        "trading.closed",
        "health.checked",
    )
    for once_a_day in (*steps, *(each.event_type for each in ANALYZED.values())):
        assert told.events[once_a_day] == DAYS
    assert told.trades == told.events["trade.executed"] > 5
    for listener in ("executor", "performance_tracker", "metrics_logger"):
        assert components[listener]["trades"] == told.trades
    assert told.deliveries["analytics.on_trade_executed"] == told.trades
    assert sum(components["orchestrator"]["days_by_strategy"].values()) == DAYS
    assert components["msc_ai"]["policies"] == told.events["policy.updated"]
    assert components["clm"]["promotions"] == told.events["model.promoted"]


def test_profits_are_the_same_however_they_are_asked_for(run: Run) -> None:
    """Strategies, models and symbols share the same trades."""
    by_strategy, by_model, by_symbol = (
        round(sum(earned.values()), 2) for earned in run.summary.components["analytics"].values()
    )
    assert by_strategy == by_model == by_symbol != 0


def test_every_day_tells_its_progress(run: Run, market: list[Close]) -> None:
    assert [(each.day, each.done) for each in run.progress] == [
        (close.day, done) for done, close in enumerate(market, 1)
    ]
    first, last = run.progress[0], run.progress[-1]
    assert (first.risk_mode, first.trades, first.total) == (None, 0, DAYS)
    assert (last.equity, last.trades) == (run.summary.final_equity, run.summary.trades)
    assert last.events["market.closed"]["published"] == DAYS


def test_two_books_kept_apart_agree(run: Run, url: str, market: list[Close]) -> None:
    """Executor's books and those of Performance Tracker end with the same cent, as does the
    summary."""

    async def equities() -> list[float]:
        store = Store(url)
        days = market[-1].day.replace(year=9000)
        portfolios = [
            (await Books(store.trades, name).at(days))[0]
            for name in ("executor", "performance_tracker")
        ]
        store.dispose()
        assert portfolios[0] == portfolios[1]
        return [portfolio.equity(market[-1].closes) / 100 for portfolio in portfolios]

    assert asyncio.run(equities()) == [run.summary.final_equity] * 2


async def test_the_same_prices_make_the_same_events(
    run: Run, tmp_path: Path, market: list[Close]
) -> None:
    """Ids and payloads do not depend on clocks or threads."""
    again = await replayed(f"sqlite:///{tmp_path}/again.db", market)
    assert again.events == run.events
    assert again.summary == run.summary


async def test_what_fails_once_changes_nothing_but_the_retries(
    run: Run, tmp_path: Path, market: list[Close]
) -> None:
    """The failing subscription runs again, alone, and the day waits for it."""
    failures = [OSError("once"), OSError("twice")]

    async def flaky(event: Event[Any]) -> None:
        if failures:
            raise failures.pop()

    def prepare(bus: InMemoryEventBus) -> None:
        bus.subscribe(TradingOpenedEvent, flaky, name="flaky")

    disturbed = (await replayed(f"sqlite:///{tmp_path}/disturbed.db", market, prepare)).summary
    assert (disturbed.retries, disturbed.dead_letters) == (2, 0)
    assert (disturbed.trades, disturbed.final_equity) == (
        run.summary.trades,
        run.summary.final_equity,
    )
    assert disturbed.components == run.summary.components


async def test_delivered_twice_each_event_changes_nothing(
    run: Run, tmp_path: Path, market: list[Close]
) -> None:
    """The bus promises at least once: with every event twice, trades, equity and figures are the
    same."""
    store = Store(f"sqlite:///{tmp_path}/twice.db")
    told: set[tuple[str, str]] = set()

    class Twice(InMemoryEventBus):
        """Bus that publishes every new event twice."""

        async def publish(self, event: Event[Any], *, mandatory: bool = False) -> Published:
            published = await super().publish(event, mandatory=mandatory)
            if (event.type, event.id) not in told:
                told.add((event.type, event.id))
                await super().publish(event, mandatory=mandatory)
            return published

    bus = Twice()
    build(bus, store)
    result = await Replay(bus, store, market).run()
    store.dispose()
    assert result == Result(**run.summary.model_dump(include=set(Result.model_fields)))


async def test_a_day_that_does_not_end_stops_the_replay(
    harness: Harness, market: list[Close], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the day. Here no component answers."""
    monkeypatch.setattr(feed.MarketFeed.__init__, "__kwdefaults__", {"timeout": 0.2})
    with pytest.raises(
        NoAnswerError, match="2007-01-03: clm, msc_ai, opprank, sg_ai did not report"
    ):
        await Replay(InMemoryEventBus(grace=0.1), harness.store, market).run()


def test_a_replay_in_memory_needs_no_celery() -> None:
    """The command starts fast, and works where celery is broken."""
    program = (
        "import sys, workers.commands; sys.exit('celery' in sys.modules or 'kombu' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_another_feed_goes_on_where_one_was_interrupted(
    run: Run, tmp_path: Path, market: list[Close]
) -> None:
    """Every component has started anew, too. The result and the days' equity are the same."""
    url = f"sqlite:///{tmp_path}/interrupted.db"

    async def feed_on(watch: Callable[[Progress], None]) -> tuple[Result, Replay]:
        store, bus = Store(url), InMemoryEventBus()
        build(bus, store)
        await store.documents.add(BEGUN, "", {})
        replay = Replay(bus, store, market, await done_days(store, market))
        try:
            return await replay.run(watch), replay
        finally:
            store.dispose()

    def interrupt(progress: Progress) -> None:
        if progress.done in interrupted_after:
            interrupted_after.remove(progress.done)
            raise InterruptedError

    interrupted_after = [1, DAYS // 2, DAYS]
    for _ in [*interrupted_after]:
        with pytest.raises(InterruptedError):
            await feed_on(interrupt)
    result, replay = await feed_on(interrupt)
    wanted = dict(run.summary)
    assert dict(result) == {name: wanted[name] for name in Result.model_fields}
    assert [each.day for each in replay.curve] == [close.day for close in market]
    assert [each.equity for each in replay.curve] == [each.equity for each in run.progress]


@pytest.mark.parametrize("what", ["no feed", "other prices", "fewer days", "no results"])
async def test_a_feed_does_not_go_on_after_something_else(
    what: str, store: Store, market: list[Close]
) -> None:
    """Ids and days of two replays would collide."""
    results = [
        HealthChecked(
            day=close.day, equity=1, drawdown=0, largest_drawdown=0, trades=0,
            status=HealthStatus.HEALTHY, rests_on={},
        )
        for close in market[:2]
    ]  # fmt: skip
    if what != "no feed":
        await store.documents.add(BEGUN, "", {})
    for close in market[:3]:
        await store.prices.add(close.day, close.closes)
    for result in results if what != "no results" else ():
        await keep(store, result)
    if what not in {"no feed", "no results"}:
        assert await done_days(store, market) == results
    other = {
        "other prices": [market[0], Close(market[1].day, {"A": 1.0}), *market[2:]],
        "fewer days": market[:2],
    }
    with pytest.raises(UsedStoreError, match="an empty one, or the same --market"):
        await done_days(store, other.get(what, market))
