"""Quantum Trader: a trading system whose components know each other only by the events they publish and hear.

events              the events of its own that it adds to Quantum Trader's six
market              the feed: a price file, published a trading day at a time
prices, strategies, portfolio, rebalancing
                    what the components reckon with: pure, no bus
msc_ai, sg_ai, clm, opprank
                    the analysts: risk mode, strategies, models, ranking
orchestrator, executor, risk_guard
                    from what the analysts say to orders and fills
performance_tracker, health_monitor, event_logger
                    what came of it
system              all of them on one bus
replay              the main job: a market, day by day
command, display    `qt-events run`, and what it shows
app                 the Celery app: `celery -A workers worker`, one process of it for now (see fleet.py)
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`app`, made when asked for: a replay in memory needs no Celery."""
    if name == "app":
        from workers.fleet import app

        return app
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
