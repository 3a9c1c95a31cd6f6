import asyncio
from datetime import timedelta

import pytest

from qt_events import (
    HealthStatusChangedEvent,
    ModelPromotedEvent,
    OpportunitiesUpdatedEvent,
    RiskMode,
    Side,
    Stage,
    StrategyPromotedEvent,
)
from tests.unit.workers.harness import MONDAY, Harness, trade
from workers.replay.figures import ListenersBehindError, figures
from workers.system.planning.orchestrator import PLANS
from workers.system.portfolio import START_CENTS

LISTENERS = ("performance_tracker", "analytics", "metrics_logger")


async def test_nothing_happened_yet(harness: Harness) -> None:
    """An empty database has the figures of the first day."""
    empty = await figures(harness.store)
    assert empty["msc_ai"] == {"risk_mode": None, "policies": 0}
    assert empty["strategy_runtime_engine"] == {"live": ["momentum"]}
    assert empty["executor"] == {"trades": 0, "cash": START_CENTS / 100, "positions": {}}
    assert empty["ensemble_manager"] == {"model": None}


async def test_tells_what_each_component_came_to(harness: Harness) -> None:
    """The database alone is read."""
    await harness.store.policies.set_risk_mode(RiskMode.NORMAL, since=MONDAY)
    await harness.announce(
        StrategyPromotedEvent, strategy_id="core", from_stage=Stage.SHADOW, to_stage=Stage.LIVE
    )
    await harness.announce(
        ModelPromotedEvent,
        model_name="N-HiTS",
        old_version=None,
        new_version="v3",
        metrics={"hit_rate": 0.6},
    )
    await harness.announce(OpportunitiesUpdatedEvent, top_symbols=list("ABCDEFG"), scores={})
    await harness.announce(
        HealthStatusChangedEvent,
        old_status="HEALTHY",
        new_status="DEGRADED",
        component="Guard",
        reason="drawdown",
    )
    for day, strategy_id in (("1", "core"), ("2", None), ("3", "core")):
        await harness.store.documents.put(
            PLANS, day, {"strategy_id": strategy_id, "model": "N-HiTS v3"}
        )
    for book in ("executor", *LISTENERS):
        await harness.store.trades.add(book, trade("A"))
    for promoted in ("strategy.promoted", "model.promoted"):
        await harness.store.documents.add(f"analytics.{promoted}", "1", {})
    told = await figures(harness.store)
    assert told["msc_ai"] == {"risk_mode": "NORMAL", "policies": 1}
    assert told["sg_ai"]["stages"] == {
        "momentum": "LIVE",
        "mean_reversion": "SHADOW",
        "core": "LIVE",
    }
    assert told["clm"]["versions"] == {"N-HiTS": "v3"}
    assert told["opprank"] == {"top_symbols": list("ABCDE")}
    assert told["strategy_runtime_engine"] == {"live": ["momentum", "core"]}
    assert told["ensemble_manager"] == {"model": "N-HiTS v3"}
    assert told["orchestrator"] == {"days_by_strategy": {"core": 2, "none": 1}}
    assert told["executor"] == {
        "trades": 1,
        "cash": START_CENTS / 100 - 1000.5,
        "positions": {"A": 100},
    }
    assert told["system_health_monitor"] == {"Guard": "DEGRADED"}
    assert told["performance_tracker"] == told["metrics_logger"] == {"trades": 1}


async def test_waits_for_those_who_only_listen(harness: Harness) -> None:
    """Trades are told before they have heard of them."""
    trades = trade("A"), trade("A", Side.SELL, pnl_cents=150, day=MONDAY + timedelta(1))
    for each in trades:
        await harness.store.trades.add("executor", each)
    task = asyncio.create_task(figures(harness.store))
    for book in LISTENERS:
        assert not task.done()
        for each in trades:
            await harness.store.trades.add(book, each)
    assert (await task)["analytics"]["profit_by_symbol"] == {"A": 1.5}


async def test_names_those_who_did_not_hear(harness: Harness) -> None:
    """The error comes after the timeout and names only the listeners that are behind."""
    for book in ("executor", "analytics"):
        await harness.store.trades.add(book, trade("A"))
    with pytest.raises(ListenersBehindError) as unheard:
        await figures(harness.store, timeout=0.5)
    assert str(unheard.value) == (
        "performance_tracker, metrics_logger did not hear of everything within 0.5 s: "
        "are there dead letters?"
    )


async def test_waits_for_promotions_too(harness: Harness) -> None:
    """Promotions are figures like trades."""
    await harness.announce(
        StrategyPromotedEvent, strategy_id="core", from_stage=Stage.SHADOW, to_stage=Stage.LIVE
    )
    with pytest.raises(ListenersBehindError, match=r"^analytics \(strategy\.promoted\) did not"):
        await figures(harness.store, timeout=0.5)
    await harness.store.documents.add("analytics.strategy.promoted", "1", {})
    assert (await figures(harness.store))["sg_ai"]["promotions"] == 1


async def test_no_time_at_all_is_too_little_by_name(harness: Harness) -> None:
    """The timeout may pass before any listener was checked."""
    with pytest.raises(ListenersBehindError, match="some did not hear"):
        await figures(harness.store, timeout=0)
