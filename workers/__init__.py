"""Quantum Trader: a trading system whose components know of each other only by events.

It is an application of qt_events and no part of it: run from a checkout, `python -m workers`.

__main__.py      `python -m workers`
commands.py      its commands `run`, `feed` and `analytics`
events.py        steps of a trading day, as events
market/          prices, and figures calculated from them
store/           the database
system/          the trading system: a module a component, in the order of a trading day
replay/          a market, day by day, through the system, and the report of it
fleet/           the Celery app, and all processes of a fleet on one machine
publishers.py    what each component publishes and hears, for permissions on the broker
wiring.py        the page docs/who-hears-what.md

The components, in the order of a trading day. A test compares the table with a replay.

name                     stands for, or does         publishes               hears
Market Feed              prices, a day at a time     market.closed           policy.analyzed
                                                     trading.opened          strategy.analyzed
                                                                             model.analyzed
                                                                             opportunities.analyzed
                                                                             health.checked
MSC AI                   Meta Strategy Controller    policy.updated          market.closed
                                                     policy.analyzed
SG AI                    Strategy Generator          strategy.promoted       market.closed
                                                     strategy.analyzed
CLM                      Continuous Learning Manager model.promoted          market.closed
                                                     model.analyzed
OppRank                  Opportunity Ranker          opportunities.updated   market.closed
                                                     opportunities.analyzed
Strategy Runtime Engine  signals of live strategies  signals.generated       trading.opened
                                                                             strategy.promoted
                                                                             opportunities.updated
Ensemble Manager         signals scored by a model   signals.scored          model.promoted
                                                                             signals.generated
Orchestrator             one plan for the day        trading.planned         policy.updated
                                                                             signals.scored
Safety Governor          halt while CRITICAL         trading.cleared         trading.planned
                                                                             health.status_changed
Portfolio Balancer       orders that follow the plan orders.requested        policy.updated
                                                                             trading.cleared
Risk Guard               orders within the policy    orders.approved         policy.updated
                                                                             orders.requested
Executor                 trades                      trade.executed          opportunities.updated
                                                     trading.closed          orders.approved
Performance Tracker      equity and drawdown         performance.reported    trade.executed
                                                                             trading.closed
System Health Monitor    health, by the drawdown     health.status_changed   performance.reported
                                                     health.checked
Analytics                profits, on request                                 strategy.promoted
                                                                             model.promoted
                                                                             trade.executed
Metrics Logger           a log line for each trade                           trade.executed
Discord Notifier         an alert to a webhook                               health.status_changed
Logger                   a log line for each change                          strategy.promoted
                                                                             health.status_changed
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return what Celery, `qt-events topology` or `qt-events rerun` looks for, when it is needed.

    A replay in memory does not load Celery.
    """
    if name == "app":
        from workers.fleet.app import app

        return app
    if name == "components":
        from workers.publishers import components

        return components
    if name == "subscribe":
        from workers.replay.rerun import subscribe

        return subscribe
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
