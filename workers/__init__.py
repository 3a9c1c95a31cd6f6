"""Quantum Trader: a trading system whose components know each other only by the events they publish and hear.

events.py        the steps of a trading day
market/          prices and calculations from them
store/           the database
system/          the trading system: a module a component, in the order of a trading day
replay/          a market, day by day, through the system
fleet/           the Celery app, and all processes of a fleet on one machine
commands.py      `run`, `feed` and `analytics`
publishers.py    which component publishes which events, for permissions on the broker
wiring.py        which component publishes and hears which events, as docs/who-hears-what.md has it
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`app`, made when asked for: a replay in memory needs no Celery. `components` for `qt-events topology`."""
    if name == "app":
        from workers.fleet.app import app

        return app
    if name == "components":
        from workers.publishers import components

        return components
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
