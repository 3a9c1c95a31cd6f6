"""The rules, a module a subject.

routing.py        events and the subscriptions that hear them
handling.py       kinds of handlers, and handlers that break
retrying.py       attempts, delays, giving up
burying.py        dead letters: details, sending back, discarding
filtering.py      predicates
ordering.py       order and concurrency
sharing.py        broadcast against shared, one member and several
pressing.py       backpressure, rings
running.py        join, stop, drain, stats
middleware.py     around publishes and handlers, and observers
tracing.py        correlation and causation
refusing.py       mistakes, refused where they are made
"""

from types import ModuleType

from qt_events.testing.contract.scenario import Feature, Scenario
from qt_events.testing.contract.scenarios import (
    burying,
    filtering,
    handling,
    middleware,
    ordering,
    pressing,
    refusing,
    retrying,
    routing,
    running,
    sharing,
    tracing,
)

MODULES = (
    routing,
    handling,
    retrying,
    burying,
    filtering,
    ordering,
    sharing,
    pressing,
    running,
    middleware,
    tracing,
    refusing,
)


def scenarios(features: Feature | None = None) -> list[type[Scenario]]:
    """Return all scenarios, or those that a backend with these features can run."""
    every = [scenario for module in MODULES for scenario in scenarios_of(module)]
    return [scenario for scenario in every if features is None or scenario.needs in features]


def scenarios_of(module: ModuleType) -> list[type[Scenario]]:
    """Return the scenarios that this module defines, in its order."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Scenario)
    ]
    return [scenario for scenario in found if scenario.__module__ == module.__name__]
