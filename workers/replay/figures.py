"""Figures of each component, read from the database. They do not depend on where components ran."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any

from qt_events import (
    HealthStatusChanged,
    HealthStatusChangedEvent,
    ModelPromoted,
    ModelPromotedEvent,
    OpportunitiesUpdated,
    OpportunitiesUpdatedEvent,
    QtEventsError,
    Stage,
    StrategyPromoted,
    StrategyPromotedEvent,
)
from workers.market.strategies import FIRST_STAGES
from workers.store import Store
from workers.system.announcements import Announcements, history_kind
from workers.system.books import ACCOUNT, Books
from workers.system.listeners import analytics, metrics_logger
from workers.system.listeners.discord_notifier import ALERTS
from workers.system.planning.ensemble_manager import best
from workers.system.planning.orchestrator import PLANS
from workers.system.planning.safety_governor import HALTED_DAYS
from workers.system.results import performance_tracker
from workers.system.trading.portfolio_balancer import REBALANCED
from workers.system.trading.risk_guard import REFUSED

Figures = dict[str, dict[str, Any]]

#: Seconds in which the listeners must have heard of the last trades.
LISTENERS_TIMEOUT = 60.0
#: Seconds between two reads of the database.
POLL_INTERVAL = 0.02


class ListenersBehindError(QtEventsError):
    """Some component has not heard of all trades."""


async def figures(store: Store, timeout: float = LISTENERS_TIMEOUT) -> Figures:
    """Return the figures by component, as soon as the listeners have heard of all trades.

    Raises:
        ListenersBehindError: they have not, within `timeout` seconds.
    """
    missing: list[str] = []
    try:
        async with asyncio.timeout(timeout):
            while missing := await _behind(store):  # noqa: ASYNC110  # another process writes
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        raise ListenersBehindError(
            f"{', '.join(missing) or 'some'} did not hear of everything within {timeout:g} s: "
            "are there dead letters?"
        ) from None
    return {**await _analysts(store), **await _traders(store), **await _listeners(store)}


async def _behind(store: Store) -> list[str]:
    """Return the listeners that have heard of fewer trades or promotions than there were."""
    trades = await store.trades.count(ACCOUNT)
    listeners = (performance_tracker.BOOK, analytics.BOOK, metrics_logger.BOOK)
    behind = [name for name in listeners if await store.trades.count(name) < trades]
    for promoted in (StrategyPromotedEvent.event_type, ModelPromotedEvent.event_type):
        kept = await store.documents.count(f"{analytics.BOOK}.{promoted}")
        if kept < await store.documents.count(history_kind(promoted)):
            behind.append(f"{analytics.BOOK} ({promoted})")
    return behind


async def _analysts(store: Store) -> Figures:
    documents = store.documents
    stages: Announcements[StrategyPromoted] = Announcements(documents, StrategyPromotedEvent)
    models: Announcements[ModelPromoted] = Announcements(documents, ModelPromotedEvent)
    rankings: Announcements[OpportunitiesUpdated] = Announcements(
        documents, OpportunitiesUpdatedEvent
    )
    promoted = {name: each.payload.to_stage for name, each in (await stages.all()).items()}
    versions = {name: each.payload for name, each in (await models.all()).items()}
    ranking = [
        symbol for each in (await rankings.all()).values() for symbol in each.payload.top_symbols
    ]
    history = await store.policies.history()
    now = {name: str(stage) for name, stage in (FIRST_STAGES | promoted).items()}
    return {
        "msc_ai": {"risk_mode": str(history[-1][1]) if history else None, "policies": len(history)},
        "sg_ai": {
            "stages": now,
            "promotions": await documents.count(
                f"{analytics.BOOK}.{StrategyPromotedEvent.event_type}"
            ),
        },
        "clm": {
            "versions": {name: model.new_version for name, model in versions.items()},
            "promotions": await documents.count(
                f"{analytics.BOOK}.{ModelPromotedEvent.event_type}"
            ),
        },
        "opprank": {"top_symbols": ranking[:5]},
        "strategy_runtime_engine": {
            "live": [name for name, stage in now.items() if stage == Stage.LIVE]
        },
        "ensemble_manager": {"model": _model_name(best(versions.values())) if versions else None},
    }


def _model_name(model: ModelPromoted) -> str:
    return f"{model.model_name} {model.new_version}"


async def _traders(store: Store) -> Figures:
    plans = (await store.documents.all(PLANS)).values()
    account, _ = await Books(store.trades, ACCOUNT).at(date.max)
    return {
        "orchestrator": {"days_by_strategy": _days(plan["strategy_id"] for plan in plans)},
        "safety_governor": {"halted_days": await store.documents.count(HALTED_DAYS)},
        "portfolio_balancer": {"rebalanced_days": await store.documents.count(REBALANCED)},
        "risk_guard": {"refused": await store.documents.count(REFUSED)},
        "executor": {
            "trades": await store.trades.count(ACCOUNT),
            "cash": account.cash / 100,
            "positions": {
                symbol: position.size for symbol, position in sorted(account.positions.items())
            },
        },
    }


def _days(names: Iterable[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(name or "none" for name in names).items()))


async def _listeners(store: Store) -> Figures:
    health: Announcements[HealthStatusChanged] = Announcements(
        store.documents, HealthStatusChangedEvent
    )
    return {
        "system_health_monitor": {
            part: str(each.payload.new_status) for part, each in (await health.all()).items()
        },
        "performance_tracker": {"trades": await store.trades.count(performance_tracker.BOOK)},
        "analytics": {
            f"profit_by_{name}": await analytics.profit_by(store, name)
            for name in analytics.COLUMNS
        },
        "metrics_logger": {"trades": await store.trades.count(metrics_logger.BOOK)},
        "discord_notifier": {"alerts": await store.documents.count(ALERTS)},
    }
