"""Quantum Trader: a trading system whose components know each other only by the events they publish and hear.

The day of a trade:

events              the steps of a trading day, and the other events of its own
feed                the pace: a day at a time, each when the last one is over
msc_ai, sg_ai, clm, opprank
                    the analysts: risk mode, strategies, models, ranking (analyst: what they have in common)
strategy_runtime_engine, ensemble_manager, orchestrator, safety_governor
                    from what the analysts announced to a plan
portfolio_balancer, risk_guard, executor
                    from the plan to trades
performance_tracker, health_monitor
                    what came of it, which ends the day
analytics, metrics_logger, discord_notifier, event_logger
                    who only listens

What they share:

announcements       what everybody has to know, by broadcast and in the database
books               trades, as far as a process has read them
store/              the database
store_retry         waiting for one that is away
market, prices, ranking, strategies, portfolio, rebalancing, trades
                    what the components reckon with: pure, no bus

As a program:

system              all components on one bus
who_publishes       who publishes what: for the permissions on the broker
replay, figures     the main job, and what each component came to
command, display    `qt-events run`, `feed` and `analytics`, and what they show
fleet               the Celery app: `celery -A workers worker`, as many processes as one likes
launcher, fleet_commands, crew, gauges, feed_report, fleet_display
                    `qt-events fleet`: all of it on one machine
who_hears_what      the table in docs/who-hears-what.md
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`app`, made when asked for: a replay in memory needs no Celery. `components` for `qt-events topology`."""
    if name == "app":
        from workers.fleet import app

        return app
    if name == "components":
        from workers.who_publishes import components

        return components
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
