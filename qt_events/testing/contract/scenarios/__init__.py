"""The rules, a module a subject.

routing.py        events and the subscriptions that hear them, by pattern and by predicate
handling.py       kinds of handlers, and handlers that break
retrying.py       attempts, delays, giving up
burying.py        dead letters: details, sending back, discarding
raw.py            events as they were on the wire
ordering.py       order, concurrency, shared subscriptions and broadcast ones
batching/         batch handlers
pressing.py       backpressure, rings
running.py        join, stop, drain, stats
middleware.py     around publishes and handlers, and observers
telling.py        fates: what became of events
starting.py       a new subscription that begins with old events
replaying.py      an event sent again, to one subscription
deduplicating.py  inboxes: what comes twice takes effect once
tracing.py        correlation and causation
refusing.py       mistakes, refused where they are made
"""

from qt_events.testing.contract.scenario import Feature, Scenario
from qt_events.testing.contract.scenarios import (
    batching,
    burying,
    deduplicating,
    handling,
    middleware,
    ordering,
    pressing,
    raw,
    refusing,
    replaying,
    retrying,
    routing,
    running,
    starting,
    telling,
    tracing,
)

MODULES = (
    routing,
    handling,
    retrying,
    burying,
    raw,
    ordering,
    *batching.MODULES,
    pressing,
    running,
    middleware,
    telling,
    replaying,
    deduplicating,
    starting,
    tracing,
    refusing,
)


def scenarios(features: Feature | None = None) -> list[type[Scenario]]:
    """Return all scenarios, or those that a backend with these features can run."""
    found = [
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    every = [value for value in found if issubclass(value, Scenario)]
    return [scenario for scenario in every if features is None or scenario.needs in features]
