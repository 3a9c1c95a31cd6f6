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
from tests.unit.workers.harness import MONDAY, Scene, trade
from workers.replay.figures import UnheardTradesError, figures
from workers.system.planning.orchestrator import PLANS
from workers.system.portfolio import START_CENTS

LISTENERS = ("performance_tracker", "analytics", "metrics_logger")


async def test_nothing_happened_yet(scene: Scene) -> None:
    """An empty database is figures too: those of the first day."""
    empty = await figures(scene.store)
    assert empty["msc_ai"] == {"risk_mode": None, "policies": 0}
    assert empty["strategy_runtime_engine"] == {"live": ["momentum"]}
    assert empty["executor"] == {"trades": 0, "cash": START_CENTS / 100, "positions": {}}
    assert empty["ensemble_manager"] == {"model": None}


async def test_tells_what_each_component_came_to(scene: Scene) -> None:
    """From the database alone."""
    await scene.store.policies.set_risk_mode(RiskMode.NORMAL, since=MONDAY)
    await scene.announce(StrategyPromotedEvent, strategy_id="core", from_stage=Stage.SHADOW, to_stage=Stage.LIVE)
    await scene.announce(
        ModelPromotedEvent, model_name="N-HiTS", old_version=None, new_version="v3", metrics={"hit_rate": 0.6}
    )
    await scene.announce(OpportunitiesUpdatedEvent, top_symbols=list("ABCDEFG"), scores={})
    await scene.announce(
        HealthStatusChangedEvent, old_status="HEALTHY", new_status="DEGRADED", component="Guard", reason="drawdown"
    )
    for day, strategy_id in (("1", "core"), ("2", None), ("3", "core")):
        await scene.store.documents.put(PLANS, day, {"strategy_id": strategy_id, "model": "N-HiTS v3"})
    for book in ("executor", *LISTENERS):
        await scene.store.trades.add(book, trade("A"))
    for promoted in ("strategy.promoted", "model.promoted"):
        await scene.store.documents.add(f"analytics.{promoted}", "1", {})
    told = await figures(scene.store)
    assert told["msc_ai"] == {"risk_mode": "NORMAL", "policies": 1}
    assert told["sg_ai"]["stages"] == {"momentum": "LIVE", "mean_reversion": "SHADOW", "core": "LIVE"}
    assert told["clm"]["versions"] == {"N-HiTS": "v3"}
    assert told["opprank"] == {"top_symbols": list("ABCDE")}
    assert told["strategy_runtime_engine"] == {"live": ["momentum", "core"]}
    assert told["ensemble_manager"] == {"model": "N-HiTS v3"}
    assert told["orchestrator"] == {"days_by_strategy": {"core": 2, "none": 1}}
    assert told["executor"] == {"trades": 1, "cash": START_CENTS / 100 - 1000.5, "positions": {"A": 100}}
    assert told["system_health_monitor"] == {"Guard": "DEGRADED"}
    assert told["performance_tracker"] == told["metrics_logger"] == {"trades": 1}


async def test_waits_for_those_who_only_listen(scene: Scene) -> None:
    """Trades are told before they have heard of them."""
    trades = trade("A"), trade("A", Side.SELL, pnl_cents=150, day=MONDAY + timedelta(1))
    for each in trades:
        await scene.store.trades.add("executor", each)
    task = asyncio.create_task(figures(scene.store))
    for book in LISTENERS:
        assert not task.done()
        for each in trades:
            await scene.store.trades.add(book, each)
    assert (await task)["analytics"]["profit_by_symbol"] == {"A": 1.5}


async def test_names_those_who_did_not_hear(scene: Scene) -> None:
    """And only those, after its patience."""
    for book in ("executor", "analytics"):
        await scene.store.trades.add(book, trade("A"))
    with pytest.raises(UnheardTradesError) as unheard:
        await figures(scene.store, timeout=0.5)
    assert str(unheard.value) == (
        "performance_tracker, metrics_logger did not hear of everything within 0.5 s: are there dead letters?"
    )


async def test_waits_for_promotions_too(scene: Scene) -> None:
    """They are figures like any other: told, and then heard of."""
    await scene.announce(StrategyPromotedEvent, strategy_id="core", from_stage=Stage.SHADOW, to_stage=Stage.LIVE)
    with pytest.raises(UnheardTradesError, match=r"^analytics \(strategy\.promoted\) did not"):
        await figures(scene.store, timeout=0.5)
    await scene.store.documents.add("analytics.strategy.promoted", "1", {})
    assert (await figures(scene.store))["sg_ai"]["promotions"] == 1


async def test_no_time_at_all_is_too_little_by_name(scene: Scene) -> None:
    """Before anybody could be found missing."""
    with pytest.raises(UnheardTradesError, match="some did not hear"):
        await figures(scene.store, timeout=0)
