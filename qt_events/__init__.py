"""qt_events: a typed event bus on Celery and RabbitMQ, and in memory.

The life of an event, and where to read about each part of it:

    events.py         Event: typed, validated, immutable; the registry of event classes
    payload.py        Payload: an event's own data
    frozen.py         what JSON carries, and nobody can change
    catalog.py        Quantum Trader's six events, registered when first asked for
    codec.py          an event as CloudEvents JSON and AMQP properties, and back
    routing.py        topic patterns: match, and an index over many
    subscription.py   who wants which events
    component.py      who has a user of its own on the broker
    subscriptions.py  a bus's subscribers, by name, by handler, by what they hear
    retry.py          again, when, or never
    delivery.py       deliver(): the one place that calls a handler
    error_text.py     an exception in words
    logs.py           the event that is being handled, on every line that is logged
    log_lines.py      a log record as a line of text or JSON
    lane.py           what waits for one subscription in this process
    lanes.py          a lane for each subscription that has something to do
    threads.py        where sync handlers run
    room.py           how many events a bus may hold, and who waits in line
    dead_letters.py   what failed for good
    dead_letter_box.py    what an operator does with it, wherever it is kept
    dead_letter_work.py   one by one: looked through, sent back at a pace, removed
    dead_letter_store.py  kept in this process
    stats.py          the counters behind get_stats()
    clock.py          when a retry is due
    limits.py         the numbers a user sets, checked
    errors.py         every error, by whose fault it is
    observer.py       who is told of publishes and of how attempts ended
    bus.py            the EventBus Protocol
    hosting.py        `async with bus:`
    backends.py       create_event_bus(url)
    memory.py         InMemoryEventBus
    rabbitmq/         CeleryEventBus; beside testing/, the only room that imports celery
    cli/              the command `qt-events`
    testing/          contract suite, brokers and clocks for tests
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qt_events.bus import EventBus, create_event_bus
from qt_events.delivery.component import Component
from qt_events.delivery.retry import NO_RETRY, Reject, RetryLater, RetryPolicy
from qt_events.delivery.subscription import EventHandler, Subscription
from qt_events.errors import (
    BackpressureError,
    BrokerBlockedError,
    BrokerError,
    BrokerUnreachableError,
    BusStateError,
    BusyError,
    DecodeError,
    DuplicateEventError,
    DuplicateSubscriptionError,
    ForeignConsumersError,
    IncompleteDeadLetterError,
    InvalidEventError,
    InvalidHandlerError,
    InvalidOptionError,
    InvalidPatternError,
    InvalidPayloadError,
    InvalidPolicyError,
    InvalidUrlError,
    LoginRefusedError,
    MessageError,
    NotSupportedError,
    PoisonError,
    PublishRefusedError,
    PublishTimeoutError,
    QtEventsError,
    TopologyError,
    TypeMismatchError,
    UnknownDeadLetterError,
    UnknownSubscriptionError,
    UnroutableError,
    UsageError,
)
from qt_events.events.event import Event, current_event
from qt_events.events.payload import Payload

if TYPE_CHECKING:
    from qt_events.dead_letters.record import DeadLetterRecord
    from qt_events.events.quantum_trader import (
        HealthStatus,
        HealthStatusChanged,
        HealthStatusChangedEvent,
        ModelPromoted,
        ModelPromotedEvent,
        OpportunitiesUpdated,
        OpportunitiesUpdatedEvent,
        PolicyUpdated,
        PolicyUpdatedEvent,
        RiskMode,
        Side,
        Stage,
        StrategyPromoted,
        StrategyPromotedEvent,
        TradeExecuted,
        TradeExecutedEvent,
    )
    from qt_events.logs.configure import EventFieldsFilter, configure_logging
    from qt_events.memory import InMemoryEventBus
    from qt_events.rabbitmq.bus import CeleryEventBus

__version__ = "0.1.0"

__all__ = [
    "NO_RETRY",
    "BackpressureError",
    "BrokerBlockedError",
    "BrokerError",
    "BrokerUnreachableError",
    "BusStateError",
    "BusyError",
    "CeleryEventBus",
    "Component",
    "DeadLetterRecord",
    "DecodeError",
    "DuplicateEventError",
    "DuplicateSubscriptionError",
    "Event",
    "EventBus",
    "EventFieldsFilter",
    "EventHandler",
    "ForeignConsumersError",
    "HealthStatus",
    "HealthStatusChanged",
    "HealthStatusChangedEvent",
    "InMemoryEventBus",
    "IncompleteDeadLetterError",
    "InvalidEventError",
    "InvalidHandlerError",
    "InvalidOptionError",
    "InvalidPatternError",
    "InvalidPayloadError",
    "InvalidPolicyError",
    "InvalidUrlError",
    "LoginRefusedError",
    "MessageError",
    "ModelPromoted",
    "ModelPromotedEvent",
    "NotSupportedError",
    "OpportunitiesUpdated",
    "OpportunitiesUpdatedEvent",
    "Payload",
    "PoisonError",
    "PolicyUpdated",
    "PolicyUpdatedEvent",
    "PublishRefusedError",
    "PublishTimeoutError",
    "QtEventsError",
    "Reject",
    "RetryLater",
    "RetryPolicy",
    "RiskMode",
    "Side",
    "Stage",
    "StrategyPromoted",
    "StrategyPromotedEvent",
    "Subscription",
    "TopologyError",
    "TradeExecuted",
    "TradeExecutedEvent",
    "TypeMismatchError",
    "UnknownDeadLetterError",
    "UnknownSubscriptionError",
    "UnroutableError",
    "UsageError",
    "configure_logging",
    "create_event_bus",
    "current_event",
]


# Imported when first asked for. Celery takes half a second, and importing the catalog registers its
# six events: a program that declares a `trade.executed` of its own must be able to do without them.
_CATALOG = "qt_events.events.quantum_trader"
_LAZY = {
    "CeleryEventBus": "qt_events.rabbitmq.bus",
    "DeadLetterRecord": "qt_events.dead_letters.record",
    "EventFieldsFilter": "qt_events.logs.configure",
    "InMemoryEventBus": "qt_events.memory",
    "configure_logging": "qt_events.logs.configure",
    "HealthStatus": _CATALOG,
    "HealthStatusChanged": _CATALOG,
    "HealthStatusChangedEvent": _CATALOG,
    "ModelPromoted": _CATALOG,
    "ModelPromotedEvent": _CATALOG,
    "OpportunitiesUpdated": _CATALOG,
    "OpportunitiesUpdatedEvent": _CATALOG,
    "PolicyUpdated": _CATALOG,
    "PolicyUpdatedEvent": _CATALOG,
    "RiskMode": _CATALOG,
    "Side": _CATALOG,
    "Stage": _CATALOG,
    "StrategyPromoted": _CATALOG,
    "StrategyPromotedEvent": _CATALOG,
    "TradeExecuted": _CATALOG,
    "TradeExecutedEvent": _CATALOG,
}


# Hidden from type checkers: they would take a misspelt name for one that this function knows.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value
